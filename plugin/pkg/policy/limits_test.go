package policy

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/plugin/pkg/policy/policygen"
)

// What is over a limit is refused with the limit and what to do; what is at it is not.
func TestLimits(t *testing.T) {
	lines := func(n int, line func(int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(line(i))
		}
		return b.String()
	}
	const head = "version: 1\nissuers: {le: {domain: letsencrypt.org}}\n"
	for _, c := range []struct {
		name     string
		text     func(n int) string
		most     int
		want     string // of what is over it
		ends     string
		whatever bool // at the limit it is refused for something else
	}{
		{"size", func(n int) string { return "version: 1\ndefault: {issue: none}\n" + strings.Repeat("#", n-35) + "\n" }, MaxSize,
			"1:1: the file is larger than 16 MiB; ", "split the policy over several servers", false},
		{"entries", func(n int) string { return "version: 1\nzones:\n" + strings.Repeat("- a\n", n-2) }, MaxEntries,
			"1:1: the policy has more than 1,500,000 entries of lists and mappings; ", "split the policy over several servers", true},
		{"depth", func(n int) string {
			return "version: " + strings.Repeat("[", n) + strings.Repeat("]", n) + "\nzones: {}\n"
		}, maxDepth,
			"1:26: nested more than 16 deep; ", "check the indentation and the brackets", true},
		{"names", func(n int) string {
			return head + "default: {issue: [le]}\nzones:\n  a.example:\n    names:\n" + lines(n-1, func(i int) string { return fmt.Sprintf("      h%d: {}\n", i) })
		}, MaxNames, "5:3: the policy has more than 250,000 zones and names; ", "leave out names that inherit all from their zone, or split the policy over several servers", false},
		{"issuances", func(n int) string {
			return head + "zones: {a.example: {issue: [le]}}\ncertificates:\n- issuer: le\n  names:\n" + strings.Repeat("  - a.example\n", n)
		}, MaxIssuances, "500007:5: the policy has more than 500,000 required issuances; ", "write the account and the method in certificates", false},
		{"errors", func(n int) string {
			return "version: 1\nzones: {}\n" + lines(n, func(i int) string { return fmt.Sprintf("k%d: 1\n", i) })
		}, MaxErrors,
			"1002:1: 1 more errors; only the first 1000 are shown", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			judge := func(n int) (over bool, err error) {
				_, err = Load("caa.yaml", []byte(c.text(n)))
				var list ErrorList
				errors.As(err, &list)
				for _, e := range list {
					text := e.Error()
					over = over || strings.HasPrefix(text, "caa.yaml:"+c.want) && strings.HasSuffix(text, c.ends)
				}
				return over, err
			}
			if over, err := judge(c.most + 1); !over {
				t.Errorf("over the limit: not %q but %.300v", c.want+c.ends, err)
			}
			if over, err := judge(c.most); over || (err != nil) != c.whatever {
				t.Errorf("at the limit: %.300v", err)
			}
		})
	}
}

// The limits by the file's size are about products, and are there for small files, too.
func TestLimitsBySize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ shape, want string }{
		{"accounts times names", "octets of CAA records, counted at each name that has them; declare fewer accounts"},
		{"accounts times methods times certificates", "required issuances; write the account and the method in certificates"},
		{"certificates of accounts, each with a set of its own", "records that required issuances are compared with, equal RRsets once; write the account"},
	} {
		for _, shape := range policygen.Shapes {
			if shape.Name != c.shape {
				continue
			}
			if _, err := Load("caa.yaml", []byte(shape.Text(80_000))); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %.300v", c.shape, err)
			}
		}
	}
	// Twenty accounts and a thousand names that require each of them are within the limits.
	var b strings.Builder
	b.WriteString("version: 1\nissuers:\n  le:\n    domain: letsencrypt.org\n    methods: [dns-01, http-01]\n    accounts:\n")
	for i := range 20 {
		fmt.Fprintf(&b, "    - https://acme-v02.api.letsencrypt.org/acme/acct/%d\n", i)
	}
	b.WriteString("zones:\n  a.example:\n    issue: [le]\n    names:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "      h%d: {issuewild: none}\n", i)
	}
	b.WriteString("certificates:\n- issuer: le\n  names:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "  - h%d.a.example\n", i)
	}
	load(t, b.String())
}

// The manual's table has each limit, with its number.
func TestLimitsAreDocumented(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../../caa/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range Limits {
		if row := fmt.Sprintf("| %s | %s %s | %s |", l.Name, grouped(l.Most), l.Unit, l.Why); !bytes.Contains(manual, []byte(row)) {
			t.Errorf("the manual lacks the row\n%s", row)
		}
		if l.Do == "" || l.Why == "" {
			t.Errorf("%s has no reason or no advice", l.Name)
		}
	}
}

// The largest trees that are read take less than 120 MB while they are judged: 16 MiB of a flat list took two
// gigabytes.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the memory that it measures; run without -short")
	}
	sizes := map[string][]int{"a flat list": {4 << 20, MaxSize - 1000}, "a flat list in lines": {4 << 20}, "a flat mapping without values": {4 << 20},
		"unknown keys": {4 << 20}, "a usual policy": {MaxSize - 1000}}
	for _, shape := range policygen.Shapes {
		for _, size := range sizes[shape.Name] {
			text := []byte(shape.Text(size))
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			file, _ := Parse("caa.yaml", text)
			runtime.GC()
			runtime.ReadMemStats(&after)
			if kept := int(after.HeapAlloc) - int(before.HeapAlloc); kept > 120<<20 {
				t.Errorf("%s: the tree of %d octets takes %d MB", shape.Name, len(text), kept>>20)
			} else {
				t.Logf("%s: the tree of %d octets takes %d MB", shape.Name, len(text), kept>>20)
			}
			runtime.KeepAlive(file)
		}
	}
}
