package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lint sees no Corefile, and says so where the server may come to another decision.
func TestLintSaysWhatTheCorefileDecides(t *testing.T) {
	t.Parallel()
	const (
		issuer   = "version: 1\nissuers: {le: {domain: letsencrypt.org}}\n"
		whole    = "{issue: [le], nameservers: [{name: ns1.example.net}]}"
		bare     = "{issue: [le]}"
		required = "certificates: [{names: [example.org], issuer: le}]\n"
		corefile = "note: lint does not read the Corefile: "
		unless   = corefile + "the server refuses the policy unless a plugin after caa has the data of "
	)
	for _, c := range []struct{ name, text, want string }{
		{"policy-only", issuer + "zones: {example.org: " + whole + "}\n" + required, ""},
		{"no data", issuer + "zones: {example.org: " + bare + "}\n" + required,
			unless + "example.org, which has no nameservers\n"},
		{"several", issuer + "zones: {a.example: " + bare + ", b.example: " + bare + ", c.example: " + bare + ", d.example: " + bare + ", example.org: " + whole + "}\n" + required,
			unless + "a.example, b.example, c.example and 1 more, which have no nameservers\n"},
		{"nothing required", issuer + "zones: {example.org: " + whole + "}\n", ""},
		{"refused", issuer + "zones: {example.org: {issue: none}}\n" + required, ""},
		{"mistaken", "version: 1\nzones: {example.org: {isue: none}}\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "policy.yaml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, out, stderr := caacheck(t, "", "lint", file)
			var got strings.Builder
			for line := range strings.Lines(out) {
				if strings.Contains(line, corefile) {
					got.WriteString(line)
				}
			}
			if got.String() != c.want {
				t.Errorf("got %q, want %q in %q, %s", got.String(), c.want, out, stderr)
			}
		})
	}
}
