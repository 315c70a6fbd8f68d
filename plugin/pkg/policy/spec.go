package policy

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// spec is what one node of the file says: a zone, a name in it, or `default`. A nil field says
// nothing, so that the parent's holds. Specs share what they inherit.
type spec struct {
	owner      string // for messages: the node's name, or "default"
	pos        Position
	grants     [len(grantTags)]*grant // by the index in grantTags
	report     *words
	email      *words
	phone      *words
	properties *words
	critical   *critical
	ttl        *uint32
	challenge  *challenge
	set        *set // what emit made
}

// words are the properties that one key of a node says, with their sources.
type words struct {
	properties issuance.RRset
	sources    []*Source // parallel
}

func (w *words) add(p issuance.Property, src *Source) {
	w.properties, w.sources = append(w.properties, p), append(w.sources, src)
}

// grant is the value of issue and its like: nobody, anyone, or those listed.
type grant struct {
	words
	any   bool
	owner string
	pos   Position
}

// critical is a list of the tags that get the critical flag.
type critical struct {
	tags    []string
	places  []Position          // parallel
	at      map[string]Position // the first place of each
	sources map[*Source]*Source // those of properties that get the flag, made once for all that inherit them
}

// source is that of a property with the flag, nil where the list does not have its tag.
func (c *critical) source(tag string, src *Source) *Source {
	if c == nil {
		return nil
	}
	place, ok := c.at[tag]
	if !ok {
		return nil
	}
	made := c.sources[src]
	if made == nil {
		critical := *src
		critical.Critical = &place
		made = &critical
		c.sources[src] = made
	}
	return made
}

// challenge is the template of aliases, "" for none.
type challenge struct {
	template string
	owner    string
	pos      Position
}

// set is a complete RRset.
type set struct {
	rrset    issuance.RRset
	sources  []*Source
	octets   int // of the records, as they are published
	interned bool
}

// recordOctets is what a record needs in an answer beside its tag and value: the owner's name as a pointer,
// type, class, TTL, lengths and flags.
const recordOctets = 14

// grantTags are the keys that grant, in the order in which their properties are emitted.
var grantTags = [...]string{issuance.TagIssue, issuance.TagIssueWild, issuance.TagIssueMail, issuance.TagIssueVMC}

// specRows are the keys that every node has.
var specRows = map[string]row[spec]{
	issuance.TagIssue:     grantRow(0),
	issuance.TagIssueWild: grantRow(1),
	issuance.TagIssueMail: grantRow(2),
	issuance.TagIssueVMC:  grantRow(3),
	"report":              func(c *compiler, s *spec, _, v *yaml.Node) { s.report = c.readReport(v, s.owner) },
	"contact":             func(c *compiler, s *spec, _, v *yaml.Node) { fields(c, v, "contact", contactRows, s) },
	"properties":          func(c *compiler, s *spec, _, v *yaml.Node) { s.properties = c.readProperties(v, s.owner) },
	"critical":            func(c *compiler, s *spec, _, v *yaml.Node) { s.critical = c.readCritical(v) },
	"challenge":           func(c *compiler, s *spec, key, v *yaml.Node) { s.challenge = c.readChallenge(key, v, s.owner) },
	"ttl":                 func(c *compiler, s *spec, _, v *yaml.Node) { s.ttl = new(c.reader.ttl(v)) },
}

func grantRow(i int) row[spec] {
	return func(c *compiler, s *spec, key, v *yaml.Node) {
		s.grants[i] = c.readGrant(grantTags[i], key, v, s.owner)
	}
}

// readSpec reads a node.
func (c *compiler) readSpec(n *yaml.Node, what, owner string, pos Position) *spec {
	s := &spec{owner: owner, pos: pos}
	fields(c, n, what, specRows, s)
	return s
}

