package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/yamlpos"
)

// defaultTTL is that of CAA RRsets: short compared with the 8 hours for which a CA may rely on an answer
// (BR 4.2.2.1), long enough to be cached through one issuance.
const defaultTTL = 3600

// compiler turns a syntax tree into a Snapshot, gathering everything that is wrong.
type compiler struct {
	reader
	snap      *Snapshot
	root      *spec // what every zone inherits: report and ttl of the file
	issuers   map[string]*Issuer
	used      map[*Issuer]bool // listed in some grant
	fallback  *spec
	challenge []challengeUse
	interned  map[[sha256.Size]byte]issuance.RRset // by digest: equal sets are one, for most nodes of a large policy say the same
	key       []byte                               // of the set that is looked for there
	guesses   int                                  // how often it was looked for what somebody meant

	known     []string                    // the keys of issuers, made when a message needs them
	domains   map[string]*Issuer          // by Issuer Domain Name, made when a message needs them
	members   map[*string]map[string]bool // of long lists, by their first entry
	values    map[valuesOf][]string       // what issuers emit that no grant narrows
	addressed map[*Zone]map[string]bool   // the servers that a zone has addresses of
	published tally                       // octets of CAA records
	issuances tally                       // required
	proofs    tally                       // of those
	proved    map[provedAt]bool           // the proofs that are counted
}

// provedAt is what a certificate requires of an RRset. Equal RRsets are one.
type provedAt struct {
	rrset *issuance.Property
	Certificate
}

// valuesOf is an issuer where its accounts and methods bind, or where they do not.
type valuesOf struct {
	issuer *Issuer
	bound  bool
}

type challengeUse struct {
	target string
	pos    Position
}

// sections are the values of the file's top keys, in any order.
type sections struct {
	version, ttl, report, issuers, fallback, zones, certificates, removed *yamlpos.Node

	fallbackKey *yamlpos.Node
}

var policyRows = map[string]row[sections]{
	"version":      func(_ *compiler, s *sections, _, v *yamlpos.Node) { s.version = v },
	"ttl":          func(_ *compiler, s *sections, _, v *yamlpos.Node) { s.ttl = v },
	"report":       func(_ *compiler, s *sections, _, v *yamlpos.Node) { s.report = v },
	"issuers":      func(_ *compiler, s *sections, _, v *yamlpos.Node) { s.issuers = v },
	"default":      func(_ *compiler, s *sections, key, v *yamlpos.Node) { s.fallbackKey, s.fallback = key, v },
	"zones":        func(c *compiler, s *sections, key, v *yamlpos.Node) { c.snap.ZonesPos, s.zones = c.pos(key), v },
	"certificates": func(_ *compiler, s *sections, _, v *yamlpos.Node) { s.certificates = v },
	"removed":      func(_ *compiler, s *sections, _, v *yamlpos.Node) { s.removed = v },

	"activate":     reserved,
	"experimental": reserved,
}

// reservedKeys are those of policyRows that are for a later version of the language.
var reservedKeys = []string{"activate", "experimental"}

// reserved refuses a key that is for a later version of the language.
func reserved(c *compiler, _ *sections, key, _ *yamlpos.Node) {
	c.wrong(key, "%s is reserved for a later version of the language, and is not in this version yet; remove it", key.Value)
}

