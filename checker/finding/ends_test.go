package finding

import (
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/resolve"
)

// The first end of each zone counts, of all servers; an RRset ends with the last of its signatures, and
// what is over is no date to come.
func TestEnds(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	sig := func(name, signer string, covered uint16, days int) dns.RR {
		return &dns.RRSIG{
			Hdr:         dns.RR_Header{Name: name, Rrtype: dns.TypeRRSIG, Class: dns.ClassINET},
			TypeCovered: covered, SignerName: signer, Expiration: uint32(now.AddDate(0, 0, days).Unix()),
		}
	}
	seen := func(answer []dns.RR, authority ...dns.RR) []resolve.Observation {
		return []resolve.Observation{{Msg: &dns.Msg{Answer: answer, Ns: authority}}, {}}
	}
	parent := &resolve.Zone{Name: "test.", Seen: seen([]dns.RR{sig("test.", "test.", dns.TypeDNSKEY, 30)})}
	zone := &resolve.Zone{Name: "example.test.", Parent: parent, Seen: seen([]dns.RR{sig("example.test.", "TEST.", dns.TypeDS, 5)})}
	c := &Case{
		Now:   now,
		Climb: climb.Climb{Steps: []climb.Step{{Answer: resolve.Answer{Zone: zone, Seen: seen([]dns.RR{sig("WWW.example.test.", "example.test.", dns.TypeCAA, 9)})}}}},
		Surveys: []Survey{{Zone: zone, Seen: seen(
			[]dns.RR{sig("a.example.test.", "example.test.", dns.TypeCAA, 3), sig("a.example.test.", "example.test.", dns.TypeCAA, 20)},
			sig("a.example.test.", "example.test.", dns.TypeNSEC, 8), sig("b.example.test.", "example.test.", dns.TypeNSEC, -1),
		)}},
	}
	got := ""
	for _, name := range []string{"test.", "example.test."} {
		for _, end := range c.Ends()[name] {
			got += fmt.Sprintf("%s: %s %s %s\n", name, end.At.Format(time.DateOnly), end.Name, dns.Type(end.Type))
		}
	}
	want := `test.: 2026-11-30 example.test. DS
test.: 2026-12-25 test. DNSKEY
example.test.: 2026-12-03 a.example.test. NSEC
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
