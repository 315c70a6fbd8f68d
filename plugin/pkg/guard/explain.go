package guard

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// who names the issuer as its user wrote it.
func (r Requirement) who() string {
	if r.IssuerKey != "" {
		return r.IssuerKey
	}
	return r.Domain
}

// because says who requires an issuance, where that is not the policy itself.
func (r Requirement) because() string {
	switch r.Origin {
	case Operator:
		return fmt.Sprintf(" (required by the server's own issuer line, %v)", r.Pos)
	case Previous:
		return fmt.Sprintf(" (required by the policy that is being served, %v)", r.Pos)
	}
	return ""
}

// drop is the remedy's other half: how to give a requirement up on purpose.
func (r Requirement) drop() string {
	switch r.Origin {
	case Operator:
		return "; or take the issuer line out of the Corefile"
	case Previous:
		return "; to give it up on purpose, take its certificates away in one change and the permission in the next"
	}
	return ""
}

func unprovable(r Requirement) Refusal {
	cause := fmt.Sprintf("no zone of the policy answers for it, so %s cannot be proved to issue%s", r.who(), r.because())
	return Refusal{Pos: r.Pos, Code: "not-covered", Names: []string{r.String()}, Cause: cause,
		Remedy: "list its zone under zones, or take the name out of certificates" + r.drop()}
}

// explain makes the refusal of a denied requirement: the property that decided, and what to write.
func explain(r Requirement, req issuance.Request, node *policy.Node, d issuance.Decision, dialect issuance.Dialect) Refusal {
	refusal := Refusal{Pos: node.Pos, Code: string(d.Reason), Names: []string{r.String()}}
	tag := req.DecidingTag(node.RRset)
	var property issuance.Property
	owner := node.Name
	if d.Index >= 0 {
		property = node.RRset[d.Index]
		refusal.Pos = node.Sources[d.Index].Pos
		owner = node.Sources[d.Index].Owner
	}
	at := place(owner)
	reading := ""
	if dialect.Name != issuance.RFC.Name && issuance.Decide(node.RRset, req, issuance.RFC).Permitted {
		reading = ", as the strictest CAs read it"
	}
	cause, remedy := causes[d.Reason](r, tag, at, property)
	refusal.Cause = cause + reading + r.because()
	refusal.Remedy = remedy + r.drop()
	return refusal
}

func place(owner string) string {
	if owner == "default" || owner == "report" || owner == "the file" {
		return owner
	}
	return strings.TrimSuffix(owner, ".")
}

// causes are the sentences of each denial: the cause and the remedy.
var causes = map[issuance.Reason]func(r Requirement, tag, at string, p issuance.Property) (cause, remedy string){
	issuance.NobodyAuthorized: func(r Requirement, tag, at string, p issuance.Property) (string, string) {
		over := ""
		if tag == issuance.TagIssueWild {
			over = ", which overrides issue for wildcards (RFC 8659 4.3)"
		}
		return fmt.Sprintf("%s cannot issue: %s none at %s%s", r.who(), tag, at, over), grantRemedy(r, tag)
	},
	issuance.IssuerNotListed: func(r Requirement, tag, at string, p issuance.Property) (string, string) {
		return fmt.Sprintf("%s cannot issue: %s at %s names other issuers only, and replaces what stands above (RFC 8659 3)", r.who(), tag, at), grantRemedy(r, tag)
	},
	issuance.Malformed: func(r Requirement, tag, at string, p issuance.Property) (string, string) {
		return fmt.Sprintf("%s cannot issue: the %s value %q at %s is malformed, which authorises nobody (RFC 8659 4.2)", r.who(), tag, p.Value, at), grantRemedy(r, tag)
	},
	issuance.NameNotExact: func(r Requirement, tag, at string, p issuance.Property) (string, string) {
		return fmt.Sprintf("%s cannot issue: %q at %s is not the name that the CA compares byte for byte", r.who(), p.Value, at), fmt.Sprintf("write the Issuer Domain Name as %s", strings.ToLower(r.Domain))
	},
	issuance.AccountMismatch: func(r Requirement, tag, at string, p issuance.Property) (string, string) {
		return fmt.Sprintf("%s cannot issue to the account %s: %s at %s is bound to another (RFC 8657 3)", r.who(), orNone(r.Account), tag, at),
			"allow the account there, or name the account that is used in certificates (account: URI)"
	},
	issuance.MethodNotAllowed: func(r Requirement, tag, at string, p issuance.Property) (string, string) {
		return fmt.Sprintf("%s cannot issue by %s: %s at %s allows other methods only (RFC 8657 4)", r.who(), orNone(r.Method), tag, at),
			fmt.Sprintf("allow %s there, or name the method that is used in certificates (method: LABEL)", orNone(r.Method))
	},
	issuance.BadParameters: func(r Requirement, tag, at string, p issuance.Property) (string, string) {
		return fmt.Sprintf("%s cannot issue: no request can satisfy the parameters of %q at %s (RFC 8657 3)", r.who(), p.Value, at),
			"write the issuer under issue with accounts and methods, not as a property"
	},
	issuance.CriticalUnknown: func(r Requirement, tag, at string, p issuance.Property) (string, string) {
		return fmt.Sprintf("%s cannot issue: the property %s at %s is critical (flags %d), and a CA that does not know it must not issue (RFC 8659 4.1)", r.who(), p.Tag, at, p.Flags),
			fmt.Sprintf("take %s out of critical, or set its flags to 0", p.Tag)
	},
}

