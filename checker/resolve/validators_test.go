package resolve_test

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// Data that are signed with SHA-1 only are bogus to a validator without it, where another DS record makes the zone signed
// (RFC 9905 2), and unsigned to it where none does.
func TestAnswersThatAreDisputed(t *testing.T) {
	t.Parallel()
	secure := dnssec.Result{Status: dnssec.Secure}
	for _, tt := range []struct {
		name     string
		ds, sigs []uint8
		result   dnssec.Result
		want     bool
	}{
		{"RSASHA1 over data, DS of ECDSA", []uint8{dns.ECDSAP256SHA256}, []uint8{dns.RSASHA1}, secure, true},
		{"RSASHA1 over data, DS of both", []uint8{dns.RSASHA1, dns.ECDSAP256SHA256}, []uint8{dns.RSASHA1NSEC3SHA1}, secure, true},
		{"RSASHA1 throughout", []uint8{dns.RSASHA1}, []uint8{dns.RSASHA1}, secure, false},
		{"both over data", []uint8{dns.ECDSAP256SHA256}, []uint8{dns.RSASHA1, dns.ECDSAP256SHA256}, secure, false},
		{"RSASHA1 over data that are bogus to all", []uint8{dns.ECDSAP256SHA256}, []uint8{dns.RSASHA1}, dnssec.Result{Status: dnssec.Bogus}, false},
	} {
		z := &resolve.Zone{Name: "example.", Trust: secure}
		for _, algorithm := range tt.ds {
			z.DS = append(z.DS, &dns.DS{Algorithm: algorithm, DigestType: dns.SHA256})
		}
		a := resolve.Answer{Zone: z, Result: tt.result}
		for _, algorithm := range tt.sigs {
			a.RRset.Sigs = append(a.RRset.Sigs, &dns.RRSIG{Algorithm: algorithm})
		}
		if got := a.Disputed(); (got != "") != tt.want {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}
