// Package verdict says whether a CA may issue, by what a climb found: one of four outcomes that are
// never confused, each with a stable reason and the steps that led there.
//
// The evaluator is package issuance, in every dialect: what all permit, an issuer may rely on; what all
// deny locks it out; where they differ it is at risk. The rules are those of a date (Baseline
// Requirements 3.2.2.8): parameters of RFC 8657 bind every CA from 2027-03-15, and a failed look-up is a
// permission at most where the zone is proved to be unsigned.
package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/dnssec"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
)

// Outcome is what becomes of a request. Its zero value is Unknown.
type Outcome uint8

// The outcomes.
const (
	Unknown   Outcome = iota // it could not be found out from here
	MayIssue                 // by every reading
	AtRisk                   // by some readings or some servers, not for long, or as far as is known by no request that anybody makes
	LockedOut                // by no reading
)

var outcomeNames = [...]string{"could not find out", "may issue", "at risk", "locked out"}

// String is the outcome as reports write it.
func (o Outcome) String() string { return outcomeNames[o] }

// MarshalText makes it so in JSON.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Reasons beside those of package issuance. They are stable.
const (
	Bogus          issuance.Reason = "dnssec-bogus"           // the answer does not validate: SERVFAIL at every CA's resolver
	BogusUnchecked issuance.Reason = "dnssec-bogus-unchecked" // the same, before validation was compulsory
	FailedSigned   issuance.Reason = "lookup-failed-signed"   // no answer, and the zone is not proved to be unsigned
	FailedUnsigned issuance.Reason = "lookup-failed-unsigned" // no answer, and the zone is unsigned: a CA may take it for a permission
	WithoutSOA     issuance.Reason = "denial-without-soa"     // some resolvers take the answer on the way up for none
	NotFoundOut    issuance.Reason = "not-found-out"          // the look-up did not get as far as the name's servers
	AnchorFails    issuance.Reason = "trust-anchor-fails"     // not even the trust anchor's zone validates from here
	Offline        issuance.Reason = "offline"                // nobody answers, not even the root
	Retired        issuance.Reason = "issuer-retired"         // CAA names an issuer by a name that its CA honours no more
	Reseller       issuance.Reason = "issuer-reseller"        // CAA names a reseller, under whose name no CA issues
	Misspelt       issuance.Reason = "issuer-misspelt"        // CAA names an issuer that nobody knows, and that differs by a slip from one that is known
)

// ValidationFrom is when every CA has to validate DNSSEC from its primary perspective (BR 3.2.2.8.1).
var ValidationFrom = time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC)

// Verdict is the outcome for one request at one name.
type Verdict struct {
	Requirement guard.Requirement
	Outcome     Outcome
	Reason      issuance.Reason
	Detail      string             // for people
	Denies      []string           // the dialects that deny, where they differ
	Property    *issuance.Property // that decided; nil where an absence did
	Climb       climb.Climb
}

// Decide holds a requirement against what a climb found, by the rules of a date. An empty Account or
// Method is whatever the RRset names.
func Decide(c climb.Climb, r guard.Requirement, at time.Time) Verdict {
	v := Verdict{Requirement: r, Climb: c}
	last := c.Last()
	switch fault := last.Answer.Zone.AnchorFault(); {
	case last.Answer.Err != nil && last.Answer.Err.Failure == resolve.Offline:
		return v.failed(last.Answer.Err, at)
	case fault != "":
		v.Reason, v.Detail = AnchorFails, fault+"; look at the anchor, at this machine's clock, and at the way there"
		return v
	case last.Answer.Err != nil:
		return v.failed(last.Answer.Err, at)
	case last.Answer.Result.Status == dnssec.Bogus:
		v.Outcome, v.Reason, v.Detail = LockedOut, Bogus, last.Answer.Result.Detail
		if at.Before(ValidationFrom) {
			v.Outcome, v.Reason = AtRisk, BogusUnchecked
		}
		return v
	}
	return v.decided(last.RRset, at).withoutSOA()
}

// withoutSOA doubts a permission that rests on denials without the SOA. Unbound 1.18, with which Let's Encrypt
// resolved, answers SERVFAIL to them, and others do not.
func (v Verdict) withoutSOA() Verdict {
	i := slices.IndexFunc(v.Climb.Steps, func(s climb.Step) bool { return s.Answer.WithoutSOA })
	if v.Outcome != MayIssue || i < 0 {
		return v
	}
	v.Outcome, v.Reason = AtRisk, WithoutSOA
	v.Detail = fmt.Sprintf("the denial at %s has no SOA record, to which some CAs' resolvers answer SERVFAIL", v.Climb.Steps[i].GovernedBy())
	return v
}

// ownFailures are those of the look-up rather than of the name's servers.
var ownFailures = []resolve.Failure{resolve.Cancelled, resolve.TooMany, resolve.NotAsked}

// failed reads a look-up without an answer. One that failed where it started says nothing about the name.
func (v Verdict) failed(err *resolve.LookupError, at time.Time) Verdict {
	v.Detail = err.Error()
	switch {
	case err.Failure == resolve.Offline:
		v.Outcome, v.Reason = Unknown, Offline
	case err.Zone == nil, err.Zone.Parent == nil, slices.Contains(ownFailures, err.Failure):
		v.Outcome, v.Reason = Unknown, NotFoundOut
	case err.Trust().Status == dnssec.Insecure:
		v.Outcome, v.Reason = AtRisk, FailedUnsigned
		v.Detail += "; a CA may take that for a permission (BR 3.2.2.8), and Let's Encrypt does not"
	default:
		v.Outcome, v.Reason = LockedOut, FailedSigned
	}
	return v
}

