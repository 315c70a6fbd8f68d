package finding

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/dnssec"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// contentRules are about what the Relevant RRset says, and whose it is.
var contentRules = []rule{
	{"caa-missing", Warning, "RFC 8659 3", "say who may issue: a CAA record at the zone's apex covers every name below", caaMissing},
	{"governed-by-alias", Warning, "RFC 8659 3", "know that whoever holds the alias's target decides; a name of your own, without the alias, decides by itself", governedByAlias},
	{"alias-loop", Error, "RFC 1034 3.6.2, RFC 8659 3", "let the aliases end at a name that is none, after a few: until then every CA takes the look-up for failed", aliasLoop},
	{"issue-missing", Warning, "RFC 8659 4.2", `add an issue property, 0 issue ";" if nobody is to issue`, issueMissing},
	{"value-malformed", Error, "RFC 8659 4.2", "write the value as the RFC has it: a malformed one lets nobody in", perValue(func(p issuance.Property) (string, bool) {
		_, err := issuance.ParseIssueValue(p.Value)
		return fmt.Sprintf("%s %q: %v", p.Tag, p.Value, err), err != nil
	})},
	{"readings-differ", Warning, "RFC 8659 4.2, RFC 8657 4", "write the value so that every CA reads it alike: the name in lower case, no hyphen or capital in parameters' tags, one validationmethods", readingsDiffer},
	{"issuer-reseller", Error, "RFC 8659 4.2", "name the CA that it sells for: a reseller's name lets nobody in", perIssuer(func(e issuers.Entry, domain string) (string, bool) {
		return domain + " is a reseller's name; it sells for " + e.Operators(), e.Status == issuers.Reseller
	})},
	{"issuer-retired", Error, "CCADB, CAA identifiers", "name the CA by one of its present names: the old one lets nobody in", perIssuer(func(e issuers.Entry, domain string) (string, bool) {
		return e.Operators() + " honours the name " + domain + " no more", e.Status == issuers.Retired
	})},
	{"issuer-misspelt", Error, "CCADB, CAA identifiers", "write the name as the CA writes it; a private CA that is called so is fine, and --issuer asks for it", issuerMisspelt},
	{"issuer-unknown", Info, "CCADB, CAA identifiers", "see that it is spelled as the CA spells it; a private CA's name is fine", perIssuer(func(e issuers.Entry, domain string) (string, bool) {
		return "no public CA is known by the name " + domain, e.Status == issuers.Unknown && issuers.Misspelt(domain) == ""
	})},
	{"account-of-another-ca", Error, "RFC 8657 3", "write the URI of the account at the CA that the property names", perParameter("accounturi", anothersAccount)},
	{"account-of-staging", Error, "RFC 8657 3", "register the ACME client at the production directory, and write that account's URI", stagingAccounts},
	{"method-misspelt", Error, "RFC 8657 4, IANA ACME Validation Methods", "write the label as IANA's registry has it: CAs compare its octets", misspeltMethods},
	{"method-unknown", Warning, "RFC 8657 4, IANA ACME Validation Methods", "write the label as IANA's registry has it, such as dns-01, or one of the CA's own, which begins with ca-", perParameter("validationmethods", unknownMethods)},
	{"parameter-capitals", Error, "RFC 8657 3 and 4, boulder#8614", "write the parameter's tag in lower case: Let's Encrypt ignores it as it is, which lets in any account or method, and other CAs issue to nobody", perValue(capitals)},
	{"parameters-bind-later", Info, "RFC 8657, ballot SC-098v2", "see that account and method are those that renewals use, before they bind on 2027-03-15", parametersBindLater},
	{"critical-unknown", Error, "RFC 8659 4.1", "take the critical flag away: a CA that does not know the tag must not issue", perProperty(func(p issuance.Property) (string, bool) {
		return fmt.Sprintf("the tag %s is critical, and not every CA knows it", p.Tag), p.Flags&issuance.Strict.CriticalBits != 0 && !slices.Contains(issuance.Strict.Known, strings.ToLower(p.Tag))
	})},
	{"flags-odd", Info, "RFC 8659 4.1", "write the flags as 0 or 128", perProperty(func(p issuance.Property) (string, bool) {
		return fmt.Sprintf("%s has the flags %d", p.Tag, p.Flags), p.Flags&^issuance.FlagCritical != 0
	})},
	{"tag-misspelt", Error, "RFC 8659 4.1, IANA registry", "write the tag as the registry has it: as it is, it restricts nobody", perProperty(func(p issuance.Property) (string, bool) {
		meant := issuance.MeantTag(p.Tag)
		return fmt.Sprintf("no CA is known to know the tag %q; did you mean %s?", p.Tag, meant), meant != ""
	})},
	{"tag-unknown", Info, "RFC 8659 4.1, IANA registry", "see that the tag is spelled right", perProperty(func(p issuance.Property) (string, bool) {
		return fmt.Sprintf("no CA is known to know the tag %q", p.Tag), !slices.Contains(issuance.Lax.Known, strings.ToLower(p.Tag)) && issuance.MeantTag(p.Tag) == ""
	})},
	{"rrset-too-many-records", Error, "BIND 9, max-records-per-type", "have at most 100 records of a name and type: resolvers by BIND answer SERVFAIL to more", tooManyRecords},
	{"value-empty", Warning, "RFC 8659 4.2", `write ";" for nobody, or take the property away: PowerDNS Recursor takes a signed RRset with an empty value for bogus`, perProperty(func(p issuance.Property) (string, bool) {
		return p.Tag + " has an empty value", p.Value == ""
	})},
	{"iodef-scheme", Warning, "RFC 8659 4.4, BR 3.2.2.8", "write mailto: or https:", perProperty(iodefScheme)},
	{"iodef-undeliverable", Warning, "RFC 8659 4.4, RFC 5321 5.1", "give an address that receives mail", undeliverable(issuance.TagIodef)},
	{"contact-undeliverable", Warning, "BR 3.2.2.4.13 and A.1.1, RFC 5321 5.1", "give an address that receives mail: a CA that validates by it sends its question there", undeliverable(issuance.TagContactEmail)},
}

