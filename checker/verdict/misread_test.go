package verdict_test

import (
	"testing"

	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/test/lab"
)

// A wildcard's alias into an unsigned zone below has a proof that belongs to the wildcard (RFC 4035 3.1.3.3), and an
// end that nothing signed denies. Unbound takes the first for the second, and answers SERVFAIL; test/outside asks
// it.
func TestMisreadWildcards(t *testing.T) {
	t.Parallel()
	const server = "ns.ok.test."
	l := lab.New(t, nil,
		lab.Zone{Name: ".", Servers: []string{server}},
		lab.Zone{Name: "test.", Servers: []string{server}},
		lab.Zone{Name: "ok.test.", Servers: []string{server}, Text: `
@        CAA 0 issue "ca.example"
plain    CNAME www.sub
chain    CNAME x.below
*.below  CNAME www.sub
*.gone   CNAME gone.sub
*.deep   CNAME www.deep.sub
*.apex   CNAME sub
*.own    CNAME own.sub
*.round  CNAME home.away.test.
*.away   CNAME www.away.test.
*.nods   CNAME www.nods
*.safe   CNAME www.safe
*.here   CNAME ns
`},
		lab.Zone{Name: "sub.ok.test.", Servers: []string{server}, Unsigned: true, Text: "www A 192.0.2.1\nown CAA 0 issue \"ca.example\""},
		lab.Zone{Name: "deep.sub.ok.test.", Servers: []string{server}, Unsigned: true, Text: "www A 192.0.2.1"},
		lab.Zone{Name: "nods.ok.test.", Servers: []string{server}, NoDS: true, Text: "www A 192.0.2.1"},
		lab.Zone{Name: "safe.ok.test.", Servers: []string{server}, Text: "www A 192.0.2.1"},
		lab.Zone{Name: "away.test.", Servers: []string{server}, Unsigned: true, Text: "www A 192.0.2.1\nhome CNAME www.sub.ok.test."},
		lab.Zone{Name: "all.test.", Servers: []string{server}, Text: "@ CAA 0 issue \"ca.example\"\n* CNAME www.sub\n"},
		lab.Zone{Name: "sub.all.test.", Servers: []string{server}, Unsigned: true, Text: "www A 192.0.2.1"},
		lab.Zone{Name: "unsigned.test.", Servers: []string{server}, Unsigned: true, Text: "@ CAA 0 issue \"ca.example\"\n* CNAME www.sub\n"},
		lab.Zone{Name: "sub.unsigned.test.", Servers: []string{server}, Unsigned: true, Text: "www A 192.0.2.1"},
	)
	through, err := resolve.New(resolve.Config{Anchors: l.Anchors, Only: l.AddrPort(server), Recursive: true, Rate: -1})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		what, name string
		misread    bool
	}{
		{"no wildcard", "plain.ok.test.", false},
		{"a wildcard", "x.below.ok.test.", true},
		{"below a name of a wildcard", "y.x.below.ok.test.", true},
		{"an alias to a wildcard's", "chain.ok.test.", true},
		{"a climb comes by it", "y.chain.ok.test.", true},
		{"to no name", "x.gone.ok.test.", true},
		{"into a zone two below", "x.deep.ok.test.", true},
		{"to the zone's apex", "x.apex.ok.test.", true},
		{"by way of another zone", "x.round.ok.test.", true},
		{"to CAA", "x.own.ok.test.", false},
		{"into a zone elsewhere", "x.away.ok.test.", false},
		{"into a signed zone without DS", "x.nods.ok.test.", false},
		{"into a signed zone", "x.safe.ok.test.", false},
		{"inside the zone", "x.here.ok.test.", false},
		{"the proof is not the cut's", "rub.all.test.", true},
		{"the proof says by chance that the cut is unsigned", "tub.all.test.", false},
		{"of an unsigned zone", "x.unsigned.test.", false},
	}
	for _, tt := range tests {
		for how, r := range map[string]*resolve.Resolver{"": resolver(t, l), ", through a resolver": through} {
			t.Run(tt.what+how, func(t *testing.T) {
				t.Parallel()
				outcome, reason := verdict.MayIssue, issuance.Authorized
				if tt.misread {
					outcome, reason = verdict.AtRisk, verdict.Misread
				}
				if got := decide(t, r, guard.Requirement{Name: tt.name, Domain: "ca.example"}, today); got.Outcome != outcome || got.Reason != reason {
					t.Errorf("got %v (%s): %s; want %v", got.Outcome, got.Reason, got.Detail, outcome)
				}
				if got := decide(t, r, guard.Requirement{Name: tt.name, Domain: "other.example"}, today); got.Outcome != verdict.LockedOut {
					t.Errorf("another issuer: got %v (%s): %s", got.Outcome, got.Reason, got.Detail)
				}
			})
		}
	}
}
