package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/test/lab"
)

// documents are those whose examples of caacheck are run.
var documents = []string{"README.md", "docs/first-policy.md", "docs/migration.md", "docs/observations.md", "docs/perspectives.md", "docs/watch.md"}

const root = "../../"

// policyBlock is a policy or a perspectives file in a document.
var policyBlock = regexp.MustCompile(`(?m)^    version: 1\n(?:    .*\n|\n)*`)

// documentData is the zone file that docs/migration.md compares with its policy.
const documentData = `$TTL 300
@    SOA ns1 admin 1 7200 3600 1209600 300
@    NS  ns1
@    CAA 0 issue "letsencrypt.org"
shop CAA 0 issue "digicert.com"
`

// documentZones is the world of the documents' examples.
var documentZones = []lab.Zone{
	{Name: "org.", Servers: []string{"a.nic.org."}}, {Name: "net.", Servers: []string{"a.nic.net."}},
	{Name: "example.org.", Servers: []string{"ns1.example.org.", "ns2.example.org."}, Text: `@ CAA 0 issue "letsencrypt.org"`},
	{Name: "example.net.", Servers: []string{"ns1.example.net.", "ns2.example.net."}, Unsigned: true, Text: `stale CAA 0 issue "letsencrypt.org"`},
}

// documentHooks make a server of example.net stale.
var documentHooks = map[string]lab.Hook{"ns2.example.net.": func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
	m = m.Copy()
	for _, rr := range m.Answer {
		if caa, ok := rr.(*dns.CAA); ok {
			caa.Value = "sectigo.com"
		}
	}
	return m
}}

// An output in a document is marked by the command line that it is of.
var markedOutput = regexp.MustCompile(`(?m)^<!-- \$ caacheck (.*) -->\n\n((?:    .*\n|\n)+?)(\n?[^ \n]|\z)`)

