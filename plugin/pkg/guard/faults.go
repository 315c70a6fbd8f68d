package guard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// issuers checks the names and accounts that the policy declares.
func (c *check) issuers() {
	for _, issuer := range c.policy.Issuers {
		if !c.work.Take(1 + len(issuer.Accounts) + len(issuer.Methods)) {
			return
		}
		name := exact(issuer.Domain)
		if name != issuer.Domain {
			c.refuseDomain(issuer, "issuer-name-not-exact", fmt.Sprintf("the issuer %s is written %q, and CAs compare the Issuer Domain Name byte for byte", issuer.Key, issuer.Domain), name, "")
		}
		entry := issuers.Lookup(name)
		c.directory(issuer, name, entry)
		c.accounts(issuer, name, entry)
	}
}

// refuseDomain refuses an Issuer Domain Name and proposes another one; or says what else may be meant.
func (c *check) refuseDomain(issuer *policy.Issuer, code, cause, instead, or string) {
	edit := &Edit{Pos: issuer.Pos, Op: Set, Key: "domain", Value: instead}
	c.refuse(Refusal{Pos: issuer.DomainPos, Code: code, Cause: cause, Remedy: edit.String() + or, Edit: edit})
}

// refuseIssuer refuses an issuer as it is declared: what it is required for need not be refused for the same
// reason.
func (c *check) refuseIssuer(issuer *policy.Issuer, r Refusal) {
	key := issuerFault{issuer, issuance.Reason(r.Code)}
	c.issuerFaults[key] = append(c.issuerFaults[key], c.refuse(r))
}

func (c *check) directory(issuer *policy.Issuer, name string, entry issuers.Entry) {
	names := preferred(entry)
	switch {
	case entry.Status == issuers.Listed:
	case entry.Status == issuers.Deprecated:
		c.warn(issuer.DomainPos, "issuer-deprecated", "%s is deprecated by its CA; write domain: %s", name, names[0])
	case entry.Status == issuers.Unconfirmed:
		c.warn(issuer.DomainPos, "issuer-unconfirmed", "%s is not in the report of the CCADB of August 2026; ask %s whether it still answers to it", name, entry.CAs[0].Operator)
	case issuer.Unlisted:
		if meant := issuers.Misspelt(name); meant != "" {
			c.warn(issuer.DomainPos, string(Misspelt), "%s is near to %s, which is a public CA's, and unlisted: true says that it is meant as it is; no public CA issues by it", name, meant)
		}
	case entry.Status == issuers.Reseller:
		c.misnames[name] = true
		or := ""
		if len(names) > 1 {
			or = fmt.Sprintf("; it also orders from %s: declare each of them, unless you know which one issues", strings.Join(names[1:], ", "))
		}
		c.refuseDomain(issuer, "issuer-is-reseller", fmt.Sprintf("%s sells certificates that others issue, and its name in CAA authorises nobody", name), names[0], or)
	case entry.Status == issuers.Retired:
		c.misnames[name] = true
		c.refuseDomain(issuer, "issuer-retired", fmt.Sprintf("%s is no longer an Issuer Domain Name of %s", name, entry.CAs[0].Operator), names[0], "")
	default:
		c.misnames[name] = true
		c.unknownIssuer(issuer, name)
	}
}

