package outside

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// generator makes zones of every kind, right and wrong, from a seed.
type generator struct {
	*rand.Rand
	keys ring
	now  time.Time
	few  bool // no more than 150 iterations of NSEC3, for BIND loads no zone with more
	also also
}

// also are addresses that a zone's name server can have beside the right one.
type also struct {
	six  netip.AddrPort // of the same server, IPv6; not valid where it has none
	bare netip.AddrPort // of a server that has the bare zones without signatures, and no other zone
	dead netip.AddrPort // where nobody listens
}

// wrong is what can be wrong with one address of several.
type wrong struct {
	what  string
	codes []string // of the findings at it
	addr  netip.AddrPort
}

// specimen is one generated zone, with what is worth asking there.
type specimen struct {
	apex   string
	zone   *zone // nil where its server makes it
	child  *zone // a zone below it, or nil
	ds     []*dns.DS
	server netip.AddrPort
	more   []netip.AddrPort // of the same name server, for better or for worse
	wrong  *wrong           // with one of these; or nil
	bare   bool             // it has the zone without signatures
	what   string
	whole  bool     // signed, and nothing is wrong with it
	ask    []string // names
}

// owners are the names that are asked for in each zone.
var owners = []string{"", "www.", "host.", "none.", "alias.", "away.", "x.tree.", "tree.", "x.wild.", "x.walias.", "b.c.", "x.y.missing.", "sub.", "x.sub.", "WwW."}

// leading are those of them whose aliases lead in a circle or to other zones, and wellKnown those zones. Where that
// fails, and an address on the way is dead, unbound tries for a minute.
var (
	leading   = []string{"alias.", "away.", "x.tree."}
	wellKnown = []string{"z1.test.", "z2.test."}
)

// pick chooses one of some values; the first are likelier when they are given twice.
func pick[T any](g *generator, values ...T) T { return values[g.IntN(len(values))] }

// specimen makes the n-th zone, to be served at an address.
func (g *generator) specimen(n int, server netip.AddrPort) specimen {
	name := fmt.Sprintf("z%d.test.", n)
	z := newZone(name)
	z.add("@ NS ns\nns A %s", server.Addr())
	g.records(z)
	s := specimen{apex: name, zone: z, server: server}
	parts := []string{g.six(&s)}
	for _, owner := range owners {
		s.ask = append(s.ask, owner+name)
	}
	if g.IntN(3) > 0 {
		s.child = g.childOf(z)
	}
	parts = append(parts, g.security(z), g.denials(z))
	z.sign(g.period())
	broken, delegated := g.breakIt(z), g.delegate(z)
	s.whole = z.ksk != nil && z.denial.iterations <= 150 && broken == "whole" && delegated == ""
	parts = append(parts, broken, delegated)
	s.ds = z.ds
	parts = append(parts, g.wrong(&s))
	if s.wrong != nil && s.wrong.addr == g.also.dead {
		s.ask = slices.DeleteFunc(s.ask, func(name string) bool { return slices.Contains(leading, strings.TrimSuffix(name, s.apex)) })
	}
	s.what = strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), ", ")
	return s
}

// six gives the zone's name server an IPv6 address, too.
func (g *generator) six(s *specimen) string {
	if !g.also.six.IsValid() || g.IntN(2) == 0 {
		return ""
	}
	s.zone.add("ns %s", addressOf(g.also.six))
	s.more = append(s.more, g.also.six)
	return "IPv6, too"
}

// wrong gives the zone's name server an address, too, that is wrong: it has the zone as it was before it was
// signed, or knows nothing of it, or nobody answers there. A zone with something else wrong has the second alone:
// of the first, who may be believed would be a matter of luck, and at the last unbound tries for a minute.
func (g *generator) wrong(s *specimen) string {
	if g.IntN(4) > 0 {
		return ""
	}
	lame := wrong{"one address lame", []string{"server-lame"}, g.also.bare}
	dead := wrong{"one address dead", []string{"server-unreachable"}, g.also.dead}
	bare := wrong{"one address without signatures", []string{"signature-missing"}, g.also.bare}
	w := lame
	switch {
	case s.whole && slices.Contains(wellKnown, s.apex):
		w = pick(g, bare, lame)
	case s.whole:
		w = pick(g, bare, bare, lame, lame, dead)
	}
	s.bare = w.what == bare.what
	s.more, s.wrong = append(s.more, w.addr), &w
	return w.what
}

func (g *generator) period() (begin, end time.Time) {
	return g.now.Add(-24 * time.Hour), g.now.Add(20 * 24 * time.Hour)
}

