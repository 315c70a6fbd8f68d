package guard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// issuers checks the names and accounts that the policy declares.
func (c *check) issuers() {
	for _, issuer := range c.policy.Issuers {
		if !c.work.Take(1 + len(issuer.Accounts) + len(issuer.Methods)) {
			return
		}
		name := exact(issuer.Domain)
		entry := issuers.Lookup(name)
		if replaced := c.directory(issuer, name, entry); name != issuer.Domain && !replaced {
			c.refuseDomain(issuer, string(issuance.NameNotExact), fmt.Sprintf("the issuer %s has the domain %q, and CAs compare the Issuer Domain Name byte for byte", issuer.Key, issuer.Domain), name, "")
		}
		c.accounts(issuer, name, entry)
	}
}

// refuseDomain refuses an Issuer Domain Name and proposes another one; or says what else may be meant.
func (c *check) refuseDomain(issuer *policy.Issuer, code, text, instead, or string) {
	edit := &Edit{Pos: issuer.Pos, Op: Set, Key: "domain", Value: instead}
	c.refuse(Refusal{Pos: issuer.DomainPos, Code: code, Text: text, Fix: edit.String() + or, Edit: edit})
}

// refuseIssuer refuses an issuer as it is declared, so that what it is required for is not refused for the same reason.
func (c *check) refuseIssuer(issuer *policy.Issuer, r Refusal) {
	key := issuerFault{issuer, issuance.Reason(r.Code)}
	c.issuerFaults[key] = append(c.issuerFaults[key], c.refuse(r))
}

// directory holds an issuer against the directory. It reports whether it has refused the name for another one, so that how the
// name is written does not matter.
func (c *check) directory(issuer *policy.Issuer, name string, entry issuers.Entry) (replaced bool) {
	names := preferred(entry)
	switch {
	case entry.Status == issuers.Listed:
	case entry.Status == issuers.Deprecated:
		c.warn(Warning{Pos: issuer.DomainPos, Code: issuerDeprecated, Text: entry.Operators() + " deprecates the name " + name, Fix: "write domain: " + names[0]})
	case entry.Status == issuers.Unconfirmed:
		c.warn(Warning{Pos: issuer.DomainPos, Code: issuerUnconfirmed, Text: "the CCADB's report of August 2026 does not list " + name, Fix: fmt.Sprintf("ask %s whether it still honours the name", entry.CAs[0].Operator)})
	case issuer.Unlisted:
		if meant := issuers.Misspelt(name); meant != "" {
			c.warn(Warning{Pos: issuer.DomainPos, Code: string(Misspelt), Text: fmt.Sprintf("no public CA has the name %s, which is near to %s; unlisted: true accepts it as it is", name, meant), Fix: fmt.Sprintf("write domain: %s if you mean that CA", meant)})
		}
	case entry.Status == issuers.Reseller:
		c.badNames[name] = true
		or := ""
		if len(names) > 1 {
			or = fmt.Sprintf("; it also orders from %s: declare each of them, unless you know which CA issues", strings.Join(names[1:], ", "))
		}
		c.refuseDomain(issuer, string(Reseller), nameFaultText(name, Reseller), names[0], or)
		return true
	case entry.Status == issuers.Retired:
		c.badNames[name] = true
		c.refuseDomain(issuer, string(Retired), nameFaultText(name, Retired), names[0], "")
		return true
	default:
		c.badNames[name] = true
		return c.unknownIssuer(issuer, name)
	}
	return false
}

// unknownIssuer refuses a name that the directory does not have: a slip, or newer than the directory. It reports whether it
// proposes another name.
func (c *check) unknownIssuer(issuer *policy.Issuer, name string) bool {
	const unlisted = "for a private CA or one newer than the directory"
	if c.full() {
		return false // nobody would read the name
	}
	c.work.Take(lookFor)
	text := fmt.Sprintf("%s is not in the directory of public CAs", issuer.Domain)
	if near := issuers.Meant(name); near != "" {
		c.refuseDomain(issuer, issuerUnknown, text, near, "; or add unlisted: true "+unlisted)
		return true
	}
	edit := &Edit{Pos: issuer.Pos, Op: Set, Key: "unlisted", Value: "true"}
	c.refuse(Refusal{Pos: issuer.DomainPos, Code: issuerUnknown, Text: text, Edit: edit,
		Fix: fmt.Sprintf("%s %s; or write the Issuer Domain Name that the CA's documents give", edit, unlisted)})
	return false
}

