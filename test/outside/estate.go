package outside

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// An estate is what one owner has, small: one to three zones as a registry has them, a handful of zones delegated from them,
// and aliases between all of them. Estates are made from seeds, independently of each other, and many share a root and
// a pool of name servers.

// nameserver is one address of the pool.
type nameserver struct {
	software string // bind, nsd, knot, ours, go (of this package), or none where nobody listens
	addr     netip.AddrPort
	primary  *nameserver // from which it transfers its zones; nil where it has files
	domains  []*domain   // that it serves
}

func (h *nameserver) serves(d *domain) bool { return slices.Contains(h.domains, d) }

// domain is one zone of an estate.
type domain struct {
	name    string
	above   *domain // nil for the root
	signed  bool
	ds      bool // the zone above has its DS
	denial  denial
	lines   []string // of its zone file, but SOA and NS
	shouted []string // owners whose records are in capitals in the zone file

	hosts  []*nameserver // that serve it
	listed []listed
	apexNS []listed // of its own NS RRset; nil where that is the delegation's
	zone   *zone
	stale  *zone // as the last of its hosts has it; nil where that has zone

	fault fault
	// The policy of a zone on our own server: issuers by owner relative to the zone, "" for the apex.
	policy     map[string]string
	policyOnly bool
	key        world.Key
	style      style // of the server of this package
}

// listed is a name server as a delegation lists it.
type listed struct {
	name string
	host *nameserver
}

// style is how the server of this package answers for a zone.
type style struct {
	flattens bool // CAA beside a CNAME: the first for CAA, the second for every other type
	echoes   bool // names in RDATA have the case that the question has
	shouts   bool // owners have the zone's case, capitals, whatever the question has
	minimal  bool // no addresses beside NS records but in a referral
}

// secure reports whether a validator has a chain of trust to the zone.
func (d *domain) secure() bool { return d.above == nil || d.signed && d.ds && d.above.secure() }

// way is the zone and those above it, the root last.
func (d *domain) way() []*domain {
	if d.above == nil {
		return []*domain{d}
	}
	return append([]*domain{d}, d.above.way()...)
}

func (d *domain) ours() bool { return d.policy != nil }

// fault is what is wrong with a zone. The zero value is nothing.
type fault struct {
	what  string
	fails bool     // no resolver that follows the delegation gets an answer
	views bool     // what a resolver gets depends on where it asks, or on what it asked before
	codes []string // of the findings, one of which must be found; nil where none has to be
}

// estateFaults are by what they do to a zone whose name servers are known, and that is not signed yet. They report false where
// they do not fit.
var estateFaults = []struct {
	fault
	do func(g *generator, e *estate, d *domain) bool
}{
	{fault{what: "CAA beside a CNAME", views: true}, func(_ *generator, e *estate, d *domain) bool {
		h := e.pool.general[slices.IndexFunc(e.pool.general, func(h *nameserver) bool { return h.software == "go" })]
		d.hosts, d.listed, d.apexNS = []*nameserver{h}, []listed{{"ns1." + d.name, h}}, nil
		d.denial, d.style.flattens = denial{}, true
		return true
	}},
	{fault{what: "the second server has an old version", views: true}, func(_ *generator, _ *estate, d *domain) bool {
		return len(d.hosts) > 1 && d.hosts[len(d.hosts)-1].primary == nil && slices.Contains(d.lines, caaForbids) != slices.Contains(d.lines, caaPermits)
	}},
	{fault{what: "one address of the delegation is lame", codes: []string{"server-lame"}}, func(_ *generator, e *estate, d *domain) bool {
		d.alsoListed(e.pool.lame)
		return true
	}},
	{fault{what: "every address of the delegation is lame", fails: true}, func(_ *generator, e *estate, d *domain) bool {
		d.hosts, d.apexNS = nil, nil
		d.listed = []listed{{"ns1." + d.name, e.pool.lame}}
		return true
	}},
	{fault{what: "one server of the delegation is the parent's, which does not have the zone", codes: []string{"server-lame"}}, func(_ *generator, _ *estate, d *domain) bool {
		i := slices.IndexFunc(d.above.hosts, func(h *nameserver) bool { return h.software != "root" && !slices.Contains(d.hosts, h) })
		if i < 0 {
			return false
		}
		d.alsoListed(d.above.hosts[i])
		return true
	}},
	{fault{what: "expired signatures", fails: true, codes: []string{"signature-expired"}}, func(_ *generator, _ *estate, d *domain) bool { return d.secure() && !d.ours() }},
	{fault{what: "a DS of another key", fails: true, codes: []string{"ds-without-key"}}, func(_ *generator, _ *estate, d *domain) bool { return d.secure() }},
	{fault{what: "every address of the delegation is dead", fails: true}, func(_ *generator, e *estate, d *domain) bool {
		d.hosts, d.apexNS = nil, nil
		d.listed = []listed{{"ns1." + d.name, e.pool.dead}, {"ns2." + d.name, e.pool.dead}}[:1+len(d.listed)%2]
		return true
	}},
	{fault{what: "every address of the delegation is dead, and a server of the parent has the zone, too", fails: true, views: true}, func(g *generator, e *estate, d *domain) bool {
		if len(d.above.hosts) < 2 {
			return false
		}
		at := pick(g, d.above.hosts...)
		if at.primary != nil {
			return false
		}
		d.hosts = []*nameserver{at}
		if at.software == "go" {
			d.denial = denial{}
		}
		d.listed, d.apexNS = []listed{{"ns1." + d.name, e.pool.dead}}, nil
		if g.IntN(2) == 0 {
			d.apexNS = []listed{{"ns9." + d.name, at}}
		}
		return true
	}},
	{fault{what: "one address of the delegation is dead", codes: []string{"server-unreachable"}}, func(_ *generator, e *estate, d *domain) bool {
		d.alsoListed(e.pool.dead)
		return true
	}},
}

