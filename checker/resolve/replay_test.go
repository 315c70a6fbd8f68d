package resolve

import (
	"crypto"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// The zone whose signed records an attacker has seen, and sends as he likes. www has one CAA record; deep is
// below a wildcard's name, and none denies by NSEC, by NSEC3 with opt-out, or compactly.
const (
	truth    = `0 issue "ca.example"`
	replayed = `
example. SOA ns.example. hostmaster.example. 1 7200 3600 1209600 60
example. NS ns.example.
example. CAA 0 issue ";"
*.example. CAA 0 issue "wildcard.example"
*.example. CNAME elsewhere.example.
alias.example. CNAME other.example.
www.example. CAA ` + truth + `
cut.example. DS 1 15 2 0000000000000000000000000000000000000000000000000000000000000000
d.example. DNAME other.example.
example. NSEC *.example. NS SOA CAA RRSIG NSEC DNSKEY
*.example. NSEC alias.example. CAA RRSIG NSEC
alias.example. NSEC cut.example. CNAME RRSIG NSEC
cut.example. NSEC d.example. NS DS RRSIG NSEC
d.example. NSEC www.example. DNAME RRSIG NSEC
www.example. NSEC example. CAA RRSIG NSEC
xxx.example. NSEC \000.xxx.example. RRSIG NSEC TYPE128
`
)

// pool are the records that can be sent: all RRsets with their signatures, and what wildcards make of them.
func pool(t testing.TB, key *dns.DNSKEY, private crypto.Signer) []dns.RR {
	t.Helper()
	var rrs []dns.RR
	names := map[string]string{"example.": "NS SOA CAA RRSIG DNSKEY NSEC3PARAM", "www.example.": "CAA RRSIG", "*.example.": "CAA RRSIG", "alias.example.": "CNAME RRSIG", "d.example.": "DNAME RRSIG"}
	for rr, err := range records(replayed + hashed(names)) {
		if err != nil {
			t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	var out []dns.RR
	for _, rr := range rrs {
		sig := &dns.RRSIG{
			Hdr: dns.RR_Header{Ttl: 300}, Algorithm: key.Algorithm, KeyTag: key.KeyTag(), SignerName: "example.",
			Inception: uint32(time.Now().Add(-time.Hour).Unix()), Expiration: uint32(time.Now().Add(24 * time.Hour).Unix()),
		}
		if err := sig.Sign(private, []dns.RR{rr}); err != nil {
			t.Fatal(err)
		}
		out = append(out, rr, sig)
		if strings.HasPrefix(rr.Header().Name, "*.") {
			for _, name := range []string{"www.example.", "x.y.example."} {
				made, madeSig := dns.Copy(rr), dns.Copy(sig)
				made.Header().Name, madeSig.Header().Name = name, name
				out = append(out, made, madeSig)
			}
		}
	}
	return out
}

// records reads zone file syntax, and puts the types of denials in order, which the library leaves as written.
func records(text string) func(yield func(dns.RR, error) bool) {
	return func(yield func(dns.RR, error) bool) {
		parser := dns.NewZoneParser(strings.NewReader("$TTL 300\n"+text), ".", "")
		for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
			switch rr := rr.(type) {
			case *dns.NSEC:
				slices.Sort(rr.TypeBitMap)
			case *dns.NSEC3:
				slices.Sort(rr.TypeBitMap)
			}
			if !yield(rr, nil) {
				return
			}
		}
		if err := parser.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// hashed is an NSEC3 chain with opt-out.
func hashed(names map[string]string) string {
	types, hashes := map[string]string{}, []string{}
	for name, has := range names {
		hash := dns.HashName(name, dns.SHA1, 0, "")
		types[hash], hashes = has, append(hashes, hash)
	}
	slices.Sort(hashes)
	var out strings.Builder
	for i, hash := range hashes {
		fmt.Fprintf(&out, "%s.example. NSEC3 1 1 0 - %s %s\n", hash, hashes[(i+1)%len(hashes)], types[hash])
	}
	return out.String()
}

// FuzzReplay sends signed records of a zone, whichever and wherever, in answer to the question for a CAA record
// that there is: no choice of them makes another record of it, nor takes it away. Each octet of the input is
// a record, its lowest bit the section.
func FuzzReplay(f *testing.F) {
	key := &dns.DNSKEY{Hdr: dns.RR_Header{Name: "example.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300}, Flags: 257, Protocol: 3, Algorithm: dns.ED25519}
	private, err := key.Generate(256)
	if err != nil {
		f.Fatal(err)
	}
	all := pool(f, key, private.(crypto.Signer))
	var everything []byte
	for i := range all {
		everything = append(everything, byte(i)<<1|1)
		f.Add([]byte{byte(i) << 1, byte(i+1) << 1, byte(i) << 1}, uint8(0))
	}
	f.Add(everything, uint8(dns.RcodeNameError))
	f.Add(everything, uint8(0))
	q := new(dns.Msg).SetQuestion("www.example.", dns.TypeCAA)
	r := &Resolver{cfg: Config{Now: time.Now}}
	z := &Zone{Name: "example.", resolver: r, Trust: dnssec.Result{Status: dnssec.Secure}, Keys: dnssec.Keys{Zone: "example.", RRs: []*dns.DNSKEY{key}, Memory: dnssec.NewMemory(1000)}}
	f.Fuzz(func(t *testing.T, choice []byte, rcode uint8) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative, m.Rcode = true, int(rcode&15)
		for _, c := range choice[:min(len(choice), 1000)] { // what a message has room for
			section := &m.Answer
			if c&1 == 1 {
				section = &m.Ns
			}
			*section = append(*section, dns.Copy(all[int(c>>1)%len(all)]))
		}
		var o Observation
		o.take(m, nil, "www.example.")
		for _, alias := range []dnssec.Status{dnssec.Indeterminate, dnssec.Secure} {
			reading := z.read(o, "www.example.", dns.TypeCAA, alias)
			if reading.Kind == Failed || reading.Kind == Referral || reading.Result.Status == dnssec.Bogus {
				continue
			}
			if reading.Kind != Data || content(reading.RRset) != truth || reading.Result.Status != dnssec.Secure {
				t.Fatalf("believed: %v %v %s\n%v", reading.Kind, reading.Result, content(reading.RRset), m)
			}
		}
	})
}

func content(set dnssec.RRset) string {
	var out []string
	for _, rr := range set.RRs {
		out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return strings.Join(out, ", ")
}

// Data without a signature are Insecure where opt-out leaves room for a delegation (RFC 5155 6), and Bogus where the
// question for DS finds an alias: there is no DS.
func TestUnsignedDataUnderOptOut(t *testing.T) {
	t.Parallel()
	key := &dns.DNSKEY{Hdr: dns.RR_Header{Name: "example.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300}, Flags: 257, Protocol: 3, Algorithm: dns.ED25519}
	private, err := key.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	var denials, alias []dns.RR
	for _, rr := range pool(t, key, private.(crypto.Signer)) {
		switch sig, ok := rr.(*dns.RRSIG); {
		case rr.Header().Rrtype == dns.TypeNSEC3 || ok && sig.TypeCovered == dns.TypeNSEC3:
			denials = append(denials, rr)
		case rr.Header().Name == "alias.example." && (rr.Header().Rrtype == dns.TypeCNAME || ok && sig.TypeCovered == dns.TypeCNAME):
			alias = append(alias, rr)
		}
	}
	for _, tt := range []struct {
		what, name string
		answer     []dns.RR
		want       dnssec.Status
	}{
		{"room for a delegation", "y.x.example.", nil, dnssec.Insecure},
		{"a name that exists", "www.example.", nil, dnssec.Bogus},
		{"an alias that is signed", "alias.example.", alias, dnssec.Bogus},
		{"an alias that is not", "new.example.", []dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: "new.example.", Rrtype: dns.TypeCNAME, Class: dns.ClassINET}, Target: "www.example."}}, dnssec.Bogus},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			r := resolverAt(t, hostile(t, func(q *dns.Msg, tcp bool, send func([]byte) error) {
				m := new(dns.Msg).SetReply(q)
				m.Authoritative, m.Truncated = true, !tcp
				if tcp {
					m.Answer, m.Ns = tt.answer, denials
				}
				_ = send(pack(m))
			}))
			z := &Zone{Name: "example.", resolver: r, Trust: dnssec.Result{Status: dnssec.Secure}, Keys: dnssec.Keys{Zone: "example.", RRs: []*dns.DNSKEY{key}}}
			if got := z.leftOut(t.Context(), newTask(), tt.name, dnssec.Result{Status: dnssec.Bogus, Reason: dnssec.SignatureMissing}); got.Status != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