// readGrant reads none, any, or a list of issuers.
func (c *compiler) readGrant(tag string, key, v *yaml.Node, owner string) *grant {
	g := &grant{owner: owner, pos: c.pos(key)}
	switch {
	case v.Kind == yaml.SequenceNode && len(v.Content) > 0:
		for _, item := range v.Content {
			c.readGranted(&g.words, item, tag, owner)
		}
	case v.Kind == yaml.SequenceNode && tag == issuance.TagIssueWild:
		c.wrong(v, "%s: an empty list; write none if nobody may issue", tag)
	case v.Kind == yaml.SequenceNode:
		c.wrong(v, "%s: an empty list; write none if nobody may issue, any if anyone may", tag)
	case v.Value == "none":
		g.add(issuance.Property{Tag: tag, Value: ";"}, &Source{Pos: g.pos, Owner: owner, Key: tag})
	case v.Value == "any" && tag == issuance.TagIssueWild:
		c.wrong(v, "issuewild: any cannot be said in CAA: without an issuewild property, issue governs wildcards (RFC 8659 4.3); list the issuers of wildcards, or leave issuewild out")
	case v.Value == "any":
		g.any = true
	case c.issuers[v.Value] != nil:
		c.wrong(v, "%s is none, any, or a list of issuers; write [%s]", tag, v.Value)
	default:
		c.wrong(v, "%s is none, any, or a list of issuers such as [letsencrypt], not %s", tag, kind(v))
	}
	return g
}

// granted is one issuer of a grant, perhaps narrowed.
type granted struct {
	issuer            *Issuer
	accounts, methods *yaml.Node // as narrowed; nil: as the issuer declares
}

var grantedRows = map[string]row[granted]{
	"issuer":   func(c *compiler, g *granted, _, v *yaml.Node) { g.issuer = c.issuer(v) },
	"accounts": func(c *compiler, g *granted, _, v *yaml.Node) { g.accounts = v },
	"methods":  func(c *compiler, g *granted, _, v *yaml.Node) { g.methods = v },
}

// readGranted reads an issuer's key or {issuer: KEY, accounts: [...], methods: [...]}.
func (c *compiler) readGranted(into *words, n *yaml.Node, tag, owner string) {
	g := granted{}
	switch {
	case n.Kind != yaml.MappingNode:
		g.issuer = c.issuer(n)
	case fields(c, n, "an entry of "+tag, grantedRows, &g) && g.issuer == nil:
		c.wrong(n, "an entry of %s names no issuer; write {issuer: KEY}", tag)
	}
	if g.issuer == nil {
		return
	}
	accounts, methods := g.issuer.Accounts, g.issuer.Methods
	if tag == issuance.TagIssueMail || tag == issuance.TagIssueVMC {
		accounts, methods = nil, nil // those of the TLS issuer say nothing about mailboxes or marks
	}
	src := &Source{Pos: c.pos(n), Owner: owner, Key: tag, Issuer: g.issuer}
	if g.accounts != nil {
		src.OwnAccounts = true
		accounts = c.texts(g.accounts, "accounts", account)
		c.narrow(g.accounts, "account", account, g.issuer.Accounts)
	}
	if g.methods != nil {
		src.OwnMethods = true
		methods = c.texts(g.methods, "methods", method)
		c.narrow(g.methods, "method", method, g.issuer.Methods)
	}
	c.used[g.issuer] = true
	for _, value := range c.issueValues(&g, accounts, methods, src) {
		into.add(issuance.Property{Tag: tag, Value: value}, src)
	}
}

// issueValues are those of a granted issuer, none where they would be more than may be published. Those of
// an issuer that is not narrowed are made once for all grants.
func (c *compiler) issueValues(g *granted, accounts, methods []string, src *Source) []string {
	octets := 0
	for _, method := range methods {
		octets += 1 + len(method)
	}
	octets = max(1, len(accounts)) * (recordOctets + len(src.Key) + len(g.issuer.Domain) + octets)
	for _, account := range accounts {
		octets += len(account)
	}
	if !c.publish(octets, src.Pos) || !c.work.Take(len(accounts)+len(methods)) {
		return nil
	}
	if src.OwnAccounts || src.OwnMethods {
		return issueValues(g.issuer.Domain, accounts, methods)
	}
	key := valuesOf{g.issuer, len(accounts)+len(methods) > 0}
	if c.values[key] == nil {
		c.values[key] = issueValues(g.issuer.Domain, accounts, methods)
	}
	return c.values[key]
}