// alsoListed lists one more name server, in the delegation and in the zone: of servers that have both zones nobody learns
// what is in the delegation alone.
func (d *domain) alsoListed(h *nameserver) {
	l := listed{"nsx." + d.name, h}
	d.listed = append(slices.Clone(d.listed), l)
	if d.apexNS != nil {
		d.apexNS = append(slices.Clone(d.apexNS), l)
	}
}

const (
	caaPermits = `@ CAA 0 issue "ca.example"`
	caaForbids = `@ CAA 0 issue "other.example"`
)

// pool are the servers that estates are spread over.
type pool struct {
	root       *domain
	general    []*nameserver // of every make, for any zone
	ours       *nameserver
	dead, lame *nameserver
}

// estate is one of them.
type estate struct {
	seed    uint64
	pool    *pool
	domains []*domain
	infra   *domain // in which name servers of other zones have their addresses
	fault   *domain // with something wrong, or nil
	ask     []asked
}

// asked is one name to ask for, as in a certificate.
type asked struct {
	name     string
	wildcard bool
}

func (a asked) String() string {
	if a.wildcard {
		return "*." + a.name
	}
	return a.name
}

// newEstate makes an estate from its seed and puts it on the servers of the pool. n keeps its names apart from those of
// others.
func newEstate(t testing.TB, p *pool, keys ring, seed uint64, n int) *estate {
	t.Helper()
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1)), keys: keys, now: time.Now()}
	e := &estate{seed: seed, pool: p}
	for i := range 1 + g.IntN(3) {
		e.add(g, p.root, fmt.Sprintf("t%d%c.", n, 'a'+i))
	}
	parents := slices.Clone(e.domains)
	for i := range 3 + g.IntN(3) {
		above := pick(g, parents...)
		label := fmt.Sprintf("c%d.", i)
		if g.IntN(6) == 0 && !above.denial.optOut { // NSD 4.6 and unbound 1.17 disagree about those of an opted-out delegation
			label = fmt.Sprintf("c%d.deep.er.", i) // empty non-terminals in the zone above
		}
		d := e.add(g, above, label+above.name)
		if e.infra == nil {
			e.infra = d
		}
		if !d.ours() && g.IntN(4) == 0 {
			e.add(g, d, "sub."+d.name)
		}
	}
	for _, d := range e.domains {
		e.records(g, d)
	}
	e.name(g)
	if seed%3 == 2 {
		e.breakOne(g, int(seed/3))
	}
	e.build(t, g)
	e.choose(g)
	return e
}

