package policy

import (
	"regexp"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/yamlpos"
)

// spec is one node of the file: a zone, a name in it, or `default`. Where a field is nil, the parent's holds. Specs share what they inherit.
type spec struct {
	owner      string // for messages: the node's name, or "default"
	pos        Position
	grants     [len(issuance.Tags)]*grant // by the index in issuance.Tags; nil for tags that do not grant
	report     *written
	email      *written
	phone      *written
	properties *written
	critical   *critical
	ttl        *uint32
	challenge  *challenge
	set        *set // what emit made
}

// written are the properties that one key of a node makes, with their sources.
type written struct {
	properties issuance.RRset
	sources    []*Source // parallel
}

func (w *written) add(p issuance.Property, src *Source) {
	w.properties, w.sources = append(w.properties, p), append(w.sources, src)
}

// grant is the value of issue and its like: nobody, anyone, or those listed.
type grant struct {
	written
	any   bool
	owner string
	pos   Position
}

// critical is a list of the tags that get the critical flag.
type critical struct {
	tags      []string
	positions []Position          // parallel
	at        map[string]Position // the first position of each
	sources   map[*Source]*Source // those of properties that get the flag, made once for all that inherit them
}

// source returns that of a property with the flag, nil where the list does not have its tag.
func (c *critical) source(tag string, src *Source) *Source {
	if c == nil {
		return nil
	}
	pos, ok := c.at[tag]
	if !ok {
		return nil
	}
	made := c.sources[src]
	if made == nil {
		critical := *src
		critical.Critical = &pos
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

// recordOctets is what a record needs in an answer in addition to its tag and value: the owner's name as a pointer,
// type, class, TTL, lengths and flags.
const recordOctets = 14

// specRows are the keys that every node has: the tags that grant, and these.
var specRows = withGrants(map[string]row[spec]{
	"report":     func(c *compiler, s *spec, _, v *yamlpos.Node) { s.report = c.readReport(v, s.owner) },
	"contact":    func(c *compiler, s *spec, _, v *yamlpos.Node) { fields(c, v, "contact", contactRows, s) },
	"properties": func(c *compiler, s *spec, _, v *yamlpos.Node) { s.properties = c.readProperties(v, s.owner) },
	"critical":   func(c *compiler, s *spec, _, v *yamlpos.Node) { s.critical = c.readCritical(v) },
	"challenge":  func(c *compiler, s *spec, key, v *yamlpos.Node) { s.challenge = c.readChallenge(key, v, s.owner) },
	"ttl":        func(c *compiler, s *spec, _, v *yamlpos.Node) { s.ttl = new(c.reader.ttl(v)) },
})

// withGrants adds a row for each tag that grants.
func withGrants(rows map[string]row[spec]) map[string]row[spec] {
	for i, tag := range issuance.Tags {
		if tag.Grants {
			rows[tag.Name] = func(c *compiler, s *spec, key, v *yamlpos.Node) { s.grants[i] = c.readGrant(tag, key, v, s.owner) }
		}
	}
	return rows
}

// readSpec reads a node.
func (c *compiler) readSpec(n *yamlpos.Node, what, owner string, pos Position) *spec {
	s := &spec{owner: owner, pos: pos}
	fields(c, n, what, specRows, s)
	return s
}

// readGrant reads none, any, or a list of issuers.
func (c *compiler) readGrant(tag issuance.Tag, key, v *yamlpos.Node, owner string) *grant {
	g := &grant{owner: owner, pos: c.pos(key)}
	switch {
	case v.Kind == yamlpos.Sequence && v.Len() > 0:
		for item := range v.Items() {
			c.readGranted(&g.written, item, tag, owner)
		}
	case v.Kind == yamlpos.Sequence && tag.Wildcard:
		c.wrong(v, "%s is an empty list; write none if nobody may issue, issue if wildcards are as issue has it", tag.Name)
	case v.Kind == yamlpos.Sequence:
		c.wrong(v, "%s is an empty list; write none if nobody may issue, any if anyone may", tag.Name)
	case v.Value == "none":
		g.add(issuance.Property{Tag: tag.Name, Value: ";"}, &Source{Pos: g.pos, Owner: owner, Key: tag.Name})
	case v.Value == "any" && tag.Wildcard:
		c.wrong(v, "CAA cannot express %[1]s: any, since issue governs wildcards where the RRset has no %[1]s (RFC 8659 4.3); list the issuers of wildcards, or write %[1]s: issue", tag.Name)
	case v.Value == issuance.TagIssue && tag.Wildcard: // no property: issue governs wildcards then (RFC 8659 4.3)
	case v.Value == "any":
		g.any = true
	case c.issuers[v.Value] != nil:
		c.wrong(v, "%s must be %s, or a list of issuers; write [%s]", tag.Name, grantWords(tag), v.Value)
	default:
		c.wrong(v, "%s must be %s, or a list of issuers such as [letsencrypt], not %s", tag.Name, grantWords(tag), kind(v))
	}
	return g
}

// grantWords lists the words that may be a grant's value.
func grantWords(tag issuance.Tag) string {
	if tag.Wildcard {
		return "none, issue"
	}
	return "none, any"
}

// granted is one issuer of a grant, perhaps narrowed.
type granted struct {
	issuer            *Issuer
	accounts, methods *yamlpos.Node // as narrowed; nil: as the issuer declares
}

var grantedRows = map[string]row[granted]{
	"issuer":   func(c *compiler, g *granted, _, v *yamlpos.Node) { g.issuer = c.issuer(v) },
	"accounts": func(c *compiler, g *granted, _, v *yamlpos.Node) { g.accounts = v },
	"methods":  func(c *compiler, g *granted, _, v *yamlpos.Node) { g.methods = v },
}

// readGranted reads an issuer's key or {issuer: KEY, accounts: [...], methods: [...]}.
func (c *compiler) readGranted(into *written, n *yamlpos.Node, tag issuance.Tag, owner string) {
	g := granted{}
	switch {
	case n.Kind != yamlpos.Mapping:
		g.issuer = c.issuer(n)
	case fields(c, n, "an entry of "+tag.Name, grantedRows, &g) && g.issuer == nil:
		c.wrong(n, "an entry of %s has no issuer; write {issuer: KEY}", tag.Name)
	}
	if g.issuer == nil {
		return
	}
	accounts, methods := g.issuer.Accounts, g.issuer.Methods
	if tag.Type != issuance.TLS {
		accounts, methods = nil, nil // those of the TLS issuer are not about mailboxes or marks
	}
	src := &Source{Pos: c.pos(n), Owner: owner, Key: tag.Name, Issuer: g.issuer}
	if g.accounts != nil {
		src.OwnAccounts = true
		accounts = c.texts(g.accounts, "accounts", account)
		for item := range g.accounts.Items() {
			c.declared(item, "account", account, g.issuer.Accounts)
		}
	}
	if g.methods != nil {
		src.OwnMethods = true
		methods = c.texts(g.methods, "methods", method)
		for item := range g.methods.Items() {
			c.declaredMethod(item, g.issuer)
		}
	}
	c.used[g.issuer] = true
	for _, value := range c.issueValues(&g, accounts, methods, src) {
		into.add(issuance.Property{Tag: tag.Name, Value: value}, src)
	}
}

// issueValues returns those of a granted issuer, none where they would be more than may be published. Those of an issuer
// that is not narrowed are made once for all grants.
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

// declaredMethod is declared for a method. Where the issuer's own label is misspelt, the error is about that.
func (c *compiler) declaredMethod(n *yamlpos.Node, issuer *Issuer) {
	if issuance.KnownMethod(n.Value) && len(issuer.Methods) > 0 && !c.has(issuer.Methods, n.Value) && c.mayGuess() {
		for i, label := range issuer.Methods[:min(len(issuer.Methods), shownCandidates)] {
			if issuance.MeantMethod(label) == n.Value {
				c.wrong(n, "the issuer %s has the method %q (%v), which no CA is known to have; write %s there", yamlpos.Shorten(issuer.Key), yamlpos.Shorten(label), issuer.MethodPos[i], n.Value)
				return
			}
		}
	}
	c.declared(n, "method", method, issuer.Methods)
}

// mayGuess counts what is looked for that somebody may have meant, and reports whether to look for one more.
func (c *compiler) mayGuess() bool {
	c.guesses++
	return c.guesses <= MaxGuesses
}

// declared checks that an account or method is one of those that the issuer declares, if any: a node may only leave out.
func (c *compiler) declared(n *yamlpos.Node, what string, g grammar, declared []string) {
	if isText(n) && g.pattern.MatchString(n.Value) && len(declared) > 0 && !c.has(declared, n.Value) {
		c.wrong(n, "the issuer does not declare the %s %s; add it under issuers first%s", what, yamlpos.Shorten(n.Value), c.meant(n.Value, declared))
	}
}

// issueValues returns those of one granted issuer: one for each account, for two accounturi in a
// property cannot be satisfied (RFC 8657 3).
func issueValues(domain string, accounts, methods []string) []string {
	if len(accounts) == 0 {
		accounts = []string{""}
	}
	joined, out := strings.Join(methods, ","), make([]string, 0, len(accounts))
	for _, account := range accounts {
		v := issuance.IssueValue{Domain: strings.TrimSuffix(domain, ".")}
		if account != "" {
			v.Parameters = append(v.Parameters, issuance.Parameter{Tag: issuance.AccountURI, Value: account})
		}
		if len(methods) > 0 {
			v.Parameters = append(v.Parameters, issuance.Parameter{Tag: issuance.ValidationMethods, Value: joined})
		}
		out = append(out, v.String())
	}
	return out
}

// reportPattern is that of the URLs of RFC 8659 4.4, in printable ASCII.
var reportPattern = regexp.MustCompile(`^(mailto:[!-?A-~]+@[!-?A-~]+|https?://[!-.0-~][!-~]*)$`)

// readReport reads iodef URLs. An empty list takes back what is inherited.
func (c *compiler) readReport(v *yamlpos.Node, owner string) *written {
	w := &written{}
	for item := range c.list(v, "report") {
		text := c.text(item, "an entry of report")
		if text != "" && !reportPattern.MatchString(text) {
			c.wrong(item, "report takes mailto:, https: or http: URLs (RFC 8659 4.4), not %q", yamlpos.Shorten(text))
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
	"email": func(c *compiler, s *spec, key, v *yamlpos.Node) {
		text := c.text(v, "email")
		if text != "" && !emailPattern.MatchString(text) {
			c.wrong(v, "email must be a mail address (BR Appendix A.1.1), not %q", yamlpos.Shorten(text))
		}
		s.email = contactProperties(issuance.TagContactEmail, text, c.pos(key), s.owner)
	},
	"phone": func(c *compiler, s *spec, key, v *yamlpos.Node) {
		text := c.text(v, "phone")
		if text != "" && !phonePattern.MatchString(text) {
			c.wrong(v, "phone must be a global number such as \"+1-555-0100\" (BR Appendix A.1.2, RFC 3966 5.1.4), not %q", yamlpos.Shorten(text))
		}
		s.phone = contactProperties(issuance.TagContactPhone, text, c.pos(key), s.owner)
	},
}

func contactProperties(tag, text string, pos Position, owner string) *written {
	w := &written{}
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
	"flags": func(c *compiler, p *property, _, v *yamlpos.Node) { p.Flags = uint8(c.number(v, "flags", 255)) },
	"tag":   func(c *compiler, p *property, _, v *yamlpos.Node) { p.Tag = c.readTag(v) },
	"value": func(c *compiler, p *property, _, v *yamlpos.Node) {
		p.Value, p.hasValue = v.Value, true
		if !isText(v) || !printable(p.Value) || len(p.Value) > maxValue {
			c.wrong(v, "value must be a text of at most %d octets of printable ASCII; quote it where it looks like a number", maxValue)
		}
	},
}

// readProperties reads properties as they are. An empty list takes back what is inherited.
func (c *compiler) readProperties(v *yamlpos.Node, owner string) *written {
	w := &written{}
	for item := range c.list(v, "properties") {
		var p property
		fine := fields(c, item, "an entry of properties", propertyRows, &p)
		switch {
		case fine && p.Tag == "":
			c.wrong(item, "a property has no tag; write tag: TAG")
		case fine && !p.hasValue:
			c.wrong(item, "a property has no value; write value: \"\" for an empty one")
		}
		w.add(p.Property, &Source{Pos: c.pos(item), Owner: owner, Key: "properties"})
	}
	return w
}

var tagPattern = regexp.MustCompile(`^[a-zA-Z0-9]{1,255}$`)

// readTag reads a Property Tag and emits it in lower case, as RFC 8659 4.1 wants it stored.
func (c *compiler) readTag(v *yamlpos.Node) string {
	tag := c.text(v, "tag")
	if tag != "" && !tagPattern.MatchString(tag) {
		c.wrong(v, "a tag must be 1 to 255 letters and digits (RFC 8659 4.1), not %q", yamlpos.Shorten(tag))
	}
	return strings.ToLower(tag)
}

// readCritical reads tags. An empty list takes back what is inherited.
func (c *compiler) readCritical(v *yamlpos.Node) *critical {
	out := &critical{at: map[string]Position{}, sources: map[*Source]*Source{}}
	for item := range c.list(v, "critical") {
		tag := c.readTag(item)
		if _, again := out.at[tag]; !again {
			out.at[tag] = c.pos(item)
		} else if tag != "" {
			c.wrong(item, "%q is listed twice in critical; remove one", yamlpos.Shorten(tag))
		}
		out.tags, out.positions = append(out.tags, tag), append(out.positions, c.pos(item))
	}
	return out
}

// namePlaceholder stands for {name} where a template is read as a domain name.
const namePlaceholder = "0name0"

// readChallenge reads the template of an alias's target, or none.
func (c *compiler) readChallenge(key, v *yamlpos.Node, owner string) *challenge {
	out := &challenge{owner: owner, pos: c.pos(key)}
	text := c.text(v, "challenge")
	if text == "none" || text == "" {
		return out
	}
	sample := strings.ReplaceAll(text, "{name}", namePlaceholder)
	if strings.ContainsAny(sample, "{}") {
		c.wrong(v, "challenge has no other braces than {name}, which is replaced by the name to be validated; %q has others", yamlpos.Shorten(text))
		return out
	}
	canonical, ok := c.domain(v, sample, "challenge")
	if !ok {
		return out
	}
	for _, label := range dns.SplitDomainName(canonical) {
		if strings.HasPrefix(label, dnsname.ACEPrefix) && strings.Contains(label, namePlaceholder) {
			c.wrong(v, "challenge: {name} cannot share a label with letters beyond ASCII in %q", yamlpos.Shorten(text))
		}
	}
	out.template = strings.ReplaceAll(canonical, namePlaceholder, "{name}")
	return out
}

var (
	// account is a URI that fits the value of a parameter: printable ASCII without `;`.
	account = grammar{regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]*:[!-:<-~]+$`),
		"not the URI of an account (RFC 8657 3); copy the one that the ACME client shows"}
	// method is a label, in the lower case that CAs compare.
	method = grammar{regexp.MustCompile(`^[a-z0-9-]+$`),
		"not the label of a validation method (RFC 8657 4); write lower-case letters, digits and hyphens, such as dns-01"}
)

// IsAccount reports whether a text may be an account's URI.
func IsAccount(text string) bool { return account.pattern.MatchString(text) }

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7E })
}

// over returns the spec with what it does not say taken from its parent, tag by tag.
func (s *spec) over(parent *spec) *spec {
	merged := *s
	hasOwn := s.report != nil || s.email != nil || s.phone != nil || s.properties != nil || s.critical != nil
	for i, g := range s.grants {
		hasOwn = hasOwn || g != nil
		merged.grants[i] = either(g, parent.grants[i])
	}
	merged.report = either(s.report, parent.report)
	merged.email = either(s.email, parent.email)
	merged.phone = either(s.phone, parent.phone)
	merged.properties = either(s.properties, parent.properties)
	merged.critical = either(s.critical, parent.critical)
	merged.ttl = either(s.ttl, parent.ttl)
	merged.challenge = either(s.challenge, parent.challenge)
	if !hasOwn {
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
	all, n := make([]*written, 0, len(issuance.Tags)+4), 0
	for _, g := range s.grants {
		if g != nil {
			all = append(all, &g.written)
		}
	}
	for _, w := range []*written{s.report, s.email, s.phone, s.properties} {
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

// put adds the properties of a key to the set, with the critical flag where the node sets it.
func (s *spec) put(w *written) {
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
var standardTags = issuance.TagNames(func(issuance.Tag) bool { return true })

// checkCritical refuses a tag that nothing can have: a slip would go unnoticed.
func (c *compiler) checkCritical(s *spec, own *critical) {
	if own == nil {
		return
	}
	present := map[string]bool{}
	for _, p := range s.emit().rrset {
		present[p.Tag] = true // in lower case, as all that the compiler makes
	}
	for i, tag := range own.tags {
		if tag != "" && !slices.Contains(standardTags, tag) && !present[tag] {
			c.Add(own.positions[i], "critical lists %s, and no property here has that tag%s", yamlpos.Shorten(tag), c.meant(tag, standardTags))
		}
	}
}

// issueIndex is that of issue in issuance.Tags.
var issueIndex = slices.IndexFunc(issuance.Tags[:], func(t issuance.Tag) bool { return t.Name == issuance.TagIssue })

// checkOpen holds the rule that nothing is open by accident. What a node takes whole from another
// one is refused there.
func (c *compiler) checkOpen(s, parent *spec) {
	rrset := s.emit().rrset
	g := s.grants[issueIndex]
	switch {
	case parent != c.root && s.set == parent.set:
	case g == nil && !rrset.Has(issuance.TagIssue):
		c.Add(s.pos, "%s has no issue, neither its own nor from default, so any CA could issue; write issue: [ISSUER], issue: none, or issue: any if you mean that", dnsname.Bare(s.owner))
	case g != nil && g.any && len(rrset) == 0:
		pos := s.pos
		if g.owner == s.owner {
			pos = g.pos
		}
		c.Add(pos, "issue: any alone makes no RRset, and a CA would climb on to the parent (RFC 8659 3); add report to %s", dnsname.Bare(s.owner))
	}
}
