package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
	"go.yaml.in/yaml/v3"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// defaultTTL is that of CAA RRsets: short beside the 8 hours for which a CA may rely on an answer
// (BR 3.2.2.8), long enough to be cached through one issuance.
const defaultTTL = 3600

// compiler turns a syntax tree into a Snapshot, gathering everything that is wrong.
type compiler struct {
	reader
	snap      *Snapshot
	root      *spec // what every zone inherits: report and ttl of the file
	issuers   map[string]*Issuer
	used      map[*Issuer]bool // named in some grant
	fallback  *spec
	challenge []challengeUse
	interned  map[[sha256.Size]byte]issuance.RRset // by digest: equal sets are one, for most nodes of a large policy say the same
	key       []byte                               // of the set that is looked for there
	guesses   int                                  // names in no zone for which a misspelt zone was looked for

	known     []string                    // the keys of issuers, made when a message needs them
	members   map[*string]map[string]bool // of long lists, by their first entry
	values    map[valuesOf][]string       // what issuers emit that no grant narrows
	addressed map[*Zone]map[string]bool   // the servers that a zone has addresses of
	published tally                       // octets of CAA records
	issuances tally                       // required
	proofs    tally                       // of those
	proved    map[provedAt]bool           // the proofs that are counted
}

// provedAt is what a certificate requires, wherever there is an RRset. Equal RRsets are one.
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

// sections are the values of the file's top keys, which may stand in any order.
type sections struct {
	version, ttl, report, issuers, fallback, zones, certificates *yaml.Node

	fallbackKey *yaml.Node
}

var policyRows = map[string]row[sections]{
	"version":      func(_ *compiler, s *sections, _, v *yaml.Node) { s.version = v },
	"ttl":          func(_ *compiler, s *sections, _, v *yaml.Node) { s.ttl = v },
	"report":       func(_ *compiler, s *sections, _, v *yaml.Node) { s.report = v },
	"issuers":      func(_ *compiler, s *sections, _, v *yaml.Node) { s.issuers = v },
	"default":      func(_ *compiler, s *sections, key, v *yaml.Node) { s.fallbackKey, s.fallback = key, v },
	"zones":        func(c *compiler, s *sections, key, v *yaml.Node) { c.snap.ZonesPos, s.zones = c.pos(key), v },
	"certificates": func(_ *compiler, s *sections, _, v *yaml.Node) { s.certificates = v },
}

// Compile checks a policy and builds its Snapshot. The error is an ErrorList.
func Compile(f *File) (*Snapshot, error) {
	c := &compiler{reader: newReader(f), issuers: map[string]*Issuer{}, used: map[*Issuer]bool{}, interned: map[[sha256.Size]byte]issuance.RRset{},
		members: map[*string]map[string]bool{}, values: map[valuesOf][]string{}, addressed: map[*Zone]map[string]bool{},
		published: tally{limitPublished, f.size, 0}, issuances: tally{limitIssuances, f.size, 0}, proofs: tally{limitProofs, f.size, 0}, proved: map[provedAt]bool{},
		snap: &Snapshot{File: f.name, ZonesPos: f.pos(f.root), zones: map[string]*Zone{}}, root: &spec{owner: "the file", pos: f.pos(f.root)}}
	var s sections
	fields(c, f.root, "the policy", policyRows, &s)
	c.checkSections(&s)
	if !c.checkNames(&s) {
		return nil, c.err()
	}
	for _, section := range []struct {
		node *yaml.Node
		read func(*yaml.Node)
	}{{s.version, c.readVersion}, {s.ttl, c.readTTL}, {s.report, c.readRootReport}, {s.issuers, c.readIssuers}, {s.fallback, func(v *yaml.Node) { c.readDefault(s.fallbackKey, v) }}, {s.zones, c.readZones}, {s.certificates, c.readCertificates}} {
		if section.node != nil {
			section.read(section.node)
		}
	}
	c.checkNameservers()
	c.checkChallenges()
	c.checkUse()
	if err := cmp.Or(c.work.Err(), c.err()); err != nil {
		return nil, err
	}
	c.digest()
	c.snap.Notes = c.notes
	return c.snap, nil
}

func (c *compiler) checkSections(s *sections) {
	if c.File.root.Kind != yaml.MappingNode {
		return
	}
	if s.version == nil {
		c.wrong(c.File.root, "the version is missing; begin with version: 1")
	}
	if s.zones == nil && s.fallback == nil {
		c.wrong(c.File.root, "the policy has neither zones nor default, so it says nothing")
	}
}

