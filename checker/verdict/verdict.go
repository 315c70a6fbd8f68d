// Package verdict decides whether a CA may issue, by what a climb found: one of four outcomes that are
// never confused, each with a stable reason and the steps that led there.
//
// What a Relevant RRset says is judged by [guard.Judge], as in the server's guard. What is judged here
// is the way to it, by the rules of a date (Baseline Requirements 4.2.2.1): a failed lookup is a permission at
// most where the zone is proven to be unsigned. [Reasons] is the catalog of all reasons.
package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
)

// Outcome is what becomes of a request. Its zero value is Unknown.
type Outcome uint8

// The outcomes.
const (
	Unknown   Outcome = iota // the lookup did not succeed from here, which says nothing about the CA
	MayIssue                 // by every reading
	AtRisk                   // by some readings, servers or resolvers only, not for long, or for no request that anybody is known to make
	LockedOut                // by no reading
)

// outcomeRows is the table of outcomes, in their order as values.
var outcomeRows = [...]struct {
	name    string
	badness int
}{{"unknown", 1}, {"may issue", 0}, {"at risk", 2}, {"locked out", 3}}

// Outcomes returns all outcomes.
func Outcomes() []Outcome { return []Outcome{Unknown, MayIssue, AtRisk, LockedOut} }

// Badness orders outcomes, from 0 for the best to 3 for the worst.
func (o Outcome) Badness() int { return outcomeRows[o].badness }

// String returns the outcome as reports write it.
func (o Outcome) String() string { return outcomeRows[o].name }

// MarshalText writes the outcome as String does.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Reasons in addition to those of packages issuance, guard and check. They are stable.
const (
	Bogus            issuance.Reason = "dnssec-bogus"           // the answer does not validate: every CA's resolver answers SERVFAIL
	BogusUnchecked   issuance.Reason = "dnssec-bogus-unchecked" // the same, before validation was compulsory
	FailedSigned     issuance.Reason = "lookup-failed-signed"   // the lookup fails, and the zone is not proven to be unsigned
	FailedUnsigned   issuance.Reason = "lookup-failed-unsigned" // the lookup fails, and the zone is unsigned: a CA may take that as permission
	ValidatorsDiffer issuance.Reason = "validators-differ"      // some validating resolvers fail, and others do not, by the algorithms and digests that they accept
	WithoutSOA       issuance.Reason = "denial-without-soa"     // some resolvers discard a negative answer of the climb
	Misread          issuance.Reason = "wildcard-alias-misread" // some resolvers take a wildcard's proof as the denial at its alias's target
	AliasLoop        issuance.Reason = "alias-loop"             // the aliases of the name do not end
	DomainMissing    issuance.Reason = "domain-missing"         // the registry denies the domain: CAA permits, and no CA can validate control
	Incomplete       issuance.Reason = "lookup-incomplete"      // the lookup did not reach the name's servers
	AnchorFails      issuance.Reason = "trust-anchor-fails"     // not even the trust anchor's zone validates from here
	Offline          issuance.Reason = "offline"                // no server replies, not even the root's
)

// ValidationFrom is when every CA has to validate DNSSEC from its primary perspective (BR 4.2.2.2).
var ValidationFrom = time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC)

// Verdict is the outcome for one request at one name.
type Verdict struct {
	Requirement guard.Requirement
	Outcome     Outcome
	Reason      issuance.Reason
	Detail      string             // for people
	Denies      []string           // the dialects that deny, where they differ
	Property    *issuance.Property // that decided; nil where an absence did
}

// Decide judges a requirement by what a climb found and the rules of a date. An empty Account or
// Method is whatever the RRset names.
func Decide(c climb.Climb, r guard.Requirement, at time.Time) Verdict {
	v := Verdict{Requirement: r}
	last := c.Last()
	switch fault := last.Answer.Zone.AnchorFault(); {
	case last.Answer.Err != nil && last.Answer.Err.Failure == resolve.Offline:
		return v.failed(last.Answer.Err, at)
	case fault != "":
		v.Reason, v.Detail = AnchorFails, fault+"; check the anchor, this machine's clock, and the network"
		return v
	case last.Answer.Err != nil:
		return v.failed(last.Answer.Err, at).endless(last.Answer)
	case last.Answer.Result.Status == dnssec.Bogus:
		v.Outcome, v.Reason, v.Detail = LockedOut, Bogus, last.Answer.Result.Detail
		if at.Before(ValidationFrom) {
			v.Outcome, v.Reason = AtRisk, BogusUnchecked
		}
		return v.weakened(last.Answer.Zone)
	}
	v = v.decided(last.RRset, at).doubted(c)
	if domain := c.MissingDomain(); v.Outcome != LockedOut && domain != "" {
		v.Outcome, v.Reason, v.Property, v.Denies = LockedOut, DomainMissing, nil, nil
		v.Detail = fmt.Sprintf("the domain %s does not exist, so that no CA can validate control of a name in it", dnsname.Bare(domain))
	}
	return v
}