// Compile checks a policy and builds its Snapshot. The error is an ErrorList.
func Compile(f *File) (*Snapshot, error) {
	c := &compiler{reader: newReader(f), issuers: map[string]*Issuer{}, used: map[*Issuer]bool{}, interned: map[[sha256.Size]byte]issuance.RRset{},
		members: map[*string]map[string]bool{}, values: map[valuesOf][]string{}, addressed: map[*Zone]map[string]bool{},
		published: tally{limitPublished, f.tree.Size, 0}, issuances: tally{limitIssuances, f.tree.Size, 0}, proofs: tally{limitProofs, f.tree.Size, 0}, proved: map[provedAt]bool{},
		snap: &Snapshot{File: f.tree.Name, ZonesPos: f.pos(f.tree.Root), zones: map[string]*Zone{}}, root: &spec{owner: "the file", pos: f.pos(f.tree.Root)}}
	var s sections
	fields(c, f.tree.Root, "the policy", policyRows, &s)
	c.checkSections(&s)
	if !c.checkNames(&s) {
		return nil, c.Err()
	}
	for _, section := range []struct {
		node *yamlpos.Node
		read func(*yamlpos.Node)
	}{{s.version, c.readVersion}, {s.ttl, c.readTTL}, {s.report, c.readRootReport}, {s.issuers, c.readIssuers}, {s.fallback, func(v *yamlpos.Node) { c.readDefault(s.fallbackKey, v) }}, {s.zones, c.readZones}, {s.certificates, c.readCertificates}, {s.removed, c.readRemoved}} {
		if section.node != nil {
			section.read(section.node)
		}
	}
	c.checkNameservers()
	c.checkChallenges()
	c.checkUse()
	if err := cmp.Or(c.work.Err(), c.Err()); err != nil {
		return nil, err
	}
	c.digest()
	c.snap.Notes = c.notes
	return c.snap, nil
}

func (c *compiler) checkSections(s *sections) {
	if c.tree.Root.Kind != yamlpos.Mapping {
		return
	}
	if s.version == nil {
		c.wrong(c.tree.Root, "the version is missing; write version: 1 at the top")
	}
	if s.zones == nil && s.fallback == nil {
		c.wrong(c.tree.Root, "the policy has neither zones nor default; write one of them")
	}
}

// checkNames refuses more zones and names than there may be, before anything is made of them.
func (c *compiler) checkNames(s *sections) bool {
	if s.zones == nil || s.zones.Kind != yamlpos.Mapping {
		return true
	}
	n := s.zones.Len()
	for _, zone := range s.zones.Pairs() {
		for key, value := range zone.Pairs() {
			if key.Value == "names" && value.Kind == yamlpos.Mapping {
				n += value.Len()
			}
		}
	}
	if n > MaxNames {
		c.wrong(s.zones, "%s", limitNames.over(c.tree.Size))
	}
	return n <= MaxNames
}

func (c *compiler) readVersion(n *yamlpos.Node) {
	switch {
	case n.Value == "1" && n.Type == yamlpos.Int:
	case n.Value == "1" && isText(n):
		c.wrong(n, "version must be a number, not the text \"1\"; write version: 1, without quotes")
	default:
		c.wrong(n, "version %s is unknown; write version: 1", kind(n))
	}
}

func (c *compiler) readTTL(n *yamlpos.Node) { c.root.ttl = new(c.reader.ttl(n)) }

func (c *compiler) readRootReport(n *yamlpos.Node) { c.root.report = c.readReport(n, "report") }

// issuerEntry is an entry of `issuers` while it is read.
type issuerEntry struct {
	*Issuer
	domain *yamlpos.Node
}

var issuerRows = map[string]row[issuerEntry]{
	"domain": func(c *compiler, e *issuerEntry, _, v *yamlpos.Node) {
		e.domain, e.DomainPos, e.Domain = v, c.pos(v), c.text(v, "domain")
	},
	"accounts": func(c *compiler, e *issuerEntry, _, v *yamlpos.Node) {
		e.Accounts, e.AccountPos = c.texts(v, "accounts", account), c.positions(v)
	},
	"methods": func(c *compiler, e *issuerEntry, _, v *yamlpos.Node) {
		e.Methods, e.MethodPos = c.texts(v, "methods", method), c.positions(v)
	},
	"unlisted": func(c *compiler, e *issuerEntry, _, v *yamlpos.Node) { e.Unlisted = c.truth(v, "unlisted") },
}