// relevantSubject is the name whose RRset decides.
func (c *Case) relevantSubject() string { return c.Climb.Last().GovernedBy() }

func caaMissing(c *Case) []hit {
	if rrset, last := c.Relevant(); len(rrset) > 0 || last.Failed() || len(c.Climb.Steps) == 0 {
		return nil
	}
	for s := range c.answers(dns.TypeCAA) {
		if s.Kind == resolve.Data { // the servers differ, which is said already
			return nil
		}
	}
	return []hit{hitf(c.Climb.Name, "neither %s nor any name above it has CAA: every CA may issue", terminal.Bare(c.Climb.Name))}
}

func governedByAlias(c *Case) []hit {
	rrset, last := c.Relevant()
	if len(rrset) == 0 || len(last.Answer.Chain) == 0 {
		return nil
	}
	if shareZone(last.Answer.Chain, last.Answer.Zone) {
		return nil
	}
	h := hitf(c.Climb.Name, "%s is governed by %s, not by you: it is an alias of that name", terminal.Bare(last.Name), terminal.Bare(last.GovernedBy()))
	return []hit{h.seen(links(last.Answer.Chain)...)}
}

// aliasLoop is a chain of aliases that comes back to itself, or is longer than resolvers follow.
func aliasLoop(c *Case) []hit {
	last := c.Climb.Last()
	if last.Answer.Err == nil || last.Answer.Err.Failure != resolve.AliasLoop {
		return nil
	}
	h := hitf(last.Name, "more aliases follow each other from %s than resolvers go after", terminal.Bare(last.Name))
	if slices.ContainsFunc(last.Answer.Chain, func(l resolve.Link) bool { return l.From == last.Answer.Owner }) {
		h.text = fmt.Sprintf("the aliases of %s lead back to %s", terminal.Bare(last.Name), terminal.Bare(last.Answer.Owner))
	}
	return []hit{h.seen(links(last.Answer.Chain)...)}
}

// links are a chain's aliases, for people.
func links(chain []resolve.Link) []string {
	var out []string
	for _, l := range chain {
		out = append(out, fmt.Sprintf("%s %s %s", terminal.Bare(l.Owner), typeName(l.Type), terminal.Bare(l.Target)))
	}
	return out
}

// shareZone reports whether a chain of aliases stays in one zone: then its owner is his own provider.
func shareZone(chain []resolve.Link, end *resolve.Zone) bool {
	return !slices.ContainsFunc(chain, func(l resolve.Link) bool { return l.Zone != end })
}

func issueMissing(c *Case) []hit {
	rrset, _ := c.Relevant()
	if len(rrset) == 0 || rrset.Has(issuance.TagIssue) {
		return nil
	}
	if rrset.Has(issuance.TagIssueWild) {
		return []hit{hitf(c.relevantSubject(), "the RRset restricts wildcards alone: for plain names every CA may issue")}
	}
	return []hit{hitf(c.relevantSubject(), "the RRset has no issue property: every CA may issue, whatever names above it say")}
}

// perProperty makes a rule of a condition on each property of the Relevant RRset.
func perProperty(is func(issuance.Property) (string, bool)) func(*Case) []hit {
	return func(c *Case) []hit {
		rrset, _ := c.Relevant()
		var hits []hit
		for _, p := range rrset {
			if text, found := is(p); found {
				hits = append(hits, hitf(c.relevantSubject(), "%s", text))
			}
		}
		return hits
	}
}