// checkNames refuses more zones and names than there may be, before anything is made of them.
func (c *compiler) checkNames(s *sections) bool {
	if s.zones == nil || s.zones.Kind != yaml.MappingNode {
		return true
	}
	n := len(s.zones.Content) / 2
	for i := 1; i < len(s.zones.Content); i += 2 {
		zone := s.zones.Content[i]
		for j := 1; zone.Kind == yaml.MappingNode && j < len(zone.Content); j += 2 {
			if zone.Content[j-1].Value == "names" {
				n += len(zone.Content[j].Content) / 2
			}
		}
	}
	if n > MaxNames {
		c.wrong(s.zones, "%s", limitNames.over(c.size))
	}
	return n <= MaxNames
}

func (c *compiler) readVersion(n *yaml.Node) {
	if n.Value != "1" || n.Tag != "!!int" {
		c.wrong(n, "version %s is unknown; this server reads version: 1", kind(n))
	}
}

func (c *compiler) readTTL(n *yaml.Node) { c.root.ttl = new(c.reader.ttl(n)) }

func (c *compiler) readRootReport(n *yaml.Node) { c.root.report = c.readReport(n, "report") }

// issuerEntry is an entry of `issuers` while it is read.
type issuerEntry struct {
	*Issuer
	domain *yaml.Node
}

var issuerRows = map[string]row[issuerEntry]{
	"domain": func(c *compiler, e *issuerEntry, _, v *yaml.Node) {
		e.domain, e.DomainPos, e.Domain = v, c.pos(v), c.text(v, "domain")
	},
	"accounts": func(c *compiler, e *issuerEntry, _, v *yaml.Node) {
		e.Accounts, e.AccountPos = c.texts(v, "accounts", account), c.places(v)
	},
	"methods": func(c *compiler, e *issuerEntry, _, v *yaml.Node) {
		e.Methods, e.MethodPos = c.texts(v, "methods", method), c.places(v)
	},
	"unlisted": func(c *compiler, e *issuerEntry, _, v *yaml.Node) { e.Unlisted = c.truth(v, "unlisted") },
}

