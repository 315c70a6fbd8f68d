package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
	"go.yaml.in/yaml/v3"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
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
	used      map[*Issuer]bool
	fallback  *spec
	challenge []challengeUse
}

type challengeUse struct {
	zone   *Zone
	target string
	pos    Position
}

// Compile checks a policy and builds its Snapshot. The error is an ErrorList.
func Compile(f *File) (*Snapshot, error) {
	c := &compiler{reader: reader{File: f}, issuers: map[string]*Issuer{}, used: map[*Issuer]bool{},
		snap: &Snapshot{zones: map[string]*Zone{}}, root: &spec{owner: "the file", grants: map[string]*grant{}}}
	sections := c.sections()
	for _, read := range []struct {
		key string
		fn  func(*yaml.Node)
	}{{"version", c.version}, {"ttl", c.rootTTL}, {"report", c.rootReport}, {"issuers", c.readIssuers}, {"default", c.readDefault}, {"zones", c.readZones}, {"certificates", c.readCertificates}} {
		if n := sections[read.key]; n != nil {
			read.fn(n)
		}
	}
	c.checkChallenges()
	c.checkUse()
	if err := c.err(); err != nil {
		return nil, err
	}
	if d := c.fallback; d != nil {
		c.snap.fallback = &template{ttl: defaultTTL, pos: d.pos}
		c.snap.fallback.rrset, c.snap.fallback.sources = d.emit(c)
		if d.ttl != nil {
			c.snap.fallback.ttl = d.ttl.value
		}
	}
	c.digest()
	return c.snap, nil
}

// sections finds the file's top keys, so that they may stand in any order.
func (c *compiler) sections() map[string]*yaml.Node {
	found := map[string]*yaml.Node{}
	rows := map[string]func(key, v *yaml.Node){}
	for _, name := range []string{"version", "ttl", "report", "issuers", "default", "zones", "certificates"} {
		rows[name] = func(_, v *yaml.Node) { found[name] = v }
	}
	c.fields(c.File.root, "the policy", rows)
	if found["version"] == nil && c.File.root.Kind == yaml.MappingNode {
		c.wrong(c.File.root, "the version is missing; begin with version: 1")
	}
	if found["zones"] == nil && found["default"] == nil && c.File.root.Kind == yaml.MappingNode {
		c.wrong(c.File.root, "the policy has neither zones nor default, so it says nothing")
	}
	return found
}

func (c *compiler) version(n *yaml.Node) {
	if n.Value != "1" {
		c.wrong(n, "version %s is unknown; this server reads version 1", kind(n))
	}
}

func (c *compiler) rootTTL(n *yaml.Node) {
	c.root.ttl = &said[uint32]{c.reader.ttl(n), c.pos(n), "the file"}
}

func (c *compiler) rootReport(n *yaml.Node) {
	c.readReport(n)
	c.root.report = &said[[]*yaml.Node]{n.Content, c.pos(n), "report"}
}

func (c *compiler) readIssuers(n *yaml.Node) {
	c.pairs(n, "issuers", func(key, v *yaml.Node) {
		issuer := &Issuer{Key: key.Value, Pos: c.pos(key)}
		if key.Value == "none" || key.Value == "any" {
			c.wrong(key, "an issuer cannot be called %s, which has a meaning of its own in issue", key.Value)
		}
		domainNode := v
		c.fields(v, "the issuer "+key.Value, map[string]func(key, v *yaml.Node){
			"domain":   func(_, v *yaml.Node) { domainNode = v; issuer.Domain = c.text(v, "domain") },
			"accounts": func(_, v *yaml.Node) { issuer.Accounts = c.readAccounts(v) },
			"methods":  func(_, v *yaml.Node) { issuer.Methods = c.readMethods(v) },
			"unlisted": func(_, v *yaml.Node) { issuer.Unlisted = c.truth(v, "unlisted") },
		})
		if issuer.Domain == "" && v.Kind == yaml.MappingNode && domainNode == v {
			c.wrong(v, "the issuer %s has no domain; write its Issuer Domain Name, such as domain: letsencrypt.org", key.Value)
		}
		if got, err := issuance.ParseIssueValue(strings.TrimSuffix(issuer.Domain, ".")); issuer.Domain != "" && (err != nil || got.Domain != strings.TrimSuffix(issuer.Domain, ".")) {
			c.wrong(domainNode, "%q cannot be an Issuer Domain Name (RFC 8659 4.2)", shorten(issuer.Domain))
		}
		c.issuers[key.Value] = issuer
		c.snap.Issuers = append(c.snap.Issuers, issuer)
	})
}