// decided asks every dialect.
func (v Verdict) decided(rrset issuance.RRset, at time.Time) Verdict {
	req := guard.Request(v.Requirement, rrset, alsoKnownAs(v.Requirement.Domain)...)
	var permits []string
	var decision issuance.Decision
	for _, d := range dialects(v.Requirement.Domain, at) {
		made := issuance.Decide(rrset, req, d)
		if made.Permitted {
			permits = append(permits, d.Name)
		} else {
			v.Denies = append(v.Denies, d.Name)
		}
		if len(v.Denies)+len(permits) == 1 || !made.Permitted && decision.Permitted {
			decision = made
		}
	}
	v.Reason = decision.Reason
	if decision.Index >= 0 {
		v.Property = &rrset[decision.Index]
	}
	switch {
	case len(v.Denies) == 0:
		v.Outcome = MayIssue
	case len(permits) == 0:
		v.Outcome = LockedOut
	default:
		v.Outcome = AtRisk
		v.Detail = fmt.Sprintf("it may by the %s reading, and may not by the %s reading", strings.Join(permits, " and the "), strings.Join(v.Denies, " and the "))
	}
	return v.doubted(req).known()
}

// doubted lets a permission fall that rests on an account or a method which no request is known to have.
func (v Verdict) doubted(req issuance.Request) Verdict {
	fault := guard.Fault(v.Requirement, req)
	if fault == "" || v.Outcome != MayIssue {
		return v
	}
	v.Outcome, v.Reason = AtRisk, fault
	v.Detail = fmt.Sprintf(faultDetails[fault], cmp.Or(v.Requirement.Domain, "the CA"), req.Account, req.Method)
	return v
}

// faultDetails are for people, of issuer, account and method.
var faultDetails = map[issuance.Reason]string{
	guard.MethodUnknown:                "no validation method that a CA is known to have is called %[3]s, so that %[1]s may by none (RFC 8657 4)",
	guard.MethodNoWildcard:             "no CA validates a wildcard by the method %[3]s, so that %[1]s may not by that one (BR 3.2.2.4.8, 18 to 20)",
	issuance.Reason(issuers.AnotherCA): "the account %[2]s is another CA's, so that %[1]s never meets it (RFC 8657 3)",
	issuance.Reason(issuers.Staging):   "the account %[2]s is of the staging environment, so that no production certificate meets it (RFC 8657 3)",
}

// known holds an issuer that the name's own CAA names against the directory of public CAs: that it is named
// lets nobody in if nobody has the name. One that somebody asks for has it, for he ought to know.
func (v Verdict) known() Verdict {
	if v.Requirement.Origin != guard.Published || v.Outcome == LockedOut {
		return v
	}
	domain := strings.ToLower(v.Requirement.Domain)
	switch entry := issuers.Lookup(domain); {
	case entry.Status == issuers.Retired:
		v.Outcome, v.Reason = LockedOut, Retired
		v.Detail = fmt.Sprintf("%s honours that name no more", entry.Operators())
	case entry.Status == issuers.Reseller:
		v.Outcome, v.Reason = LockedOut, Reseller
		v.Detail = fmt.Sprintf("it sells certificates of %s, and its name in CAA lets nobody in", entry.Operators())
	case v.Outcome == MayIssue && issuers.Misspelt(domain) != "":
		v.Outcome, v.Reason = AtRisk, Misspelt
		v.Detail = fmt.Sprintf("no public CA is known by that name, and one is by %s; --issuer %s says that it is meant", issuers.Misspelt(domain), domain)
	}
	return v
}

// dialects are those that a CA may read in at a date: once the parameters of RFC 8657 bind it, no reading
// ignores them.
func dialects(domain string, at time.Time) []issuance.Dialect {
	out := slices.Clone(issuance.Dialects)
	if at.Before(issuers.ParametersBindFrom) && !processesParameters(domain) {
		return out
	}
	for i := range out {
		if len(out[i].BoundTags) == 0 {
			out[i].BoundTags = issuance.RFC.BoundTags
		}
	}
	return out
}

func processesParameters(domain string) bool {
	cas := issuers.Lookup(strings.ToLower(domain)).CAs
	return len(cas) > 0 && !slices.ContainsFunc(cas, func(ca *issuers.CA) bool { return !ca.Parameters })
}

// alsoKnownAs are the other names that an issuer's CA honours, where there is one such CA.
func alsoKnownAs(name string) []string {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	entry := issuers.Lookup(name)
	if len(entry.CAs) != 1 || entry.Status != issuers.Listed && entry.Status != issuers.Deprecated {
		return nil
	}
	ca := entry.CAs[0]
	return slices.DeleteFunc(slices.Clone(ca.Domains), func(other string) bool {
		return other == name || slices.Contains(ca.Unconfirmed, other)
	})
}

// Named are the Issuer Domain Names that a Relevant RRset names for a request's kind, in order: those
// that someone meant to let issue.
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