var issueTags = []string{issuance.TagIssue, issuance.TagIssueWild, issuance.TagIssueMail, issuance.TagIssueVMC}

// perValue is perProperty for those with an issue-value.
func perValue(is func(issuance.Property) (string, bool)) func(*Case) []hit {
	return perProperty(func(p issuance.Property) (string, bool) {
		if !slices.Contains(issueTags, strings.ToLower(p.Tag)) {
			return "", false
		}
		return is(p)
	})
}

// perIssuer is perValue for what the directory of public CAs knows of the name, where no policy calls it unlisted.
func perIssuer(is func(e issuers.Entry, domain string) (string, bool)) func(*Case) []hit {
	return func(c *Case) []hit {
		return perValue(func(p issuance.Property) (string, bool) {
			v, err := issuance.ParseIssueValue(p.Value)
			domain := strings.ToLower(v.Domain)
			if err != nil || domain == "" || slices.Contains(c.Unlisted, domain) {
				return "", false
			}
			return is(issuers.Lookup(domain), domain)
		})(c)
	}
}

// perParameter is perValue for each value of a parameter (RFC 8657).
func perParameter(tag string, is func(domain, value string) (string, bool)) func(*Case) []hit {
	return func(c *Case) []hit {
		rrset, _ := c.Relevant()
		var hits []hit
		for _, p := range rrset {
			for _, b := range bindings(p, tag) {
				if text, found := is(b.domain, b.value); found {
					hits = append(hits, hitf(c.relevantSubject(), "%s", text))
				}
			}
		}
		return hits
	}
}

// binding is the value of a parameter, and the issuer that it binds.
type binding struct{ domain, value string }

func bindings(p issuance.Property, tag string) []binding {
	v, err := issuance.ParseIssueValue(p.Value)
	if err != nil || v.Domain == "" || !slices.Contains(issueTags, strings.ToLower(p.Tag)) {
		return nil
	}
	var out []binding
	for _, value := range v.Values(tag) {
		out = append(out, binding{strings.ToLower(v.Domain), value})
	}
	return out
}

func anothersAccount(domain, uri string) (string, bool) {
	fault, ca := issuers.CheckAccount(domain, uri)
	if fault != issuers.AnotherCA {
		return "", false
	}
	return fmt.Sprintf("the account %s is one of %s, so that %s never meets it", uri, ca.Operator, domain), true
}

// stagingAccounts finds those of issuers that have no other: one beside that of production is for tests.
func stagingAccounts(c *Case) []hit {
	rrset, _ := c.Relevant()
	return perParameter("accounturi", func(domain, uri string) (string, bool) {
		fault, _ := issuers.CheckAccount(domain, uri)
		text := fmt.Sprintf("the account %s is of the staging environment, so that no production certificate of %s meets it", uri, domain)
		return text, fault == issuers.Staging && !slices.ContainsFunc(rrset, func(p issuance.Property) bool { return forProduction(p, domain) })
	})(c)
}

// forProduction reports whether a property lets an issuer in with an account that is not of its staging
// environment.
func forProduction(p issuance.Property, domain string) bool {
	v, err := issuance.ParseIssueValue(p.Value)
	return err == nil && strings.EqualFold(v.Domain, domain) && !slices.ContainsFunc(bindings(p, "accounturi"), func(b binding) bool {
		fault, _ := issuers.CheckAccount(domain, b.value)
		return fault == issuers.Staging
	})
}

// issuerMisspelt finds names that look like a misspelt public CA, except those that a requirement or a policy vouches for.
func issuerMisspelt(c *Case) []hit {
	return perIssuer(func(_ issuers.Entry, domain string) (string, bool) {
		meant := issuers.Misspelt(domain)
		return fmt.Sprintf("no public CA is known by the name %s; did you mean %s?", domain, meant), meant != "" && !slices.Contains(c.Asked, domain)
	})(c)
}

// capitals finds parameters that Let's Encrypt does not know by the tag that they have.
func capitals(p issuance.Property) (string, bool) {
	v, err := issuance.ParseIssueValue(p.Value)
	i := slices.IndexFunc(v.Parameters, func(q issuance.Parameter) bool {
		lower := strings.ToLower(q.Tag)
		return lower != q.Tag && (lower == "accounturi" || lower == "validationmethods")
	})
	if err != nil || i < 0 {
		return "", false
	}
	return fmt.Sprintf("in %s %q the parameter %s has a capital", p.Tag, p.Value, v.Parameters[i].Tag), true
}

