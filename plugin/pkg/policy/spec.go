package policy

import (
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// spec is what one node of the file says: a zone, a name in it, or `default`. A nil field says
// nothing, so that the parent's holds.
type spec struct {
	owner      string // for messages: the node's name, or "default"
	pos        Position
	grants     map[string]*grant // by issue, issuewild, issuemail, issuevmc
	report     *said[[]*yaml.Node]
	email      *said[string]
	phone      *said[string]
	properties *said[[]issuance.Property]
	critical   *said[[]string]
	ttl        *said[uint32]
	challenge  *said[string]
	names      *yaml.Node
}

// said is a value with the place and the node that said it.
type said[T any] struct {
	value T
	pos   Position
	owner string
}

// grant is the value of issue and its like: nobody, anyone, or those listed.
type grant struct {
	said[[]granted]
	any bool
}

// granted is one issuer of a grant, perhaps narrowed.
type granted struct {
	issuer            *Issuer
	accounts, methods []string
	pos               Position
}

// grantTags are the keys that grant, in the order in which their properties are emitted.
var grantTags = []string{issuance.TagIssue, issuance.TagIssueWild, issuance.TagIssueMail, issuance.TagIssueVMC}

// readSpec reads a node; extra are the keys that only some nodes have.
func (c *compiler) readSpec(n *yaml.Node, what, owner string, extra map[string]func(s *spec, v *yaml.Node)) *spec {
	s := &spec{owner: owner, pos: c.pos(n), grants: map[string]*grant{}}
	rows := map[string]func(key, v *yaml.Node){
		"report": func(_, v *yaml.Node) {
			c.readReport(v)
			s.report = &said[[]*yaml.Node]{v.Content, c.pos(v), owner}
		},
		"contact": func(_, v *yaml.Node) { c.readContact(s, v) },
		"properties": func(key, v *yaml.Node) {
			s.properties = &said[[]issuance.Property]{c.readProperties(v), c.pos(key), owner}
		},
		"critical":  func(key, v *yaml.Node) { s.critical = &said[[]string]{c.readCritical(v), c.pos(key), owner} },
		"ttl":       func(key, v *yaml.Node) { s.ttl = &said[uint32]{c.reader.ttl(v), c.pos(key), owner} },
		"challenge": func(key, v *yaml.Node) { s.challenge = &said[string]{c.readChallenge(v), c.pos(key), owner} },
	}
	for _, tag := range grantTags {
		rows[tag] = func(key, v *yaml.Node) { s.grants[tag] = c.readGrant(tag, key, v, owner) }
	}
	for key, row := range extra {
		rows[key] = func(_, v *yaml.Node) { row(s, v) }
	}
	c.fields(n, what, rows)
	return s
}

// readGrant reads none, any, or a list of issuers.
func (c *compiler) readGrant(tag string, key, v *yaml.Node, owner string) *grant {
	g := &grant{said: said[[]granted]{pos: c.pos(key), owner: owner}}
	if v.Kind == yaml.ScalarNode {
		switch v.Value {
		case "none":
		case "any":
			g.any = true
			if tag == issuance.TagIssueWild {
				c.wrong(v, "issuewild: any cannot be said in CAA: without an issuewild property, issue governs wildcards (RFC 8659 4.3); list the issuers of wildcards, or leave issuewild out")
			}
		default:
			c.wrong(v, "%s is none, any, or a list of issuers such as [letsencrypt], not %s", tag, kind(v))
		}
		return g
	}
	for _, item := range c.list(v, tag) {
		if one, ok := c.readGranted(item, tag); ok {
			g.value = append(g.value, one)
		}
	}
	if len(v.Content) == 0 && v.Kind == yaml.SequenceNode {
		c.wrong(v, "%s: an empty list; write none if nobody may issue, any if anyone may", tag)
	}
	return g
}

func (c *compiler) readGranted(n *yaml.Node, tag string) (granted, bool) {
	g := granted{pos: c.pos(n)}
	if n.Kind != yaml.MappingNode {
		g.issuer = c.issuer(n)
		if g.issuer == nil {
			return g, false
		}
		g.accounts, g.methods = g.issuer.Accounts, g.issuer.Methods
	} else {
		c.fields(n, "an entry of "+tag, map[string]func(key, v *yaml.Node){
			"issuer":   func(_, v *yaml.Node) { g.issuer = c.issuer(v) },
			"accounts": func(_, v *yaml.Node) { g.accounts = c.readAccounts(v) },
			"methods":  func(_, v *yaml.Node) { g.methods = c.readMethods(v) },
		})
		if g.issuer == nil {
			if !c.failed(n) {
				c.wrong(n, "an entry of %s names no issuer; write {issuer: KEY}", tag)
			}
			return g, false
		}
		g.accounts = c.narrow(n, "account", g.accounts, g.issuer.Accounts)
		g.methods = c.narrow(n, "method", g.methods, g.issuer.Methods)
	}
	if tag == issuance.TagIssueMail || tag == issuance.TagIssueVMC {
		if n.Kind != yaml.MappingNode {
			// Accounts and methods of the TLS issuer say nothing about mailboxes or marks.
			g.accounts, g.methods = nil, nil
		}
	}
	c.used[g.issuer] = true
	return g, true
}

// failed reports whether something inside a node was found wrong already.
func (c *compiler) failed(n *yaml.Node) bool {
	for _, child := range n.Content {
		if slices.ContainsFunc(c.errorSink.list, func(e *Error) bool { return e.Pos == c.pos(child) }) {
			return true
		}
	}
	return false
}

// narrow takes what a node says of an issuer; it may only leave out what the issuer declares.
func (c *compiler) narrow(n *yaml.Node, what string, own, declared []string) []string {
	if own == nil {
		return declared
	}
	for _, one := range own {
		if len(declared) > 0 && !slices.Contains(declared, one) {
			c.wrong(n, "the %s %s is not among those that the issuer declares; add it under issuers, for a node can only narrow%s", what, one, meant(one, declared))
		}
	}
	return own
}

func (c *compiler) readReport(v *yaml.Node) {
	for _, item := range c.list(v, "report") {
		text := c.text(item, "an entry of report")
		u, err := url.Parse(text)
		if text != "" && (err != nil || !slices.Contains([]string{"mailto", "http", "https"}, u.Scheme) || !printable(text)) {
			c.wrong(item, "report takes mailto:, https: or http: URLs (RFC 8659 4.4), not %q", shorten(text))
		}
	}
}

func (c *compiler) readContact(s *spec, v *yaml.Node) {
	c.fields(v, "contact", map[string]func(key, v *yaml.Node){
		"email": func(key, v *yaml.Node) {
			text := c.text(v, "email")
			if text != "" && (!strings.Contains(text, "@") || !printable(text)) {
				c.wrong(v, "email is a mail address (BR Appendix A.1.1), not %q", shorten(text))
			}
			s.email = &said[string]{text, c.pos(key), s.owner}
		},
		"phone": func(key, v *yaml.Node) {
			text := c.text(v, "phone")
			if text != "" && (!strings.HasPrefix(text, "+") || !printable(text)) {
				c.wrong(v, "phone is a global number such as \"+1-555-0100\" (BR Appendix A.1.2, RFC 3966 5.1.4), not %q", shorten(text))
			}
			s.phone = &said[string]{text, c.pos(key), s.owner}
		},
	})
}

// maxValue bounds a property's value: with tag and flags it must fit the RDATA length.
const maxValue = 65535 - 2 - 255

func (c *compiler) readProperties(v *yaml.Node) []issuance.Property {
	var out []issuance.Property
	for _, item := range c.list(v, "properties") {
		var p issuance.Property
		c.fields(item, "an entry of properties", map[string]func(key, v *yaml.Node){
			"flags": func(_, v *yaml.Node) { p.Flags = uint8(c.number(v, "flags", 255)) },
			"tag":   func(_, v *yaml.Node) { p.Tag = c.readTag(v) },
			"value": func(_, v *yaml.Node) {
				p.Value = v.Value
				if v.Kind != yaml.ScalarNode || !printable(p.Value) || len(p.Value) > maxValue {
					c.wrong(v, "value is a text of printable ASCII, at most %d octets", maxValue)
				}
			},
		})
		if p.Tag == "" && !c.failed(item) && item.Kind == yaml.MappingNode {
			c.wrong(item, "a property needs a tag")
		}
		out = append(out, p)
	}
	return out
}

// readTag reads a Property Tag and emits it in lower case, as RFC 8659 4.1 wants it stored.
func (c *compiler) readTag(v *yaml.Node) string {
	tag := strings.ToLower(c.text(v, "tag"))
	if strings.ContainsFunc(tag, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) || len(tag) > 255 {
		c.wrong(v, "a tag is 1 to 255 letters and digits (RFC 8659 4.1), not %q", shorten(tag))
	}
	return tag
}

func (c *compiler) readCritical(v *yaml.Node) []string {
	var out []string
	for _, item := range c.list(v, "critical") {
		out = append(out, c.readTag(item))
	}
	return out
}

func (c *compiler) readChallenge(v *yaml.Node) string {
	template := c.text(v, "challenge")
	example := strings.ReplaceAll(template, "{name}", "www.example.org")
	if template == "none" || template == "" {
		return ""
	}
	if strings.ContainsAny(example, "{}") {
		c.wrong(v, "challenge knows only {name}, which stands for the name to be validated; %q holds other braces", shorten(template))
		return ""
	}
	if _, ok := c.domain(v, example, "challenge"); !ok {
		return ""
	}
	return strings.ToLower(strings.TrimSuffix(template, ".")) + "."
}

func (c *compiler) readAccounts(v *yaml.Node) []string {
	accounts := c.texts(v, "accounts")
	for i, item := range v.Content {
		if i < len(accounts) && (strings.ContainsAny(accounts[i], "; \t") || !printable(accounts[i]) || !strings.Contains(accounts[i], ":")) {
			c.wrong(item, "%q is no account URI; copy the one that the ACME client shows (RFC 8657 3)", shorten(accounts[i]))
		}
	}
	return accounts
}

func (c *compiler) readMethods(v *yaml.Node) []string {
	methods := c.texts(v, "methods")
	for i, item := range v.Content {
		if i >= len(methods) {
			break
		}
		bad := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
		if strings.ContainsFunc(methods[i], bad) {
			c.wrong(item, "%q is no label of a validation method: lower-case letters, digits and hyphens (RFC 8657 4), such as dns-01", shorten(methods[i]))
		}
	}
	return methods
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7E })
}