// lookFor is some of the steps that it takes to find the name that was meant for one.
const lookFor = 1000

func preferred(entry issuers.Entry) []string {
	var names []string
	for _, ca := range entry.CAs {
		if !slices.Contains(names, ca.Preferred) {
			names = append(names, ca.Preferred)
		}
	}
	return names
}

// foreignAccount returns the refusal, without its position, of an account that is not the issuer's own.
func foreignAccount(name, account string) (r Refusal, foreign bool) {
	fault, ca := issuers.CheckAccount(name, account)
	switch fault {
	case issuers.AnotherCA:
		return Refusal{Code: string(fault),
			Text: fmt.Sprintf("the account %s belongs to %s, so no account of %s matches it", account, ca.Operator, name),
			Fix:  fmt.Sprintf("write the URI of the account at %s; or, if the account is right, domain: %s", name, ca.Preferred)}, true
	case issuers.Staging:
		return Refusal{Code: string(fault),
			Text: fmt.Sprintf("the account %s belongs to the staging environment, so no production certificate matches it", account)}, true
	}
	return Refusal{}, false
}

// accountsOf refuses an account that a grant gives an issuer and that is not its own.
func (c *check) accountsOf(p issuance.Property, src *policy.Source) {
	v, err := issuance.ParseIssueValue(p.Value)
	if err != nil {
		return
	}
	for _, account := range v.Values(issuance.AccountURI) {
		if r, foreign := foreignAccount(exact(v.Domain), account); foreign {
			r.Pos = src.Pos
			c.fault(p, src, r)
		}
	}
}

// exampleAccount is the account of the examples in the documents, which people copy.
const exampleAccount = "https://acme-v02.api.letsencrypt.org/acme/acct/1234567"

// accounts holds an issuer's account URIs against the CAs' known forms, and reports parameters that its CA does not
// process yet.
func (c *check) accounts(issuer *policy.Issuer, name string, entry issuers.Entry) {
	for i, account := range issuer.Accounts {
		if account == exampleAccount {
			c.warn(Warning{Pos: issuer.AccountPos[i], Code: accountOfExample, Text: "the account is the one of this project's examples, not yours"})
		}
		if r, foreign := foreignAccount(name, account); foreign {
			r.Pos = issuer.AccountPos[i]
			c.refuseIssuer(issuer, r)
		}
	}
	c.methods(issuer.Methods, func(i int) policy.Position { return issuer.MethodPos[i] }, issuer.Unlisted, func(r Refusal) { c.refuseIssuer(issuer, r) })
	bound := len(issuer.Accounts) > 0 || len(issuer.Methods) > 0
	silent := slices.ContainsFunc(entry.CAs, func(ca *issuers.CA) bool { return !ca.Parameters })
	if bound && entry.Honoured() && silent {
		c.report(Refusal{Pos: issuer.Pos, Code: parametersNotYetBound,
			Text: fmt.Sprintf("%s is not known to process accounts and methods; they bind every public CA from %s: until then they may protect nothing, and from then a wrong one locks the CA out", name, issuance.ParametersBind.From.Format(time.DateOnly))})
	}
}

// methods refuses a list of validation methods by which no CA issues: one with a misspelt label, which stands for a method
// that somebody means to use, or one without any label that a CA is known to have. Next to a known one, or of an unlisted
// issuer, another one may be newer than this program.
func (c *check) methods(labels []string, pos func(int) policy.Position, unlisted bool, refuse func(Refusal)) {
	known := slices.ContainsFunc(labels, issuance.KnownMethod)
	for i, label := range labels {
		if issuance.KnownMethod(label) {
			continue
		}
		text := fmt.Sprintf("no CA is known to have the validation method %s, so none issues by it", label)
		meant := issuance.MeantMethod(label)
		switch {
		case meant != "" && unlisted:
			c.warn(Warning{Pos: pos(i), Code: string(MethodUnknown), Text: text, Fix: fmt.Sprintf("write %s if you mean that", meant)})
		case meant != "":
			refuse(Refusal{Pos: pos(i), Code: string(MethodUnknown), Text: text, Fix: fmt.Sprintf("write %s", meant)})
		case unlisted || known:
			c.warn(Warning{Pos: pos(i), Code: string(MethodUnknown), Text: text, Fix: "check the spelling"})
		default:
			refuse(Refusal{Pos: pos(i), Code: string(MethodUnknown), Text: text})
		}
	}
}