// issuer resolves a key of `issuers`.
func (c *compiler) issuer(n *yaml.Node) *Issuer {
	key := c.text(n, "an issuer")
	if key == "" {
		return nil
	}
	if issuer := c.issuers[key]; issuer != nil {
		return issuer
	}
	known := make([]string, len(c.snap.Issuers))
	for i, issuer := range c.snap.Issuers {
		known[i] = issuer.Key
	}
	c.wrong(n, "the issuer %q is not declared under issuers%s", key, meant(key, known))
	return nil
}

func (c *compiler) readDefault(n *yaml.Node) {
	c.fallback = c.readSpec(n, "default", "default", nil).over(c.root)
	c.checkOpen(c.fallback, n)
}

func (c *compiler) readZones(n *yaml.Node) {
	type pending struct {
		zone *Zone
		spec *spec
		node *yaml.Node
	}
	var all []pending
	c.pairs(n, "zones", func(key, v *yaml.Node) {
		name, ok := c.name(key, "the zone")
		if !ok {
			return
		}
		if first := c.snap.zones[name]; first != nil {
			c.wrong(key, "the zone %s stands twice; the first is in line %d", name, first.Pos.Line)
			return
		}
		zone := &Zone{Name: name, Pos: c.pos(key), nodes: map[string]*Node{}}
		s := c.readSpec(v, "the zone "+key.Value, name, map[string]func(s *spec, v *yaml.Node){
			"nameservers": func(_ *spec, v *yaml.Node) { zone.Nameservers = c.readNameservers(v, name) },
			"names":       func(s *spec, v *yaml.Node) { s.names = v },
		})
		c.snap.zones[name] = zone
		c.snap.Zones = append(c.snap.Zones, zone)
		all = append(all, pending{zone, s, v})
	})
	for _, p := range all {
		c.compileZone(p.zone, p.spec, p.node)
	}
	slices.SortFunc(c.snap.Zones, func(a, b *Zone) int { return cmp.Compare(a.Name, b.Name) })
}

// compileZone makes the zone's nodes, each from its own words over those of the node above it.
func (c *compiler) compileZone(z *Zone, s *spec, n *yaml.Node) {
	base := c.root
	if c.fallback != nil {
		base = c.fallback
	}
	s = s.over(base)
	z.apex = c.node(z, z.Name, s, n)
	specs := map[string]*spec{z.Name: s}
	if s.names == nil {
		return
	}
	type named struct {
		name  string
		key   *yaml.Node
		value *yaml.Node
	}
	var names []named
	c.pairs(s.names, "names", func(key, v *yaml.Node) {
		if name, ok := c.nodeName(z, key); ok {
			names = append(names, named{name, key, v})
		}
	})
	// A parent has fewer labels than its children, so it is made before them.
	slices.SortStableFunc(names, func(a, b named) int { return cmp.Compare(dns.CountLabel(a.name), dns.CountLabel(b.name)) })
	for _, one := range names {
		if first := z.nodes[one.name]; first != nil {
			c.wrong(one.key, "the name %s stands twice; the first is in line %d", one.key.Value, first.Pos.Line)
			continue
		}
		above := specs[z.Closest(one.name).Name]
		own := c.readSpec(one.value, "the name "+one.key.Value, one.name, nil).over(above)
		own.pos = c.pos(one.key)
		specs[one.name] = own
		c.node(z, one.name, own, one.key)
	}
	for _, one := range names {
		if _, ok := z.Alias(one.name); ok {
			c.wrong(one.key, "%s is an alias by challenge, so it can never answer CAA (RFC 1034 3.6.2); take the node away", strings.TrimSuffix(one.name, "."))
		}
	}
}