func (c *compiler) readIssuers(n *yamlpos.Node) {
	c.pairs(n, "issuers", func(key, v *yamlpos.Node) {
		e := issuerEntry{Issuer: &Issuer{Key: key.Value, Pos: c.pos(key)}}
		if key.Value == "none" || key.Value == "any" {
			c.wrong(key, "an issuer cannot have the key %s, which has its own meaning in issue; write another key", key.Value)
		}
		fields(c, v, "the issuer "+yamlpos.Shorten(key.Value), issuerRows, &e)
		if e.domain == nil && v.Kind == yamlpos.Mapping {
			c.wrong(key, "the issuer %s has no domain; write its Issuer Domain Name, such as domain: letsencrypt.org", yamlpos.Shorten(key.Value))
		}
		if !isIssuerDomain(e.Domain) {
			c.wrong(e.domain, "%q cannot be an Issuer Domain Name (RFC 8659 4.2); write one such as letsencrypt.org", yamlpos.Shorten(e.Domain))
		}
		c.issuers[key.Value] = e.Issuer
		c.snap.Issuers = append(c.snap.Issuers, e.Issuer)
	})
}

// isIssuerDomain lets a last dot pass: the guard knows better what is wrong with it.
func isIssuerDomain(s string) bool {
	exact := strings.TrimSuffix(s, ".")
	v, err := issuance.ParseIssueValue(exact)
	return s == "" || exact != "" && err == nil && v.Domain == exact
}

// issuer resolves a key of `issuers`. Whatever a key looks like, it is a text.
func (c *compiler) issuer(n *yamlpos.Node) *Issuer {
	key := c.text(n, "an issuer")
	if key == "" {
		return nil
	}
	if issuer := c.issuers[key]; issuer != nil {
		return issuer
	}
	if (key == "none" || key == "any") && len(c.snap.Issuers) > 0 {
		c.wrong(n, "%[1]s is not an issuer in a list; write %[1]s without the brackets", key)
		return nil
	}
	if of := c.issuerOf(key); of != nil {
		c.wrong(n, "%s is the domain of the issuer %s (%v), which is named by its key; write %s", yamlpos.Shorten(key), yamlpos.Shorten(of.Key), of.Pos, yamlpos.Shorten(of.Key))
		return nil
	}
	if c.known == nil {
		for _, issuer := range c.snap.Issuers {
			c.known = append(c.known, issuer.Key)
		}
	}
	c.wrong(n, "the issuer %q is not declared under issuers%s", yamlpos.Shorten(key), c.meant(key, c.known))
	return nil
}

// issuerOf returns the first issuer with an Issuer Domain Name, nil where there is none.
func (c *compiler) issuerOf(domain string) *Issuer {
	if c.domains == nil {
		c.domains = make(map[string]*Issuer, len(c.snap.Issuers))
		for _, issuer := range slices.Backward(c.snap.Issuers) {
			c.domains[issuerKey(issuer.Domain)] = issuer
		}
		delete(c.domains, "")
	}
	return c.domains[issuerKey(domain)]
}

func issuerKey(domain string) string { return strings.ToLower(strings.TrimSuffix(domain, ".")) }

func (c *compiler) readDefault(key, v *yamlpos.Node) {
	own := c.readSpec(v, "default", "default", c.pos(key))
	c.fallback = own.over(c.root)
	c.checkOpen(c.fallback, c.root)
	c.checkCritical(c.fallback, own.critical)
	c.snap.fallback = c.newNode("", c.fallback)
}

// zoneSpec is a zone of the file: the keys of each node, and those that only a zone has.
type zoneSpec struct {
	spec
	zone  *Zone
	names *yamlpos.Node
}

var zoneRows = func() map[string]row[zoneSpec] {
	rows := map[string]row[zoneSpec]{
		"nameservers": func(c *compiler, z *zoneSpec, _, v *yamlpos.Node) {
			z.zone.Nameservers = c.readNameservers(v, z.zone.Name)
		},
		"names": func(_ *compiler, z *zoneSpec, _, v *yamlpos.Node) { z.names = v },
	}
	for key, read := range specRows {
		rows[key] = func(c *compiler, z *zoneSpec, key, v *yamlpos.Node) { read(c, &z.spec, key, v) }
	}
	return rows
}()