// udpSpace is what an RRset may take in an answer of 1232 octets beside the question, a signature
// and EDNS; caaOverhead what each record needs beside its RDATA.
const (
	udpSpace    = 1232 - 12 - 64 - 120 - 11
	tcpSpace    = 65535 - 4096 // a name, and signatures by several RSA keys while they roll
	caaOverhead = 12
)

// properties reads every property as the strictest CAs do.
func (c *check) properties() {
	for _, z := range c.policy.Zones {
		c.nameservers(z)
		for node := range z.Nodes() {
			c.node(node, dnsname.Bare(node.Name))
		}
	}
	if d := c.policy.Default(); d != nil {
		c.node(d, "default")
	}
}

func (c *check) node(node *policy.Node, name string) {
	if !c.work.Take(len(node.RRset)) {
		return
	}
	c.size(node, name)
	for i, p := range node.RRset {
		if at := (writing{node.Sources[i], p}); !c.checked[at] {
			c.checked[at] = true
			c.property(p, node.Sources[i])
		}
	}
}

func (c *check) size(node *policy.Node, name string) {
	size := 0
	for _, p := range node.RRset {
		size += caaOverhead + 2 + len(p.Tag) + len(p.Value)
	}
	switch n := len(node.RRset); {
	case n > MostRecords:
		c.tooLong[node.Pos] = c.refuse(Refusal{Pos: node.Pos, Code: string(TooManyRecords), Names: []string{name},
			Text: fmt.Sprintf("its CAA RRset has %d records, and resolvers that run BIND answer SERVFAIL to more than %d", n, MostRecords),
			Fix:  fewer})
	case size > tcpSpace:
		c.refuse(Refusal{Pos: node.Pos, Code: rrsetTooLong, Names: []string{name},
			Text: fmt.Sprintf("its CAA RRset has %d octets, more than any DNS answer can hold", size),
			Fix:  fewer})
	case size > udpSpace:
		c.warn(Warning{Pos: node.Pos, Code: rrsetLong, Text: fmt.Sprintf("the CAA RRset of %s has %d octets and does not fit a UDP answer, so CAs ask again over TCP", name, size)})
	}
}

// fewer is the fix of an RRset that is too large.
const fewer = "declare fewer accounts, since each is a record; or list here only those used here: issue: [{issuer: KEY, accounts: [...]}]"

// nameservers refuses RRsets of a zone's servers that not every resolver accepts.
func (c *check) nameservers(z *policy.Zone) {
	if n := len(z.Nameservers); n > MostRecords {
		c.refuse(Refusal{Pos: z.Nameservers[MostRecords].Pos, Code: string(TooManyRecords), Names: []string{dnsname.Bare(z.Name)},
			Text: fmt.Sprintf("it has %d name servers, and resolvers that run BIND answer SERVFAIL to more than %d", n, MostRecords),
			Fix:  "list fewer; a delegation has at most 13"})
	}
	for _, ns := range z.Nameservers {
		if n := len(ns.Addresses); n > MostRecords {
			c.refuse(Refusal{Pos: ns.Pos, Code: string(TooManyRecords), Names: []string{dnsname.Bare(ns.Name)},
				Text: fmt.Sprintf("it has %d addresses, and resolvers that run BIND answer SERVFAIL to more than %d of a type", n, MostRecords),
				Fix:  "give it fewer addresses"})
		}
	}
}

// What the rows of properties find.

func unknownTag(p issuance.Property) string {
	if issuance.KnownTag(p.Tag) || issuance.MeantTag(p.Tag) != "" {
		return ""
	}
	return restrictsNobody(p)
}

