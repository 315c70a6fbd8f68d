package finding

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
)

// contentRules are about the content of the Relevant RRset, and who publishes it.
var contentRules = []rule{
	{
		catalog: catalog.Entry{
			Code: "domain-missing", Severity: catalog.Error, Section: "RFC 8020 2, BR 3.2.2.4",
			Text: "the name is in a domain that does not exist: CAA restricts nobody there, and no CA can validate control of it",
			Fix:  "correct the spelling of the name, or register the domain and have its delegation published",
		},
		about: aboutItems, find: domainMissing, symptoms: []string{"caa-missing"},
	},
	{
		catalog: catalog.Entry{
			Code: "caa-missing", Severity: catalog.Warning, Section: "RFC 8659 3",
			Text: "neither the name nor a name above it has CAA, so that every CA may issue",
			Fix:  "add a CAA RRset at the zone's apex: it covers every name in the zone without one of its own",
		},
		about: aboutItems, find: caaMissing, say: func(g group) string { return "no CAA" + g.affected(" at or above ") + ": every CA may issue" },
	},
	{
		catalog: catalog.Entry{
			Code: "governed-by-alias", Severity: catalog.Warning, Section: "RFC 8659 3",
			Text: "the name is an alias, and the CAA RRset of its target, in another zone, decides",
			Fix:  "check that the operator of the target publishes the CAA that you want; a name without the alias has its own",
		},
		about: aboutItems, find: governedByAlias,
	},
	{
		catalog: catalog.Entry{
			Code: "alias-loop", Severity: catalog.Error, Section: "RFC 1034 3.6.2, RFC 8659 3",
			Text: "a CNAME or DNAME chain loops, or is longer than resolvers follow",
			Fix:  "end the CNAME chain at a name that is not an alias, after a few steps; until then CAs treat the lookup as failed",
		},
		about: aboutItems, find: aliasLoop, symptoms: []string{"caa-refused"},
	},
	{
		catalog: catalog.Entry{
			Code: "wildcard-alias-misread", Severity: catalog.Error, Section: "RFC 4035 5.3.4, RFC 4592 4.3",
			Text: "a wildcard alias of a signed zone leads into an unsigned zone in it without CAA, to which unbound, Let's Encrypt's resolver, answers SERVFAIL",
			Fix:  "sign the zone that the alias leads to and publish its DS record, or add CAA at the alias's target, or an alias at the name itself",
		},
		about: aboutItems, find: wildcardAliasMisread,
	},
	{
		catalog: catalog.Entry{
			Code: "issue-missing", Severity: catalog.Warning, Section: "RFC 8659 4.2",
			Text: "the CAA RRset has no issue property, so that every CA may issue for plain names",
			Fix:  `add an issue property for each CA that may issue, or 0 issue ";" if none may`,
		},
		about: aboutItems, find: issueMissing,
	},
	{
		catalog: catalog.Entry{
			Code: "value-malformed", Severity: catalog.Error, Section: "RFC 8659 4.2",
			Text: "the value of a property is malformed, and authorizes nobody",
			Fix:  `write the value as in RFC 8659: 0 issue "ca.example" or 0 issue "ca.example; tag=value"`,
		},
		about: aboutItems, find: perValue(func(p issuance.Property) (string, string, bool) {
			_, err := issuance.ParseIssueValue(p.Value)
			return fmt.Sprintf("malformed value, which authorizes nobody: %s %q: %v", p.Tag, p.Value, err), "", err != nil
		}),
	},
	{
		catalog: catalog.Entry{
			Code: "parameter-capitals", Severity: catalog.Error, Section: "RFC 8657 3 and 4, boulder#8614",
			Text: "a parameter's tag has a capital letter: Let's Encrypt ignores it, which admits any account or method, and other CAs issue to nobody",
			Fix:  "write the parameter's tag in lower case",
		},
		about: aboutItems, find: perValue(capitals), symptoms: []string{"readings-differ"},
	},
	{
		catalog: catalog.Entry{
			Code: "readings-differ", Severity: catalog.Warning, Section: "RFC 8659 4.2, RFC 8657 4",
			Text: "some CAs read a value as an authorization, and others do not",
			Fix:  "write the CA's name in lower case, the parameters' tags without hyphens or capitals, and validationmethods once",
		},
		about: aboutItems, find: perValue(readingsDiffer),
	},
	{
		catalog: catalog.Entry{
			Code: "issuer-reseller", Severity: catalog.Error, Section: "RFC 8659 4.2",
			Text: "a property names a reseller, which authorizes nobody",
			Fix:  "name the CA that it sells for",
		},
		about: aboutItems, find: perIssuer(func(e issuers.Entry, domain string) (string, string, bool) {
			return domain + " is a reseller's name and authorizes nobody; it sells for " + e.Operators(), "", e.Status == issuers.Reseller
		}),
	},
	{
		catalog: catalog.Entry{
			Code: "issuer-retired", Severity: catalog.Error, Section: "CCADB, CAA identifiers",
			Text: "a property names a CA by a name that it no longer accepts",
			Fix:  "name the CA by one of its present names",
		},
		about: aboutItems, find: perIssuer(func(e issuers.Entry, domain string) (string, string, bool) {
			return e.Operators() + " no longer accepts the name " + domain, "", e.Status == issuers.Retired
		}),
	},
	{
		catalog: catalog.Entry{
			Code: "issuer-misspelt", Severity: catalog.Error, Section: "CCADB, CAA identifiers",
			Text: "a property names an issuer that looks like a misspelt public CA",
			Fix:  "write the name as the CA does; if a private CA has that name, ask for it with --issuer",
		},
		about: aboutItems, find: issuerMisspelt,
	},
	{
		catalog: catalog.Entry{
			Code: "issuer-unknown", Severity: catalog.Info, Section: "CCADB, CAA identifiers",
			Text: "a property names an issuer that is no known public CA",
			Fix:  "check the spelling; the name of a private CA is fine",
		},
		about: aboutItems, find: perIssuer(func(e issuers.Entry, domain string) (string, string, bool) {
			return domain + " is not the name of a known public CA", "", e.Status == issuers.Unknown && issuers.Misspelt(domain) == ""
		}),
	},
	{
		catalog: catalog.Entry{
			Code: "account-of-another-ca", Severity: catalog.Error, Section: "RFC 8657 3",
			Text: "an accounturi is of another CA than the property names, so that no request matches it",
			Fix:  "write the URI of the account at the CA that the property names",
		},
		about: aboutItems, find: perParameter(issuance.AccountURI, anothersAccount),
	},
	{
		catalog: catalog.Entry{
			Code: "account-of-staging", Severity: catalog.Error, Section: "RFC 8657 3",
			Text: "an accounturi is of the CA's staging environment, so that no production certificate matches it",
			Fix:  "register the ACME client at the production directory, and write the URI of that account",
		},
		about: aboutItems, find: stagingAccounts,
	},
	{
		catalog: catalog.Entry{
			Code: "method-misspelt", Severity: catalog.Error, Section: "RFC 8657 4, IANA ACME Validation Methods",
			Text: "validationmethods has a label that looks like a misspelt validation method",
			Fix:  "write the label as in IANA's registry: CAs compare its octets",
		},
		about: aboutItems, find: misspeltMethods,
	},
	{
		catalog: catalog.Entry{
			Code: "method-unknown", Severity: catalog.Warning, Section: "RFC 8657 4, IANA ACME Validation Methods",
			Text: "validationmethods has a label that is no known validation method",
			Fix:  "write the label as in IANA's registry, such as dns-01, or a label of the CA's own, which begins with ca-",
		},
		about: aboutItems, find: perParameter(issuance.ValidationMethods, unknownMethods),
	},
	{
		catalog: catalog.Entry{
			Code: "parameters-bind-later", Severity: catalog.Info, Section: "RFC 8657, ballot SC-098v2",
			Text: "the CA is not known to process accounturi and validationmethods before " + parametersBind + ", when every CA must",
			Fix:  "check that account and method are those that renewals use, before " + parametersBind,
		},
		about: aboutItems, find: parametersBindLater,
	},
	{
		catalog: catalog.Entry{
			Code: "critical-unknown", Severity: catalog.Error, Section: "RFC 8659 4.1",
			Text: "a property that not every CA knows is critical: CAs that do not know it must not issue",
			Fix:  "clear the critical flag of the property",
		},
		about: aboutItems, find: perProperty(func(p issuance.Property) (string, string, bool) {
			return fmt.Sprintf("the tag %s is critical, and not every CA knows it", p.Tag), record(0, p.Tag, p.Value),
				p.Flags&issuance.Strict.CriticalBits != 0 && !slices.Contains(issuance.Strict.Known, strings.ToLower(p.Tag))
		}), symptoms: []string{"issue-missing"}, // nobody may issue, whatever else is there
	},
	{
		catalog: catalog.Entry{
			Code: "flags-odd", Severity: catalog.Info, Section: "RFC 8659 4.1",
			Text: "a property has flags other than 0 and 128",
			Fix:  "write the flags as 0, or as 128 for a critical property",
		},
		about: aboutItems, find: perProperty(func(p issuance.Property) (string, string, bool) {
			return fmt.Sprintf("%s has the flags %d", p.Tag, p.Flags), record(p.Flags&issuance.FlagCritical, p.Tag, p.Value), p.Flags&^issuance.FlagCritical != 0
		}),
	},
	{
		catalog: catalog.Entry{
			Code: "tag-misspelt", Severity: catalog.Error, Section: "RFC 8659 4.1, IANA registry",
			Text: "a property has a tag that looks misspelt: as it is, it restricts nobody",
			Fix:  "write the tag as in IANA's registry",
		},
		about: aboutItems, find: perProperty(func(p issuance.Property) (string, string, bool) {
			meant := issuance.MeantTag(p.Tag)
			return fmt.Sprintf("no CA is known to process the tag %q; did you mean %s?", p.Tag, meant), record(p.Flags, meant, p.Value), meant != ""
		}), symptoms: []string{"issue-missing"},
	},
	{
		catalog: catalog.Entry{
			Code: "tag-unknown", Severity: catalog.Info, Section: "RFC 8659 4.1, IANA registry",
			Text: "a property has a tag that no CA is known to process",
			Fix:  "check the spelling of the tag",
		},
		about: aboutItems, find: perProperty(func(p issuance.Property) (string, string, bool) {
			return fmt.Sprintf("no CA is known to process the tag %q", p.Tag), "", !issuance.KnownTag(p.Tag) && issuance.MeantTag(p.Tag) == ""
		}),
	},
	{
		catalog: catalog.Entry{
			Code: "rrset-too-many-records", Severity: catalog.Error, Section: "BIND 9, max-records-per-type",
			Text: "an RRset has more than 100 records, to which resolvers of BIND's make answer SERVFAIL",
			Fix:  "have at most 100 records of a name and type",
		},
		about: aboutItems, find: tooManyRecords, symptoms: []string{"answer-large", "servers-too-many", "delegation-differs"},
	},
	{
		catalog: catalog.Entry{
			Code: "value-empty", Severity: catalog.Warning, Section: "RFC 8659 4.2",
			Text: "a property has an empty value: PowerDNS Recursor treats a signed RRset with one as bogus",
			Fix:  `write ";" to authorize nobody, or remove the property`,
		},
		about: aboutItems, find: perProperty(func(p issuance.Property) (string, string, bool) {
			return p.Tag + " has an empty value", "", p.Value == ""
		}),
	},
	{
		catalog: catalog.Entry{
			Code: "iodef-scheme", Severity: catalog.Warning, Section: "RFC 8659 4.4, BR 4.2.2.1",
			Text: "an iodef URL is neither mailto: nor https:, which CAs report to",
			Fix:  "write a mailto: or https: URL",
		},
		about: aboutItems, find: perProperty(iodefScheme),
	},
	{
		catalog: catalog.Entry{
			Code: "iodef-undeliverable", Severity: catalog.Warning, Section: "RFC 8659 4.4, RFC 5321 5.1",
			Text: "no mail reaches an address of an iodef property",
			Fix:  "write an address that receives mail",
		},
		about: aboutItems, anyZone: true, find: undeliverable(issuance.TagIodef), say: group.ofMail,
	},
	{
		catalog: catalog.Entry{
			Code: "contact-undeliverable", Severity: catalog.Warning, Section: "BR 3.2.2.4.13 and A.1.1, RFC 5321 5.1",
			Text: "no mail reaches the address of a contactemail property, to which CAs send validation messages",
			Fix:  "write an address that receives mail",
		},
		about: aboutItems, anyZone: true, find: undeliverable(issuance.TagContactEmail), say: group.ofMail,
	},
}