// weakened puts a lock-out at risk that rests on validation of a zone which some resolvers treat as unsigned, because of
// SHA-1 (RFC 9905), or may find secure by an algorithm that is not known here: their CAs do not see what fails.
func (v Verdict) weakened(zone *resolve.Zone) Verdict {
	for z := zone; z != nil && v.Outcome == LockedOut; z = z.Parent {
		switch ds := z.OfUnknownAlgorithm(); {
		case z.Weak() != resolve.Strong:
			v.Outcome, v.Reason = AtRisk, ValidatorsDiffer
			v.Detail = fmt.Sprintf("CAs' resolvers may differ: those that do not accept SHA-1 treat %s as unsigned (RFC 9905), and the others fail: %s", dnsname.Bare(z.Name), v.Detail)
		case z.Trust.Status == dnssec.Bogus && ds != nil:
			v.Outcome, v.Reason = AtRisk, ValidatorsDiffer
			v.Detail = fmt.Sprintf("CAs' resolvers may differ: %s has a DS record of algorithm %d and digest type %d, by which those that know both may validate it, and the others fail: %s", dnsname.Bare(z.Name), ds.Algorithm, ds.DigestType, v.Detail)
		}
	}
	return v
}

// doubts are what some CAs' resolvers, and not all, answer SERVFAIL to at a step: the detail for people, "" where
// a step has no such thing.
var doubts = []struct {
	reason issuance.Reason
	detail func(climb.Step) string
}{
	{WithoutSOA, func(s climb.Step) string { // unbound 1.18, with which Let's Encrypt resolved
		if !s.Answer.WithoutSOA {
			return ""
		}
		return fmt.Sprintf("the negative answer at %s has no SOA record, to which some CAs' resolvers answer SERVFAIL", s.GovernedBy())
	}},
	{Misread, func(s climb.Step) string {
		z := s.Answer.Misread()
		if z == nil {
			return ""
		}
		return fmt.Sprintf("a wildcard alias of %s leads to %s in the unsigned zone %s, which has no CAA there: unbound, Let's Encrypt's resolver, answers SERVFAIL", z.Name, s.GovernedBy(), s.Answer.Zone.Name)
	}},
	{ValidatorsDiffer, func(s climb.Step) string { return s.Answer.Disputed() }},
}

// doubted puts a permission at risk that rests on a step to which some resolvers answer SERVFAIL.
func (v Verdict) doubted(c climb.Climb) Verdict {
	if v.Outcome != MayIssue {
		return v
	}
	for _, z := range c.Zones() {
		if detail := z.Disputed(); detail != "" {
			v.Outcome, v.Reason, v.Detail = AtRisk, ValidatorsDiffer, detail
			return v
		}
	}
	for _, step := range c.Steps {
		for _, doubt := range doubts {
			if detail := doubt.detail(step); detail != "" {
				v.Outcome, v.Reason, v.Detail = AtRisk, doubt.reason, detail
				return v
			}
		}
	}
	return v
}

// ownFailures are those of the lookup rather than of the name's servers.
var ownFailures = []resolve.Failure{resolve.Cancelled, resolve.TooMany, resolve.NotAsked}

// failed judges a lookup without an answer. One that failed where it started says nothing about the name.
func (v Verdict) failed(err *resolve.LookupError, at time.Time) Verdict {
	v.Detail = err.Error()
	switch {
	case err.Failure == resolve.Offline:
		v.Outcome, v.Reason = Unknown, Offline
	case err.Zone == nil, err.Zone.Parent == nil, slices.Contains(ownFailures, err.Failure):
		v.Outcome, v.Reason = Unknown, Incomplete
	case err.Trust().Status == dnssec.Insecure:
		v.Outcome, v.Reason = AtRisk, FailedUnsigned
		v.Detail += asPermission
	default:
		v.Outcome, v.Reason = LockedOut, FailedSigned
		return v.weakened(err.Zone)
	}
	return v
}

// asPermission is what may become of a lookup that fails in a zone that is unsigned, or unsigned to some.
const asPermission = "; a CA may take that as permission (BR 4.2.2.1), and Let's Encrypt does not"

// endless names the aliases where it is they that fail, and not the servers.
func (v Verdict) endless(a resolve.Answer) Verdict {
	if cause := a.Endless(); cause != "" && v.Outcome != Unknown {
		v.Reason, v.Detail = AliasLoop, cause+": "+shortened(a.Aliases())
		if v.Outcome == AtRisk {
			v.Detail += asPermission
		}
	}
	return v
}