// add chooses a zone's servers and keys.
func (e *estate) add(g *generator, above *domain, name string) *domain {
	d := &domain{name: name, above: above}
	e.domains = append(e.domains, d)
	first, parent := e.infra == nil && above.above != nil, above.above == nil
	switch security := g.IntN(8); {
	case security < 5 || first:
		d.signed, d.ds = true, true
	case security == 5:
		d.signed = true
	}
	if g.IntN(2) == 0 {
		d.denial = denial{nsec3: true, optOut: g.IntN(3) == 0, iterations: pick[uint16](g, 0, 0, 1, 5), salt: pick(g, "", "", "abcd")}
	}
	switch {
	case !parent && !first && g.IntN(8) == 0:
		d.hosts = []*nameserver{e.pool.ours}
		d.signed = true
		d.policy = map[string]string{"": pick(g, "[ca]", "[ca]", "none", "[other]"), "www": pick(g, "[ca]", "[other]")}
		d.policyOnly = g.IntN(3) == 0
		return d
	case !parent && g.IntN(5) < 2: // as providers do who serve what they register
		d.hosts = some(g, above.hosts)
	default:
		d.hosts = some(g, e.pool.general)
	}
	if slices.ContainsFunc(d.hosts, func(h *nameserver) bool { return h.software == "go" }) {
		d.denial = denial{} // it knows no other
		d.style = style{echoes: g.IntN(2) == 0, shouts: g.IntN(3) == 0, minimal: g.IntN(3) == 0}
	}
	return d
}

// some are one or two of some hosts.
func some(g *generator, hosts []*nameserver) []*nameserver {
	i := g.IntN(len(hosts))
	out := []*nameserver{hosts[i]}
	if len(hosts) > 1 && g.IntN(2) == 0 {
		out = append(out, hosts[(i+1+g.IntN(len(hosts)-1))%len(hosts)])
	}
	for _, h := range out {
		if h.primary != nil {
			return []*nameserver{h.primary, h}
		}
	}
	return out
}

// name names the servers: in the zone itself, with glue, or in another one.
func (e *estate) name(g *generator) {
	for _, h := range append(slices.Clone(e.pool.general), e.pool.ours) {
		e.infra.lines = append(e.infra.lines, fmt.Sprintf("%s A %s", label(h), h.addr.Addr()))
	}
	for _, d := range e.domains {
		elsewhere := d != e.infra && !slices.Contains(e.infra.way(), d) && !d.policyOnly && g.IntN(4) == 0
		for i, h := range d.hosts {
			name := fmt.Sprintf("ns%d.%s", i+1, d.name)
			if elsewhere {
				name = label(h) + "." + e.infra.name
			}
			d.listed = append(d.listed, listed{name, h})
		}
		if len(d.listed) > 1 && !d.ours() && g.IntN(6) == 0 { // the registry and the zone name other servers
			if g.IntN(2) == 0 {
				d.apexNS, d.listed = d.listed, d.listed[:1]
			} else {
				d.apexNS = d.listed[1:]
			}
		}
	}
}

// label names a host in the zone that has the addresses of others' name servers.
func label(h *nameserver) string {
	return "h-" + h.software + "-" + strings.ReplaceAll(h.addr.Addr().String(), ".", "-")
}

// breakOne does to one zone what happens to zones: the n-th fault or, where that does not fit, one after it.
func (e *estate) breakOne(g *generator, n int) {
	d := pick(g, e.domains...)
	for slices.Contains(e.infra.way(), d) {
		d = pick(g, e.domains...)
	}
	for range estateFaults {
		f := estateFaults[n%len(estateFaults)]
		n++
		if d.ours() && f.views || d.above.above == nil && (f.fails || f.views) || !f.do(g, e, d) {
			continue
		}
		d.fault, e.fault = f.fault, d
		return
	}
}

// owners of what a zone of an estate has, and does not have. What follows "x." is a wildcard's or a DNAME's parent.
var (
	estateOwners  = []string{"", "www.", "host.", "none.", "zero.", "al1.", "al2.", "al3.", "up.", "x.tree.", "www.tree.", "x.wild.", "x.y.wild.", "x.walias.", "x.wcaa.", "big.", "b.c.", "a.b.c.", "x.y.none."}
	plainOwners   = []string{"", "www.", "host.", "none.", "al1.", "al2.", "al3.", "up."} // what is at them does not depend on the server
	aliasedOwners = []string{"al1.", "al2.", "al3.", "up.", "x.tree.", "www.tree.", "x.walias."}
)

// target is where an alias leads: anywhere in the estate, into nothing, or out of it.
func (e *estate) target(g *generator, d *domain) string {
	switch g.IntN(12) {
	case 0:
		return d.name
	case 1:
		return "gone.nowhere."
	case 2:
		return "not.there." + strings.TrimPrefix(d.above.name, ".")
	}
	other := pick(g, e.domains...)
	if other.ours() {
		return pick(g, plainOwners...) + other.name
	}
	return pick(g, estateOwners...) + other.name
}

