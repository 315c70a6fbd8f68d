package verdict_test

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/test/lab"
)

// A resolver answers SERVFAIL for a zone whose servers are dead, its NS records too. Whether it is proved to be unsigned
// the zone above still says (BR 4.2.2.1).
func TestDeadZonesThroughAResolver(t *testing.T) {
	t.Parallel()
	dead := func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		name := dns.CanonicalName(q.Name)
		for _, zone := range []string{"signed.test.", "unsigned.test."} {
			if dns.IsSubDomain(zone, name) && !(name == zone && q.Qtype == dns.TypeDS) {
				m = m.Copy()
				m.Rcode, m.Answer, m.Ns = dns.RcodeServerFailure, nil, nil
			}
		}
		return m
	}
	l := lab.New(t, map[string]lab.Hook{"a.root.": dead},
		lab.Zone{Name: "test.", Servers: []string{"a.root."}},
		lab.Zone{Name: "signed.test.", Servers: []string{"ns.signed.test."}},
		lab.Zone{Name: "unsigned.test.", Servers: []string{"ns.unsigned.test."}, Unsigned: true})
	r, err := resolve.New(resolve.Config{Anchors: l.Anchors, Only: l.AddrPort("a.root."), Recursive: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		want   verdict.Outcome
		reason issuance.Reason
	}{
		{"unsigned.test.", verdict.AtRisk, verdict.FailedUnsigned},
		{"www.unsigned.test.", verdict.AtRisk, verdict.FailedUnsigned},
		{"signed.test.", verdict.LockedOut, verdict.FailedSigned},
		{"www.signed.test.", verdict.LockedOut, verdict.FailedSigned},
	} {
		if got := decide(t, r, guard.Requirement{Name: tt.name, Domain: "ca.example"}, today); got.Outcome != tt.want || got.Reason != tt.reason {
			t.Errorf("%s: got %v (%s): %s, want %v (%s)", tt.name, got.Outcome, got.Reason, got.Detail, tt.want, tt.reason)
		}
	}
}