// over returns the spec with what it does not say taken from its parent, tag by tag.
func (s *spec) over(parent *spec) *spec {
	if parent == nil {
		return s
	}
	merged := *s
	merged.grants = map[string]*grant{}
	for _, tag := range grantTags {
		if g := either(s.grants[tag], parent.grants[tag]); g != nil {
			merged.grants[tag] = g
		}
	}
	merged.report = either(s.report, parent.report)
	merged.email = either(s.email, parent.email)
	merged.phone = either(s.phone, parent.phone)
	merged.properties = either(s.properties, parent.properties)
	merged.critical = either(s.critical, parent.critical)
	merged.ttl = either(s.ttl, parent.ttl)
	merged.challenge = either(s.challenge, parent.challenge)
	return &merged
}

func either[T any](own, inherited *T) *T {
	if own != nil {
		return own
	}
	return inherited
}

// emit makes the node's complete RRset.
func (s *spec) emit(c *compiler) (issuance.RRset, []Source) {
	var rrset issuance.RRset
	var sources []Source
	add := func(p issuance.Property, src Source) {
		if s.critical != nil && slices.Contains(s.critical.value, p.Tag) {
			p.Flags |= issuance.FlagCritical
		}
		rrset, sources = append(rrset, p), append(sources, src)
	}
	for _, tag := range grantTags {
		g := s.grants[tag]
		if g == nil || g.any {
			continue
		}
		if len(g.value) == 0 {
			add(issuance.Property{Tag: tag, Value: ";"}, Source{Pos: g.pos, Owner: g.owner, Key: tag})
		}
		for _, one := range g.value {
			for _, value := range one.values() {
				add(issuance.Property{Tag: tag, Value: value}, Source{Pos: one.pos, Owner: g.owner, Key: tag, Issuer: one.issuer})
			}
		}
	}
	if s.report != nil {
		for _, item := range s.report.value {
			add(issuance.Property{Tag: issuance.TagIodef, Value: item.Value}, Source{Pos: c.pos(item), Owner: s.report.owner, Key: "report"})
		}
	}
	if s.email != nil {
		add(issuance.Property{Tag: issuance.TagContactEmail, Value: s.email.value}, Source{Pos: s.email.pos, Owner: s.email.owner, Key: "contact"})
	}
	if s.phone != nil {
		add(issuance.Property{Tag: issuance.TagContactPhone, Value: s.phone.value}, Source{Pos: s.phone.pos, Owner: s.phone.owner, Key: "contact"})
	}
	if s.properties != nil {
		for _, p := range s.properties.value {
			add(p, Source{Pos: s.properties.pos, Owner: s.properties.owner, Key: "properties"})
		}
	}
	return rrset, sources
}

// values are the issue-values of one granted issuer: one for each account, for two accounturi in a
// property cannot be satisfied (RFC 8657 3).
func (g granted) values() []string {
	accounts := g.accounts
	if len(accounts) == 0 {
		accounts = []string{""}
	}
	var out []string
	for _, account := range accounts {
		v := issuance.IssueValue{Domain: g.issuer.Domain}
		if account != "" {
			v.Parameters = append(v.Parameters, issuance.Parameter{Tag: "accounturi", Value: account})
		}
		if len(g.methods) > 0 {
			v.Parameters = append(v.Parameters, issuance.Parameter{Tag: "validationmethods", Value: strings.Join(g.methods, ",")})
		}
		out = append(out, v.String())
	}
	return out
}