// record is a CAA record as a fix: what to write instead.
func record(flags uint8, tag, value string) string {
	return fmt.Sprintf("write: CAA %d %s %q", flags, tag, value)
}

// relevant is the zone and the name of the RRset that decides.
func (c *Case) relevant() (zone, name string) {
	last := c.Climb.Last()
	if last.Answer.Zone != nil {
		zone = last.Answer.Zone.Name
	}
	return zone, last.GovernedBy()
}

// home is the zone of the climb's name, "" where none was found.
func (c *Case) home() string {
	if len(c.Climb.Steps) == 0 || c.Climb.Steps[0].Answer.Zone == nil {
		return ""
	}
	return c.Climb.Steps[0].Answer.Zone.Name
}

func domainMissing(c *Case) []sign {
	domain := c.Climb.MissingDomain()
	if domain == "" {
		return nil
	}
	s := signf(domain, "the domain %s does not exist, so that no CA can validate control of a name in it", dnsname.Bare(domain))
	return []sign{s.of(c.Climb.Name)}
}

func caaMissing(c *Case) []sign {
	if rrset, last := c.Relevant(); len(rrset) > 0 || last.Failed() || len(c.Climb.Steps) == 0 {
		return nil
	}
	for r := range c.answers(dns.TypeCAA) {
		if r.Kind == resolve.Data { // the servers differ: another finding
			return nil
		}
	}
	zone := c.home()
	if domain := c.Climb.MissingDomain(); domain != "" {
		zone = domain
	} else if c.registry(zone) {
		zone = c.Climb.Name
	}
	return []sign{signf(zone, "no CAA").of(c.Climb.Name)}
}

