package overlay

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// zone is a zone that a seed makes: its data, as a next plugin holds them, and what a policy says.
type zone struct {
	apex   string
	seed   uint64
	rrs    []dns.RR
	types  map[string][]uint16 // by owner, canonical
	nodes  map[string]rule     // the policy's, by name
	cuts   map[string]string   // where zones begin below, with the DS of those that are signed
	behind *backend            // where the data lie
	turn   int                 // of the seeds behind it
	extra  []string            // names to ask for beside those that follow from the data
}

// rule is what the policy says at a node. What is empty is inherited.
type rule struct{ issue, issuewild string }

const nobody = "none"

// outside is a zone that is served beside those that are made, without a policy.
const outside = "outside.test."

const outsideData = `outside.test. 300 SOA ns.outside.test. h.outside.test. 1 7200 3600 1209600 60
outside.test. 300 NS ns.outside.test.
ns.outside.test. 300 A 127.0.0.1
www.outside.test. 300 A 192.0.2.99
www.outside.test. 300 TXT "outside"
alias.outside.test. 300 CNAME www.outside.test.
a.d.outside.test. 300 A 192.0.2.98
`

// construct is something that a zone may have.
type construct struct {
	name string
	odds int // in a hundred zones
	make func(*maker)
}

// constructs are all that RFC 1034, 2181, 4592, 6672 and 8020 know of a zone's names, in an order in
// which later ones refer to earlier ones.
var constructs = []construct{
	{"hosts", 100, func(m *maker) { m.host("www"); m.host("Mail") }},
	{"a host with a zoo of types", 60, (*maker).zoo},
	{"unassigned types", 50, func(m *maker) {
		m.add("odd", `TYPE65280 \# 4 DEADBEEF`)
		m.add("odd", "A 192.0.2.7")
		m.add("alone", m.oneOf(`TYPE65280 \# 1 00`, `TYPE65534 \# 3 010203`))
	}},
	{"a type that is never claimed", 30, func(m *maker) { m.add("rare", `TYPE999 \# 1 FF`); m.add("rare", "A 192.0.2.8") }},
	{"a type alone", 40, func(m *maker) { m.add("single", m.oneOf("HTTPS 1 . alpn=h2", `SSHFP 4 2 `+strings.Repeat("ab", 32))) }},
	{"empty non-terminals", 70, func(m *maker) { m.host("a.b.ent"); m.host("_25._tcp.mail") }},
	{"CAA of its own", 40, func(m *maker) {
		m.add("www", `CAA 0 issue "of.the.data.example"`)
		m.add("caa", `CAA 128 issuewild ";"`)
	}},
	{"answers too long for UDP", 30, func(m *maker) {
		for i := range 8 {
			m.add("long", fmt.Sprintf(`TXT "%d-%s"`, i, strings.Repeat("Long", 50)))
		}
	}},
	{"a wildcard", 70, func(m *maker) {
		m.host("*.wild")
		m.extra = append(m.extra, "q.wild", "q.r.wild", "*.q.wild")
		if m.yes(50) {
			m.host("x.wild")
			m.extra = append(m.extra, "q.x.wild") // RFC 4592 3.3.1: x exists, and nothing matches below it
		}
		if m.yes(50) {
			m.host("y.ent.wild")
			m.extra = append(m.extra, "ent.wild", "q.ent.wild") // likewise an empty non-terminal
		}
	}},
	{"a wildcard at the apex", 15, func(m *maker) { m.host("*"); m.extra = append(m.extra, "q", "q.q") }},
	{"a wildcard alias", 40, func(m *maker) {
		m.add("*.wildalias", "CNAME "+m.in(m.oneOf("www", "q.wild", "nowhere", "a.b.ent")))
		m.extra = append(m.extra, "q.wildalias")
	}},
	{"cuts", 60, func(m *maker) {
		m.cut("cut", "")
		if m.yes(60) {
			m.cut("deep.ent.cut2", "")
		}
		if m.yes(60) {
			m.cut("scut", fmt.Sprintf("12345 13 2 %064x", m.random.Uint64()))
		}
	}},
	{"DNAME", 60, func(m *maker) {
		m.add("d", "DNAME "+m.oneOf(m.in("ent"), m.in("wild"), "d."+outside, m.sibling, m.in("cut")))
		m.add("d", `TXT "Beside DNAME"`)
		m.extra = append(m.extra, "a.d", "b.d", "a.b.d", "www.d", strings.TrimSuffix(strings.Repeat("long-label-of-many-octets.", 8), ".")+".d")
		if m.yes(30) {
			m.add("dd", "DNAME "+m.in("d"))
			m.extra = append(m.extra, "a.dd", "b.dd")
		}
		if m.yes(30) {
			m.add("loop", "DNAME "+m.in("x.loop"))
			m.extra = append(m.extra, "a.loop")
		}
	}},
	{"aliases inside", 80, func(m *maker) {
		m.alias("alias", m.in(m.oneOf("www", "WWW", "a.b.ent", "ent", "q.wild", "x.wild")))
		m.alias("chain", m.in("alias"))
		m.alias("chain3", m.in("chain"))
		m.alias("toapex", m.apex)
		m.host("below.alias") // an alias may have names below it
	}},
	{"aliases to nothing", 40, func(m *maker) { m.alias("tonx", m.in("nowhere")); m.alias("toself", m.in("q.toself")) }},
	{"aliases out", 60, func(m *maker) {
		m.alias("out", m.oneOf("www.", "alias.", "nowhere.")+outside)
		m.alias("chainout", m.in("out"))
		m.alias("tosibling", m.oneOf("", "www.", "alias.")+m.sibling)
	}},
	{"aliases into DNAME and cuts", 40, func(m *maker) {
		m.alias("tod", m.in(m.oneOf("a.d", "b.d")))
		m.alias("tocut", m.in("www.cut"))
		m.alias("tocutitself", m.in("cut"))
		m.alias("todloop", m.in("a.loop"))
	}},
	{"loops", 30, func(m *maker) {
		m.alias("loop1", m.in("loop2"))
		m.alias("loop2", m.in("loop1"))
		m.alias("loop0", m.in("loop0"))
	}},
	{"a delegation to a server of the zone", 30, func(m *maker) {
		m.host("ns2")
		m.add("cut3", "NS "+m.in("ns2"))
		m.cuts[m.in("cut3")] = ""
	}},
}

