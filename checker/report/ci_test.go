package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// publishedSARIF is OASIS's schema, which may not be copied; testdata has the part of it that is used.
var publishedSARIF = flag.String("sarif-schema", "", "hold SARIF against this file, too: sarif-schema-2.1.0.json as OASIS publishes it")

// What CI sees is what the exit code says.
func TestJUnitCountsAsTheExitCode(t *testing.T) {
	t.Parallel()
	for name, found := range results() {
		var out bytes.Buffer
		if err := Of(found).WriteJUnit(&out); err != nil {
			t.Fatal(err)
		}
		var got junitSuites
		if err := xml.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		code := ExitFine
		switch {
		case got.Failures > 0:
			code = ExitWrong
		case got.Errors > 0:
			code = ExitUnknown
		}
		var sum junitCounts
		for _, s := range got.Suites {
			sum.add(s.junitCounts)
			if s.Tests != len(s.Cases) {
				t.Errorf("%s: %s counts %d of %d", name, s.Name, s.Tests, len(s.Cases))
			}
		}
		if code != ExitCode(found) || sum != got.junitCounts {
			t.Errorf("%s: %+v, and the exit code is %d\n%s", name, got.junitCounts, ExitCode(found), out.String())
		}
	}
}

// Whatever servers send, the XML is well-formed and holds no element but ours.
func TestJUnitOfHostileServers(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := hostile().WriteJUnit(&out); err != nil {
		t.Fatal(err)
	}
	ours := map[string]bool{"testsuites": true, "testsuite": true, "testcase": true, "failure": true, "error": true, "system-out": true}
	d := xml.NewDecoder(&out)
	for {
		token, err := d.Token()
		if token == nil {
			if err.Error() != "EOF" {
				t.Fatal(err)
			}
			return
		}
		if start, ok := token.(xml.StartElement); ok && !ours[start.Name.Local] {
			t.Errorf("an element %s", start.Name.Local)
		}
	}
}

func TestSARIFKeepsToItsSchema(t *testing.T) {
	t.Parallel()
	files := []string{"testdata/sarif.json"}
	if *publishedSARIF != "" {
		files = append(files, *publishedSARIF)
	}
	for _, file := range files {
		schema := compile(t, file)
		writers := map[string]func(io.Writer) error{"hostile": hostile().WriteSARIF}
		for name, found := range results() {
			writers[name] = Of(found).WriteSARIF
		}
		for name, found := range lints {
			writers["lint "+name] = func(w io.Writer) error { return WriteLintSARIF(w, found) }
		}
		for name, write := range writers {
			var out bytes.Buffer
			if err := write(&out); err != nil {
				t.Fatal(err)
			}
			value, err := jsonschema.UnmarshalJSON(&out)
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(value); err != nil {
				t.Errorf("%s by %s: %v", name, file, err)
			}
		}
	}
}

var lints = map[string]guard.Report{
	"fine": {},
	"hostile": {
		Refusals: []guard.Refusal{{Pos: policy.Position{File: evil, Line: 1, Column: 1}, Code: "mistake", Text: evil}, {Pos: policy.Position{File: "/a b/caa.yaml", Line: 3, Column: 7}, Code: "issuer-not-listed", Names: []string{evil, "x"}, Text: evil, Fix: evil}},
		Warnings: []guard.Warning{{Pos: policy.Position{File: "caa.yaml", Line: 3, Column: 7}, Code: "unconfirmed", Text: evil}},
	},
}

func compile(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("sarif.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("sarif.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// A result names its rule, its place and itself, the last in every run alike.
func TestSARIFResults(t *testing.T) {
	t.Parallel()
	log := func() (out sarifLog) {
		var text bytes.Buffer
		r := hostile()
		r.Names[0].Verdicts[0].RequiredBy = nil
		r.Names[0].Name = "*.www.example.org"
		r.Findings[0].Names, r.Findings[1].Names = []string{"*.www.example.org"}, nil
		if err := r.WriteSARIF(&text); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	run, again := log().Runs[0], log().Runs[0]
	prints := map[string]bool{}
	places := map[string]bool{}
	for i, result := range run.Results {
		if rule := run.Tool.Driver.Rules[result.RuleIndex]; rule.ID != result.RuleID {
			t.Errorf("the rule of %s is %s", result.RuleID, rule.ID)
		}
		print := result.Fingerprints[sarifPrint]
		if print != again.Results[i].Fingerprints[sarifPrint] {
			t.Error("the fingerprint differs in another run")
		}
		prints[print] = true
		places[result.Locations[0].Physical.Artifact.URI] = true
		if strings.ContainsAny(result.Message.Text, "\x00\x1b") {
			t.Error("a control character reached a message")
		}
	}
	if len(prints) != len(run.Results) {
		t.Errorf("%d results have %d fingerprints", len(run.Results), len(prints))
	}
	for place := range places { // a path, or a file: all else makes GitHub refuse the log
		if u, err := url.Parse(place); err != nil || place == "" || u.Scheme != "" && u.Scheme != "file" {
			t.Errorf("%q is no file's place: %v", place, err)
		}
	}
	if !places["www.example.org"] {
		t.Errorf("the places are %v", places)
	}
	if run.Invocations[0].Successful || run.Invocations[0].ExitCode != ExitWrong {
		t.Errorf("the invocation is %+v", run.Invocations[0])
	}
}

// A result stays the same one as its numbers change: what it counts, and how many others it has (SARIF 3.27.17).
func TestSARIFFingerprints(t *testing.T) {
	t.Parallel()
	prints := func(f ...Finding) (out []string) {
		var text bytes.Buffer
		r := &Report{Complete: true, Findings: f}
		if err := r.WriteSARIF(&text); err != nil {
			t.Fatal(err)
		}
		var log sarifLog
		if err := json.Unmarshal(text.Bytes(), &log); err != nil {
			t.Fatal(err)
		}
		for _, result := range log.Runs[0].Results {
			out = append(out, result.Fingerprints[sarifPrint])
		}
		return out
	}
	of := func(zone, subject, text string, subjects ...string) Finding {
		return Finding{finding.Finding{Code: "signature-expired", Zone: zone, Subject: subject, Subjects: subjects, Text: text}, []string{"www.example.org"}}
	}
	base := prints(of("example.org", "example.org", "2 RRsets have expired", "example.org SOA", "www.example.org CAA"))
	if got := prints(of("example.org", "example.org", "3 RRsets have expired", "www.example.org CAA", "example.org SOA", "www.example.org A")); !slices.Equal(got, base) {
		t.Error("another number of RRsets is another result")
	}
	if got := prints(of("example.net", "example.net", "2 RRsets have expired", "example.org SOA", "www.example.org CAA")); slices.Equal(got, base) {
		t.Error("another zone is the same result")
	}
	if got := prints(of("", "a", "one cause", "a"), of("", "a", "another cause", "a")); got[0] == got[1] {
		t.Error("two results of a run are one")
	}
}