// TestOutputsInDocuments runs each marked command of the documents, in 80 columns, and compares its output.
func TestOutputsInDocuments(t *testing.T) {
	t.Parallel()
	l := lab.New(t, documentHooks, documentZones...)
	flags := flagsInto(t, l, t.TempDir())
	outputs := 0
	for _, document := range documents {
		text, err := os.ReadFile(root + document)
		if err != nil {
			t.Fatal(err)
		}
		wanted := markedOutput.ReplaceAllStringFunc(string(text), func(block string) string {
			outputs++
			m := markedOutput.FindStringSubmatch(block)
			return "<!-- $ caacheck " + m[1] + " -->\n\n" + indented(documented(t, m[1], flags)) + m[3]
		})
		if *update {
			if err := os.WriteFile(root+document, []byte(wanted), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if wanted != string(text) {
			t.Errorf("%s has other outputs; go test -update writes it. It should be\n%s", document, wanted)
		}
	}
	if outputs < 3 {
		t.Errorf("%d outputs were found", outputs)
	}
}

// documented is the output of a command of a document, with the document's files, addresses, keys and times.
func documented(t *testing.T, line string, flags []string) string {
	t.Helper()
	args := strings.Fields(line)
	var replace []string
	switch args[0] {
	case "lint": // the edit that the README describes
		dir := t.TempDir()
		text, err := os.ReadFile(root + args[1])
		if err != nil {
			t.Fatal(err)
		}
		edited := strings.Replace(string(text), "dev: {issuewild: [letsencrypt]}", "dev: {issuewild: none}", 1)
		if edited == string(text) {
			t.Fatalf("%s has no line to edit", args[1])
		}
		if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(edited), 0o600); err != nil {
			t.Fatal(err)
		}
		replace = []string{filepath.Join(dir, "policy.yaml"), args[1]}
		args[1] = filepath.Join(dir, "policy.yaml")
	case "diff": // of a zone file with the policy of its page
		dir := t.TempDir()
		page, err := os.ReadFile(root + "docs/migration.md")
		if err != nil {
			t.Fatal(err)
		}
		policy := strings.ReplaceAll("\n"+policyBlock.FindString(string(page)), "\n    ", "\n")
		for name, text := range map[string]string{"db.example.org": documentData, "caa.yaml": policy} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for i, arg := range args {
			if strings.Contains(arg, ".") {
				args[i] = filepath.Join(dir, arg)
			}
		}
	case "keys":
		for {
			now := time.Now()
			dir := keyFolder(t, args[2]+".")
			out := run80(t, "keys", dir, args[2])
			// Its times are in minutes, some of them of the next whole second.
			if time.Now().Add(2 * time.Second).Truncate(time.Minute).Equal(now.Truncate(time.Minute)) {
				return asOf(t, strings.ReplaceAll(out, dir, args[1]), now)
			}
		}
	default:
		args = append(args, flags...)
	}
	out := run80(t, args...)
	out = regexp.MustCompile(`127\.\d+\.\d+\.(\d+)`).ReplaceAllString(out, "192.0.2.$1")
	return strings.NewReplacer(append(replace, "", "")...).Replace(out)
}

// asOf moves the times of a text, which was written at some moment, to a day of the documents, and names its keys alike.
func asOf(t *testing.T, text string, written time.Time) string {
	t.Helper()
	const form = "2006-01-02 15:04"
	day := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	text = regexp.MustCompile(`▶ .{16}`).ReplaceAllString(text, "▶ "+day.Format(form))
	text = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d`).ReplaceAllStringFunc(text, func(moment string) string {
		at, err := time.Parse(form, moment)
		if err != nil || moment == day.Format(form) {
			return moment
		}
		return day.Add(at.Sub(written.UTC().Truncate(time.Minute))).Format(form)
	})
	return regexp.MustCompile(`013\+\d{5}`).ReplaceAllString(text, "013+13319")
}

func run80(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs strings.Builder
	run(t.Context(), args, stdio{in: strings.NewReader(""), out: &out, err: &errs, columns: 80})
	if errs.Len() > 0 {
		t.Fatalf("caacheck %s: %s", strings.Join(args, " "), &errs)
	}
	return out.String()
}

func indented(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if line != "\n" {
			out.WriteString("    ")
		}
		out.WriteString(line)
	}
	return out.String()
}

// allTexts are the files in which users read command lines of caacheck: all documents, and what else shows them.
func allTexts(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md", "plugin/caa/*.md", "plugin/caa/alerts.yaml", "checker/watch/alerts.yaml", "release/packaging/systemd/*"} {
		found, err := filepath.Glob(root + pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		out = append(out, found...)
	}
	return slices.DeleteFunc(out, func(file string) bool { return file == root+"docs/reference.md" }) // made from the commands themselves
}

// Every command in the documents has the flags that it is shown with.
func TestCommandsInDocuments(t *testing.T) {
	t.Parallel()
	commandLine := regexp.MustCompile("(?m)^ {4,8}(caacheck [^#\n]*)|^(?:~~~|```)[a-z ]*\n(?:[^~`]*\n)?(caacheck [^#\n]*)|`(caacheck [^`]*)`|^ExecStart=/usr/bin/(caacheck .*)|[.:] (caacheck -[^.\n]* \\{\\{)")
	found := 0
	for _, document := range allTexts(t) {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range commandLine.FindAllStringSubmatch(string(text), -1) {
			line := strings.Join(m[1:], "")
			args := strings.Fields(strings.NewReplacer("'", "", `"`, "", "...", "", "[", "", "]", "", "DURATION", "5s", "{{", "a.example").Replace(line))[1:]
			if len(args) == 0 || args[0] == "--version" {
				continue
			}
			found++
			c, rest, ok := find(args)
			if !ok {
				c, _, _ = find([]string{implicit})
			}
			f := new(flags)
			c.setUp(f)
			if words, err := f.parse(rest); err != nil && !strings.Contains(err.Error(), "help requested") && !strings.Contains(err.Error(), "invalid argument") && !strings.Contains(err.Error(), "needs an argument") {
				t.Errorf("%s: %s: %v", document, line, err)
			} else if err == nil && !ok && len(words) > 0 && !strings.ContainsAny(words[0], ".N") {
				t.Errorf("%s: %s: there is no command %s", document, line, words[0])
			}
		}
	}
	if found < 60 {
		t.Errorf("%d commands were found: are they still recognized?", found)
	}
}

// The policies and the perspectives file of the documents are accepted.
func TestFilesInDocuments(t *testing.T) {
	t.Parallel()
	policies, perspectives := 0, 0
	for _, document := range documents {
		text, err := os.ReadFile(root + document)
		if err != nil {
			t.Fatal(err)
		}
		for _, indentedText := range policyBlock.FindAllString(string(text), -1) {
			data := []byte(strings.ReplaceAll("\n"+indentedText, "\n    ", "\n"))
			if strings.Contains(indentedText, "perspectives:") {
				perspectives++
				if _, err := perspective.Parse(document, data); err != nil {
					t.Errorf("%s: %v", document, err)
				}
				continue
			}
			policies++
			p, err := policy.Load(document, data)
			if err != nil {
				t.Errorf("%s: %v", document, err)
				continue
			}
			if r := guard.Check(p, guard.Options{Zones: []string{guard.Unlisted}, At: time.Now()}); len(r.Refusals) > 0 {
				t.Errorf("%s: %s", document, fmt.Sprint(r.Refusals))
			}
		}
	}
	if policies < 2 || perspectives < 1 {
		t.Errorf("%d policies and %d perspectives files were found", policies, perspectives)
	}
}
