package verdict_test

import (
	"context"
	"crypto"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
)

// closedZones are a root and a zone in which nobody may issue for any name. DS is filled in.
var closedZones = map[string]string{
	".": `. SOA . . 1 7200 3600 1209600 60
. NS ns.example.
. NSEC example. NS SOA RRSIG NSEC DNSKEY
example. NSEC . NS DS RRSIG NSEC
`,
	"example.": `example. SOA . . 1 7200 3600 1209600 60
example. NS ns.example.
example. CAA 0 issue ";"
al.example. CNAME www.example.
ns.example. A 192.0.2.1
www.example. A 192.0.2.1
example. NSEC al.example. NS SOA CAA RRSIG NSEC DNSKEY
al.example. NSEC ns.example. CNAME RRSIG NSEC
ns.example. NSEC www.example. A RRSIG NSEC
www.example. NSEC example. A RRSIG NSEC
`,
}

// closed is a server of both zones.
type closed struct {
	records map[dns.Question][]dns.RR // RRsets with their signatures
	anchor  *dns.DS
}

func newClosed(t testing.TB) *closed {
	t.Helper()
	c := &closed{records: map[dns.Question][]dns.RR{}}
	for _, zone := range []string{"example.", "."} {
		key := &dns.DNSKEY{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300}, Flags: 257, Protocol: 3, Algorithm: dns.ED25519}
		private, err := key.Generate(256)
		if err != nil {
			t.Fatal(err)
		}
		parser := dns.NewZoneParser(strings.NewReader("$TTL 300\n"+closedZones[zone]), ".", "")
		rrs := []dns.RR{key}
		for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
			if nsec, ok := rr.(*dns.NSEC); ok {
				slices.Sort(nsec.TypeBitMap) // which the library leaves as written
			}
			rrs = append(rrs, rr)
		}
		if zone == "." {
			c.anchor.Hdr.Ttl = 300
			rrs = append(rrs, c.anchor)
		}
		for _, rr := range rrs {
			h := rr.Header()
			sig := &dns.RRSIG{Hdr: dns.RR_Header{Ttl: 300}, Algorithm: key.Algorithm, KeyTag: key.KeyTag(), SignerName: zone,
				Inception: uint32(time.Now().Add(-time.Hour).Unix()), Expiration: uint32(time.Now().Add(time.Hour).Unix())}
			if err := sig.Sign(private.(crypto.Signer), []dns.RR{rr}); err != nil {
				t.Fatal(err)
			}
			c.records[dns.Question{Name: h.Name, Qtype: h.Rrtype}] = []dns.RR{rr, sig}
		}
		c.anchor = key.ToDS(dns.SHA256)
	}
	return c
}

// answer is the honest one, as a resolver's or as an authoritative server's of both zones.
func (c *closed) answer(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	m.Authoritative, m.RecursionAvailable = true, true
	name, rrtype := dns.CanonicalName(q.Question[0].Name), q.Question[0].Qtype
	for _, t := range []uint16{rrtype, dns.TypeCNAME} {
		if found := c.records[dns.Question{Name: name, Qtype: t}]; found != nil {
			m.Answer = found
			return m
		}
	}
	zone := "."
	if dns.IsSubDomain("example.", name) {
		zone = "example."
	}
	m.Ns = append(m.Ns, c.records[dns.Question{Name: zone, Qtype: dns.TypeSOA}]...)
	m.Ns = append(m.Ns, c.records[dns.Question{Name: name, Qtype: dns.TypeNSEC}]...)
	return m
}

// damages are what can become of an answer on its way, or by the will of who sends it; others are those that were
// sent before.
var damages = []func(m *dns.Msg, others []*dns.Msg, n byte){
	func(*dns.Msg, []*dns.Msg, byte) {},
	func(m *dns.Msg, _ []*dns.Msg, n byte) { m.Rcode = int(n % 24) },
	func(m *dns.Msg, _ []*dns.Msg, _ byte) { m.Answer = nil },
	func(m *dns.Msg, _ []*dns.Msg, _ byte) { m.Ns = nil },
	func(m *dns.Msg, _ []*dns.Msg, _ byte) { m.Answer, m.Ns = m.Ns, m.Answer },
	func(m *dns.Msg, _ []*dns.Msg, n byte) { m.Answer = without(m.Answer, n) },
	func(m *dns.Msg, _ []*dns.Msg, n byte) { m.Ns = without(m.Ns, n) },
	func(m *dns.Msg, others []*dns.Msg, n byte) {
		if len(others) > 0 {
			other := others[int(n)%len(others)]
			m.Answer, m.Ns = other.Answer, other.Ns
		}
	},
	func(m *dns.Msg, others []*dns.Msg, n byte) {
		if len(others) > 0 {
			m.Ns = append(slices.Clone(m.Ns), others[int(n)%len(others)].Ns...)
		}
	},
	func(m *dns.Msg, _ []*dns.Msg, n byte) { m.Authoritative, m.Truncated = n&1 == 0, n&2 == 0 },
	func(m *dns.Msg, _ []*dns.Msg, _ byte) {
		m.Answer = []dns.RR{&dns.CAA{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeCAA, Class: dns.ClassINET}, Tag: "issue", Value: "ca.example"}}
	},
	func(m *dns.Msg, _ []*dns.Msg, n byte) {
		to := []string{"www.example.", "al.example.", "evil.", m.Question[0].Name}[n%4]
		m.Answer = []dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET}, Target: to}}
	},
	func(m *dns.Msg, _ []*dns.Msg, n byte) {
		owner := []string{"example.", "www.example.", "."}[n%3]
		m.Answer, m.Ns = nil, []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeNS, Class: dns.ClassINET}, Ns: "ns.evil."}}
	},
}