// readZones reads all zones before it compiles the first, so that each knows the others.
func (c *compiler) readZones(n *yamlpos.Node) {
	var all []*zoneSpec
	c.pairs(n, "zones", func(key, v *yamlpos.Node) {
		name, ok := c.domain(key, key.Value, "the zone")
		if !ok {
			return
		}
		if first := c.snap.zones[name]; first != nil {
			c.wrong(key, "the zone %s is listed twice, first in line %d; remove one", dnsname.Bare(name), first.Pos.Line)
			return
		}
		z := &zoneSpec{zone: &Zone{Name: name, Pos: c.pos(key)}, spec: spec{owner: name, pos: c.pos(key)}}
		fields(c, v, "the zone "+key.Value, zoneRows, z)
		c.snap.zones[name] = z.zone
		c.snap.Zones = append(c.snap.Zones, z.zone)
		if v.Kind == yamlpos.Mapping {
			all = append(all, z)
		}
	})
	for _, z := range all {
		if c.mayEmit(1) {
			c.compileZone(z)
		}
	}
	slices.SortFunc(c.snap.Zones, func(a, b *Zone) int { return cmp.Compare(a.Name, b.Name) })
}

// nameEntry is an entry of `names`.
type nameEntry struct {
	name       string
	key, value *yamlpos.Node
}

// compileZone makes the zone's nodes, each from its own keys over those of the node above it.
func (c *compiler) compileZone(z *zoneSpec) {
	base := c.root
	if c.fallback != nil {
		base = c.fallback
	}
	apex := z.spec.over(base)
	z.zone.apex = c.node(z.zone, z.zone.Name, &z.spec, apex, base)
	if z.names == nil {
		return
	}
	var names []nameEntry
	c.pairs(z.names, "names", func(key, v *yamlpos.Node) {
		if name, ok := c.nodeName(z.zone, key); ok {
			names = append(names, nameEntry{name, key, v})
		}
	})
	// A parent has fewer labels than its children, so it is made before them.
	slices.SortStableFunc(names, func(a, b nameEntry) int { return cmp.Compare(dns.CountLabel(a.name), dns.CountLabel(b.name)) })
	z.zone.nodes = make(map[string]*Node, len(names)+1)
	z.zone.nodes[z.zone.Name] = z.zone.apex
	specs := make(map[string]*spec, len(names)+1)
	specs[z.zone.Name] = apex
	for _, one := range names {
		if !c.mayEmit(1) {
			return
		}
		if first := z.zone.nodes[one.name]; first != nil {
			c.wrong(one.key, "the name %s is listed twice, first in line %d; remove one", yamlpos.Shorten(one.key.Value), first.Pos.Line)
			continue
		}
		above := specs[z.zone.Closest(one.name).Name]
		own := c.readSpec(one.value, "the name "+one.key.Value, one.name, c.pos(one.key))
		merged := own.over(above)
		specs[one.name] = merged
		z.zone.nodes[one.name] = c.node(z.zone, one.name, own, merged, above)
	}
	for _, one := range names {
		if _, ok := z.zone.Alias(one.name); ok {
			c.wrong(one.key, "%s is an alias by challenge, so it can never answer CAA (RFC 1034 3.6.2); remove the node", dnsname.Bare(one.name))
		}
	}
}

func (c *compiler) nodeName(z *Zone, key *yamlpos.Node) (string, bool) {
	text := key.Value
	if text == "*" || strings.HasPrefix(text, "*.") {
		base := strings.TrimPrefix(strings.TrimPrefix(text, "*"), ".")
		where := fmt.Sprintf("at %q", yamlpos.Shorten(base))
		if base == "" {
			where = "at the zone itself"
		}
		c.wrong(key, "no CA asks for CAA at %s: for a wildcard it asks at the name without the `*.` (RFC 8659 3); write issuewild %s", yamlpos.Shorten(text), where)
		return "", false
	}
	if text == "@" || text == "." {
		c.wrong(key, "%s is the zone itself; write its keys directly under the zone", text)
		return "", false
	}
	relative, ok := c.domain(key, text, "the name")
	if !ok {
		return "", false
	}
	if relative == z.Name {
		c.wrong(key, "names are relative to their zone, and %s is the zone itself; write its keys directly under the zone", text)
		return "", false
	}
	if z.Name != "." && strings.HasSuffix(relative, "."+z.Name) {
		c.wrong(key, "names are relative to their zone, and %s would be %s.%s; write %q", text, dnsname.Bare(relative), dnsname.Bare(z.Name), strings.TrimSuffix(relative, "."+z.Name))
		return "", false
	}
	full := dnsname.Join(relative, z.Name)
	if !dnsname.Valid(full) {
		c.wrong(key, "the name %s is too long in the zone %s; write one that has at most 253 octets with the zone", yamlpos.Shorten(text), dnsname.Bare(z.Name))
		return "", false
	}
	if other := c.snap.Covering(full); other != nil && other != z {
		c.wrong(key, "%s is in the zone %s, which the file lists in line %d; move the name there", dnsname.Bare(full), dnsname.Bare(other.Name), other.Pos.Line)
		return "", false
	}
	return full, true
}