// narrow refuses what the issuer does not declare: a node may only leave out.
func (c *compiler) narrow(list *yaml.Node, what string, g grammar, declared []string) {
	for _, item := range list.Content {
		c.declared(item, what, g, declared)
	}
}

// declared checks that an account or method is one of those that the issuer declares, if any.
func (c *compiler) declared(n *yaml.Node, what string, g grammar, declared []string) {
	if isText(n) && g.pattern.MatchString(n.Value) && len(declared) > 0 && !c.has(declared, n.Value) {
		c.wrong(n, "the %s %s is not among those that the issuer declares; add it under issuers first%s", what, shorten(n.Value), c.meant(n.Value, declared))
	}
}

// issueValues are those of one granted issuer: one for each account, for two accounturi in a
// property cannot be satisfied (RFC 8657 3).
func issueValues(domain string, accounts, methods []string) []string {
	if len(accounts) == 0 {
		accounts = []string{""}
	}
	joined, out := strings.Join(methods, ","), make([]string, 0, len(accounts))
	for _, account := range accounts {
		v := issuance.IssueValue{Domain: strings.TrimSuffix(domain, ".")}
		if account != "" {
			v.Parameters = append(v.Parameters, issuance.Parameter{Tag: "accounturi", Value: account})
		}
		if len(methods) > 0 {
			v.Parameters = append(v.Parameters, issuance.Parameter{Tag: "validationmethods", Value: joined})
		}
		out = append(out, v.String())
	}
	return out
}

// reportPattern is that of the URLs of RFC 8659 4.4, in printable ASCII.
var reportPattern = regexp.MustCompile(`^(mailto:[!-?A-~]+@[!-?A-~]+|https?://[!-.0-~][!-~]*)$`)

// readReport reads iodef URLs. An empty list takes back what is inherited.
func (c *compiler) readReport(v *yaml.Node, owner string) *words {
	w := &words{}
	for _, item := range c.list(v, "report") {
		text := c.text(item, "an entry of report")
		if text != "" && !reportPattern.MatchString(text) {
			c.wrong(item, "report takes mailto:, https: or http: URLs (RFC 8659 4.4), not %q", shorten(text))
		}
		w.add(issuance.Property{Tag: issuance.TagIodef, Value: text}, &Source{Pos: c.pos(item), Owner: owner, Key: "report"})
	}
	return w
}

var (
	emailPattern = regexp.MustCompile(`^[!-?A-~]+@[!-?A-~]+$`)
	phonePattern = regexp.MustCompile(`^\+[0-9][0-9().-]*$`) // RFC 3966 5.1.4 global-number, without parameters
)

var contactRows = map[string]row[spec]{
	"email": func(c *compiler, s *spec, key, v *yaml.Node) {
		text := c.text(v, "email")
		if text != "" && !emailPattern.MatchString(text) {
			c.wrong(v, "email is a mail address (BR Appendix A.1.1), not %q", shorten(text))
		}
		s.email = contactWords(issuance.TagContactEmail, text, c.pos(key), s.owner)
	},
	"phone": func(c *compiler, s *spec, key, v *yaml.Node) {
		text := c.text(v, "phone")
		if text != "" && !phonePattern.MatchString(text) {
			c.wrong(v, "phone is a global number such as \"+1-555-0100\" (BR Appendix A.1.2, RFC 3966 5.1.4), not %q", shorten(text))
		}
		s.phone = contactWords(issuance.TagContactPhone, text, c.pos(key), s.owner)
	},
}

func contactWords(tag, text string, pos Position, owner string) *words {
	w := &words{}
	w.add(issuance.Property{Tag: tag, Value: text}, &Source{Pos: pos, Owner: owner, Key: "contact"})
	return w
}

// maxValue bounds a property's value: with tag and flags it must fit the RDATA length.
const maxValue = 65535 - 2 - 255

