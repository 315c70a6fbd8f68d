package policy

import (
	"fmt"
	"testing"
)

// What is accepted, with a warning: a TTL so short that a CA's look-ups from several networks may differ.
func TestNotes(t *testing.T) {
	t.Parallel()
	for ttl, want := range map[string]string{
		"30s": "[]",
		"29s": "[{p.yaml:2:6 short-ttl with a ttl of 29s, the lookups of one issuance may get different answers while the policy changes}]",
	} {
		p, err := Load("p.yaml", []byte("version: 1\nttl: "+ttl+"\nissuers: {le: {domain: letsencrypt.org}}\nzones: {example.org: {issue: [le]}}\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(p.Notes); got != want {
			t.Errorf("ttl %s: notes %s, want %s", ttl, got, want)
		}
	}
}