func governedByAlias(c *Case) []sign {
	rrset, last := c.Relevant()
	if len(rrset) == 0 || len(last.Answer.Chain) == 0 || shareZone(last.Answer.Chain, last.Answer.Zone) {
		return nil
	}
	s := signf(last.Answer.Chain[0].Zone.Name, "an alias: the CAA of %s, in another zone, decides", dnsname.Bare(last.GovernedBy()))
	return []sign{s.of(last.Name).seen(last.Answer.Aliases()...)}
}

// aliasLoop finds a chain of aliases that loops, or is longer than resolvers follow.
func aliasLoop(c *Case) []sign {
	last := c.Climb.Last()
	cause := last.Answer.Endless()
	if cause == "" {
		return nil
	}
	return []sign{signf(c.home(), "%s", cause).of(last.Name).seen(last.Answer.Aliases()...)}
}

// shareZone reports whether a chain of aliases stays in one zone: then its target has the same operator.
func shareZone(chain []resolve.Link, end *resolve.Zone) bool {
	return !slices.ContainsFunc(chain, func(l resolve.Link) bool { return l.Zone != end })
}

func wildcardAliasMisread(c *Case) []sign {
	var signs []sign
	for _, step := range c.Climb.Steps {
		if z := step.Answer.Misread(); z != nil {
			s := signf(z.Name, "a wildcard alias of the signed zone %s leads to %s in the unsigned zone %s, which has no CAA there: unbound takes the wildcard's proof as a denial there, and as bogus",
				dnsname.Bare(z.Name), dnsname.Bare(step.GovernedBy()), dnsname.Bare(step.Answer.Zone.Name))
			signs = append(signs, s.of(step.Name))
		}
	}
	return signs
}