// unknownIssuer refuses a name that the directory does not have: a slip, or newer than the directory.
func (c *check) unknownIssuer(issuer *policy.Issuer, name string) {
	const code, unlisted = "issuer-unknown", "for a private CA or one newer than the directory"
	if c.full() {
		return // a name is not looked for that nobody reads
	}
	c.work.Take(lookFor)
	cause := fmt.Sprintf("%s is not in the directory of public CAs", name)
	if near := issuers.Meant(name); near != "" {
		c.refuseDomain(issuer, code, cause, near, "; or add unlisted: true "+unlisted)
		return
	}
	edit := &Edit{Pos: issuer.Pos, Op: Set, Key: "unlisted", Value: "true"}
	c.refuse(Refusal{Pos: issuer.DomainPos, Code: code, Cause: cause, Edit: edit,
		Remedy: fmt.Sprintf("%s %s; or write the Issuer Domain Name that the CA's documents give", edit, unlisted)})
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

// foreignAccount is the refusal, without its place, of an account that is not the issuer's own.
func foreignAccount(name, account string) (r Refusal, foreign bool) {
	fault, ca := issuers.CheckAccount(name, account)
	switch fault {
	case issuers.AnotherCA:
		return Refusal{Code: string(fault),
			Cause:  fmt.Sprintf("the account %s belongs to %s, so %s would never match it", account, ca.Operator, name),
			Remedy: fmt.Sprintf("write the account at %s; or, if the account is right, domain: %s", name, ca.Preferred)}, true
	case issuers.Staging:
		return Refusal{Code: string(fault),
			Cause:  fmt.Sprintf("the account %s is one of the staging environment, and a production certificate never matches it", account),
			Remedy: "register the ACME client at the production directory and write that account's URI"}, true
	}
	return Refusal{}, false
}

// accountsOf refuses an account that a grant gives an issuer and that is not its own.
func (c *check) accountsOf(p issuance.Property, src *policy.Source) {
	v, err := issuance.ParseIssueValue(p.Value)
	if err != nil {
		return
	}
	for _, account := range v.Values("accounturi") {
		if r, foreign := foreignAccount(exact(v.Domain), account); foreign {
			r.Pos = src.Pos
			c.fault(p, src, r)
		}
	}
}

// accounts holds an issuer's account URIs against the CAs' known forms, and tells of parameters that
// its CA does not process yet.
func (c *check) accounts(issuer *policy.Issuer, name string, entry issuers.Entry) {
	for i, account := range issuer.Accounts {
		if r, foreign := foreignAccount(name, account); foreign {
			r.Pos = issuer.AccountPos[i]
			c.refuseIssuer(issuer, r)
		}
	}
	c.methods(issuer.Methods, func(i int) policy.Position { return issuer.MethodPos[i] }, issuer.Unlisted, func(r Refusal) { c.refuseIssuer(issuer, r) })
	bound := len(issuer.Accounts) > 0 || len(issuer.Methods) > 0
	silent := slices.ContainsFunc(entry.CAs, func(ca *issuers.CA) bool { return !ca.Parameters })
	if bound && entry.Honoured() && silent && c.options.At.Before(issuers.ParametersBindFrom) {
		c.warn(issuer.Pos, "parameters-not-yet-bound", "%s does not say that it processes accounts and methods (RFC 8657); they bind every public CA from %s: until then they protect nothing, and from then a wrong one locks out",
			name, issuers.ParametersBindFrom.Format("2006-01-02"))
	}
}

// methods refuses a list of validation methods by which nobody issues: with a slip in it, which stands for a
// method that somebody means to use, or without any that a CA is known to have. Beside one that is known, or of an
// issuer that is unlisted, another one may be newer than what we know.
func (c *check) methods(labels []string, pos func(int) policy.Position, unlisted bool, refuse func(Refusal)) {
	known := slices.ContainsFunc(labels, issuance.KnownMethod)
	for i, label := range labels {
		if issuance.KnownMethod(label) {
			continue
		}
		cause := fmt.Sprintf("no CA is known to have a validation method that is called %s, so that none issues by it (RFC 8657 4)", label)
		meant := issuance.MeantMethod(label)
		switch {
		case meant != "" && unlisted:
			c.warn(pos(i), string(MethodUnknown), "%s; write %s, if that is meant", cause, meant)
		case meant != "":
			refuse(Refusal{Pos: pos(i), Code: string(MethodUnknown), Cause: cause, Remedy: fmt.Sprintf("did you mean %s?", meant)})
		case unlisted || known:
			c.warn(pos(i), string(MethodUnknown), "%s", cause)
		default:
			refuse(Refusal{Pos: pos(i), Code: string(MethodUnknown), Cause: cause, Remedy: knownMethods})
		}
	}
}

// knownMethods is what to write instead of a method that nobody knows.
const knownMethods = "write a label of IANA's registry, such as dns-01, or one that begins with ca-, such as ca-tbr-7 for the Baseline Requirements' 3.2.2.4.7; of a private CA, or one newer than the directory, add unlisted: true to the issuer"

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
			c.node(node, terminal.Bare(node.Name))
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
		if at := (writing{node.Sources[i], p}); !c.read[at] {
			c.read[at] = true
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
		c.long[node.Pos] = c.refuse(Refusal{Pos: node.Pos, Code: string(TooManyRecords), Names: []string{name},
			Cause:  fmt.Sprintf("its CAA RRset has %d records, and to more than %d resolvers by BIND answer SERVFAIL (max-records-per-type)", n, MostRecords),
			Remedy: fewer})
	case size > tcpSpace:
		c.refuse(Refusal{Pos: node.Pos, Code: "rrset-too-long", Names: []string{name},
			Cause:  fmt.Sprintf("its CAA RRset has %d octets, more than any DNS answer can hold", size),
			Remedy: fewer})
	case size > udpSpace:
		c.warn(node.Pos, "rrset-long", "the CAA RRset of %s has %d octets and does not fit a UDP answer: CAs ask again over TCP, which must work from everywhere", name, size)
	}
}

