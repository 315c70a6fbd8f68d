// Package policygen writes random policy files for tests.
//
// It knows the grammar: a policy is first generated whole and valid in shape, as a syntax tree, and then
// some of its nodes are damaged in ways that people and tools damage them. What the policy means is not
// considered, so that a share of the policies without damage is refused by the compiler or the guard.
// Everything is decided by the random source that is given: equal sources, equal texts.
package policygen

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
)

// Options say what kind of policy to write. The zero value asks for a small one without damage.
type Options struct {
	Size    int     // the most entries of each list and mapping whose length is the operator's choice; 4 when 0
	Damage  float64 // the share of the tree's nodes that are damaged, from 0 to 1
	Hostile bool    // damaged texts get control characters, escape sequences and forged lines, and nothing else is damaged
}

// Text writes a policy file.
func Text(r *rand.Rand, o Options) []byte {
	g := &generator{Rand: r, size: o.Size, used: map[*issuer]bool{}}
	if g.size <= 0 {
		g.size = 4
	}
	root := g.policy()
	if o.Damage > 0 {
		d := damager{Rand: r, share: o.Damage, hostile: o.Hostile}
		d.walk(root)
	}
	style(r, root, 0)
	text, err := yaml.Marshal(root)
	if err != nil {
		panic("policygen: a tree of its own making cannot be written: " + err.Error())
	}
	if r.IntN(4) == 0 {
		text = append(text, "...\n"...)
	}
	return text
}

// Source makes a random source of a fuzzer's octets: each decides something while they last, so that a
// fuzzer's small changes change the policy in a small place; what comes after them is decided by them all.
func Source(data []byte) rand.Source {
	var seed [32]byte
	for i, octet := range data {
		seed[i%len(seed)] = seed[i%len(seed)]*31 + octet
	}
	return &source{data, rand.NewChaCha8(seed)}
}

type source struct {
	data []byte
	rest rand.Source
}

// Uint64 puts an octet of data into the highest bits, which are those that rand's bounded numbers depend on.
func (s *source) Uint64() uint64 {
	if len(s.data) == 0 {
		return s.rest.Uint64()
	}
	var word [8]byte
	word[0], word[4] = s.data[0], s.data[0]
	s.data = s.data[1:]
	return binary.BigEndian.Uint64(word[:])
}

// generator writes the parts of one policy.
type generator struct {
	*rand.Rand
	size    int
	issuers []*issuer
	used    map[*issuer]bool
	zones   []*zone
}

type issuer struct {
	key, domain       string
	accounts, methods []string
	unlisted          bool
}

type zone struct {
	name  string
	names []string // full, the apex among them
}

// some is a random number of entries, at least the minimum.
func (g *generator) some(minimum int) int { return minimum + g.IntN(max(g.size-minimum, 0)+1) }

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// subset is one entry or more, in their order.
func subset[T any](r *rand.Rand, from []T) []T {
	var out []T
	for _, entry := range from {
		if r.IntN(2) == 0 {
			out = append(out, entry)
		}
	}
	if len(out) == 0 && len(from) > 0 {
		out = append(out, pick(r, from))
	}
	return out
}

func scalar(value string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: value} }

// text is a scalar that stays a text whatever it looks like.
func text(value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
}

func list(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Content: items}
}

func texts(values []string) *yaml.Node {
	out := list()
	for _, value := range values {
		out.Content = append(out.Content, text(value))
	}
	return out
}

// mapping is one of keys and values in turn.
func mapping(content ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Content: content}
}

func put(into *yaml.Node, key string, value *yaml.Node) {
	into.Content = append(into.Content, text(key), value)
}

func (g *generator) policy() *yaml.Node {
	g.declare()
	sections := [][2]*yaml.Node{{text("version"), scalar("1")}}
	add := func(key string, value *yaml.Node) { sections = append(sections, [2]*yaml.Node{text(key), value}) }
	if g.chance(30) {
		add("ttl", g.ttl())
	}
	if g.chance(50) {
		add("report", g.report())
	}
	fallback := g.chance(50)
	if fallback {
		add("default", g.node(true, true))
	}
	if !fallback || g.chance(90) {
		add("zones", g.allZones(fallback))
	}
	if len(g.zones) > 0 && g.chance(70) {
		add("certificates", g.certificates())
	}
	if len(g.used) > 0 {
		add("issuers", g.declarations())
	}
	if g.chance(30) {
		g.Shuffle(len(sections), func(i, j int) { sections[i], sections[j] = sections[j], sections[i] })
	}
	out := mapping()
	for _, section := range sections {
		out.Content = append(out.Content, section[0], section[1])
	}
	return out
}