func (c *compiler) nodeName(z *Zone, key *yaml.Node) (string, bool) {
	text := key.Value
	if text == "*" || strings.HasPrefix(text, "*.") {
		base := strings.TrimPrefix(strings.TrimPrefix(text, "*"), ".")
		where := fmt.Sprintf("at %q", base)
		if base == "" {
			where = "at the zone itself"
		}
		c.wrong(key, "a node named %s is never asked: for a wildcard a CA asks CAA at the name without the `*.` (RFC 8659 3); write issuewild %s", text, where)
		return "", false
	}
	if text == "@" {
		c.wrong(key, "@ is the zone itself: its keys stand directly under the zone")
		return "", false
	}
	relative, ok := c.name(key, "the name")
	if !ok {
		return "", false
	}
	if bare := strings.TrimSuffix(z.Name, "."); z.Name != "." && (relative == z.Name || strings.HasSuffix(relative, "."+z.Name)) {
		c.wrong(key, "names are relative to their zone: %s would be %s.%s; write %q", text, strings.TrimSuffix(relative, "."), bare, strings.TrimSuffix(strings.TrimSuffix(relative, z.Name), "."))
		return "", false
	}
	full := relative + strings.TrimPrefix(z.Name, ".")
	if _, ok := dns.IsDomainName(full); !ok || len(full) > 254 {
		c.wrong(key, "the name %s is too long in the zone %s: at most 255 octets", shorten(text), z.Name)
		return "", false
	}
	if other := c.snap.Covering(full); other != nil && other != z {
		c.wrong(key, "%s lies in the zone %s, which the file lists in line %d and which answers for it; move the name there", strings.TrimSuffix(full, "."), strings.TrimSuffix(other.Name, "."), other.Pos.Line)
		return "", false
	}
	return full, true
}

// node makes one node and puts it into its zone.
func (c *compiler) node(z *Zone, name string, s *spec, n *yaml.Node) *Node {
	c.checkOpen(s, n)
	node := &Node{Name: name, Zone: z, TTL: defaultTTL, Pos: c.pos(n)}
	if s.ttl != nil {
		node.TTL = s.ttl.value
	}
	node.RRset, node.Sources = s.emit(c)
	if s.challenge != nil && s.challenge.value != "" {
		if !z.PolicyOnly() {
			if s.challenge.owner == name {
				c.add(s.challenge.pos, "challenge needs a zone with nameservers: in %s the next plugin holds the names", strings.TrimSuffix(z.Name, "."))
			}
		} else {
			node.Challenge = s.challenge.value
			c.challenge = append(c.challenge, challengeUse{z, node.Challenge, s.challenge.pos})
		}
	}
	z.nodes[name] = node
	return node
}

// checkOpen holds the rule that nothing is open by accident.
func (c *compiler) checkOpen(s *spec, n *yaml.Node) {
	rrset, _ := s.emit(c)
	pos := c.pos(n)
	switch g := s.grants[issuance.TagIssue]; {
	case g == nil && !rrset.Has(issuance.TagIssue):
		c.add(pos, "%s has no issue, neither of its own nor from default, so anyone could issue; write issue: [ISSUER], issue: none, or issue: any if that is meant", s.owner)
	case g != nil && g.any && len(rrset) == 0:
		c.add(g.pos, "issue: any with nothing else to say is no RRset at all, and a CA would climb on to the parent (RFC 8659 3); add report")
	}
}

func (c *compiler) readNameservers(n *yaml.Node, zone string) []Nameserver {
	var out []Nameserver
	for _, item := range c.list(n, "nameservers") {
		ns := Nameserver{Pos: c.pos(item)}
		c.fields(item, "a name server", map[string]func(key, v *yaml.Node){
			"name": func(_, v *yaml.Node) { ns.Name, _ = c.name(v, "the name server") },
			"addresses": func(_, v *yaml.Node) {
				for i, text := range c.texts(v, "addresses") {
					addr, err := netip.ParseAddr(text)
					if err != nil || addr.Zone() != "" || addr.Is4In6() {
						c.wrong(v.Content[i], "%q is not an IP address", shorten(text))
						continue
					}
					ns.Addresses = append(ns.Addresses, addr)
				}
			},
		})
		if ns.Name == "" {
			if item.Kind == yaml.MappingNode && !c.failed(item) {
				c.wrong(item, "a name server needs a name")
			}
			continue
		}
		inside := dns.IsSubDomain(zone, ns.Name)
		switch {
		case inside && len(ns.Addresses) == 0:
			c.wrong(item, "%s lies in the zone, so nobody else can say its addresses; add addresses", ns.Name)
		case !inside && len(ns.Addresses) > 0:
			c.wrong(item, "%s lies outside of the zone, whose answers cannot give its addresses; take them away", ns.Name)
		case strings.HasPrefix(ns.Name, acmeLabel):
			c.wrong(item, "a name server cannot be called %s, which challenges use", ns.Name)
		case slices.ContainsFunc(out, func(other Nameserver) bool { return other.Name == ns.Name }):
			c.wrong(item, "the name server %s stands twice", ns.Name)
		}
		out = append(out, ns)
	}
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		c.wrong(n, "nameservers is empty; leave it out if the next plugin holds the zone")
	}
	return out
}

