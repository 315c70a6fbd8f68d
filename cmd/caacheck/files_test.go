package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/resign"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile/regularfiletest"
	"github.com/coredns-caa/caa/test/lab"
)

// fileFlags are those that write a report into a file, with what each holds of a locked-out name.
var fileFlags = map[string][]string{
	"--junit": {"<testsuites", `failures="1"`, "issuer-not-listed"},
	"--html":  {"<!DOCTYPE html>", "No: www.example.test is locked out", "issuer-not-listed"},
	"--sarif": {`"version": "2.1.0"`, `"ruleId": "locked-out"`, "issuer-not-listed"},
}

// All files come from one run, which also writes to standard output.
func TestReportFiles(t *testing.T) {
	t.Parallel()
	_, world := start(t)
	dir := t.TempDir()
	args := append([]string{"www.example.test", "--issuer", "digicert.com"}, world...)
	for name := range fileFlags {
		args = append(args, name, filepath.Join(dir, name))
	}
	code, out, stderr := caacheck(t, "", args...)
	if code != 1 || !strings.HasPrefix(out, "No: www.example.test is locked out.") || stderr != "" {
		t.Errorf("exit %d %s: %s", code, stderr, out)
	}
	for name, want := range fileFlags {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !bytes.Contains(text, []byte(w)) {
				t.Errorf("%s lacks %q:\n%s", name, w, text)
			}
		}
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// The refusals of lint are at the lines of the policy.
func TestLintSARIF(t *testing.T) {
	t.Parallel()
	dir, _ := start(t)
	for name, want := range map[string][]string{
		"policy.yaml":   {`"results": []`},
		"refused.yaml":  {`"ruleId": "issuer-not-listed"`, "www.example.test: letsencrypt cannot issue", `"startLine": 8`},
		"mistaken.yaml": {`"ruleId": "mistake"`, "issuewlid", `"startLine": 6`},
	} {
		file := filepath.Join(dir, name+".sarif")
		if _, _, stderr := caacheck(t, "", "lint", "--sarif", file, filepath.Join(dir, name)); stderr != "" {
			t.Error(stderr)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !bytes.Contains(text, []byte(w)) {
				t.Errorf("%s lacks %q:\n%s", name, w, text)
			}
		}
	}
	if code, out, stderr := caacheck(t, "", "lint", "--sarif", filepath.Join(dir, "nowhere", "x"), filepath.Join(dir, "policy.yaml")); code != 2 || out != "" || !strings.Contains(stderr, "there is no folder") {
		t.Errorf("exit %d, %q, %q", code, out, stderr)
	}
}

// A file that was there keeps its permissions and the links to it; one that cannot be written is an error before
// anybody is asked, and what is no file is left alone.
func TestReportFilesBadInput(t *testing.T) {
	t.Parallel()
	dir, world := start(t)
	old, link := filepath.Join(dir, "old"), filepath.Join(dir, "link")
	if err := os.WriteFile(old, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{filepath.Join(dir, "here"): dir, link: old, filepath.Join(dir, "dangling"): filepath.Join(dir, "gone")} {
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	for args, want := range map[string]string{
		"--junit $D/nowhere/x":               "--junit $D/nowhere/x: there is no folder $D/nowhere",
		"--sarif $D":                         "not a regular file",
		"--sarif /dev/null":                  "not a regular file",
		"--sarif /dev/fd/9":                  "--sarif /dev/fd/9: it is one of the command's own streams; write - for standard output",
		"--junit $D/link --sarif $D/old":     "it is also the file of --junit",
		"--junit $D/new --sarif $D/here/new": "it is also the file of --junit",
		"--names $D/\x1b[31m":                "no such file",
		"--junit $D/dangling":                "the symbolic link is broken",
		"--junit $D/old --sarif $D/policy/x": "--sarif",
		"--junit - --sarif -":                "--sarif -",
		"--json --html -":                    "--html -",
		"--observations -":                   "--observations -",
		"--history -":                        "--history -",
		"--history $D":                       "--history $D: not a regular file but a directory",
		"--history $D/old":                   "--history $D/old: not a history of signatures",
	} {
		args, want = strings.ReplaceAll(args, "$D", dir), strings.ReplaceAll(want, "$D", dir)
		code, out, stderr := caacheck(t, "", append(append(strings.Fields(args), "www.example.test"), world...)...)
		if code != 2 || out != "" || !strings.Contains(stderr, want) || strings.Contains(stderr, "\x1b") {
			t.Errorf("%s: exit %d, %q, %q", args, code, out, stderr)
		}
	}
	if text, err := os.ReadFile(old); err != nil || string(text) != "old" {
		t.Errorf("%q, %v", text, err)
	}
	if code, _, stderr := caacheck(t, "", append([]string{"--junit", link, "www.example.test"}, world...)...); code != 0 {
		t.Fatal(stderr)
	}
	info, err := os.Stat(old)
	if target, _ := os.Readlink(link); err != nil || info.Size() < 100 || info.Mode() != 0o640 || target != old {
		t.Errorf("%v, %v, the link leads to %q", info, err, target)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// built is the command itself, for what no function shows: signals and streams.
func built(t *testing.T, dir string) string {
	t.Helper()
	program := filepath.Join(dir, "caacheck")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// One report can take the place of the text on standard output, which is no file to be replaced.
func TestStandardOutput(t *testing.T) {
	t.Parallel()
	dir, world := start(t)
	for name, want := range fileFlags {
		code, out, stderr := caacheck(t, "", append([]string{name, "-", "www.example.test", "--issuer", "digicert.com"}, world...)...)
		if code != 1 || stderr != "" || !strings.Contains(out, want[0]) || strings.Contains(out, "1 name, ") {
			t.Errorf("%s: exit %d %s: %s", name, code, stderr, out)
		}
	}
	if code, out, stderr := caacheck(t, "", "lint", "--sarif", "-", filepath.Join(dir, "policy.yaml")); code != 0 || !strings.Contains(out, `"results": []`) || strings.Contains(out, "accepted") {
		t.Errorf("lint: exit %d %s: %s", code, stderr, out)
	}
	program := built(t, dir)
	earlier := filepath.Join(dir, "log")
	if err := os.WriteFile(earlier, []byte("what was there"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(earlier, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command(program, append([]string{"--sarif", "/dev/stdout", "www.example.test"}, world...)...)
	cmd.Stdout = file
	if err := cmd.Run(); err == nil {
		t.Error("/dev/stdout was taken for a file to replace")
	}
	if text, err := os.ReadFile(earlier); err != nil || string(text) != "what was there" {
		t.Errorf("%q, %v", text, err)
	}
	// A reader who has gone takes no file with him.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	junit := filepath.Join(dir, "gone.xml")
	var stderr bytes.Buffer
	cmd = exec.Command(program, append([]string{"--junit", junit, "www.example.test"}, world...)...)
	cmd.Stdout, cmd.Stderr = w, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Errorf("%v: %s", err, &stderr)
	}
	if text, err := os.ReadFile(junit); err != nil || !bytes.Contains(text, []byte("<testsuites")) {
		t.Errorf("%s, %v", text, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What was asked and answered is kept on demand, each message as it came.
func TestObservations(t *testing.T) {
	t.Parallel()
	dir, world := start(t)
	file := filepath.Join(dir, "seen.jsonl")
	if code, _, stderr := caacheck(t, "", append([]string{"--observations", file, "www.example.test"}, world...)...); code != 0 {
		t.Fatal(stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for line := range bytes.Lines(text) {
		var o struct {
			Name, Type, Server, Zone, Address, Transport, At string
			RTT                                              int `json:"rtt_ns"`
			Rcode                                            int
			AA                                               bool
			Raw                                              []byte
			Failure                                          string
		}
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		m := new(dns.Msg)
		if o.Failure == "" && (m.Unpack(o.Raw) != nil || !strings.EqualFold(m.Question[0].Name, o.Name)) {
			t.Errorf("no message of its own: %s", line)
		}
		found = found || o.Name == "example.test." && o.Type == "CAA" && o.Zone == "example.test." && o.Server != "" && o.AA && o.RTT > 0 && o.At != "" && len(m.Answer) > 0 && o.Transport == "tcp"
	}
	if !found {
		t.Errorf("the CAA RRset is not among\n%s", text)
	}
}

// How much time a zone's signatures had left when they were renewed is kept from run to run, and one that has less of
// it left than ever is late (RFC 6781 4.4.2).
func TestHistory(t *testing.T) {
	t.Parallel()
	now := time.Now()
	dir := t.TempDir()
	file := filepath.Join(dir, "history.json")
	world := flagsInto(t, lab.New(t, nil, lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}},
		lab.Zone{Name: "example.test.", Servers: []string{"ns1.example.test."}, Text: `@ CAA 0 issue "letsencrypt.org"`, Sign: func(s *dns.RRSIG) {
			s.Inception, s.Expiration = uint32(now.Add(-204*time.Hour).Unix()), uint32(now.Add(36*time.Hour).Unix())
		}}), dir)
	args := append([]string{"www.example.test", "--history", file}, world...)
	if code, out, stderr := caacheck(t, "", args...); code != 0 || strings.Contains(out, "signature-late") {
		t.Errorf("at first: exit %d\n%s%s", code, out, stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(text, []byte(`"zone": "example.test"`)) || !bytes.Contains(text, []byte(`"least_left_ns": 0`)) {
		t.Fatalf("%v\n%s", err, text)
	}
	signed := bytes.ReplaceAll(text, []byte(`"least_left_ns": 0`), fmt.Appendf(nil, `"least_left_ns": %d`, 80*time.Hour))
	if err := os.WriteFile(file, signed, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := caacheck(t, "", args...)
	if code != 1 || !strings.Contains(out, "example.test  signature-late") || !strings.Contains(out, "at least 80h0m0s was left") {
		t.Errorf("late: exit %d\n%s%s", code, out, stderr)
	}
	if kept, err := os.ReadFile(file); err != nil || !bytes.Equal(kept, signed) {
		t.Errorf("%v\n%s", err, kept)
	}
}

// An interrupted run's files are whole, and say that it was interrupted.
func TestReportFilesInterrupted(t *testing.T) {
	t.Parallel()
	dir, world := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	args := append([]string{"www.example.test"}, world...)
	for name := range fileFlags {
		args = append(args, name, filepath.Join(dir, name))
	}
	var out, stderr bytes.Buffer
	if code := run(ctx, args, stdio{in: strings.NewReader(""), out: &out, err: &stderr}); code != 2 {
		t.Errorf("exit %d: %s", code, stderr.String())
	}
	for name := range fileFlags {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Contains(text, []byte("interrupted")) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

// What the command line names is read within bounds. A pipe is waited for where nothing is kept in the file.
func TestFilesThatAreRead(t *testing.T) {
	t.Parallel()
	regularfiletest.Refuses(t, "history.json", resign.MaxSize, func(_, path string) error {
		_, err := (&options{history: path}).signed()
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return err
	})
	for name, c := range map[string]struct {
		most int64
		read func(path string) error
	}{
		"policy.yaml": {policy.MaxSize, func(path string) error { _, err := load(t.Context(), path); return err }},
		"perspectives.yaml": {perspective.MaxSize, func(path string) error {
			_, err := (&options{perspectives: path, patience: 1}).perspectiveFile()
			return err
		}},
		"root.hints": {maxRecords, func(path string) error { _, err := records(path); return err }},
	} {
		regularfiletest.RefusesAllButPipes(t, name, c.most, func(_, path string) error { return c.read(path) })
	}
}
