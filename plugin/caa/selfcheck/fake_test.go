package selfcheck

import (
	"context"
	"crypto"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// fake is a server that answers right for its zones, signed online with compact denials (RFC 9824) or with an NSEC chain,
// until a test has it answer wrong.
type fake struct {
	zones map[string]*fakeZone
	now   time.Time
	chain bool // denials by the zone's NSEC chain, in place of compact ones
	asked map[string]int

	answer func(q dns.Question, m *dns.Msg)                 // changes an answer before it is signed
	signed func(q dns.Question, m *dns.Msg)                 // and after it is
	fails  func(q dns.Question) error                       // has no answer
	bitmap func(q dns.Question, name string, has *[]uint16) // changes the types that the denial of a question lists
}

// fakeZone is a zone of the fake; without keys it is unsigned.
type fakeZone struct {
	Zone
	records []dns.RR
	key     *dns.DNSKEY
	private crypto.Signer
}

// keyOf makes a key for each zone name and number, once for all tests.
var keyOf = func() func(zone string, n int) (*dns.DNSKEY, crypto.Signer) {
	type pair struct {
		key     *dns.DNSKEY
		private crypto.Signer
	}
	var mu sync.Mutex
	made := map[string]pair{}
	return func(zone string, n int) (*dns.DNSKEY, crypto.Signer) {
		mu.Lock()
		defer mu.Unlock()
		id := fmt.Sprint(zone, n)
		if p, ok := made[id]; ok {
			return p.key, p.private
		}
		key := &dns.DNSKEY{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300}, Flags: 257, Protocol: 3, Algorithm: dns.ECDSAP256SHA256}
		private, err := key.Generate(256)
		if err != nil {
			panic(err)
		}
		made[id] = pair{key, private.(crypto.Signer)}
		return key, private.(crypto.Signer)
	}
}()

// records reads lines of a zone file; names that are not absolute are below the origin.
func records(origin, text string) (out []dns.RR) {
	parser := dns.NewZoneParser(strings.NewReader("$TTL 300\n"+text), origin, "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		if nsec, ok := rr.(*dns.NSEC); ok {
			slices.Sort(nsec.TypeBitMap)
		}
		out = append(out, rr)
	}
	if err := parser.Err(); err != nil {
		panic(err)
	}
	return out
}

// newFake makes a fake of zones by their apexes; one that ends with "unsigned" has no keys.
func newFake(zones map[string]string) *fake {
	f := &fake{zones: map[string]*fakeZone{}, now: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), asked: map[string]int{}}
	for name, text := range zones {
		apex, option, _ := strings.Cut(name, " ")
		z := &fakeZone{Zone: Zone{Name: apex}, records: records(apex, "@ SOA ns hostmaster 1 2 3 4 60\n@ NS ns\n"+text)}
		if option != "unsigned" {
			z.key, z.private = keyOf(apex, 1)
			z.Signed, z.DS = true, []*dns.DS{z.key.ToDS(dns.SHA256)}
			z.records = append(z.records, z.key)
		}
		f.zones[apex] = z
	}
	for apex, z := range f.zones {
		if above := f.find(dnsname.Parent(apex)); above != nil && above != z {
			above.records = append(above.records, records(apex, "@ NS ns.elsewhere.example.")...)
			for _, ds := range z.DS {
				above.records = append(above.records, ds)
			}
		}
	}
	return f
}

func (f *fake) find(name string) *fakeZone {
	for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
		if z := f.zones[name[off:]]; z != nil {
			return z
		}
	}
	return f.zones["."]
}

// server is the fake as it is checked.
func (f *fake) server() Server {
	zone := func(name string) (Zone, bool) {
		if z := f.find(name); z != nil {
			return z.Zone, true
		}
		return Zone{}, false
	}
	return Server{Exchange: f.exchange, Zone: zone, Now: func() time.Time { return f.now }}
}