// node makes one node of a zone, from its own keys, and from those with its parent's.
func (c *compiler) node(z *Zone, name string, own, merged, parent *spec) *Node {
	c.checkOpen(merged, parent)
	c.checkCritical(merged, own.critical)
	node := c.newNode(name, merged)
	node.Zone = z
	switch alias := merged.challenge; {
	case alias == nil || alias.template == "":
	case z.PolicyOnly():
		node.Challenge = alias.template
		c.challenge = append(c.challenge, challengeUse{alias.template, alias.pos})
	case alias.owner == name:
		c.Add(alias.pos, "challenge needs a zone with nameservers, and in %s the next plugin has the names; write nameservers, or remove challenge", dnsname.Bare(z.Name))
	}
	return node
}

func (c *compiler) newNode(name string, s *spec) *Node {
	set := s.emit()
	c.work.Take(len(set.rrset))
	if c.publish(set.octets, s.pos); !set.interned {
		set.rrset, set.interned = c.intern(set.rrset), true
	}
	node := &Node{Name: name, TTL: defaultTTL, Pos: s.pos, RRset: set.rrset, Sources: set.sources}
	if s.ttl != nil {
		node.TTL = *s.ttl
	}
	return node
}

// intern returns the one set that is equal to this one, order included.
func (c *compiler) intern(rrset issuance.RRset) issuance.RRset {
	c.key = c.key[:0]
	for _, p := range rrset {
		c.key = fmt.Appendf(c.key, "%d %s %d %s", p.Flags, p.Tag, len(p.Value), p.Value)
	}
	digest := sha256.Sum256(c.key)
	if known, ok := c.interned[digest]; ok {
		return known
	}
	c.interned[digest] = rrset
	return rrset
}

// publish counts what is emitted, and reports whether there may be that much.
func (c *compiler) publish(octets int, pos Position) bool {
	c.count(&c.published, octets, pos)
	return c.published.within()
}

// mayEmit takes steps and reports whether more records may be made.
func (c *compiler) mayEmit(steps int) bool { return c.work.Take(steps) && c.published.within() }

// has reports whether a list holds an entry. A long one is looked at once.
func (c *compiler) has(list []string, entry string) bool {
	if len(list) <= fewValues {
		return slices.Contains(list, entry)
	}
	known := c.members[&list[0]]
	if known == nil {
		known = make(map[string]bool, len(list))
		for _, one := range list {
			known[one] = true
		}
		c.members[&list[0]] = known
	}
	return known[entry]
}

var nameserverRows = map[string]row[Nameserver]{
	"name":      func(c *compiler, ns *Nameserver, _, v *yamlpos.Node) { ns.Name, _ = c.name(v, "the name server") },
	"addresses": func(c *compiler, ns *Nameserver, _, v *yamlpos.Node) { ns.Addresses = c.readAddresses(v) },
}

func (c *compiler) readAddresses(v *yamlpos.Node) []netip.Addr {
	var out []netip.Addr
	var seen distinct[netip.Addr]
	for item := range c.list(v, "addresses") {
		addr, err := netip.ParseAddr(item.Value)
		switch {
		case err != nil || addr.Zone() != "" || addr.Is4In6() || !isText(item):
			c.wrong(item, "%s is not an IP address; write one such as 192.0.2.1 or 2001:db8::1", kind(item))
		case !seen.add(addr):
			c.wrong(item, "%s is listed twice in addresses; remove one", addr)
		}
		out = append(out, addr)
	}
	if v.Kind == yamlpos.Sequence && v.Len() == 0 {
		c.wrong(v, "addresses is an empty list; list an entry, or leave the key out")
	}
	return out
}

