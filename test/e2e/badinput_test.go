package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/test/world"
)

// A file that replaces a policy in service and is not a valid policy is refused with the position of the error, and the
// answers stay as they are.
func TestBadInput(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	world.WriteFile(t, filepath.Join(folder, "policy.yaml"), numbered(1))
	s := startSite(t, folder, "")
	s.wantNumber(t, 1)

	good := numbered(2)
	for _, c := range []struct {
		name, text string
		want       string // line, column and what is wrong
	}{
		{"empty", "", `1:1: the file is empty`},
		{"only a comment", "# nothing\n", `1:1: the file is empty`},
		{"a NUL", strings.Replace(good, "shop", "sh\x00op", 1), `12:9: a NUL octet`},
		{"nothing but NULs, as a crashed file system leaves", strings.Repeat("\x00", 4096), `1:1: a NUL octet`},
		{"not UTF-8", strings.Replace(good, "pki@", "pk\xff@", 1), `2:19: not UTF-8`},
		{"UTF-16", "\xff\xfev\x00e\x00r\x00s\x00i\x00o\x00n\x00", `1:4: a NUL octet`},
		{"tabs", strings.Replace(good, "    issue:", "\tissue:", 1), `9:1: this line is indented with a tab`},
		{"a YAML bomb", bomb, `2:4: an anchor (&a)`},
		{"an anchor", strings.Replace(good, "{issue: none}", "&a {issue: none}", 1), `14:23: an anchor (&a)`},
		{"an alias to itself", "version: 1\nzones: &z\n  example.org: *z\n", `3:16: an alias (*z)`},
		{"deep nesting", "version: 1\nzones: " + strings.Repeat("[", 100_000), `2:1: not YAML: exceeded max depth`},
		{"a key twice", strings.Replace(good, "      dev:", "      shop:", 1), `13:7: duplicate key "shop"; the first is on line 12`},
		{"two documents", good + "---\n" + good, `16:1: the file has more than one YAML document`},
		{"a list", "- version: 1\n", `1:1: the policy must be a mapping`},
		{"an unknown version", strings.Replace(good, "version: 1", "version: 2", 1), `1:10: version "2" is unknown`},
		{"a label of 256 octets", strings.Replace(good, "shop", strings.Repeat("a", 256), 1), `12:7: the name "aaaa`},
		{"half of it", good[:len(good)/2], `7:3: example.org has no issue`},
		{"an image", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", `3:1: a NUL octet`},
	} {
		refuse(t, s, c.text, s.policy()+":"+c.want)
		s.wantNumber(t, 1)
		if t.Failed() {
			t.Fatal(c.name)
		}
	}
	awaitRefusal(t, s, s.policy()+":1:1: the file is larger than 16 MiB", func() {
		large := filepath.Join(folder, "large")
		world.WriteFile(t, large, good)
		must(t, os.Truncate(large, 100<<20))
		must(t, os.Rename(large, s.policy()))
	})
	s.wantNumber(t, 1)
	var foreign strings.Builder // thousands of faults
	for n := range 10_000 {
		fmt.Fprintf(&foreign, "key%d: value\n", n)
	}
	if logs := refuse(t, s, good+foreign.String(), " more lines: "); strings.Count(logs, "\n") > 200 {
		t.Errorf("all that is in the log for one file:\n%s", logs)
	}
	accept(t, s, numbered(3))
	s.wantNumber(t, 3)
}

const bomb = `version: 1
a: &a [x,x,x,x,x,x,x,x,x]
b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]
c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]
d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]
e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]
f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]
g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]
zones: {example.org: {issue: *g}}
`