func issueMissing(c *Case) []sign {
	rrset, _ := c.Relevant()
	if len(rrset) == 0 || rrset.Has(issuance.TagIssue) {
		return nil
	}
	zone, name := c.relevant()
	if rrset.Has(issuance.TagIssueWild) {
		return []sign{signf(zone, "the CAA RRset has issuewild and no issue: every CA may issue for plain names").of(name)}
	}
	return []sign{signf(zone, "the CAA RRset has no issue property: every CA may issue, whatever the names above have").of(name)}
}

// condition is a condition on a property: the cause, a concrete fix if there is one, and whether it is met.
type condition func(issuance.Property) (cause, fix string, found bool)

// perProperty makes a rule of a condition on each property of the Relevant RRset.
func perProperty(is condition) func(*Case) []sign {
	return func(c *Case) []sign {
		rrset, _ := c.Relevant()
		zone, name := c.relevant()
		var signs []sign
		for _, p := range rrset {
			if cause, fix, found := is(p); found {
				s := signf(zone, "%s", cause).of(name)
				s.fix = fix
				signs = append(signs, s)
			}
		}
		return signs
	}
}

// perValue is perProperty for those with an issue-value.
func perValue(is condition) func(*Case) []sign {
	return perProperty(func(p issuance.Property) (string, string, bool) {
		if !issuance.Grants(p.Tag) {
			return "", "", false
		}
		return is(p)
	})
}