// records are the zone's content: names of every kind that a CA's climb may come upon.
func (g *generator) records(z *zone) {
	z.add("@ SOA ns hostmaster 1 7200 3600 1209600 60")
	z.add("host A 192.0.2.1")
	z.add("a.b.c TXT deep")
	caa := func(owner string) {
		z.add(`%s CAA %d %s "%s"`, owner, pick(g, 0, 0, 128, 1), pick(g, "issue", "issue", "issuewild", "iodef", "ISSUE"),
			pick(g, "ca.example", "ca.example", ";", "other.example", "ca.example; validationmethods=dns-01", "CA.example", "%"))
	}
	for _, owner := range []string{"@", "www", "www", "*.wild", "b.c"} {
		if g.IntN(2) == 0 {
			caa(owner)
		}
	}
	if g.IntN(2) == 0 {
		z.add("alias CNAME %s", pick(g, "www", "host", "nothing", "alias2"))
		z.add("alias2 CNAME %s", pick(g, "www", "alias", "x.wild"))
	}
	if g.IntN(2) == 0 {
		z.add("away CNAME www.%s", pick(g, append(wellKnown, "nowhere.test.")...))
		z.add("tree DNAME %s", pick(g, "z1.test.", "wild", "b.c"))
	}
	if g.IntN(2) == 0 {
		z.add("*.wild A 192.0.2.2")
		z.add("*.walias CNAME www")
	}
}

// childOf delegates a zone below, on the same server.
func (g *generator) childOf(z *zone) *zone {
	c := newZone("sub." + z.name)
	c.add("@ SOA ns.%s hostmaster 1 7200 3600 1209600 60", z.name)
	c.add("@ NS ns.%s", z.name)
	if g.IntN(2) == 0 {
		c.add(`@ CAA 0 issue "%s"`, pick(g, "ca.example", ";"))
	}
	g.security(c)
	g.denials(c)
	c.sign(g.period())
	z.add("sub NS ns")
	if c.ksk != nil && g.IntN(3) > 0 {
		ds := c.ksk.ToDS(dns.SHA256)
		ds.Hdr.Ttl = 300
		z.put(ds)
	}
	return c
}

// security chooses keys.
func (g *generator) security(z *zone) string {
	if g.IntN(6) == 0 {
		return "unsigned"
	}
	algorithm := pick[uint8](g, dns.ECDSAP256SHA256, dns.ECDSAP256SHA256, dns.ED25519, dns.RSASHA256, dns.RSASHA512, dns.ECDSAP384SHA384)
	z.ksk = g.keys.key(z.name, algorithm, 257, 0)
	z.zsk = z.ksk
	if g.IntN(2) == 0 {
		z.zsk = g.keys.key(z.name, algorithm, 256, 1)
	}
	z.ds = []*dns.DS{z.ksk.ToDS(pick[uint8](g, dns.SHA256, dns.SHA256, dns.SHA384, dns.SHA1))}
	return dns.AlgorithmToString[algorithm]
}

func (g *generator) denials(z *zone) string {
	if g.IntN(2) == 0 {
		return "NSEC"
	}
	iterations := []uint16{0, 0, 5, 150, 151, 500}
	if g.few {
		iterations = iterations[:4]
	}
	z.denial = denial{nsec3: true, optOut: g.IntN(3) == 0, iterations: pick(g, iterations...), salt: pick(g, "", "", "abcd")}
	return fmt.Sprintf("NSEC3 opt-out %v, %d iterations", z.denial.optOut, z.denial.iterations)
}