// shortened is a list of aliases, without those in the middle of a long one.
func shortened(aliases []string) string {
	const most = 6
	if n := len(aliases); n > most {
		aliases = slices.Concat(aliases[:most-1], []string{fmt.Sprintf("and so on for %d aliases", n-most)}, aliases[n-1:])
	}
	return strings.Join(aliases, ", ")
}

// outcomes are what the judgement of an RRset is to a name.
var outcomes = map[guard.Outcome]Outcome{guard.Denied: LockedOut, guard.AtRisk: AtRisk, guard.MayIssue: MayIssue}

// decided judges the requirement by the Relevant RRset.
func (v Verdict) decided(rrset issuance.RRset, at time.Time) Verdict {
	judged := guard.Judge(v.Requirement, rrset, at)
	v.Outcome, v.Reason, v.Denies = outcomes[judged.Outcome], judged.Reason, judged.Denies
	if judged.Index >= 0 {
		v.Property = &rrset[judged.Index]
	}
	switch detail := details[judged.Reason]; {
	case detail != nil:
		v.Detail = detail(v.Requirement, judged)
	case judged.Outcome == guard.AtRisk:
		v.Detail = fmt.Sprintf("CAs may issue by the %s reading, and may not by the %s reading", strings.Join(judged.Permits(), " and the "), strings.Join(judged.Denies, " and the "))
	}
	return v
}

// details are texts for people, of the reasons that are not the evaluator's.
var details = map[issuance.Reason]func(r guard.Requirement, judged guard.Judgement) string{
	guard.MethodUnknown: func(r guard.Requirement, judged guard.Judgement) string {
		near := ""
		if meant := issuance.MeantMethod(judged.Request.Method); meant != "" {
			near = fmt.Sprintf("; did you mean %s?", meant)
		}
		return fmt.Sprintf("no CA is known to have the validation method %s, so that %s may issue by none (RFC 8657 4)%s", judged.Request.Method, ca(r), near)
	},
	guard.MethodNoWildcard: func(r guard.Requirement, judged guard.Judgement) string {
		return fmt.Sprintf("no CA validates a wildcard by the method %s, so that %s may not issue by it (BR %s)", judged.Request.Method, ca(r), issuance.ValidationBy(judged.Request.Method).Section)
	},
	guard.MethodNotYet: func(r guard.Requirement, judged guard.Judgement) string {
		return fmt.Sprintf("CAs have to understand the method %s from %s, and %s is not known to do so before (BR 4.2.2.1.2)", judged.Request.Method, issuance.LabelsBind.From.Format(time.DateOnly), ca(r))
	},
	issuance.Reason(issuers.AnotherCA): func(r guard.Requirement, judged guard.Judgement) string {
		return fmt.Sprintf("the account %s is another CA's, so that no request to %s matches it (RFC 8657 3)", judged.Request.Account, ca(r))
	},
	issuance.Reason(issuers.Staging): func(_ guard.Requirement, judged guard.Judgement) string {
		return fmt.Sprintf("the account %s is of the staging environment, so that no production certificate matches it (RFC 8657 3)", judged.Request.Account)
	},
	guard.TooManyRecords: func(guard.Requirement, guard.Judgement) string {
		return fmt.Sprintf("the RRset has more than %d records, to which BIND resolvers answer SERVFAIL (max-records-per-type)", guard.MostRecords)
	},
	guard.Retired: func(r guard.Requirement, _ guard.Judgement) string {
		return fmt.Sprintf("%s no longer accepts that name", issuers.Lookup(ca(r)).Operators())
	},
	guard.Reseller: func(r guard.Requirement, _ guard.Judgement) string {
		return fmt.Sprintf("it sells certificates of %s, and its name in CAA authorizes nobody", issuers.Lookup(ca(r)).Operators())
	},
	guard.Misspelt: func(r guard.Requirement, judged guard.Judgement) string {
		return fmt.Sprintf("no public CA has that name; did you mean %s? If it is a private CA's, ask for it: --issuer %s", judged.Meant, ca(r))
	},
}

func ca(r guard.Requirement) string { return cmp.Or(strings.ToLower(r.Domain), "the CA") }

// Named returns the Issuer Domain Names that a Relevant RRset names for a type of certificate, in order.
func Named(rrset issuance.RRset, kind issuance.CertificateType, wildcard bool) []string {
	tag := issuance.Request{Type: kind, Wildcard: wildcard}.DecidingTag(rrset)
	var out []string
	for _, p := range rrset {
		if !strings.EqualFold(p.Tag, tag) {
			continue
		}
		domain, _, _ := strings.Cut(p.Value, ";")
		domain = strings.ToLower(strings.Trim(domain, " \t"))
		if _, ok := dns.IsDomainName(domain); ok && domain != "" && !slices.Contains(out, domain) {
			out = append(out, domain)
		}
	}
	return out
}
