package main

import (
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/plugin/pkg/policy/policygen"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// FuzzHostilePolicy: whatever a policy file has in it, and whatever it is called, each line of lint, explain and diff, and
// of their errors, begins as one of ours and has no character that is obeyed; JSON and SARIF are valid.
func FuzzHostilePolicy(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(binary.BigEndian.AppendUint64(nil, seed*0x9E3779B97F4A7C15))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		source := rand.New(policygen.Source(data))
		dir := t.TempDir()
		file, other := filepath.Join(dir, "a\naccepted: \x1b[2J\u202e.yaml"), filepath.Join(dir, "b.yaml")
		for _, path := range []string{file, other} {
			text := policygen.Text(source, policygen.Options{Damage: source.Float64() / 5, Hostile: true})
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, args := range [][]string{{"lint", file}, {"explain", file, "www.example.org"}, {"explain", other, "example.org"}, {"diff", other, file}, {"diff", file, other},
			{"lint", file + "x"}, {"explain", file, "x\n\x1b"}, {file}, {"--policy", file, "www.example.org\n\x1b"}} {
			_, out, stderr := caacheck(t, "", args...)
			checkOurs(t, out, file)
			checkOurs(t, stderr, file)
		}
		for _, args := range [][]string{{"lint", "--json", file}, {"explain", "--json", file, "www.example.org"}, {"diff", "--json", other, file}, {"lint", "--sarif", "-", file}} {
			_, out, _ := caacheck(t, "", args...)
			if out != "" && !json.Valid([]byte(out)) || terminal.CleanLines(out) != out {
				t.Errorf("%q: %q", args[:2], out)
			}
		}
	})
}

// oursBesides are the other beginnings of our lines.
var oursBesides = regexp.MustCompile(`^(    |caacheck: |warning: |note: lint does not read the Corefile: |accepted: |accepted, but it protects nothing \(revision [0-9a-f]{16}\)$|refused, for |who may issue$|required$|[+=-] |Nobody gains or loses permission\.$|Nobody loses permission\. |Permission is lost at |no zone of the file covers (www\.)?example\.org: |challenge makes |(www\.)?example\.org (is|has) |$)`)

func checkOurs(t *testing.T, text, file string) {
	t.Helper()
	clean := terminal.Clean(file)
	for line := range strings.SplitSeq(text, "\n") {
		path := strings.HasPrefix(line, clean+":") || strings.HasPrefix(line, filepath.Dir(file)+"/b.yaml:")
		if !path && !oursBesides.MatchString(line) || terminal.Clean(line) != line || strings.HasPrefix(line, "accepted: ") && !strings.HasPrefix(line, "accepted: all that it requires can be issued (revision ") {
			t.Errorf("the line %q of\n%s", line, text)
		}
	}
}