// checkChallenges refuses aliases into a zone that the policy itself synthesises: no TXT is there.
func (c *compiler) checkChallenges() {
	told := map[Position]bool{}
	for _, use := range c.challenge {
		target := strings.ReplaceAll(use.target, "{name}", "name")
		if into := c.snap.Covering(target); into != nil && into.PolicyOnly() && !told[use.pos] {
			told[use.pos] = true
			c.add(use.pos, "challenge leads into %s, which this policy synthesises and which holds no TXT; point it at a zone that the ACME client can write", strings.TrimSuffix(into.Name, "."))
		}
	}
}

// checkUse tells of issuers that are declared and can issue nowhere.
func (c *compiler) checkUse() {
	for _, issuer := range c.snap.Issuers {
		if !c.used[issuer] {
			c.add(issuer.Pos, "the issuer %s is declared but may issue nowhere; name it in an issue, or take it away", issuer.Key)
		}
	}
}

func (c *compiler) readCertificates(n *yaml.Node) {
	for _, item := range c.list(n, "certificates") {
		cert := Certificate{Pos: c.pos(item)}
		var names []*yaml.Node
		c.fields(item, "an entry of certificates", map[string]func(key, v *yaml.Node){
			"names":   func(_, v *yaml.Node) { names = c.list(v, "names") },
			"issuer":  func(_, v *yaml.Node) { cert.Issuer = c.issuer(v) },
			"account": func(_, v *yaml.Node) { cert.Account = c.text(v, "account") },
			"method":  func(_, v *yaml.Node) { cert.Method = c.text(v, "method") },
			"type":    func(_, v *yaml.Node) { cert.Type = c.readType(v) },
		})
		if cert.Issuer == nil {
			if item.Kind == yaml.MappingNode && !c.failed(item) {
				c.wrong(item, "an entry of certificates names no issuer")
			}
			continue
		}
		for _, name := range names {
			c.certificate(cert, name)
		}
		if len(names) == 0 {
			c.wrong(item, "an entry of certificates has no names")
		}
	}
}

func (c *compiler) certificate(cert Certificate, n *yaml.Node) {
	text := c.text(n, "a name")
	bare, wildcard := strings.CutPrefix(text, "*.")
	if text == "" {
		return
	}
	if wildcard && cert.Type != issuance.TLS {
		c.wrong(n, "only TLS certificates have wildcards; write %s", bare)
		return
	}
	name, ok := c.domain(n, bare, "the name")
	if !ok {
		return
	}
	cert.Name, cert.Wildcard, cert.Pos = name, wildcard, c.pos(n)
	if c.snap.Covering(name) == nil && c.fallback == nil {
		c.wrong(n, "%s lies in no zone of the file, so it cannot be proved; list its zone, or take it away", text)
		return
	}
	c.snap.Certificates = append(c.snap.Certificates, cert)
}

var certificateTypes = map[string]issuance.CertificateType{"tls": issuance.TLS, "smime": issuance.SMIME, "vmc": issuance.VMC}

func (c *compiler) readType(n *yaml.Node) issuance.CertificateType {
	t, ok := certificateTypes[n.Value]
	if !ok {
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
	if c.fallback != nil {
		rrset, _ := c.fallback.emit(c)
		fmt.Fprintf(h, "default %q", rrset)
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
		fmt.Fprintf(h, "%q %d %q %q\n", n.Name, n.TTL, n.Challenge, n.RRset)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func serialOf(sum [sha256.Size]byte) uint32 { return max(binary.BigEndian.Uint32(sum[:4]), 1) }