// maker is a zone in the making.
type maker struct {
	*zone
	random  *rand.Rand
	sibling string // another zone that is made
}

// constructsPerZone bounds what a zone has of them.
const constructsPerZone = 5

// newZone makes the zone of a seed out of the constructs that are wanted.
func newZone(apex, sibling string, seed uint64, wanted []construct) *zone {
	m := &maker{&zone{apex: apex, seed: seed, types: map[string][]uint16{}, nodes: map[string]rule{}, cuts: map[string]string{}},
		rand.New(rand.NewPCG(seed, 8659)), sibling}
	m.add("", fmt.Sprintf("SOA ns1.%s Host\\.Master.%s %d 7200 3600 1209600 %d", apex, apex, 1+seed, 5+m.random.IntN(600)))
	m.add("", "NS ns1."+apex)
	m.add("ns1", "A 127.0.0.1")
	if m.yes(50) {
		m.add("", "A 192.0.2.80")
		m.add("", "MX 10 Mail."+apex)
	}
	// A zone has a few of them: what they do to each other shows in small zones, too, and there are many.
	for few := constructsPerZone; len(wanted) > 0; wanted = wanted[1:] {
		if c := wanted[0]; c.odds == 100 || m.random.IntN(len(wanted)) < few && m.yes(c.odds) {
			c.make(m)
			few--
		}
	}
	m.policy()
	return m.zone
}

func (m *maker) yes(odds int) bool            { return m.random.IntN(100) < odds }
func (m *maker) oneOf(texts ...string) string { return texts[m.random.IntN(len(texts))] }

// in is a name of the zone.
func (z *zone) in(name string) string {
	if name == "" {
		return z.apex
	}
	return name + "." + z.apex
}

// add adds a record unless the name is taken by an alias, or lies where nothing may.
func (m *maker) add(name, text string) {
	owner := m.in(name)
	ttl := 30 + 10*len(owner) // one for all of an RRset
	rr, err := dns.NewRR(fmt.Sprintf("%s %d IN %s", owner, ttl, text))
	if err != nil {
		panic(err) // the generator's own fault, in every run
	}
	canonical, rrtype := dns.CanonicalName(owner), rr.Header().Rrtype
	if has := m.types[canonical]; slices.Contains(has, dns.TypeCNAME) || rrtype == dns.TypeCNAME && len(has) > 0 || m.occluded(canonical) {
		return
	}
	m.rrs = append(m.rrs, rr)
	if !slices.Contains(m.types[canonical], rrtype) {
		m.types[canonical] = append(m.types[canonical], rrtype)
	}
}