// methods are the labels that CAs have, and one that none has.
var methods = append(issuance.Methods(), "new-99")

func (g *generator) declare() {
	names := issuers.Names()
	for i := range g.some(1) {
		one := &issuer{key: fmt.Sprintf("ca%d", i), domain: pick(g.Rand, names)}
		if g.chance(20) {
			one.domain, one.unlisted = fmt.Sprintf("ca%d.example.net", i), true
		}
		if g.chance(30) {
			for n := range g.some(1) {
				one.accounts = append(one.accounts, fmt.Sprintf("https://%s/acct/%d", one.domain, n))
			}
		}
		if g.chance(30) {
			one.methods = subset(g.Rand, methods)
		}
		g.issuers = append(g.issuers, one)
	}
}

// declarations are those of the issuers that some grant names: any other is an error.
func (g *generator) declarations() *yaml.Node {
	out := mapping()
	for _, one := range g.issuers {
		if !g.used[one] {
			continue
		}
		entry := mapping()
		put(entry, "domain", text(one.domain))
		if one.accounts != nil {
			put(entry, "accounts", texts(one.accounts))
		}
		if one.methods != nil {
			put(entry, "methods", texts(one.methods))
		}
		if one.unlisted {
			put(entry, "unlisted", scalar("true"))
		}
		put(out, one.key, entry)
	}
	return out
}

func (g *generator) ttl() *yaml.Node {
	return scalar(pick(g.Rand, []string{"30", "3600", "1h", "5m", "1h30m", "10s"}))
}

func (g *generator) report() *yaml.Node {
	return texts(subset(g.Rand, []string{"mailto:security@example.org", "https://example.org/caa", "http://example.org/caa"}))
}

// node is what a zone, a name or default says. whole asks for an issue of its own, complete for a node
// that takes nothing from elsewhere.
func (g *generator) node(whole, challenge bool) *yaml.Node {
	out := mapping()
	if whole || g.chance(60) {
		put(out, "issue", g.grant(true))
		if value := out.Content[len(out.Content)-1]; value.Value == "any" {
			put(out, "report", g.report())
		}
	}
	for _, tag := range issuance.Tags {
		if tag.Grants && tag.Name != issuance.TagIssue && g.chance(25) {
			put(out, tag.Name, g.grant(!tag.Wildcard))
		}
	}
	if g.chance(10) {
		put(out, "contact", mapping(text("email"), text("caa@example.org"), text("phone"), text("+1-555-0100")))
	}
	if g.chance(15) {
		put(out, "properties", g.properties())
	}
	if g.chance(15) {
		put(out, "critical", texts(subset(g.Rand, []string{"issue", "issuewild", "iodef", "issuemail"})))
	}
	if g.chance(15) {
		put(out, "ttl", g.ttl())
	}
	if challenge && g.chance(20) {
		put(out, "challenge", text(pick(g.Rand, []string{"{name}.acme.test", "acme.test", "none"})))
	}
	return out
}

func (g *generator) grant(any bool) *yaml.Node {
	switch {
	case g.chance(20):
		return text("none")
	case any && g.chance(5):
		return text("any")
	}
	out := list()
	for _, one := range subset(g.Rand, g.issuers) {
		g.used[one] = true
		out.Content = append(out.Content, g.granted(one))
	}
	return out
}

func (g *generator) granted(one *issuer) *yaml.Node {
	if g.chance(75) {
		return text(one.key)
	}
	out := mapping(text("issuer"), text(one.key))
	if g.chance(50) {
		accounts := one.accounts
		if accounts == nil {
			accounts = []string{"https://" + one.domain + "/acct/own"}
		}
		put(out, "accounts", texts(subset(g.Rand, accounts)))
	}
	if g.chance(50) {
		declared := one.methods
		if declared == nil {
			declared = methods
		}
		put(out, "methods", texts(subset(g.Rand, declared)))
	}
	return out
}