func orNone(s string) string {
	if s == "" {
		return "(none named)"
	}
	return s
}

func grantRemedy(r Requirement, tag string) string {
	if r.IssuerKey == "" {
		return fmt.Sprintf("declare the issuer with domain: %s and add it to %s for this name", r.Domain, tag)
	}
	return fmt.Sprintf("add %s to %s for this name, or write %s: [%[1]s]", r.IssuerKey, tag, tag)
}

// issuers checks the names and accounts that the policy declares.
func (c *check) issuers() {
	for _, issuer := range c.policy.Issuers {
		exact := strings.ToLower(strings.TrimSuffix(issuer.Domain, "."))
		if exact != issuer.Domain {
			c.refuse(Refusal{Pos: issuer.Pos, Code: "issuer-name-not-exact",
				Cause:  fmt.Sprintf("the issuer %s is written %q, and CAs compare the Issuer Domain Name byte for byte", issuer.Key, issuer.Domain),
				Remedy: "write domain: " + exact})
		}
		entry := issuers.Lookup(exact)
		c.directory(issuer, exact, entry)
		c.accounts(issuer, entry)
	}
}

func (c *check) directory(issuer *policy.Issuer, name string, entry issuers.Entry) {
	refuse := func(code, cause, remedy string) {
		c.refuse(Refusal{Pos: issuer.Pos, Code: code, Cause: cause, Remedy: remedy})
	}
	switch entry.Status {
	case issuers.Listed:
		return
	case issuers.Deprecated:
		c.warn(issuer.Pos, "issuer-deprecated", "%s is deprecated by its CA; write %s", name, preferred(entry))
		return
	}
	if issuer.Unlisted {
		return
	}
	switch entry.Status {
	case issuers.Reseller:
		refuse("issuer-is-reseller", fmt.Sprintf("%s sells certificates of others, and its name in CAA authorises nobody", name),
			"write the CA that issues: domain: "+preferred(entry))
	case issuers.Retired:
		refuse("issuer-retired", fmt.Sprintf("%s is no longer an Issuer Domain Name of %s", name, entry.CAs[0].Operator), "write domain: "+preferred(entry))
	default:
		refuse("issuer-unknown", fmt.Sprintf("%s is not in the directory of public CAs", name),
			fmt.Sprintf("write domain: %s if that is meant, or add unlisted: true for a private CA or one newer than the directory", policy.Nearest(name, issuers.Names())))
	}
}

func preferred(entry issuers.Entry) string {
	var names []string
	for _, ca := range entry.CAs {
		if !slices.Contains(names, ca.Preferred) {
			names = append(names, ca.Preferred)
		}
	}
	return strings.Join(names, " or ")
}

// accounts holds an issuer's account URIs against the CAs' known forms, and tells of parameters that
// its CA does not process yet.
func (c *check) accounts(issuer *policy.Issuer, entry issuers.Entry) {
	for _, account := range issuer.Accounts {
		ca, staging := issuers.ByAccount(account)
		switch {
		case ca != nil && !ca.Answers(issuer.Domain) && entry.Status == issuers.Listed:
			c.refuse(Refusal{Pos: issuer.Pos, Code: "account-of-another-ca",
				Cause:  fmt.Sprintf("the account %s belongs to %s, so %s would never match it", account, ca.Operator, issuer.Domain),
				Remedy: "write the account of this CA, or declare another issuer with domain: " + ca.Preferred})
		case staging:
			c.refuse(Refusal{Pos: issuer.Pos, Code: "account-of-staging",
				Cause:  fmt.Sprintf("the account %s is one of the staging environment; a production certificate never matches it", account),
				Remedy: "register the ACME client at the production directory and write that account's URI"})
		}
	}
	bound := len(issuer.Accounts) > 0 || len(issuer.Methods) > 0
	if bound && entry.Status == issuers.Listed && !entry.CAs[0].Parameters && c.options.At.Before(issuers.ParametersBindFrom) {
		c.warn(issuer.Pos, "parameters-not-yet-bound", "%s does not say that it processes accounts and methods (RFC 8657); they bind every public CA from %s: until then they protect nothing, and from then a wrong one locks out",
			issuer.Domain, issuers.ParametersBindFrom.Format("2006-01-02"))
	}
}