// occluded reports whether a name lies below a cut or DNAME.
func (z *zone) occluded(name string) bool {
	for above := range dnsname.Up(dnsname.Parent(name)) {
		if _, cut := z.cuts[above]; cut || slices.Contains(z.types[above], dns.TypeDNAME) {
			return true
		}
	}
	return false
}

func (m *maker) host(name string) {
	m.add(name, fmt.Sprintf("A 192.0.2.%d", m.random.IntN(256)))
	if m.yes(50) {
		m.add(name, fmt.Sprintf("A 198.51.100.%d", m.random.IntN(256)))
	}
	if m.yes(50) {
		m.add(name, fmt.Sprintf("AAAA 2001:db8::%x", m.random.IntN(65536)))
	}
	if m.yes(30) {
		m.add(name, `TXT "Some Text" "in two"`)
	}
}

func (m *maker) alias(name, target string) { m.add(name, "CNAME "+target) }

func (m *maker) cut(name, ds string) {
	m.add(name, "NS ns."+m.in(name))
	if m.add("ns."+name, "A 127.0.0.1"); ds != "" {
		m.add(name, "DS "+ds)
	}
	m.cuts[m.in(name)] = ds
	m.extra = append(m.extra, "www."+name, "nowhere."+name)
}

func (m *maker) zoo() {
	for _, text := range []string{"MX 5 " + m.in("Mail"), "MX 10 mail." + outside, "SRV 1 2 443 " + m.in("WWW"), "HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1",
		"SVCB 0 Svc." + outside, `NAPTR 1 2 "u" "E2U+sip" "!^.*$!sip:Info@example.org!" .`, "TLSA 3 1 1 " + strings.Repeat("ab", 32),
		`URI 10 1 "https://example.org/Path"`, "LOC 51 30 12.748 N 0 7 39.612 W 0.00m 0.00m 0.00m 0.00m", `HINFO "Intel" "Linux"`, "RP Who." + m.apex + " txt." + m.apex,
		"PTR Host." + m.apex, `SPF "v=spf1 -all"`, "CERT 1 0 0 AAAA"} {
		if m.yes(50) {
			m.add("zoo", text)
		}
	}
}

// policy gives nodes to names that exist, that do not, that match a wildcard, and that lie below a cut. At an alias a node is refused.
func (m *maker) policy() {
	m.nodes[m.apex] = rule{m.oneOf("letsencrypt", "digicert"), m.oneOf("", nobody)}
	m.nodes[m.in("policy-only")] = rule{"digicert", nobody}
	names := []string{"www", "new", "deep.below.new", "a.b.ent", "p.wild", "x.p.wild", "www.cut", "zoo", "p.q.r"}
	for _, name := range names {
		if m.yes(25) {
			m.nodes[m.in(name)] = rule{m.oneOf("letsencrypt", "digicert", nobody), m.oneOf("", "digicert", nobody)}
		}
	}
}