// property is an entry of `properties`.
type property struct {
	issuance.Property
	hasValue bool
}

var propertyRows = map[string]row[property]{
	"flags": func(c *compiler, p *property, _, v *yaml.Node) { p.Flags = uint8(c.number(v, "flags", 255)) },
	"tag":   func(c *compiler, p *property, _, v *yaml.Node) { p.Tag = c.readTag(v) },
	"value": func(c *compiler, p *property, _, v *yaml.Node) {
		p.Value, p.hasValue = v.Value, true
		if !isText(v) || !printable(p.Value) || len(p.Value) > maxValue {
			c.wrong(v, "value is a text of printable ASCII, quoted where it looks like a number, at most %d octets", maxValue)
		}
	},
}

// readProperties reads properties as they are. An empty list takes back what is inherited.
func (c *compiler) readProperties(v *yaml.Node, owner string) *words {
	w := &words{}
	for _, item := range c.list(v, "properties") {
		var p property
		fine := fields(c, item, "an entry of properties", propertyRows, &p)
		switch {
		case fine && p.Tag == "":
			c.wrong(item, "a property needs a tag")
		case fine && !p.hasValue:
			c.wrong(item, "a property needs a value; write value: \"\" for an empty one")
		}
		w.add(p.Property, &Source{Pos: c.pos(item), Owner: owner, Key: "properties"})
	}
	return w
}

var tagPattern = regexp.MustCompile(`^[a-zA-Z0-9]{1,255}$`)

// readTag reads a Property Tag and emits it in lower case, as RFC 8659 4.1 wants it stored.
func (c *compiler) readTag(v *yaml.Node) string {
	tag := c.text(v, "tag")
	if tag != "" && !tagPattern.MatchString(tag) {
		c.wrong(v, "a tag is 1 to 255 letters and digits (RFC 8659 4.1), not %q", shorten(tag))
	}
	return strings.ToLower(tag)
}

// readCritical reads tags. An empty list takes back what is inherited.
func (c *compiler) readCritical(v *yaml.Node) *critical {
	out := &critical{at: map[string]Position{}, sources: map[*Source]*Source{}}
	for _, item := range c.list(v, "critical") {
		tag := c.readTag(item)
		if _, again := out.at[tag]; !again {
			out.at[tag] = c.pos(item)
		} else if tag != "" {
			c.wrong(item, "%q stands twice in critical", shorten(tag))
		}
		out.tags, out.places = append(out.tags, tag), append(out.places, c.pos(item))
	}
	return out
}

// namePlaceholder stands for {name} where a template is read as a domain name.
const namePlaceholder = "0name0"

// readChallenge reads the template of an alias's target, or none.
func (c *compiler) readChallenge(key, v *yaml.Node, owner string) *challenge {
	out := &challenge{owner: owner, pos: c.pos(key)}
	text := c.text(v, "challenge")
	if text == "none" || text == "" {
		return out
	}
	sample := strings.ReplaceAll(text, "{name}", namePlaceholder)
	if strings.ContainsAny(sample, "{}") {
		c.wrong(v, "challenge knows only {name}, which stands for the name to be validated; %q holds other braces", shorten(text))
		return out
	}
	canonical, ok := c.domain(v, sample, "challenge")
	if !ok {
		return out
	}
	for label := range strings.SplitSeq(canonical, ".") {
		if strings.HasPrefix(label, "xn--") && strings.Contains(label, namePlaceholder) {
			c.wrong(v, "challenge: {name} cannot share a label with letters beyond ASCII in %q", shorten(text))
		}
	}
	out.template = strings.ReplaceAll(canonical, namePlaceholder, "{name}")
	return out
}