func (c *compiler) readNameservers(n *yamlpos.Node, zone string) []Nameserver {
	var out []Nameserver
	var seen distinct[string]
	for item := range c.list(n, "nameservers") {
		ns := Nameserver{Pos: c.pos(item)}
		if !fields(c, item, "a name server", nameserverRows, &ns) {
			continue
		}
		inside := dns.IsSubDomain(zone, ns.Name)
		switch {
		case ns.Name == "":
			c.wrong(item, "a name server has no name; write {name: NAME}")
		case inside && len(ns.Addresses) == 0:
			c.wrong(item, "%s is in the zone, and no other server has its addresses; add addresses", dnsname.Bare(ns.Name))
		case !inside && len(ns.Addresses) > 0:
			c.wrong(item, "%s is not in the zone, so the zone cannot answer its addresses; remove them", dnsname.Bare(ns.Name))
		case strings.HasPrefix(ns.Name, acmeLabel):
			c.wrong(item, "a name server cannot have the name %s, which challenges use; write another name", dnsname.Bare(ns.Name))
		case !seen.add(ns.Name):
			c.wrong(item, "the name server %s is listed twice; remove one", dnsname.Bare(ns.Name))
		}
		out = append(out, ns)
	}
	if n.Kind == yamlpos.Sequence && n.Len() == 0 {
		c.wrong(n, "nameservers is an empty list; leave it out if the next plugin has the zone")
	}
	return out
}

// checkNameservers refuses name servers whose addresses a zone of the policy denies: it is complete without
// them, so that no resolver finds the servers, nor the CAA that they have.
func (c *compiler) checkNameservers() {
	for _, z := range c.snap.Zones {
		for _, ns := range z.Nameservers {
			holder := c.snap.Covering(ns.Name)
			if ns.Name == "" || holder == nil || holder == z || !holder.PolicyOnly() || c.addresses(holder, ns.Name) {
				continue
			}
			c.Add(ns.Pos, "%s is in the zone %s, which this policy alone defines and which has no address of it; list it there with addresses, or use a server in another zone", dnsname.Bare(ns.Name), dnsname.Bare(holder.Name))
		}
	}
}

// addresses reports whether a policy-only zone has addresses of a name.
func (c *compiler) addresses(z *Zone, name string) bool {
	known := c.addressed[z]
	if known == nil {
		known = make(map[string]bool, len(z.Nameservers))
		for _, ns := range z.Nameservers {
			known[ns.Name] = known[ns.Name] || len(ns.Addresses) > 0
		}
		c.addressed[z] = known
	}
	return known[name]
}

// checkChallenges refuses aliases into a zone that the policy itself synthesises: no TXT is there.
func (c *compiler) checkChallenges() {
	refused := map[Position]bool{}
	for _, use := range c.challenge {
		target := strings.ReplaceAll(use.target, "{name}", "name")
		if into := c.snap.Covering(target); into != nil && into.PolicyOnly() && !refused[use.pos] {
			refused[use.pos] = true
			c.Add(use.pos, "challenge points into %s, which this policy alone defines and which has no TXT record; point it into a zone that the ACME client may write to", dnsname.Bare(into.Name))
		}
	}
}

// checkUse refuses issuers that are declared and can issue nowhere.
func (c *compiler) checkUse() {
	var may func(*Issuer) bool // found out when an issuer needs it
	for _, issuer := range c.snap.Issuers {
		if c.used[issuer] {
			continue
		}
		if may == nil {
			may = c.mayIssue()
		}
		if !may(issuer) {
			c.Add(issuer.Pos, "the issuer %s is declared but may issue nowhere; list it in an issue, or remove it", yamlpos.Shorten(issuer.Key))
		}
	}
}