// yaml is the zone's part of a policy file.
func (z *zone) yaml() string {
	var b strings.Builder
	apex := z.nodes[z.apex]
	fmt.Fprintf(&b, "  %s:\n    issue: %s\n", strings.TrimSuffix(z.apex, "."), list(apex.issue))
	if apex.issuewild != "" {
		fmt.Fprintf(&b, "    issuewild: %s\n", list(apex.issuewild))
	}
	b.WriteString("    names:\n")
	for _, name := range slices.Sorted(maps.Keys(z.nodes)) {
		if name == z.apex {
			continue
		}
		r := z.nodes[name]
		fmt.Fprintf(&b, "      %q: {issue: %s", strings.TrimSuffix(name, "."+z.apex), list(r.issue))
		if r.issuewild != "" {
			fmt.Fprintf(&b, ", issuewild: %s", list(r.issuewild))
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func list(issuer string) string {
	if issuer == nobody {
		return issuer
	}
	return "[" + issuer + "]"
}

// caa are the records of the closest node at or above a name (RFC 8659 3), under our inheritance.
func (z *zone) caa(owner, name string) []dns.RR {
	var r rule
	for above := range dnsname.Up(name) {
		node := z.nodes[above]
		r.issue, r.issuewild = first(r.issue, node.issue), first(r.issuewild, node.issuewild)
	}
	var rrs []dns.RR
	for _, p := range [][2]string{{"issue", r.issue}, {"issuewild", r.issuewild}} {
		if p[1] == "" {
			continue
		}
		value := map[string]string{nobody: ";", "letsencrypt": "letsencrypt.org", "digicert": "digicert.com"}[p[1]]
		rrs = append(rrs, &dns.CAA{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeCAA, Class: dns.ClassINET, Ttl: 3600}, Tag: p[0], Value: value})
	}
	return rrs
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// truth are the zone's data with the policy's CAA written in: at each name that exists, in the data or
// in the policy, except aliases and names at or below cuts.
func (z *zone) truth() []dns.RR {
	out := slices.DeleteFunc(slices.Clone(z.rrs), func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeCAA })
	existing := z.existing()
	types := maps.Clone(z.types)
	for name := range z.known() {
		if existing[name] || z.occluded(name) {
			continue
		}
		// The policy gives the name existence. Where a wildcard matches it, ours goes on to, and so
		// must be written at the name and, since it exists now, below it.
		existing[name] = true
		if source := z.wildcard(name); source != "" {
			existing["*."+name] = true
			for _, rr := range z.rrs {
				if dns.CanonicalName(rr.Header().Name) != source || rr.Header().Rrtype == dns.TypeCAA {
					continue
				}
				for _, owner := range []string{name, "*." + name} {
					copied := dns.Copy(rr)
					copied.Header().Name = owner
					out = append(out, copied)
					types[owner] = append(types[owner], rr.Header().Rrtype)
				}
			}
		}
	}
	for name := range existing {
		_, cut := z.cuts[name]
		if !cut && !z.occluded(name) && !slices.Contains(types[name], dns.TypeCNAME) {
			out = append(out, z.caa(name, name)...)
		}
	}
	return out
}

// existing are the names that the data give existence: owners and the names above them (RFC 8020).
func (z *zone) existing() map[string]bool {
	names := map[string]bool{}
	for owner := range z.types {
		for name := range dnsname.UpTo(owner, z.apex) {
			names[name] = true
		}
	}
	return names
}

// known are the names that the policy gives existence.
func (z *zone) known() map[string]bool {
	names := map[string]bool{z.apex: true}
	for node := range z.nodes {
		for name := range dnsname.UpTo(node, z.apex) {
			names[name] = true
		}
	}
	return names
}

// wildcard is the one that a name matches in the data, or "" (RFC 4592 3.3.1).
func (z *zone) wildcard(name string) string {
	existing := z.existing()
	encloser := name
	for !existing[encloser] {
		encloser = dnsname.Parent(encloser)
	}
	if source := "*." + encloser; z.types[source] != nil {
		return source
	}
	return ""
}

// names are those to ask for: what exists, what the constructs add, and a few that lie below one of these.
func (z *zone) names(random *rand.Rand) []string {
	all := z.existing()
	maps.Copy(all, z.known())
	for _, name := range z.extra {
		all[z.in(name)] = true
	}
	names := slices.Sorted(maps.Keys(all))
	for i, n := 0, len(names); i < 5; i++ {
		if name := names[random.IntN(n)]; len(name) < 200 {
			names = append(names, []string{"nowhere.", "*.", "_443._tcp."}[i%3]+name)
		}
	}
	return append(names, "nowhere."+z.apex)
}

// asked are the types that a zone is asked for at each name: those that are somewhere in it, and some that
// are nowhere.
func (z *zone) asked(random *rand.Rand) []uint16 {
	types := map[uint16]bool{}
	for _, t := range []uint16{dns.TypeA, dns.TypeMX, dns.TypeCAA, dns.TypeNS, dns.TypeSOA, dns.TypeDS, dns.TypeCNAME, 65280} {
		types[t] = true
	}
	rare := []uint16{dns.TypeAAAA, dns.TypeDNSKEY, dns.TypeDNAME, dns.TypeHTTPS, dns.TypeCDS, dns.TypeNSEC3PARAM, dns.TypeTLSA, 999}
	for range 3 {
		types[rare[random.IntN(len(rare))]] = true
	}
	for _, has := range z.types {
		for _, t := range has {
			types[t] = true
		}
	}
	return slices.Sorted(maps.Keys(types))
}

// someAsked are a few of the types at a name: CAA, what is there, and six others. All zones together ask for
// all types at all kinds of names.
func (z *zone) someAsked(random *rand.Rand, name string, types []uint16) []uint16 {
	asked := map[uint16]bool{dns.TypeCAA: true}
	for _, t := range z.types[dns.CanonicalName(name)] {
		asked[t] = true
	}
	for range 6 {
		asked[types[random.IntN(len(types))]] = true
	}
	return slices.Sorted(maps.Keys(asked))
}

// text is records as a zone file.
func text(rrs []dns.RR) string {
	var b strings.Builder
	for _, rr := range rrs {
		b.WriteString(rr.String() + "\n")
	}
	return b.String()
}