func (g *generator) properties() *yaml.Node {
	out := list()
	for range g.some(1) {
		domain := pick(g.Rand, g.issuers).domain
		value := pick(g.Rand, []string{
			domain, ";", "", domain + "; accounturi=https://" + domain + "/acct/1", domain + "; validationmethods=dns-01,http-01",
			domain + "; validationmethods=", domain + "; AccountURI=x", domain + "; policy=ev", strings.ToUpper(domain), domain + "; =", "% x",
		})
		entry := mapping(text("tag"), text(pick(g.Rand, []string{"issue", "issuewild", "issuemail", "iodef", "future", "ISSUE", "contactemail"})), text("value"), text(value))
		if g.chance(40) {
			put(entry, "flags", scalar(pick(g.Rand, []string{"0", "1", "128", "255"})))
		}
		out.Content = append(out.Content, entry)
	}
	return out
}

// suffixes are what zones are made under. No name's own label begins with z, so that no name is in
// another zone by accident.
var suffixes = []string{"example.org", "example.com", "example", "bücher.example"}

var labels = []string{"www", "mail", "shop", "a", "b", "straße", "_dmarc", "10", "ns1", "very-long-label-of-a-name"}

func (g *generator) allZones(fallback bool) *yaml.Node {
	out := mapping()
	for i := range g.some(1) {
		z := &zone{name: fmt.Sprintf("z%d.%s", i, pick(g.Rand, suffixes))}
		if len(g.zones) > 0 && g.chance(20) {
			z.name = fmt.Sprintf("z%d.%s", i, pick(g.Rand, g.zones).name)
		}
		if len(z.name) > 150 {
			continue
		}
		g.zones = append(g.zones, z)
		z.names = append(z.names, z.name)
		served := g.chance(50)
		body := g.node(!fallback, served)
		if served {
			put(body, "nameservers", g.nameservers(z.name))
		}
		if g.chance(60) {
			put(body, "names", g.names(z, served))
		}
		put(out, z.name, body)
	}
	return out
}

func (g *generator) nameservers(apex string) *yaml.Node {
	out := list()
	if g.chance(70) {
		out.Content = append(out.Content, mapping(text("name"), text("ns1."+apex), text("addresses"), texts(subset(g.Rand, []string{"192.0.2.1", "2001:db8::1"}))))
	}
	if len(out.Content) == 0 || g.chance(40) {
		out.Content = append(out.Content, mapping(text("name"), text("ns.provider.test")))
	}
	return out
}

func (g *generator) names(z *zone, challenge bool) *yaml.Node {
	out := mapping()
	for range g.some(1) {
		name := pick(g.Rand, labels)
		for g.chance(40) && len(name) < 80 {
			name += "." + pick(g.Rand, labels)
		}
		if g.chance(50) {
			name = fmt.Sprintf("h%d.%s", g.IntN(g.size+1), name)
		}
		full := name + "." + z.name
		if slices.Contains(z.names, full) {
			continue
		}
		z.names = append(z.names, full)
		put(out, name, g.node(false, challenge))
	}
	return out
}

func (g *generator) certificates() *yaml.Node {
	out := list()
	for range g.some(1) {
		one := pick(g.Rand, g.issuers)
		g.used[one] = true
		names := list()
		for range g.some(1) {
			z := pick(g.Rand, g.zones)
			name := pick(g.Rand, z.names)
			if g.chance(30) {
				name = "x." + name
			}
			if g.chance(20) {
				name = "*." + name
			}
			names.Content = append(names.Content, text(name))
		}
		entry := mapping(text("names"), names, text("issuer"), text(one.key))
		if len(one.accounts) > 0 && g.chance(30) {
			put(entry, "account", text(pick(g.Rand, one.accounts)))
		}
		if len(one.methods) > 0 && g.chance(30) {
			put(entry, "method", text(pick(g.Rand, one.methods)))
		}
		if g.chance(15) {
			put(entry, "type", text(pick(g.Rand, []string{"tls", "smime", "vmc"})))
		}
		out.Content = append(out.Content, entry)
	}
	return out
}

// style writes each node in one of the ways that YAML has for it. Within flow style everything is.
func style(r *rand.Rand, n *yaml.Node, depth int) {
	switch {
	case n.Kind == yaml.ScalarNode:
		if n.Tag == "!!str" {
			n.Style |= pick(r, []yaml.Style{0, 0, 0, yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle})
		}
	case depth > 1 && r.IntN(3) == 0, depth <= 1 && r.IntN(40) == 0:
		n.Style |= yaml.FlowStyle
	}
	for _, child := range n.Content {
		style(r, child, depth+1)
	}
}