func (f *fake) exchange(_ context.Context, r *dns.Msg) (*dns.Msg, error) {
	q := r.Question[0]
	f.asked[q.Name+" "+dns.Type(q.Qtype).String()]++
	if f.fails != nil && f.fails(q) != nil {
		return nil, f.fails(q)
	}
	m := new(dns.Msg).SetReply(r)
	z := f.find(q.Name)
	if q.Qtype == dns.TypeDS && z != nil && z.Name == q.Name {
		z = f.find(dnsname.Parent(q.Name))
	}
	var made map[string]string
	if z == nil {
		m.Rcode = dns.RcodeRefused
	} else {
		m.Authoritative = true
		made = f.serve(z, q, m)
	}
	if f.answer != nil {
		f.answer(q, m)
	}
	m.Answer, m.Ns = f.sign(m, m.Answer, made), f.sign(m, m.Ns, made)
	if f.signed != nil {
		f.signed(q, m)
	}
	wire, err := m.Pack()
	if err != nil {
		return nil, err
	}
	out := new(dns.Msg)
	return out, out.Unpack(wire)
}

// serve answers a question (RFC 1034 4.3.2), and says which names were made from which wildcards.
func (f *fake) serve(z *fakeZone, q dns.Question, m *dns.Msg) (made map[string]string) {
	made = map[string]string{}
	name := q.Name
	for range 8 {
		if cut := z.cutAt(name); cut != "" && !(q.Qtype == dns.TypeDS && cut == name) {
			if len(m.Answer) == 0 {
				m.Authoritative, m.Ns = false, append(z.at(cut, dns.TypeNS), z.at(cut, dns.TypeDS)...)
				if z.Signed && len(z.at(cut, dns.TypeDS)) == 0 {
					m.Ns = append(m.Ns, f.nsec(z, q, cut, cut))
				}
			}
			return made
		}
		if dname := z.dnameAbove(name); dname != nil {
			target := strings.TrimSuffix(name, dname.Hdr.Name) + dname.Target
			m.Answer = append(m.Answer, dname, &dns.CNAME{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 300}, Target: target})
			if name = target; f.find(name) != z {
				return made
			}
			continue
		}
		source := name
		if !z.exists(name) {
			for at := range dnsname.UpTo(dnsname.Parent(name), z.Name) {
				if z.exists(at) {
					if source = "*." + at; z.exists(source) {
						made[name] = source
						m.Ns = append(m.Ns, f.cover(z, name))
					}
					break
				}
			}
		}
		cname := z.at(source, dns.TypeCNAME)
		switch set := z.at(source, q.Qtype); {
		case len(set) > 0:
			m.Answer = append(m.Answer, renamed(set, name)...)
			return made
		case len(cname) > 0:
			m.Answer = append(m.Answer, renamed(cname, name)...)
			if name = cname[0].(*dns.CNAME).Target; f.find(name) != z {
				return made
			}
			continue
		}
		f.deny(z, q, name, source, m)
		return made
	}
	return made
}

// deny denies the question's type at a name.
func (f *fake) deny(z *fakeZone, q dns.Question, name, source string, m *dns.Msg) {
	m.Ns = append(m.Ns, z.at(z.Name, dns.TypeSOA)...)
	switch {
	case z.exists(source) && z.Signed && f.chain && source != name:
		m.Ns = append(m.Ns, f.nsec(z, q, source, source))
	case !z.Signed || f.chain && !z.exists(name):
		if !z.exists(source) {
			m.Rcode = dns.RcodeNameError
		}
		if z.Signed {
			m.Ns = append(m.Ns, f.cover(z, name), f.cover(z, "*."+z.Name))
		}
	default:
		m.Ns = append(m.Ns, f.nsec(z, q, name, source))
	}
	m.Ns = slices.CompactFunc(m.Ns, func(a, b dns.RR) bool { return a.String() == b.String() })
}

// nsec is the NSEC at a name with the data of a source, as the denial of a question has it.
func (f *fake) nsec(z *fakeZone, q dns.Question, name, source string) dns.RR {
	types := []uint16{dns.TypeRRSIG, dns.TypeNSEC}
	for _, rr := range z.records {
		if rr.Header().Name == source {
			types = append(types, rr.Header().Rrtype)
		}
	}
	if !z.exists(source) {
		types = append(types, dns.TypeNXNAME)
	}
	if f.bitmap != nil {
		f.bitmap(q, name, &types)
	}
	slices.Sort(types)
	next := "\\000." + name
	if f.chain {
		next = z.after(name)
	}
	return &dns.NSEC{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: 60}, NextDomain: next, TypeBitMap: slices.Compact(types)}
}