func restrictsNobody(p issuance.Property) string {
	return fmt.Sprintf("no CA is known to process the property %s, so it restricts nobody", p.Tag)
}

func emptyValue(p issuance.Property) string {
	if p.Value != "" {
		return ""
	}
	return fmt.Sprintf("the property %s has an empty value, and PowerDNS Recursor treats its RRset as bogus where the zone is signed", p.Tag)
}

func httpReport(p issuance.Property) string {
	if p.Tag != issuance.TagIodef || !strings.HasPrefix(p.Value, "http:") {
		return ""
	}
	return "CAs need not support http: in report"
}

func (c *check) property(p issuance.Property, src *policy.Source) {
	for _, e := range entries {
		if e.property == nil {
			continue
		}
		if text := e.property(p); text != "" {
			c.reportProperty(p, src, Refusal{Pos: src.Pos, Code: e.Code, Text: text})
		}
	}
	// Some CAs take flag 1 for the critical one.
	if p.Flags&issuance.Strict.CriticalBits != 0 && !slices.Contains(issuance.Strict.Known, p.Tag) {
		c.critical(p, src)
	}
	if meant := issuance.MeantTag(p.Tag); meant != "" {
		c.fault(p, src, Refusal{Pos: src.Pos, Code: tagMisspelt, Text: restrictsNobody(p), Fix: "write " + meant})
	}
	if issuance.Grants(p.Tag) && src.OwnMethods {
		c.methodsOf(p, src)
	}
	if issuance.Grants(p.Tag) && src.OwnAccounts {
		c.accountsOf(p, src)
	}
	if issuance.Grants(p.Tag) && src.Key == "properties" {
		c.value(p, src)
	}
}

// methodsOf checks the methods that a property has of its own.
func (c *check) methodsOf(p issuance.Property, src *policy.Source) {
	v, err := issuance.ParseIssueValue(p.Value)
	if err != nil {
		return
	}
	unlisted := src.Issuer != nil && src.Issuer.Unlisted || src.Issuer == nil && c.unlisted[exact(v.Domain)]
	c.methods(labelsOf(v), func(int) policy.Position { return src.Pos }, unlisted, func(r Refusal) { c.fault(p, src, r) })
}

// issuerName refuses an Issuer Domain Name that was written by hand and that no CA honours, except where an unlisted
// issuer has it.
func (c *check) issuerName(p issuance.Property, src *policy.Source, domain string) {
	reason, meant := Requirement{Domain: exact(domain), Origin: Published, Unlisted: c.unlisted[exact(domain)]}.nameFault()
	if reason == "" {
		return
	}
	c.fault(p, src, Refusal{Pos: src.Pos, Code: string(reason), Text: nameFaultText(exact(domain), reason), Fix: instead(exact(domain), meant)})
}

// nameFaultText says why no CA honours a name.
func nameFaultText(domain string, reason issuance.Reason) string {
	switch entry := issuers.Lookup(domain); reason {
	case Retired:
		return fmt.Sprintf("%[2]s no longer honours the name %[1]s", domain, entry.Operators())
	case Reseller:
		return fmt.Sprintf("%s resells certificates, and its name authorises no CA", domain)
	}
	return fmt.Sprintf("no public CA has the name %s, which is near to one", domain)
}

// instead returns what to write for a name that no CA honours.
func instead(domain, meant string) string {
	if meant != "" {
		return "write " + meant
	}
	return "write " + strings.Join(preferred(issuers.Lookup(domain)), " or ")
}

// fault refuses a property that denies by itself, whoever is required.
func (c *check) fault(p issuance.Property, src *policy.Source, r Refusal) {
	at := writtenProperty{src.Pos, p.Tag}
	made := c.refuse(r)
	if !slices.Contains(c.faults[at], made) {
		c.faults[at] = append(c.faults[at], made)
	}
}