// records are a zone's content.
func (e *estate) records(g *generator, d *domain) {
	add := func(format string, args ...any) { d.lines = append(d.lines, fmt.Sprintf(format, args...)) }
	caa := func(owner string) {
		if d.ours() { // whose policy says it
			return
		}
		for range pick(g, 1, 1, 1, 2) {
			add(`%s CAA 0 %s`, owner, pick(g, `issue "ca.example"`, `issue "ca.example"`, `issue "ca.example"`, `issue "other.example"`, `issue ";"`, `issuewild "ca.example"`, `issuewild ";"`, `iodef "https://report.example/"`))
		}
		slices.Sort(d.lines)
		d.lines = slices.Compact(d.lines)
	}
	if d.policyOnly {
		return // every name of it has CAA, and nothing else
	}
	apex := g.IntN(8)
	switch {
	case d.ours(), d.above.above == nil && apex < 5, apex == 0:
	case apex < 6:
		add(caaPermits)
	case apex == 6:
		add(caaForbids)
	default:
		caa("@")
	}
	if d.above.above == nil && g.IntN(3) > 0 {
		return // a registry, with delegations alone
	}
	add("host A 192.0.2.1")
	add("host AAAA 2001:db8::1")
	if g.IntN(3) > 0 {
		add("www A 192.0.2.2")
		if g.IntN(3) == 0 {
			caa("www")
		}
	}
	if g.IntN(2) == 0 {
		add("a.b.c TXT deep")
		if g.IntN(2) == 0 {
			caa("b.c")
		}
	}
	if g.IntN(3) == 0 {
		add("zero 0 A 192.0.2.3")
		if !d.ours() {
			add(`zero 0 CAA 0 issue "%s"`, pick(g, "ca.example", ";"))
		}
	}
	for _, owner := range []string{"al1", "al2", "al3"} {
		if g.IntN(4) > 0 {
			add("%s CNAME %s", owner, e.target(g, d))
		}
	}
	if g.IntN(3) == 0 {
		add("up CNAME %s", d.name)
	}
	if g.IntN(2) == 0 {
		if to := e.target(g, d); !dns.IsSubDomain("tree."+d.name, to) {
			add("tree DNAME %s", to)
		}
	}
	if g.IntN(2) == 0 {
		add("*.wild A 192.0.2.4")
	}
	if g.IntN(2) == 0 {
		add("*.walias CNAME %s", e.target(g, d))
	}
	if g.IntN(3) == 0 {
		caa("*.wcaa")
	}
	if g.IntN(8) == 0 && !d.ours() { // too long for a datagram
		for i := range 40 {
			add(`big CAA 0 issue "number-%d.of-many.issuers.example"`, i)
		}
		add(`big CAA 0 issue "ca.example"`)
	}
	switch star := g.IntN(10); {
	case d.ours(): // a policy for www is refused where www is an alias
	case star == 0:
		add("* A 192.0.2.5")
	case star == 1:
		add("* CNAME %s", e.target(g, d))
	}
	for _, owner := range []string{"", "host.", "www.", "al1.", "al2.", "*.walias."} {
		if g.IntN(4) == 0 {
			d.shouted = append(d.shouted, owner+d.name)
		}
	}
}

// build makes the zones, the lowest first, and puts them on their servers.
func (e *estate) build(t testing.TB, g *generator) {
	t.Helper()
	if d := e.fault; d != nil && d.style.flattens {
		for _, owner := range []string{"www", "flat"} {
			d.lines = slices.DeleteFunc(d.lines, func(line string) bool { return strings.HasPrefix(line, owner+" ") })
			d.lines = append(d.lines, fmt.Sprintf(`%s CAA 0 issue "%s"`, owner, pick(g, "ca.example", "other.example")), owner+" CNAME "+e.target(g, d))
		}
	}
	for _, d := range slices.Backward(e.domains) {
		if d.ours() {
			d.zone = newZone(d.name) // which the server makes; the model reads it
			d.fill(d.zone, d.lines, 1)
			d.key = world.NewKey(t, d.name)
			ds, err := dns.NewRR(d.key.DS)
			if err != nil {
				t.Fatal(err)
			}
			d.zone.ds = []*dns.DS{ds.(*dns.DS)}
			if d.fault.what == "a DS of another key" {
				d.zone.ds = []*dns.DS{g.keys.key(d.name, dns.ECDSAP256SHA256, 257, 2).ToDS(dns.SHA256)}
			}
			d.publish(d.zone)
			continue
		}
		algorithm := pick[uint8](g, dns.ECDSAP256SHA256, dns.ECDSAP256SHA256, dns.ED25519, dns.RSASHA256)
		d.zone = d.make(g, algorithm, d.lines, 2)
		if strings.HasPrefix(d.fault.what, "the second server") {
			old := slices.Clone(d.lines)
			for i, line := range old {
				old[i] = map[string]string{caaPermits: caaForbids, caaForbids: caaPermits}[line]
				if old[i] == "" {
					old[i] = line
				}
			}
			d.stale = d.make(g, algorithm, old, 1)
		}
		d.publish(d.zone)
	}
	for _, d := range e.domains {
		for _, h := range d.hosts {
			h.domains = append(h.domains, d)
		}
	}
}