// cover is the NSEC of the chain that covers a name.
func (f *fake) cover(z *fakeZone, name string) dns.RR {
	last := z.Name
	for _, owner := range z.owners() {
		if dnsname.Compare(owner, name) < 0 {
			last = owner
		}
	}
	chain := f.chain
	f.chain = true
	defer func() { f.chain = chain }()
	return f.nsec(z, dns.Question{}, last, last)
}

func (z *fakeZone) owners() (names []string) {
	for _, rr := range z.records {
		names = append(names, rr.Header().Name)
	}
	slices.SortFunc(names, dnsname.Compare)
	return slices.Compact(names)
}

func (z *fakeZone) after(name string) string {
	for _, owner := range z.owners() {
		if dnsname.Compare(owner, name) > 0 {
			return owner
		}
	}
	return z.Name
}

func (z *fakeZone) exists(name string) bool {
	return slices.ContainsFunc(z.records, func(rr dns.RR) bool { return dns.IsSubDomain(name, rr.Header().Name) })
}

func (z *fakeZone) at(name string, rrtype uint16) (set []dns.RR) {
	for _, rr := range z.records {
		if rr.Header().Name == name && rr.Header().Rrtype == rrtype {
			set = append(set, dns.Copy(rr))
		}
	}
	return set
}

func (z *fakeZone) cutAt(name string) string {
	for at := name; dnsname.Below(at, z.Name); at = dnsname.Parent(at) {
		if len(z.at(at, dns.TypeNS)) > 0 {
			return at
		}
	}
	return ""
}

func (z *fakeZone) dnameAbove(name string) *dns.DNAME {
	for at := name; dnsname.Below(at, z.Name); {
		at = dnsname.Parent(at)
		if set := z.at(at, dns.TypeDNAME); len(set) > 0 {
			return set[0].(*dns.DNAME)
		}
	}
	return nil
}

func renamed(set []dns.RR, name string) []dns.RR {
	for _, rr := range set {
		rr.Header().Name = name
	}
	return set
}

// sign adds the signatures of each RRset of a section that a zone signs.
func (f *fake) sign(m *dns.Msg, section []dns.RR, made map[string]string) []dns.RR {
	out := slices.Clone(section)
	for _, set := range dnssec.RRsets(section) {
		z := f.find(set.Name)
		if above := f.find(dnsname.Parent(set.Name)); above != nil && above != z && z.Name == set.Name && ofParent(set) {
			z = above
		}
		below := z != nil && z.dnameAbove(set.Name) != nil
		if z == nil || !z.Signed || set.Type == dns.TypeNS && !m.Authoritative || set.Type == dns.TypeCNAME && below {
			continue
		}
		out = append(out, f.rrsig(z, set, made[set.Name]))
	}
	return out
}

// ofParent reports whether an RRset at an apex is the parent's: DS, and NSEC without SOA.
func ofParent(set dnssec.RRset) bool {
	nsec, ok := set.RRs[0].(*dns.NSEC)
	return set.Type == dns.TypeDS || ok && !slices.Contains(nsec.TypeBitMap, dns.TypeSOA)
}

// rrsig is the signature over an RRset, made of a wildcard's if that is not "".
func (f *fake) rrsig(z *fakeZone, set dnssec.RRset, wildcard string) *dns.RRSIG {
	sig := &dns.RRSIG{Hdr: dns.RR_Header{Name: set.Name, Rrtype: dns.TypeRRSIG, Class: dns.ClassINET, Ttl: set.TTL}, Algorithm: z.key.Algorithm, KeyTag: z.key.KeyTag(),
		SignerName: z.Name, Inception: uint32(f.now.Add(-time.Hour).Unix()), Expiration: uint32(f.now.Add(time.Hour).Unix())}
	var rrs []dns.RR
	for _, rr := range set.RRs {
		rrs = append(rrs, dns.Copy(rr))
	}
	if wildcard != "" && set.Type != dns.TypeNSEC {
		renamed(rrs, wildcard)
	}
	if err := sig.Sign(z.private, rrs); err != nil {
		panic(err)
	}
	sig.Hdr.Name = set.Name
	return sig
}