// breakIt does to a signed zone what happens to zones. More than a third stay whole, and so do those with
// too many iterations: whether unbound looks at these first or at the signatures depends on the answer.
func (g *generator) breakIt(z *zone) string {
	if z.ksk == nil || z.denial.iterations > 150 {
		return ""
	}
	breaks := []struct {
		what string
		do   func()
	}{
		{"whole", func() {}}, {"whole", func() {}}, {"whole", func() {}}, {"whole", func() {}}, {"whole", func() {}}, {"whole", func() {}}, {"whole", func() {}}, {"whole", func() {}},
		{"expired", func() { z.resignAll(g.now.Add(-48*time.Hour), g.now.Add(-25*time.Hour)) }},
		{"not yet valid", func() { z.resignAll(g.now.Add(25*time.Hour), g.now.Add(48*time.Hour)) }},
		{"one RRset unsigned", func() { z.each(g, func(name string, rrtype uint16) { z.sigs[name][rrtype] = nil }) }},
		{"denials unsigned", func() {
			for name := range z.sigs {
				z.sigs[name][dns.TypeNSEC], z.sigs[name][dns.TypeNSEC3] = nil, nil
			}
		}},
		{"one signature forged", func() {
			z.each(g, func(name string, rrtype uint16) {
				sig := z.sigs[name][rrtype][0]
				end := len(sig.Signature) - 4 // whose last bits servers look at
				sig.Signature = swap(sig.Signature[:end]) + sig.Signature[end:]
			})
		}},
		{"one signature by a key that is not there", func() {
			z.each(g, func(name string, rrtype uint16) {
				z.sigs[name][rrtype][0].KeyTag++
			})
		}},
		{"one RRset changed", func() {
			z.each(g, func(name string, rrtype uint16) {
				for _, rr := range z.rrs[name][rrtype] {
					switch rr := rr.(type) {
					case *dns.CAA:
						rr.Value += "x"
					case *dns.CNAME:
						rr.Target = "x." + rr.Target
					case *dns.SOA:
						rr.Serial++
					}
				}
			})
		}},
		{"a denial is lost", func() {
			z.each(g, func(name string, _ uint16) {
				delete(z.rrs[name], dns.TypeNSEC)
				delete(z.sigs[name], dns.TypeNSEC)
			})
		}},
		{"the key that signs is not published", func() {
			if z.zsk != z.ksk {
				z.rrs[z.name][dns.TypeDNSKEY] = []dns.RR{z.ksk.DNSKEY}
				begin, end := g.period()
				z.resign(z.name, dns.TypeDNSKEY, z.rrs[z.name][dns.TypeDNSKEY], begin, end)
			}
		}},
		{"bitmaps without CAA", func() {
			for name, sets := range z.rrs {
				for _, rrtype := range []uint16{dns.TypeNSEC, dns.TypeNSEC3} {
					for _, rr := range sets[rrtype] {
						dropType(rr, dns.TypeCAA)
						begin, end := g.period()
						z.resign(name, rrtype, sets[rrtype], begin, end)
					}
				}
			}
		}},
	}
	b := breaks[g.IntN(len(breaks))]
	b.do()
	return b.what + z.broken
}

// swap turns a signature's text into another's of the same length.
func swap(text string) string {
	if text[0] == 'A' {
		return "B" + text[1:]
	}
	return "A" + text[1:]
}

func dropType(rr dns.RR, rrtype uint16) {
	is := func(t uint16) bool { return t == rrtype }
	switch rr := rr.(type) {
	case *dns.NSEC:
		rr.TypeBitMap = slices.DeleteFunc(rr.TypeBitMap, is)
	case *dns.NSEC3:
		rr.TypeBitMap = slices.DeleteFunc(rr.TypeBitMap, is)
	}
}

func (z *zone) resignAll(begin, end time.Time) {
	for name, sets := range z.sigs {
		for rrtype := range sets {
			z.resign(name, rrtype, z.rrs[name][rrtype], begin, end)
		}
	}
}

// each does something to one signed RRset, chosen by the generator.
func (z *zone) each(g *generator, do func(name string, rrtype uint16)) {
	type set struct {
		name   string
		rrtype uint16
	}
	var sets []set
	for name, types := range z.sigs {
		for rrtype := range types {
			sets = append(sets, set{name, rrtype})
		}
	}
	slices.SortFunc(sets, func(a, b set) int {
		if a.name != b.name {
			return strings.Compare(a.name, b.name)
		}
		return int(a.rrtype) - int(b.rrtype)
	})
	chosen := sets[g.IntN(len(sets))]
	do(chosen.name, chosen.rrtype)
	z.broken = fmt.Sprintf(" (%s %s)", chosen.name, dns.TypeToString[chosen.rrtype])
}

// delegate chooses what the parent says of the zone's keys.
func (g *generator) delegate(z *zone) string {
	if z.ksk == nil {
		return ""
	}
	stale := g.keys.key(z.name, z.ksk.Algorithm, 257, 2).ToDS(dns.SHA256)
	unknown := *z.ds[0]
	unknown.Algorithm = 200
	switch g.IntN(12) {
	case 0:
		z.ds = nil
		return "no DS"
	case 1:
		z.ds = []*dns.DS{stale}
		return "a stale DS"
	case 2:
		z.ds = append(z.ds, stale)
		return "a stale DS beside the right one"
	case 3:
		z.ds = []*dns.DS{&unknown}
		return "DS of an unknown algorithm"
	case 4:
		z.ds = append(z.ds, &unknown)
		return "DS of an unknown algorithm beside the right one"
	}
	return ""
}