// make builds and signs a version of the zone. lines already has the delegations of its children.
func (d *domain) make(g *generator, algorithm uint8, lines []string, serial int) *zone {
	z := newZone(d.name)
	d.fill(z, lines, serial)
	if d.signed {
		z.denial = d.denial
		z.ksk = g.keys.key(d.name, algorithm, 257, 0)
		z.zsk = z.ksk
		if g.IntN(2) == 0 {
			z.zsk = g.keys.key(d.name, algorithm, 256, 1)
		}
		z.ds = []*dns.DS{z.ksk.ToDS(dns.SHA256)}
		if d.fault.what == "a DS of another key" {
			z.ds = []*dns.DS{g.keys.key(d.name, algorithm, 257, 2).ToDS(dns.SHA256)}
		}
		z.sign(g.period())
		if d.fault.what == "expired signatures" {
			z.resignAll(g.now.Add(-48*time.Hour), g.now.Add(-25*time.Hour))
		}
	}
	return z
}

func (d *domain) fill(z *zone, lines []string, serial int) {
	z.add("@ SOA ns1 hostmaster %d 7200 3600 1209600 60", serial)
	own, others := d.listed, d.apexNS
	if d.apexNS != nil {
		own, others = d.apexNS, d.listed
	}
	for _, l := range own {
		z.add("@ NS %s", l.name)
	}
	for i, l := range slices.Concat(own, others) {
		if dns.IsSubDomain(d.name, l.name) && (i < len(own) || !slices.Contains(own, l)) {
			z.add("%s %s", l.name, addressOf(l.host.addr))
		}
	}
	z.add("%s", strings.Join(lines, "\n"))
}

// publish writes the delegation into the zone above.
func (d *domain) publish(z *zone) {
	for _, l := range d.listed {
		d.above.lines = append(d.above.lines, fmt.Sprintf("%s NS %s", d.name, l.name))
		if dns.IsSubDomain(d.name, l.name) {
			d.above.lines = append(d.above.lines, fmt.Sprintf("%s %s", l.name, addressOf(l.host.addr)))
		}
	}
	if !d.ds || !d.above.signed {
		return
	}
	for _, ds := range z.ds {
		d.above.lines = append(d.above.lines, fmt.Sprintf("%s 300 IN DS %d %d %d %s", d.name, ds.KeyTag, ds.Algorithm, ds.DigestType, ds.Digest))
	}
}

// file is a version of the zone as its servers read it, with some records in capitals.
func (d *domain) file(z *zone) string {
	var out strings.Builder
	for line := range strings.Lines(z.text()) {
		fields := strings.Fields(line)
		if slices.Contains(d.shouted, fields[0]) {
			if fields[3] == "CNAME" {
				line = strings.ToUpper(line)
			} else {
				line = strings.ToUpper(fields[0]) + strings.TrimPrefix(line, fields[0])
			}
		}
		out.WriteString(line)
	}
	return out.String()
}

// namesOfAnEstate is how many names are asked for in one.
const namesOfAnEstate = 12

// choose chooses names to ask for: of each zone some, and rather aliases.
func (e *estate) choose(g *generator) {
	var all []asked
	for _, d := range e.domains {
		for _, owner := range estateOwners {
			if dns.CountLabel(owner+d.name) < 2 {
				continue // a top-level domain
			}
			all = append(all, asked{owner + d.name, g.IntN(6) == 0})
		}
		if d == e.fault {
			e.ask = append(e.ask, asked{"host." + d.name, false})
			if d.style.flattens {
				e.ask = append(e.ask, asked{"www." + d.name, false}, asked{"flat." + d.name, false})
			}
		}
	}
	for len(e.ask) < namesOfAnEstate {
		a := pick(g, all...)
		first, rest, _ := strings.Cut(a.name, ".")
		aliased := slices.ContainsFunc(aliasedOwners, func(owner string) bool { return strings.HasPrefix(a.name, owner) && first+"."+rest == a.name })
		if !slices.Contains(e.ask, a) && (aliased || g.IntN(3) == 0) {
			e.ask = append(e.ask, a)
		}
	}
}