func (c *check) critical(p issuance.Property, src *policy.Source) {
	edit := &Edit{Pos: src.Pos, Op: Set, Key: "flags", Value: "0"}
	if src.Critical != nil {
		edit = &Edit{Pos: *src.Critical, Op: Remove, Key: "critical", Value: p.Tag}
	}
	c.fault(p, src, Refusal{Pos: edit.Pos, Code: string(issuance.CriticalUnknown), Edit: edit, Fix: edit.String(),
		Text: fmt.Sprintf("the property %s is critical (flags %d), and a CA that does not know the tag issues to nobody", p.Tag, p.Flags)})
}

// value checks an issue-value that the user wrote by hand.
func (c *check) value(p issuance.Property, src *policy.Source) {
	refuse := func(code issuance.Reason, what, fix string) {
		c.fault(p, src, Refusal{Pos: src.Pos, Code: string(code), Text: fmt.Sprintf("the value %q of %s %s", shortened(p.Value), p.Tag, what), Fix: fix})
	}
	instead := fmt.Sprintf("remove the property and list the issuer under %s, with its accounts and methods", p.Tag)
	v, err := issuance.ParseIssueValue(p.Value)
	if err != nil {
		refuse(issuance.Malformed, fmt.Sprintf("is malformed (%v) and authorises no CA", err), instead)
		return
	}
	c.methodsOf(p, src)
	if v.Domain != "" {
		c.issuerName(p, src, v.Domain)
	}
	found := false
	for _, fault := range valueFaults {
		if what, fix := fault.find(v); what != "" {
			refuse(fault.code, what, cmp.Or(fix, instead))
			found = true
		}
	}
	if reason := unsatisfiable(p, v); reason != "" && !found {
		refuse(reason, "has parameters that no request can satisfy", instead)
	}
}

// unsatisfiable asks the evaluator whether the request that the value itself describes is denied.
func unsatisfiable(p issuance.Property, v issuance.IssueValue) issuance.Reason {
	if v.Domain == "" {
		return "" // that nobody may is what it says
	}
	tag, _ := issuance.TagOf(p.Tag)
	req := tag.Request().Requesting(v.Parameters)
	req.Issuers = []string{v.Domain}
	p.Flags = 0
	if d, _ := issuance.Everywhere(issuance.RRset{p}, req); !d.Permitted {
		return d.Reason
	}
	return ""
}

// valueFaults are the rows of what real CAs read otherwise than its author meant. A row without a fix has the general
// one.
var valueFaults = []struct {
	code issuance.Reason
	find func(v issuance.IssueValue) (what, fix string)
}{
	{issuance.NameNotExact, func(v issuance.IssueValue) (string, string) {
		if v.Domain == strings.ToLower(v.Domain) {
			return "", ""
		}
		return "has capitals, and CAs compare the Issuer Domain Name byte for byte", "write " + strings.ToLower(v.Domain)
	}},
	{"parameter-not-lower-case", func(v issuance.IssueValue) (string, string) {
		for _, p := range v.Parameters {
			if lower := strings.ToLower(p.Tag); lower != p.Tag {
				return fmt.Sprintf("has the parameter %s with capitals: some CAs ignore it, which admits any account, and others deny", p.Tag), "write " + lower
			}
		}
		return "", ""
	}},
	{"parameter-hyphen", func(v issuance.IssueValue) (string, string) {
		for _, p := range v.Parameters {
			if strings.Contains(p.Tag, "-") {
				return fmt.Sprintf("has the parameter %s, and some CAs deny a hyphen there", p.Tag), ""
			}
		}
		return "", ""
	}},
	{"parameter-unknown", func(v issuance.IssueValue) (string, string) {
		for _, p := range v.Parameters {
			if !strings.Contains(p.Tag, "-") && !issuance.KnownParameter(p.Tag) {
				return fmt.Sprintf("has the parameter %s, which no CA is known to process", p.Tag), ""
			}
		}
		return "", ""
	}},
	{issuance.BadParameters, func(v issuance.IssueValue) (string, string) {
		count := map[string]int{}
		for _, p := range v.Parameters {
			count[strings.ToLower(p.Tag)]++
		}
		for _, row := range issuance.ParameterTags {
			if n := count[row.Name]; row.Restricts && n > 1 {
				return fmt.Sprintf("has %s %d times, which no request can satisfy", row.Name, n), ""
			}
		}
		return "", ""
	}},
}