func (c *compiler) readIssuers(n *yaml.Node) {
	c.pairs(n, "issuers", func(key, v *yaml.Node) {
		e := issuerEntry{Issuer: &Issuer{Key: key.Value, Pos: c.pos(key)}}
		if key.Value == "none" || key.Value == "any" {
			c.wrong(key, "an issuer cannot be called %s, which has a meaning of its own in issue", key.Value)
		}
		fields(c, v, "the issuer "+shorten(key.Value), issuerRows, &e)
		if e.domain == nil && v.Kind == yaml.MappingNode {
			c.wrong(key, "the issuer %s has no domain; write its Issuer Domain Name, such as domain: letsencrypt.org", shorten(key.Value))
		}
		if !isIssuerDomain(e.Domain) {
			c.wrong(e.domain, "%q cannot be an Issuer Domain Name (RFC 8659 4.2)", shorten(e.Domain))
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
func (c *compiler) issuer(n *yaml.Node) *Issuer {
	key := c.text(n, "an issuer")
	if key == "" {
		return nil
	}
	if issuer := c.issuers[key]; issuer != nil {
		return issuer
	}
	if (key == "none" || key == "any") && len(c.snap.Issuers) > 0 {
		c.wrong(n, "%s stands alone, not in a list; write it without the brackets", key)
		return nil
	}
	if c.known == nil {
		for _, issuer := range c.snap.Issuers {
			c.known = append(c.known, issuer.Key)
		}
	}
	c.wrong(n, "the issuer %q is not declared under issuers%s", shorten(key), c.meant(key, c.known))
	return nil
}

func (c *compiler) readDefault(key, v *yaml.Node) {
	own := c.readSpec(v, "default", "default", c.pos(key))
	c.fallback = own.over(c.root)
	c.checkOpen(c.fallback, c.root)
	c.checkCritical(c.fallback, own.critical)
	c.snap.fallback = c.newNode("", c.fallback)
}

// zoneSpec is what a zone says: what each node does, and what only a zone has.
type zoneSpec struct {
	spec
	zone  *Zone
	names *yaml.Node
}

var zoneRows = func() map[string]row[zoneSpec] {
	rows := map[string]row[zoneSpec]{
		"nameservers": func(c *compiler, z *zoneSpec, _, v *yaml.Node) {
			z.zone.Nameservers = c.readNameservers(v, z.zone.Name)
		},
		"names": func(_ *compiler, z *zoneSpec, _, v *yaml.Node) { z.names = v },
	}
	for key, read := range specRows {
		rows[key] = func(c *compiler, z *zoneSpec, key, v *yaml.Node) { read(c, &z.spec, key, v) }
	}
	return rows
}()

// readZones reads all zones before it compiles the first, so that each knows the others.
func (c *compiler) readZones(n *yaml.Node) {
	var all []*zoneSpec
	c.pairs(n, "zones", func(key, v *yaml.Node) {
		name, ok := c.domain(key, key.Value, "the zone")
		if !ok {
			return
		}
		if first := c.snap.zones[name]; first != nil {
			c.wrong(key, "the zone %s stands twice; the first is in line %d", terminal.Bare(name), first.Pos.Line)
			return
		}
		z := &zoneSpec{zone: &Zone{Name: name, Pos: c.pos(key)}, spec: spec{owner: name, pos: c.pos(key)}}
		fields(c, v, "the zone "+key.Value, zoneRows, z)
		c.snap.zones[name] = z.zone
		c.snap.Zones = append(c.snap.Zones, z.zone)
		if v.Kind == yaml.MappingNode {
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

// named is an entry of `names`.
type named struct {
	name       string
	key, value *yaml.Node
}

// compileZone makes the zone's nodes, each from its own words over those of the node above it.
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
	var names []named
	c.pairs(z.names, "names", func(key, v *yaml.Node) {
		if name, ok := c.nodeName(z.zone, key); ok {
			names = append(names, named{name, key, v})
		}
	})
	// A parent has fewer labels than its children, so it is made before them.
	slices.SortStableFunc(names, func(a, b named) int { return cmp.Compare(dns.CountLabel(a.name), dns.CountLabel(b.name)) })
	z.zone.nodes = make(map[string]*Node, len(names)+1)
	z.zone.nodes[z.zone.Name] = z.zone.apex
	specs := make(map[string]*spec, len(names)+1)
	specs[z.zone.Name] = apex
	for _, one := range names {
		if !c.mayEmit(1) {
			return
		}
		if first := z.zone.nodes[one.name]; first != nil {
			c.wrong(one.key, "the name %s stands twice; the first is in line %d", shorten(one.key.Value), first.Pos.Line)
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
			c.wrong(one.key, "%s is an alias by challenge, so it can never answer CAA (RFC 1034 3.6.2); take the node away", terminal.Bare(one.name))
		}
	}
}

func (c *compiler) nodeName(z *Zone, key *yaml.Node) (string, bool) {
	text := key.Value
	if text == "*" || strings.HasPrefix(text, "*.") {
		base := strings.TrimPrefix(strings.TrimPrefix(text, "*"), ".")
		where := fmt.Sprintf("at %q", shorten(base))
		if base == "" {
			where = "at the zone itself"
		}
		c.wrong(key, "a node named %s is never asked: for a wildcard a CA asks CAA at the name without the `*.` (RFC 8659 3); write issuewild %s", shorten(text), where)
		return "", false
	}
	if text == "@" || text == "." {
		c.wrong(key, "%s is the zone itself: its keys stand directly under the zone", text)
		return "", false
	}
	relative, ok := c.domain(key, text, "the name")
	if !ok {
		return "", false
	}
	if relative == z.Name {
		c.wrong(key, "names are relative to their zone, and %s is the zone itself: its keys stand directly under the zone", text)
		return "", false
	}
	if z.Name != "." && strings.HasSuffix(relative, "."+z.Name) {
		c.wrong(key, "names are relative to their zone: %s would be %s.%s; write %q", text, terminal.Bare(relative), terminal.Bare(z.Name), strings.TrimSuffix(relative, "."+z.Name))
		return "", false
	}
	full := relative + strings.TrimPrefix(z.Name, ".")
	if len(full) > maxName {
		c.wrong(key, "the name %s is too long in the zone %s: at most 255 octets", shorten(text), terminal.Bare(z.Name))
		return "", false
	}
	if other := c.snap.Covering(full); other != nil && other != z {
		c.wrong(key, "%s lies in the zone %s, which the file lists in line %d and which answers for it; move the name there", terminal.Bare(full), terminal.Bare(other.Name), other.Pos.Line)
		return "", false
	}
	return full, true
}

// node makes one node of a zone, from what it says itself and what it says with its parent's words.
func (c *compiler) node(z *Zone, name string, own, merged, parent *spec) *Node {
	c.checkOpen(merged, parent)
	c.checkCritical(merged, own.critical)
	node := c.newNode(name, merged)
	node.Zone = z
	switch said := merged.challenge; {
	case said == nil || said.template == "":
	case z.PolicyOnly():
		node.Challenge = said.template
		c.challenge = append(c.challenge, challengeUse{said.template, said.pos})
	case said.owner == name:
		c.add(said.pos, "challenge needs a zone with nameservers: in %s the next plugin holds the names", terminal.Bare(z.Name))
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
	"name":      func(c *compiler, ns *Nameserver, _, v *yaml.Node) { ns.Name, _ = c.name(v, "the name server") },
	"addresses": func(c *compiler, ns *Nameserver, _, v *yaml.Node) { ns.Addresses = c.readAddresses(v) },
}

func (c *compiler) readAddresses(v *yaml.Node) []netip.Addr {
	var out []netip.Addr
	var seen distinct[netip.Addr]
	for _, item := range c.list(v, "addresses") {
		addr, err := netip.ParseAddr(item.Value)
		switch {
		case err != nil || addr.Zone() != "" || addr.Is4In6() || !isText(item):
			c.wrong(item, "%s is not an IP address", kind(item))
		case !seen.add(addr):
			c.wrong(item, "%s stands twice in addresses", addr)
		}
		out = append(out, addr)
	}
	if v.Kind == yaml.SequenceNode && len(v.Content) == 0 {
		c.wrong(v, "addresses is an empty list; leave it out if there is nothing to name")
	}
	return out
}

func (c *compiler) readNameservers(n *yaml.Node, zone string) []Nameserver {
	var out []Nameserver
	var seen distinct[string]
	for _, item := range c.list(n, "nameservers") {
		ns := Nameserver{Pos: c.pos(item)}
		if !fields(c, item, "a name server", nameserverRows, &ns) {
			continue
		}
		inside := dns.IsSubDomain(zone, ns.Name)
		switch {
		case ns.Name == "":
			c.wrong(item, "a name server needs a name")
		case inside && len(ns.Addresses) == 0:
			c.wrong(item, "%s lies in the zone, so nobody else can say its addresses; add addresses", terminal.Bare(ns.Name))
		case !inside && len(ns.Addresses) > 0:
			c.wrong(item, "%s lies outside of the zone, whose answers cannot give its addresses; take them away", terminal.Bare(ns.Name))
		case strings.HasPrefix(ns.Name, acmeLabel):
			c.wrong(item, "a name server cannot be called %s, which challenges use", terminal.Bare(ns.Name))
		case !seen.add(ns.Name):
			c.wrong(item, "the name server %s stands twice", terminal.Bare(ns.Name))
		}
		out = append(out, ns)
	}
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		c.wrong(n, "nameservers is empty; leave it out if the next plugin holds the zone")
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
			c.add(ns.Pos, "%s lies in the zone %s, which this policy synthesises and which has no address of it; list it there with addresses, or name a server that another zone holds", terminal.Bare(ns.Name), terminal.Bare(holder.Name))
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
	told := map[Position]bool{}
	for _, use := range c.challenge {
		target := strings.ReplaceAll(use.target, "{name}", "name")
		if into := c.snap.Covering(target); into != nil && into.PolicyOnly() && !told[use.pos] {
			told[use.pos] = true
			c.add(use.pos, "challenge leads into %s, which this policy synthesises and which holds no TXT; point it at a zone that the ACME client can write", terminal.Bare(into.Name))
		}
	}
}

// checkUse tells of issuers that are declared and can issue nowhere.
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
			c.add(issuer.Pos, "the issuer %s is declared but may issue nowhere; name it in an issue, or take it away", shorten(issuer.Key))
		}
	}
}

// mayIssue says whether an issuer that no grant names may issue all the same: where a set is open to
// anyone, or a property is written out. The sets are read once, for all issuers.
func (c *compiler) mayIssue() func(*Issuer) bool {
	named, open := map[string]bool{}, false
	for _, rrset := range c.interned {
		for _, req := range []issuance.Request{{}, {Wildcard: true}, {Type: issuance.SMIME}, {Type: issuance.VMC}} {
			if !c.work.Take(1 + len(rrset)) {
				break
			}
			domains, anyone := issuance.Named(rrset, req, issuance.Lax)
			open = open || anyone && len(rrset) > 0 && req.Type == issuance.TLS
			for _, domain := range domains {
				named[domain] = true
			}
		}
	}
	return func(issuer *Issuer) bool { return open || named[strings.ToLower(issuer.Domain)] }
}

// certificateEntry is an entry of `certificates` while it is read.
type certificateEntry struct {
	Certificate
	names, account, method *yaml.Node
}

var certificateRows = map[string]row[certificateEntry]{
	"names":  func(_ *compiler, e *certificateEntry, _, v *yaml.Node) { e.names = v },
	"issuer": func(c *compiler, e *certificateEntry, _, v *yaml.Node) { e.Issuer = c.issuer(v) },
	"account": func(c *compiler, e *certificateEntry, _, v *yaml.Node) {
		e.account, e.Account = v, c.matching(v, "account", account)
	},
	"method": func(c *compiler, e *certificateEntry, _, v *yaml.Node) {
		e.method, e.Method = v, c.matching(v, "method", method)
	},
	"type": func(c *compiler, e *certificateEntry, _, v *yaml.Node) { e.Type = c.readType(v) },
}

func (c *compiler) readCertificates(n *yaml.Node) {
	for _, item := range c.list(n, "certificates") {
		var e certificateEntry
		fine := fields(c, item, "an entry of certificates", certificateRows, &e)
		switch {
		case item.Kind != yaml.MappingNode:
			continue
		case e.Issuer == nil && fine:
			c.wrong(item, "an entry of certificates names no issuer")
		case e.Issuer != nil && e.Type == issuance.TLS:
			c.checkDeclared(&e)
		}
		if e.names == nil {
			c.wrong(item, "an entry of certificates has no names")
			continue
		}
		if e.names.Kind == yaml.SequenceNode && len(e.names.Content) == 0 {
			c.wrong(e.names, "an entry of certificates has no names")
		}
		for _, name := range c.list(e.names, "names") {
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
		c.declared(e.method, "method", method, e.Issuer.Methods)
	}
}

func (c *compiler) certificate(cert Certificate, n *yaml.Node) {
	text := c.text(n, "a name")
	host, wildcard := strings.CutPrefix(text, "*.")
	if text == "" {
		return
	}
	if wildcard && cert.Type != issuance.TLS {
		c.wrong(n, "only TLS certificates have wildcards; write %s", shorten(host))
		return
	}
	name, ok := c.domain(n, host, "the name")
	if !ok {
		return
	}
	if cert.Type == issuance.TLS {
		for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
			if err := issuance.CertificateLabel(label); err != nil {
				c.wrong(n, "%s %v", shorten(text), err)
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
		if c.guesses++; c.guesses <= MaxGuesses {
			if z := c.snap.Meant(name); z != nil {
				meant = fmt.Sprintf("; did you mean a name in the zone %s (%v)?", strings.TrimSuffix(z.Name, "."), z.Pos)
			}
		}
		c.wrong(n, "%s lies in no zone of the file, so it cannot be proved; list its zone, or take it away%s", shorten(text), meant)
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

// governing is the node whose RRset applies to a name, nil if no node's does.
func (c *compiler) governing(name string) *Node {
	if z := c.snap.Covering(name); z != nil && z.apex != nil {
		return z.Closest(name)
	}
	return c.snap.fallback
}

// count adds to a tally, and refuses what goes over its limit.
func (c *compiler) count(t *tally, n int, pos Position) {
	if t.add(n) {
		c.add(pos, "%s", t.limit.over(t.size))
	}
}

var certificateTypes = map[string]issuance.CertificateType{
	issuance.TLS.String(): issuance.TLS, issuance.SMIME.String(): issuance.SMIME, issuance.VMC.String(): issuance.VMC,
}

func (c *compiler) readType(n *yaml.Node) issuance.CertificateType {
	t, ok := certificateTypes[n.Value]
	if !ok || !isText(n) {
		c.wrong(n, "type is tls, smime or vmc, not %s", kind(n))
	}
	return t
}

// digest gives the snapshot its revision and the zones their serials, from what they say alone.
func (c *compiler) digest() {
	h := sha256.New()
	for _, z := range c.snap.Zones {
		sum := z.digest()
		z.Serial = serialOf(sum)
		h.Write(sum[:])
	}
	if d := c.snap.fallback; d != nil {
		h.Write([]byte("default\n"))
		d.digest(h)
	}
	for _, cert := range c.snap.Certificates {
		fmt.Fprintf(h, "%q %t %q %d %q %q\n", cert.Name, cert.Wildcard, cert.Issuer.Domain, cert.Type, cert.Account, cert.Method)
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

func serialOf(sum [sha256.Size]byte) uint32 { return max(binary.BigEndian.Uint32(sum[:4]), 1) }