// fewer is the remedy of an RRset that is too large.
const fewer = "declare fewer accounts, for each is a record; or name here only those used here: issue: [{issuer: KEY, accounts: [...]}]"

// nameservers refuses RRsets of a zone's servers that not every resolver accepts.
func (c *check) nameservers(z *policy.Zone) {
	if n := len(z.Nameservers); n > MostRecords {
		c.refuse(Refusal{Pos: z.Nameservers[MostRecords].Pos, Code: string(TooManyRecords), Names: []string{terminal.Bare(z.Name)},
			Cause:  fmt.Sprintf("it has %d name servers, and to more than %d records resolvers by BIND answer SERVFAIL (max-records-per-type)", n, MostRecords),
			Remedy: "name fewer: a delegation has at most 13"})
	}
	for _, ns := range z.Nameservers {
		if n := len(ns.Addresses); n > MostRecords {
			c.refuse(Refusal{Pos: ns.Pos, Code: string(TooManyRecords), Names: []string{terminal.Bare(ns.Name)},
				Cause:  fmt.Sprintf("it has %d addresses, and to more than %d records of a type resolvers by BIND answer SERVFAIL (max-records-per-type)", n, MostRecords),
				Remedy: "give it fewer addresses"})
		}
	}
}

// grants are the tags whose value is an issue-value.
var grants = []string{issuance.TagIssue, issuance.TagIssueWild, issuance.TagIssueMail, issuance.TagIssueVMC}

// knownParameters are those that some CA processes; the first two bind (RFC 8657).
var knownParameters = []string{"accounturi", "validationmethods", "cansignhttpexchanges"}

// safelyCritical are the tags that every CA must know (BR 3.2.2.8).
var safelyCritical = []string{issuance.TagIssue, issuance.TagIssueWild, issuance.TagIodef}

// standardTags are those that the language writes by itself.
var standardTags = append(slices.Clone(grants), issuance.TagIodef, issuance.TagContactEmail, issuance.TagContactPhone)