// udpSpace is what an RRset may take in an answer of 1232 octets beside the question, a signature
// and EDNS; caaOverhead what each record needs beside its RDATA.
const (
	udpSpace    = 1232 - 12 - 64 - 120 - 11
	tcpSpace    = 65535 - 1024
	caaOverhead = 12
)

// properties reads every property as the strictest CAs do.
func (c *check) properties() {
	for _, z := range c.policy.Zones {
		for node := range z.Nodes() {
			c.size(node)
			for i, p := range node.RRset {
				c.property(p, *node.Sources[i])
			}
		}
	}
}

func (c *check) size(node *policy.Node) {
	size := 0
	for _, p := range node.RRset {
		size += caaOverhead + 2 + len(p.Tag) + len(p.Value)
	}
	switch {
	case size > tcpSpace:
		c.refuse(Refusal{Pos: node.Pos, Code: "rrset-too-long", Names: []string{strings.TrimSuffix(node.Name, ".")},
			Cause: fmt.Sprintf("its CAA RRset has %d octets, more than any DNS answer can hold", size), Remedy: "name fewer accounts"})
	case size > udpSpace:
		c.warn(node.Pos, "rrset-long", "the CAA RRset of %s has %d octets and does not fit a UDP answer: CAs ask again over TCP, which must work from everywhere", strings.TrimSuffix(node.Name, "."), size)
	}
}

// grants are the tags whose value is an issue-value.
var grants = []string{issuance.TagIssue, issuance.TagIssueWild, issuance.TagIssueMail, issuance.TagIssueVMC}

// knownParameters are those that some CA processes.
var knownParameters = []string{"accounturi", "validationmethods", "cansignhttpexchanges"}

// standardTags are those that the language writes by itself.
var standardTags = append(slices.Clone(grants), issuance.TagIodef, issuance.TagContactEmail, issuance.TagContactPhone)

func (c *check) property(p issuance.Property, src policy.Source) {
	if p.Tag == issuance.TagIodef && strings.HasPrefix(p.Value, "http:") {
		c.warn(src.Pos, "report-http", "CAs need not support http: in report (BR 3.2.2.8); write mailto: or https:")
	}
	if p.Flags&(issuance.FlagCritical|1) != 0 && !slices.Contains([]string{issuance.TagIssue, issuance.TagIssueWild, issuance.TagIodef}, p.Tag) {
		c.refuse(Refusal{Pos: src.Pos, Code: "critical-unknown",
			Cause:  fmt.Sprintf("the property %s is critical (flags %d) at %s: a CA that does not know it issues nothing at all (RFC 8659 4.1)", p.Tag, p.Flags, place(src.Owner)),
			Remedy: fmt.Sprintf("take %s out of critical, or set its flags to 0", p.Tag)})
	}
	if !slices.Contains(standardTags, p.Tag) {
		c.warn(src.Pos, "tag-unknown", "no CA is known to process the property %s; it restricts nobody", p.Tag)
	}
	if slices.Contains(grants, p.Tag) && src.Key == "properties" {
		c.value(p, src)
	}
}

// value checks an issue-value that the user wrote by hand.
func (c *check) value(p issuance.Property, src policy.Source) {
	refuse := func(code, cause, remedy string) {
		c.refuse(Refusal{Pos: src.Pos, Code: code, Cause: fmt.Sprintf("the value %q of %s %s", p.Value, p.Tag, cause), Remedy: remedy})
	}
	const instead = "write the issuer under issue, with accounts and methods"
	v, err := issuance.ParseIssueValue(p.Value)
	if err != nil {
		refuse("malformed", fmt.Sprintf("is malformed (%v) and authorises nobody (RFC 8659 4.2)", err), instead)
		return
	}
	if v.Domain != strings.ToLower(v.Domain) {
		refuse("issuer-name-not-exact", "has capitals, and CAs compare the Issuer Domain Name byte for byte", "write it in lower case")
	}
	count := map[string]int{}
	for _, parameter := range v.Parameters {
		lower := strings.ToLower(parameter.Tag)
		count[lower]++
		switch {
		case lower != parameter.Tag:
			refuse("parameter-not-lower-case", fmt.Sprintf("has the parameter %s with capitals: some CAs ignore it, which opens, others deny", parameter.Tag), "write "+lower)
		case strings.Contains(parameter.Tag, "-"):
			refuse("parameter-hyphen", fmt.Sprintf("has the parameter %s: some CAs deny at a hyphen", parameter.Tag), instead)
		case !slices.Contains(knownParameters, lower):
			refuse("parameter-unknown", fmt.Sprintf("has the parameter %s, which no CA is known to process", parameter.Tag), instead)
		}
	}
	for _, tag := range knownParameters[:2] {
		if count[tag] > 1 {
			refuse("unsatisfiable-parameters", fmt.Sprintf("has %s %d times, which no request can satisfy (RFC 8657 3)", tag, count[tag]), instead)
		}
	}
}
