package world

import (
	"crypto"
	"fmt"
	"testing"

	"github.com/miekg/dns"
)

// Key is a zone's only key in BIND's form, as the plugins of CoreDNS read it.
type Key struct {
	Name  string            // K<zone>+<algorithm>+<tag>, without suffix
	Files map[string]string // the .key and the .private file
	DS    string            // the trust anchor, in zone file syntax
}

// NewKey makes an ECDSA P-256 key that signs everything (flags 257).
func NewKey(t testing.TB, zone string) Key {
	t.Helper()
	zone = dns.CanonicalName(zone)
	public := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ECDSAP256SHA256,
	}
	private, err := public.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	return keyFiles(public, private)
}

func keyFiles(public *dns.DNSKEY, private crypto.PrivateKey) Key {
	name := fmt.Sprintf("K%s+%03d+%05d", public.Hdr.Name, public.Algorithm, public.KeyTag())
	return Key{
		Name: name,
		Files: map[string]string{
			name + ".key":     public.String() + "\n",
			name + ".private": public.PrivateKeyString(private),
		},
		DS: public.ToDS(dns.SHA256).String(),
	}
}