func without(rrs []dns.RR, n byte) []dns.RR {
	if len(rrs) == 0 {
		return nil
	}
	i := int(n) % len(rrs)
	return slices.Delete(slices.Clone(rrs), i, i+1)
}

var errLost = errors.New("lost")

// hostile is the closed server behind a way on which script says what happens: three octets for each question.
// Afterwards answers come as they are.
func (c *closed) hostile(script []byte) func(context.Context, []byte) ([]byte, error) {
	var mu sync.Mutex
	var sent []*dns.Msg
	return func(_ context.Context, query []byte) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		q := new(dns.Msg)
		if err := q.Unpack(query); err != nil {
			return nil, err
		}
		m := c.answer(q)
		sent = append(sent, m.Copy())
		if len(script) < 3 {
			return m.Pack()
		}
		what, n, at := script[0], script[1], script[2]
		script = script[3:]
		damages[int(what&0x1F)%len(damages)](m, sent[:len(sent)-1], n)
		raw, err := m.Pack()
		switch {
		case err != nil || what&0xE0 == 0x20:
			return nil, errLost
		case what&0xE0 == 0x40:
			raw[2+int(at)%(len(raw)-2)] ^= n
		case what&0xE0 == 0x60:
			raw = raw[:int(at)%len(raw)]
		case what&0xE0 == 0x80:
			raw = append(raw, n, at)
		}
		return raw, nil
	}
}

// FuzzVerdict looks names up through a way that changes answers as the input says. The zone is signed and lets nobody
// issue, so nothing that comes may end in "may issue" or "at risk"; it can only not be found out, or be seen to be
// wrong.
func FuzzVerdict(f *testing.F) {
	c := newClosed(f)
	for i := range damages {
		for at := range 12 {
			script := slices.Repeat([]byte{0, 0, 0}, at)
			f.Add(append(script, byte(i), 1, 20), at%2 == 0)
			f.Add(append(script, byte(i), 2, 40, 0x40|byte(i), 3, 60), at%2 == 0)
		}
	}
	f.Fuzz(func(t *testing.T, script []byte, recursive bool) {
		r, err := resolve.New(resolve.Config{Only: netip.MustParseAddrPort("127.0.0.1:1"), Recursive: recursive, Anchors: []dns.RR{c.anchor}, Carry: c.hostile(script), Rate: -1, Tries: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"www.example.", "al.example.", "example."} {
			v := verdict.Decide(climb.Up(t.Context(), r, name), guard.Requirement{Name: name, Domain: "ca.example"}, bound)
			if v.Outcome == verdict.MayIssue || v.Outcome == verdict.AtRisk {
				t.Errorf("%s: %v (%s) %s", name, v.Outcome, v.Reason, v.Detail)
			}
		}
	})
}

// The closed zone is found out where nothing happens to the answers.
func TestClosedZone(t *testing.T) {
	t.Parallel()
	c := newClosed(t)
	for _, recursive := range []bool{true, false} {
		r, err := resolve.New(resolve.Config{Only: netip.MustParseAddrPort("127.0.0.1:1"), Recursive: recursive, Anchors: []dns.RR{c.anchor}, Carry: c.hostile(nil), Rate: -1})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"www.example.", "al.example.", "example."} {
			way := climb.Up(t.Context(), r, name)
			if v := verdict.Decide(way, guard.Requirement{Name: name, Domain: "ca.example"}, bound); v.Outcome != verdict.LockedOut || v.Property == nil {
				t.Errorf("recursive %v, %s: %v (%s) %s", recursive, name, v.Outcome, v.Reason, v.Detail)
			}
		}
	}
}
