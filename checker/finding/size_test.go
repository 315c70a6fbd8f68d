package finding

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// RFC 2181 9: TC is for what is required. NSD leaves out the NS RRset and addresses of an answer that does not fit, and sets
// no TC: such an answer does not depend on TCP.
func TestRequiredSize(t *testing.T) {
	t.Parallel()
	m := new(dns.Msg).SetQuestion("www.example.test.", dns.TypeCAA)
	m.SetEdns0(1232, true)
	for _, text := range []string{`www.example.test. 60 CAA 0 issue "ca.example"`, "www.example.test. 60 RRSIG CAA 13 3 60 20300101000000 20200101000000 1 example.test. AAAA"} {
		m.Answer = append(m.Answer, parsed(t, text))
	}
	answer := requiredSize(m)
	m.Ns = append(m.Ns, parsed(t, "example.test. 60 NS ns.example.test."), parsed(t, "example.test. 60 RRSIG NS 13 2 60 20300101000000 20200101000000 1 example.test. AAAA"))
	m.Extra = append(m.Extra, parsed(t, "ns.example.test. 60 TXT "+strings.Repeat("x", 250)))
	if got := requiredSize(m); got != answer || m.Len() <= got+250 {
		t.Errorf("%d octets with the NS RRset and more, %d without; all: %d", got, answer, m.Len())
	}
	m.Ns = append(m.Ns, parsed(t, "a.example.test. 60 NSEC z.example.test. A")) // a wildcard's proof (RFC 4035 3.1.3.3)
	if got := requiredSize(m); got <= answer {
		t.Error("the proof of a wildcard is not counted")
	}
	referral := new(dns.Msg).SetQuestion("www.example.test.", dns.TypeCAA)
	empty := requiredSize(referral)
	referral.Ns = []dns.RR{parsed(t, "example.test. 60 NS ns.example.test.")}
	if got := requiredSize(referral); got <= empty {
		t.Error("the NS RRset of a referral is not counted")
	}
}

func parsed(t *testing.T, text string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}