// perIssuer is perValue for what the directory of public CAs knows of the name, where no policy calls it unlisted.
func perIssuer(is func(e issuers.Entry, domain string) (cause, fix string, found bool)) func(*Case) []sign {
	return func(c *Case) []sign {
		return perValue(func(p issuance.Property) (string, string, bool) {
			v, err := issuance.ParseIssueValue(p.Value)
			domain := strings.ToLower(v.Domain)
			if err != nil || domain == "" || slices.Contains(c.Unlisted, domain) {
				return "", "", false
			}
			return is(issuers.Lookup(domain), domain)
		})(c)
	}
}

// perParameter is perValue for each value of a parameter (RFC 8657).
func perParameter(tag string, is func(domain, value string) (cause, fix string, found bool)) func(*Case) []sign {
	return func(c *Case) []sign {
		rrset, _ := c.Relevant()
		zone, name := c.relevant()
		var signs []sign
		for _, p := range rrset {
			for _, b := range bindings(p, tag) {
				if cause, fix, found := is(b.domain, b.value); found {
					s := signf(zone, "%s", cause).of(name)
					s.fix = fix
					signs = append(signs, s)
				}
			}
		}
		return signs
	}
}

// binding is the value of a parameter, and the issuer that it binds.
type binding struct{ domain, value string }

func bindings(p issuance.Property, tag string) []binding {
	v, err := issuance.ParseIssueValue(p.Value)
	if err != nil || v.Domain == "" || !issuance.Grants(p.Tag) {
		return nil
	}
	var out []binding
	for _, value := range v.Values(tag) {
		out = append(out, binding{strings.ToLower(v.Domain), value})
	}
	return out
}

func anothersAccount(domain, uri string) (string, string, bool) {
	fault, ca := issuers.CheckAccount(domain, uri)
	if fault != issuers.AnotherCA {
		return "", "", false
	}
	return fmt.Sprintf("the account %s is one of %s, so that no request to %s matches it", uri, ca.Operator, domain), "", true
}