// mayIssue returns whether an issuer that no grant lists may issue all the same: where a set is open to
// anyone, or a property is written out. The sets are read once, for all issuers.
func (c *compiler) mayIssue() func(*Issuer) bool {
	listed, open := map[string]bool{}, false
	for _, rrset := range c.interned {
		for _, tag := range issuance.Tags {
			if !tag.Grants {
				continue
			}
			if !c.work.Take(1 + len(rrset)) {
				break
			}
			req := tag.Request()
			domains, anyone := issuance.Permitted(rrset, req, issuance.Lax)
			open = open || anyone && len(rrset) > 0 && req.Type == issuance.TLS
			for _, domain := range domains {
				listed[domain] = true
			}
		}
	}
	return func(issuer *Issuer) bool { return open || listed[strings.ToLower(issuer.Domain)] }
}

// certificateEntry is an entry of `certificates` while it is read.
type certificateEntry struct {
	Certificate
	names, account, method *yamlpos.Node
}

var certificateRows = map[string]row[certificateEntry]{
	"names":  func(_ *compiler, e *certificateEntry, _, v *yamlpos.Node) { e.names = v },
	"issuer": func(c *compiler, e *certificateEntry, _, v *yamlpos.Node) { e.Issuer = c.issuer(v) },
	"account": func(c *compiler, e *certificateEntry, _, v *yamlpos.Node) {
		e.account, e.Account = v, c.matching(v, "account", account)
	},
	"method": func(c *compiler, e *certificateEntry, _, v *yamlpos.Node) {
		e.method, e.Method = v, c.matching(v, "method", method)
	},
	"type": func(c *compiler, e *certificateEntry, _, v *yamlpos.Node) { e.Type = c.readType(v) },
}

func (c *compiler) readCertificates(n *yamlpos.Node) {
	for item := range c.list(n, "certificates") {
		var e certificateEntry
		fine := fields(c, item, "an entry of certificates", certificateRows, &e)
		switch {
		case item.Kind != yamlpos.Mapping:
			continue
		case e.Issuer == nil && fine:
			c.wrong(item, "an entry of certificates has no issuer; write issuer: KEY")
		case e.Issuer != nil && e.Type == issuance.TLS:
			c.checkDeclared(&e)
		}
		if e.names == nil {
			c.wrong(item, "an entry of certificates has no names; write names: [NAME]")
			continue
		}
		if e.names.Kind == yamlpos.Sequence && e.names.Len() == 0 {
			c.wrong(e.names, "an entry of certificates has no names; write names: [NAME]")
		}
		// Grown one by one they would take five times the memory.
		c.snap.Certificates = slices.Grow(c.snap.Certificates, min(e.names.Len(), MaxIssuances-len(c.snap.Certificates)))
		for name := range c.list(e.names, "names") {
			c.certificate(e.Certificate, name)
		}
	}
}

// checkDeclared refuses an account or a method that the issuer's own lists leave out.
func (c *compiler) checkDeclared(e *certificateEntry) {
	if e.account != nil {
		c.declared(e.account, "account", account, e.Issuer.Accounts)
	}
	if e.method != nil {
		c.declaredMethod(e.method, e.Issuer)
	}
}

func (c *compiler) certificate(cert Certificate, n *yamlpos.Node) {
	text := c.text(n, "a name")
	host, wildcard := strings.CutPrefix(text, "*.")
	if text == "" {
		return
	}
	if wildcard && cert.Type != issuance.TLS {
		c.wrong(n, "only TLS certificates have wildcards; write %s", yamlpos.Shorten(host))
		return
	}
	name, ok := c.domain(n, host, "the name")
	if !ok {
		return
	}
	if cert.Type == issuance.TLS {
		for _, label := range dns.SplitDomainName(name) {
			if err := issuance.CertificateLabel(label); err != nil {
				c.wrong(n, "%s %v; remove the name", yamlpos.Shorten(text), err)
				return
			}
		}
	}
	cert.Name, cert.Wildcard, cert.Pos = name, wildcard, c.pos(n)
	if !c.requires(&cert) {
		return
	}
	if c.snap.Covering(name) == nil && c.fallback == nil {
		meant := ""
		if c.mayGuess() {
			if z := c.snap.Meant(name); z != nil {
				meant = fmt.Sprintf("; did you mean a name in the zone %s (%v)?", dnsname.Bare(z.Name), z.Pos)
			}
		}
		c.wrong(n, "%s is in no zone of the file, so nothing proves that it can be issued; list its zone, or remove the name%s", yamlpos.Shorten(text), meant)
		return
	}
	c.snap.Certificates = append(c.snap.Certificates, cert)
}