// tooManyRecords finds RRsets that not every resolver accepts, whichever they are.
func tooManyRecords(c *Case) []hit {
	var m merged
	add := func(set dnssec.RRset, where string) {
		if n := len(set.RRs); n > guard.MostRecords {
			m.add(set.Name, fmt.Sprintf("the %s RRset of %s has %d records", typeName(set.Type), terminal.Bare(set.Name), n), where)
		}
	}
	for s := range c.all() {
		if s.Kind == resolve.Data {
			add(s.RRset, s.where())
		}
	}
	for _, s := range c.Surveys {
		if s.NS.Kind == resolve.Data {
			add(s.NS.RRset, "the zone's own servers")
		}
	}
	return m.hits
}

func misspeltMethods(c *Case) []hit {
	return perParameter("validationmethods", func(domain, list string) (string, bool) {
		var out []string
		for label := range strings.SplitSeq(list, ",") {
			if meant := issuance.MeantMethod(label); meant != "" {
				out = append(out, fmt.Sprintf("%s (did you mean %s?)", label, meant))
			}
		}
		return fmt.Sprintf("%s is bound to validation methods that no CA is known to have: %s", domain, strings.Join(out, ", ")), len(out) > 0 && !slices.Contains(c.Unlisted, domain)
	})(c)
}

func unknownMethods(domain, list string) (string, bool) {
	var unknown []string
	for label := range strings.SplitSeq(list, ",") {
		if !issuance.KnownMethod(label) && issuance.MeantMethod(label) == "" {
			unknown = append(unknown, label)
		}
	}
	return fmt.Sprintf("%s is bound to validation methods that no CA is known to have: %s", domain, strings.Join(unknown, ", ")), len(unknown) > 0
}

// readingsDiffer finds properties that some CAs read as an authorisation and others do not, whatever the
// account and the method.
func readingsDiffer(c *Case) []hit {
	return perValue(func(p issuance.Property) (string, bool) {
		v, err := issuance.ParseIssueValue(p.Value)
		if err != nil || v.Domain == "" {
			return "", false
		}
		req := issuance.Request{Issuers: []string{strings.ToLower(v.Domain)}}
		for _, parameter := range v.Parameters {
			switch strings.ToLower(parameter.Tag) {
			case "accounturi":
				req.Account = parameter.Value
			case "validationmethods":
				req.Method, _, _ = strings.Cut(parameter.Value, ",")
			}
		}
		alone := issuance.RRset{{Tag: issuance.TagIssue, Value: p.Value}}
		decision, dialect := issuance.Everywhere(alone, req)
		return fmt.Sprintf("%s %q: by the %s reading it lets nobody in (%s)", p.Tag, p.Value, dialect.Name, decision.Reason), !decision.Permitted && issuance.Anywhere(alone, req)
	})(c)
}

func parametersBindLater(c *Case) []hit {
	if !c.At.Before(issuers.ParametersBindFrom) {
		return nil
	}
	return perValue(func(p issuance.Property) (string, bool) {
		v, err := issuance.ParseIssueValue(p.Value)
		if err != nil || v.Domain == "" {
			return "", false
		}
		binding := slices.ContainsFunc(v.Parameters, func(q issuance.Parameter) bool {
			return slices.Contains([]string{"accounturi", "validationmethods"}, strings.ToLower(q.Tag))
		})
		e := issuers.Lookup(strings.ToLower(v.Domain))
		processes := len(e.CAs) > 0 && !slices.ContainsFunc(e.CAs, func(ca *issuers.CA) bool { return !ca.Parameters })
		return fmt.Sprintf("%s is not known to read the parameters of %q before they bind", v.Domain, p.Value), binding && !processes
	})(c)
}

func iodefScheme(p issuance.Property) (string, bool) {
	if !strings.EqualFold(p.Tag, issuance.TagIodef) {
		return "", false
	}
	u, err := url.Parse(p.Value)
	return fmt.Sprintf("CAs report to mailto: and https: URLs; %q is neither", p.Value), err != nil || u.Scheme != "mailto" && u.Scheme != "https"
}

// undeliverable makes a rule of the mail addresses of a tag.
func undeliverable(tag string) func(*Case) []hit {
	return func(c *Case) []hit {
		var hits []hit
		for _, m := range c.Mail {
			if m.Tag == tag && m.undeliverable() {
				hits = append(hits, hitf(m.Owner, "no mail reaches %s: its domain has no MX and no address, or says that it takes no mail", m.Address))
			}
		}
		return hits
	}
}

// undeliverable reports whether the domain is known to take no mail: a null MX (RFC 7505), or no host.
func (m Mailbox) undeliverable() bool {
	switch m.MX.Kind {
	case resolve.NoName:
		return true
	case resolve.NoData:
		return m.Host.Kind == resolve.NoData || m.Host.Kind == resolve.NoName
	case resolve.Data:
		return slices.ContainsFunc(m.MX.RRset.RRs, func(rr dns.RR) bool { return rr.(*dns.MX).Mx == "." })
	}
	return false
}