// stagingAccounts finds staging accounts of issuers that have no other: in addition to one of production, it is for tests.
func stagingAccounts(c *Case) []sign {
	rrset, _ := c.Relevant()
	return perParameter(issuance.AccountURI, func(domain, uri string) (string, string, bool) {
		fault, _ := issuers.CheckAccount(domain, uri)
		text := fmt.Sprintf("the account %s is of the staging environment, so that no production certificate of %s matches it", uri, domain)
		return text, "", fault == issuers.Staging && !slices.ContainsFunc(rrset, func(p issuance.Property) bool { return forProduction(p, domain) })
	})(c)
}

// forProduction reports whether a property admits an issuer with an account that is not of its staging
// environment.
func forProduction(p issuance.Property, domain string) bool {
	v, err := issuance.ParseIssueValue(p.Value)
	return err == nil && strings.EqualFold(v.Domain, domain) && !slices.ContainsFunc(bindings(p, issuance.AccountURI), func(b binding) bool {
		fault, _ := issuers.CheckAccount(domain, b.value)
		return fault == issuers.Staging
	})
}

// issuerMisspelt finds names that look like a misspelt public CA, except those that a requirement or a policy vouches for.
func issuerMisspelt(c *Case) []sign {
	return perValue(func(p issuance.Property) (string, string, bool) {
		v, err := issuance.ParseIssueValue(p.Value)
		domain := strings.ToLower(v.Domain)
		if err != nil || slices.Contains(c.Unlisted, domain) || slices.Contains(c.Asked, domain) {
			return "", "", false
		}
		meant := issuers.Misspelt(domain)
		_, parameters, _ := strings.Cut(p.Value, ";")
		value := meant
		if parameters != "" {
			value += ";" + parameters
		}
		return fmt.Sprintf("no public CA has the name %s; did you mean %s?", domain, meant), record(p.Flags, p.Tag, value), meant != ""
	})(c)
}

// capitals finds parameters that Let's Encrypt does not know by the tag that they have.
func capitals(p issuance.Property) (string, string, bool) {
	v, err := issuance.ParseIssueValue(p.Value)
	i := slices.IndexFunc(v.Parameters, func(q issuance.Parameter) bool {
		return strings.ToLower(q.Tag) != q.Tag && issuance.Restricts(q.Tag)
	})
	if err != nil || i < 0 {
		return "", "", false
	}
	fixed := v.Domain
	for _, q := range v.Parameters {
		fixed += "; " + strings.ToLower(q.Tag) + "=" + q.Value
	}
	return fmt.Sprintf("the parameter %s has a capital letter, in %s %q", v.Parameters[i].Tag, p.Tag, p.Value), record(p.Flags, p.Tag, fixed), true
}

// tooManyRecords finds RRsets that not every resolver accepts, of whatever type.
func tooManyRecords(c *Case) []sign {
	var signs []sign
	add := func(zone string, set dnssec.RRset, where string) {
		if n := len(set.RRs); n > guard.MostRecords {
			signs = append(signs, signf(zone, "the %s RRset has %d records", typeName(set.Type), n).of(set.Name).seen(where))
		}
	}
	for r := range c.all() {
		if r.Kind == resolve.Data {
			add(r.zone.Name, r.RRset, r.where())
		}
	}
	for _, s := range c.Surveys {
		if s.NS.Kind == resolve.Data {
			add(s.Zone.Name, s.NS.RRset, "the zone's name servers")
		}
	}
	return signs
}

func misspeltMethods(c *Case) []sign {
	return perValue(func(p issuance.Property) (string, string, bool) {
		var wrong []string
		fixed := p.Value
		for _, b := range bindings(p, issuance.ValidationMethods) {
			if slices.Contains(c.Unlisted, b.domain) {
				continue
			}
			labels := strings.Split(b.value, ",")
			for i, label := range labels {
				if meant := issuance.MeantMethod(label); meant != "" {
					wrong = append(wrong, fmt.Sprintf("%s (did you mean %s?)", label, meant))
					labels[i] = meant
				}
			}
			fixed = strings.Replace(fixed, b.value, strings.Join(labels, ","), 1)
		}
		return "no CA is known to have the validation method " + strings.Join(wrong, ", "), record(p.Flags, p.Tag, fixed), len(wrong) > 0
	})(c)
}