// requires counts the issuances that a certificate requires, and reports whether there may be so many. What
// it leaves open counts once for each account and method that its issuer declares, as the guard proves it.
func (c *compiler) requires(cert *Certificate) bool {
	n := 1
	if cert.Issuer != nil && cert.Type == issuance.TLS {
		if cert.Account == "" {
			n *= max(1, len(cert.Issuer.Accounts))
		}
		if cert.Method == "" {
			n *= max(1, len(cert.Issuer.Methods))
		}
	}
	c.count(&c.issuances, n, cert.Pos)
	if node := c.governing(cert.Name); node != nil && len(node.RRset) > 0 {
		// Names with equal RRsets are proved once.
		once := *cert
		once.Name, once.Pos = "", Position{}
		if key := (provedAt{&node.RRset[0], once}); !c.proved[key] {
			c.proved[key] = true
			c.count(&c.proofs, n*len(node.RRset), cert.Pos)
		}
	}
	return c.issuances.within() && c.proofs.within()
}

// governing returns the node whose RRset applies to a name, nil if no node's does.
func (c *compiler) governing(name string) *Node {
	if z := c.snap.Covering(name); z != nil && z.apex != nil {
		return z.Closest(name)
	}
	return c.snap.fallback
}

// count adds to a tally, and refuses what goes over its limit.
func (c *compiler) count(t *tally, n int, pos Position) {
	if t.add(n) {
		c.Add(pos, "%s", t.limit.over(t.size))
	}
}

// alternatives lists values for people: "tls, smime or vmc".
func alternatives[T fmt.Stringer](values []T) string {
	var text strings.Builder
	for i, v := range values {
		switch i {
		case 0:
		case len(values) - 1:
			text.WriteString(" or ")
		default:
			text.WriteString(", ")
		}
		text.WriteString(v.String())
	}
	return text.String()
}

func (c *compiler) readType(n *yamlpos.Node) issuance.CertificateType {
	t, ok := issuance.ParseType(n.Value)
	if !ok || !isText(n) {
		c.wrong(n, "type must be %s, not %s", alternatives(issuance.CertificateTypes()), kind(n))
	}
	return t
}

// digest gives the snapshot its revision and the zones their digests, from what they say alone.
func (c *compiler) digest() {
	h := sha256.New()
	for _, z := range c.snap.Zones {
		z.Digest = z.digest()
		h.Write(z.Digest[:])
	}
	if d := c.snap.fallback; d != nil {
		h.Write([]byte("default\n"))
		d.digest(h)
	}
	for _, cert := range c.snap.Certificates {
		fmt.Fprintf(h, "%q %t %q %d %q %q\n", cert.Name, cert.Wildcard, cert.Issuer.Domain, cert.Type, cert.Account, cert.Method)
	}
	for _, r := range c.snap.Removed {
		fmt.Fprintf(h, "removed %q %q %t\n", r.Domain, r.Name, r.Wildcard)
	}
	c.snap.Revision = hex.EncodeToString(h.Sum(nil)[:8])
}

func (z *Zone) digest() [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", z.Name)
	for _, ns := range z.Nameservers {
		fmt.Fprintf(h, "ns %q %v\n", ns.Name, ns.Addresses)
	}
	for n := range z.Nodes() {
		n.digest(h)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func (n *Node) digest(h io.Writer) {
	fmt.Fprintf(h, "%q %d %q %d\n", n.Name, n.TTL, n.Challenge, len(n.RRset))
	for _, p := range n.RRset {
		fmt.Fprintf(h, "%d %s %q\n", p.Flags, p.Tag, p.Value)
	}
}