var (
	// account is a URI that fits the value of a parameter: printable ASCII without `;`.
	account = grammar{regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]*:[!-:<-~]+$`),
		"no account URI; copy the one that the ACME client shows (RFC 8657 3)"}
	// method is a label, in the lower case that CAs compare.
	method = grammar{regexp.MustCompile(`^[a-z0-9-]+$`),
		"no label of a validation method: lower-case letters, digits and hyphens (RFC 8657 4), such as dns-01"}
)

// IsAccount reports whether a text may be an account's URI.
func IsAccount(text string) bool { return account.pattern.MatchString(text) }

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7E })
}

// over returns the spec with what it does not say taken from its parent, tag by tag.
func (s *spec) over(parent *spec) *spec {
	merged := *s
	speaks := s.report != nil || s.email != nil || s.phone != nil || s.properties != nil || s.critical != nil
	for i, g := range s.grants {
		speaks = speaks || g != nil
		merged.grants[i] = either(g, parent.grants[i])
	}
	merged.report = either(s.report, parent.report)
	merged.email = either(s.email, parent.email)
	merged.phone = either(s.phone, parent.phone)
	merged.properties = either(s.properties, parent.properties)
	merged.critical = either(s.critical, parent.critical)
	merged.ttl = either(s.ttl, parent.ttl)
	merged.challenge = either(s.challenge, parent.challenge)
	if !speaks {
		merged.set = parent.emit()
	}
	return &merged
}

func either[T any](own, inherited *T) *T {
	if own != nil {
		return own
	}
	return inherited
}

// emit makes the node's complete RRset, once.
func (s *spec) emit() *set {
	if s.set != nil {
		return s.set
	}
	all, n := make([]*words, 0, len(grantTags)+4), 0
	for _, g := range s.grants {
		if g != nil {
			all = append(all, &g.words)
		}
	}
	for _, w := range []*words{s.report, s.email, s.phone, s.properties} {
		if w != nil {
			all = append(all, w)
		}
	}
	for _, w := range all {
		n += len(w.properties)
	}
	// Grown one by one they would take three times the memory, for each of a hundred thousand names.
	s.set = &set{rrset: make(issuance.RRset, 0, n), sources: make([]*Source, 0, n)}
	for _, w := range all {
		s.put(w)
	}
	return s.set
}

// put adds a key's words to the set, with the critical flag where it is said.
func (s *spec) put(w *words) {
	for i, p := range w.properties {
		src := w.sources[i]
		if critical := s.critical.source(p.Tag, src); critical != nil {
			p.Flags |= issuance.FlagCritical
			src = critical
		}
		s.set.rrset, s.set.sources = append(s.set.rrset, p), append(s.set.sources, src)
		s.set.octets += recordOctets + len(p.Tag) + len(p.Value)
	}
}

// standardTags are those of the properties that the language writes by itself.
var standardTags = append(grantTags[:len(grantTags):len(grantTags)], issuance.TagIodef, issuance.TagContactEmail, issuance.TagContactPhone)

// checkCritical refuses a tag that nothing can have: a slip would go unnoticed.
func (c *compiler) checkCritical(s *spec, said *critical) {
	if said == nil {
		return
	}
	present := map[string]bool{}
	for _, p := range s.emit().rrset {
		present[p.Tag] = true // in lower case, as all that the compiler makes
	}
	for i, tag := range said.tags {
		if tag != "" && !slices.Contains(standardTags, tag) && !present[tag] {
			c.add(said.places[i], "critical: no property here has the tag %s%s", shorten(tag), c.meant(tag, standardTags))
		}
	}
}

// checkOpen holds the rule that nothing is open by accident. What a node takes whole from another
// one is told there.
func (c *compiler) checkOpen(s, parent *spec) {
	rrset := s.emit().rrset
	g := s.grants[0]
	switch {
	case parent != c.root && s.set == parent.set:
	case g == nil && !rrset.Has(issuance.TagIssue):
		c.add(s.pos, "%s has no issue, neither of its own nor from default, so anyone could issue; write issue: [ISSUER], issue: none, or issue: any if that is meant", terminal.Bare(s.owner))
	case g != nil && g.any && len(rrset) == 0:
		pos := s.pos
		if g.owner == s.owner {
			pos = g.pos
		}
		c.add(pos, "issue: any with nothing else to say is no RRset at all, and a CA would climb on to the parent (RFC 8659 3); add report to %s", terminal.Bare(s.owner))
	}
}