func (c *check) property(p issuance.Property, src *policy.Source) {
	if p.Tag == issuance.TagIodef && strings.HasPrefix(p.Value, "http:") {
		c.warn(src.Pos, "report-http", "CAs need not support http: in report (BR 3.2.2.8); write mailto: or https:")
	}
	// Some CAs take flag 1 for the critical one.
	if p.Flags&(issuance.FlagCritical|1) != 0 && !slices.Contains(safelyCritical, p.Tag) {
		c.critical(p, src)
	}
	if meant := issuance.MeantTag(p.Tag); meant != "" {
		c.fault(p, src, Refusal{Pos: src.Pos, Code: "tag-misspelt", Cause: fmt.Sprintf("no CA is known to process the property %s, so that it restricts nobody", p.Tag), Remedy: fmt.Sprintf("did you mean %s?", meant)})
	} else if !slices.Contains(standardTags, p.Tag) {
		c.warn(src.Pos, "tag-unknown", "no CA is known to process the property %s; it restricts nobody", p.Tag)
	}
	if p.Value == "" {
		c.warn(src.Pos, "value-empty", "an empty value makes the RRset bogus for PowerDNS Recursor where the zone is signed; for nobody write none, or the value \";\"")
	}
	if slices.Contains(grants, p.Tag) && src.OwnMethods {
		c.methodsOf(p, src)
	}
	if slices.Contains(grants, p.Tag) && src.OwnAccounts {
		c.accountsOf(p, src)
	}
	if slices.Contains(grants, p.Tag) && src.Key == "properties" {
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

// named refuses an Issuer Domain Name that was written by hand and that nobody answers to. One that an issuer
// which is unlisted has is meant.
func (c *check) named(p issuance.Property, src *policy.Source, domain string) {
	reason, meant := Requirement{Domain: exact(domain), Origin: Published, Unlisted: c.unlisted[exact(domain)]}.nameFault()
	if reason == "" {
		return
	}
	c.fault(p, src, Refusal{Pos: src.Pos, Code: string(reason), Cause: nameCause(exact(domain), reason), Remedy: instead(exact(domain), meant)})
}

// nameCause says of a name why nobody answers to it.
func nameCause(domain string, reason issuance.Reason) string {
	switch entry := issuers.Lookup(domain); reason {
	case Retired:
		return fmt.Sprintf("%s is no longer an Issuer Domain Name of %s", domain, entry.Operators())
	case Reseller:
		return fmt.Sprintf("%s sells certificates that others issue, and its name in CAA authorises nobody", domain)
	}
	return fmt.Sprintf("%s is no public CA's name, and is near to one", domain)
}

// instead says what to write for a name that nobody answers to.
func instead(domain, meant string) string {
	if meant != "" {
		return fmt.Sprintf("did you mean %s?", meant)
	}
	return "write " + strings.Join(preferred(issuers.Lookup(domain)), " or ")
}

// fault refuses a property that denies by itself, whoever is required.
func (c *check) fault(p issuance.Property, src *policy.Source, r Refusal) {
	place := writtenProperty{src.Pos, p.Tag}
	made := c.refuse(r)
	if !slices.Contains(c.faults[place], made) {
		c.faults[place] = append(c.faults[place], made)
	}
}

func (c *check) critical(p issuance.Property, src *policy.Source) {
	edit := &Edit{Pos: src.Pos, Op: Set, Key: "flags", Value: "0"}
	if src.Critical != nil {
		edit = &Edit{Pos: *src.Critical, Op: Remove, Key: "critical", Value: p.Tag}
	}
	c.fault(p, src, Refusal{Pos: edit.Pos, Code: string(issuance.CriticalUnknown), Edit: edit, Remedy: edit.String(),
		Cause: fmt.Sprintf("the property %s is critical (flags %d): a CA that does not know it issues nothing at all (RFC 8659 4.1)", p.Tag, p.Flags)})
}

// value checks an issue-value that the user wrote by hand.
func (c *check) value(p issuance.Property, src *policy.Source) {
	refuse := func(code issuance.Reason, cause, remedy string) {
		c.fault(p, src, Refusal{Pos: src.Pos, Code: string(code), Cause: fmt.Sprintf("the value %q of %s %s", shortened(p.Value), p.Tag, cause), Remedy: remedy})
	}
	instead := fmt.Sprintf("take the property away and write the issuer under %s, with accounts and methods", p.Tag)
	v, err := issuance.ParseIssueValue(p.Value)
	if err != nil {
		refuse(issuance.Malformed, fmt.Sprintf("is malformed (%v) and authorises nobody (RFC 8659 4.2)", err), instead)
		return
	}
	c.methodsOf(p, src)
	if v.Domain != "" {
		c.named(p, src, v.Domain)
	}
	told := false
	for _, fault := range valueFaults {
		if cause, remedy := fault.find(v); cause != "" {
			refuse(fault.code, cause, cmp.Or(remedy, instead))
			told = true
		}
	}
	if reason := unsatisfiable(p, v); reason != "" && !told {
		refuse(reason, "has parameters that no request can satisfy (RFC 8657)", instead)
	}
}

// unsatisfiable asks the evaluator whether the request that the value itself describes is denied.
func unsatisfiable(p issuance.Property, v issuance.IssueValue) issuance.Reason {
	if v.Domain == "" {
		return "" // that nobody may is what it says
	}
	req := issuance.Request{Issuers: []string{v.Domain}}
	switch p.Tag {
	case issuance.TagIssueWild:
		req.Wildcard = true
	case issuance.TagIssueMail:
		req.Type = issuance.SMIME
	case issuance.TagIssueVMC:
		req.Type = issuance.VMC
	}
	for _, parameter := range v.Parameters {
		switch parameter.Tag {
		case "accounturi":
			req.Account = parameter.Value
		case "validationmethods":
			req.Method, _, _ = strings.Cut(parameter.Value, ",")
		}
	}
	p.Flags = 0
	if d, _ := issuance.Everywhere(issuance.RRset{p}, req); !d.Permitted {
		return d.Reason
	}
	return ""
}

// valueFaults are the rows of what real CAs read otherwise than it was meant. A row without a remedy
// has the general one.
var valueFaults = []struct {
	code issuance.Reason
	find func(v issuance.IssueValue) (cause, remedy string)
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
				return fmt.Sprintf("has the parameter %s with capitals: some CAs ignore it, which opens, others deny", p.Tag), "write " + lower
			}
		}
		return "", ""
	}},
	{"parameter-hyphen", func(v issuance.IssueValue) (string, string) {
		for _, p := range v.Parameters {
			if strings.Contains(p.Tag, "-") {
				return fmt.Sprintf("has the parameter %s: some CAs deny at a hyphen", p.Tag), ""
			}
		}
		return "", ""
	}},
	{"parameter-unknown", func(v issuance.IssueValue) (string, string) {
		for _, p := range v.Parameters {
			if !strings.Contains(p.Tag, "-") && !slices.Contains(knownParameters, strings.ToLower(p.Tag)) {
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
		for _, tag := range knownParameters[:2] {
			if count[tag] > 1 {
				return fmt.Sprintf("has %s %d times, which no request can satisfy (RFC 8657 3)", tag, count[tag]), ""
			}
		}
		return "", ""
	}},
}