// unknownMethods leaves out empty labels, which CAs read differently: another finding.
func unknownMethods(_, list string) (string, string, bool) {
	var unknown []string
	for label := range strings.SplitSeq(list, ",") {
		if label != "" && !issuance.KnownMethod(label) && issuance.MeantMethod(label) == "" {
			unknown = append(unknown, label)
		}
	}
	return "no CA is known to have the validation method " + strings.Join(unknown, ", "), "", len(unknown) > 0
}

// readingsDiffer finds properties that some CAs read as an authorization and others do not, whatever the
// account and the method.
func readingsDiffer(p issuance.Property) (string, string, bool) {
	v, err := issuance.ParseIssueValue(p.Value)
	if err != nil || v.Domain == "" {
		return "", "", false
	}
	req := issuance.Request{Issuers: []string{strings.ToLower(v.Domain)}}.Requesting(v.Parameters)
	alone := issuance.RRset{{Tag: issuance.TagIssue, Value: p.Value}}
	decision, dialect := issuance.Everywhere(alone, req)
	fix := ""
	if lower := strings.ToLower(v.Domain) + p.Value[min(len(p.Value), strings.Index(p.Value, v.Domain)+len(v.Domain)):]; lower != p.Value && strings.HasPrefix(p.Value, v.Domain) {
		fix = record(p.Flags, p.Tag, lower)
	}
	return fmt.Sprintf("CAs read %s %q differently: by the %s reading it authorizes nobody (%s)", p.Tag, p.Value, dialect.Name, decision.Reason), fix, !decision.Permitted && issuance.Anywhere(alone, req)
}

// parametersBind is the day from which parameters bind every CA.
var parametersBind = issuance.ParametersBind.From.Format(time.DateOnly)

func parametersBindLater(c *Case) []sign {
	if issuance.ParametersBind.InForce(c.At) {
		return nil
	}
	return perValue(func(p issuance.Property) (string, string, bool) {
		v, err := issuance.ParseIssueValue(p.Value)
		if err != nil || v.Domain == "" {
			return "", "", false
		}
		binding := slices.ContainsFunc(v.Parameters, func(q issuance.Parameter) bool {
			return issuance.Restricts(q.Tag)
		})
		e := issuers.Lookup(strings.ToLower(v.Domain))
		processes := len(e.CAs) > 0 && !slices.ContainsFunc(e.CAs, func(ca *issuers.CA) bool { return !ca.Parameters })
		return fmt.Sprintf("%s is not known to process the parameters of %q before %s", v.Domain, p.Value, parametersBind), "", binding && !processes
	})(c)
}

func iodefScheme(p issuance.Property) (string, string, bool) {
	if !strings.EqualFold(p.Tag, issuance.TagIodef) {
		return "", "", false
	}
	u, err := url.Parse(p.Value)
	fix := ""
	if err == nil && u.Scheme == "http" {
		fix = record(p.Flags, p.Tag, "https"+strings.TrimPrefix(p.Value, u.Scheme))
	}
	return fmt.Sprintf("CAs report to mailto: and https: URLs, and iodef has %q", p.Value), fix, err != nil || u.Scheme != "mailto" && u.Scheme != "https"
}

// undeliverable makes a rule of the mail addresses of a tag.
func undeliverable(tag string) func(*Case) []sign {
	return func(c *Case) []sign {
		var signs []sign
		for _, m := range c.Mail {
			if m.Tag == tag && m.undeliverable() {
				zone, _ := c.relevant()
				signs = append(signs, signf(zone, "no mail reaches %s: its domain has no MX record and no address, or a null MX", m.Address).of(m.Owner))
			}
		}
		return signs
	}
}

// ofMail is the text of a finding about a mail address.
func (g group) ofMail() string { return g.cause + g.affected(" (CAA of ") + ")" }

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
