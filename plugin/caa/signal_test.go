package caa

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"
)

// RFC 9615 4.1: a zone's CDS and CDNSKEY are below the name of its server, where that is in another signed
// zone of ours, signed by that zone; the names above exist (RFC 8020), and the bitmaps say so.
func TestSignallingNames(t *testing.T) {
	t.Parallel()
	const policy = `version: 1
issuers: {le: {domain: letsencrypt.org}}
zones:
  example.org: {%NS issue: [le]}
  sub.example.org: {nameservers: [{name: ns1.sub.example.org, addresses: [192.0.2.1]}, {name: ns1.example.org}], issue: [le]}
`
	const name = "_dsboot.sub.example.org._signal.ns1.example.org."
	for kind, c := range map[string]struct {
		policy string
		next   plugin.Handler
	}{
		"policy-only": {strings.Replace(policy, "%NS", "nameservers: [{name: ns1.example.org, addresses: [192.0.2.1]}],", 1), nil},
		"overlay":     {strings.Replace(policy, "%NS", "", 1), over(dataZones(t, "example.org."))},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			h := buildRolling(t, c.policy, "", c.next, &registry{})
			if m := ask(t, h, question(name, dns.TypeCDS), true); len(m.Answer) != 0 {
				t.Errorf("before the zone has CDS: %v", m.Answer)
			}
			h.run(t, 27*time.Hour, func() {})
			for _, rrtype := range []uint16{dns.TypeCDS, dns.TypeCDNSKEY} {
				m := ask(t, h, question(name, rrtype), true)
				verify(t, h.built, m)
				own := ask(t, h, question("sub.example.org.", rrtype), true)
				if len(m.Answer) != 2 || len(own.Answer) != 2 || rdata(m.Answer[0]) != rdata(own.Answer[0]) || m.Answer[1].(*dns.RRSIG).SignerName != "example.org." {
					t.Errorf("%s: %v, at the apex %v", dns.Type(rrtype), m.Answer, own.Answer)
				}
			}
			denied := ask(t, h, question(name, dns.TypeTXT), true)
			verify(t, h.built, denied)
			nsec := typesOf(denied, dns.TypeNSEC)[0].(*dns.NSEC)
			if !slices.Contains(nsec.TypeBitMap, dns.TypeCDS) || !slices.Contains(nsec.TypeBitMap, dns.TypeCAA) || slices.Contains(nsec.TypeBitMap, dns.TypeNXNAME) {
				t.Errorf("the denial says %v", nsec)
			}
			for _, above := range []string{"_signal.ns1.example.org.", "org._signal.ns1.example.org."} {
				m := ask(t, h, question(above, dns.TypeTXT), true)
				verify(t, h.built, m)
				if nsec := typesOf(m, dns.TypeNSEC)[0].(*dns.NSEC); slices.Contains(nsec.TypeBitMap, dns.TypeNXNAME) || m.Rcode != dns.RcodeSuccess {
					t.Errorf("%s is denied: %v", above, m)
				}
			}
			// A server inside the zone proves nothing (RFC 9615 4.1).
			if m := ask(t, h, question("_dsboot.sub.example.org._signal.ns1.sub.example.org.", dns.TypeCDS), true); len(m.Answer) != 0 {
				t.Errorf("below a server inside the zone: %v", m.Answer)
			}
		})
	}
}

// rdata is the text of a record after its header.
func rdata(rr dns.RR) string { return strings.TrimPrefix(rr.String(), rr.Header().String()) }
