// Package verdict says whether a CA may issue, by what a climb found: one of four outcomes that are
// never confused, each with a stable reason and the steps that led there.
//
// What a Relevant RRset says is judged by [guard.Judge], as the server's guard judges it. What is judged here
// is the way to it, by the rules of a date (Baseline Requirements 4.2.2.1): a failed look-up is a permission at
// most where the zone is proved to be unsigned.
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
	AtRisk                   // by some readings, servers or resolvers, not for long, or as far as is known by no request that anybody makes
	LockedOut                // by no reading
)

var outcomeNames = [...]string{"could not find out", "may issue", "at risk", "locked out"}

// String is the outcome as reports write it.
func (o Outcome) String() string { return outcomeNames[o] }

// MarshalText makes it so in JSON.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Reasons beside those of packages issuance and guard. They are stable.
const (
	Bogus          issuance.Reason = "dnssec-bogus"           // the answer does not validate: SERVFAIL at every CA's resolver
	BogusUnchecked issuance.Reason = "dnssec-bogus-unchecked" // the same, before validation was compulsory
	FailedSigned   issuance.Reason = "lookup-failed-signed"   // no answer, and the zone is not proved to be unsigned
	FailedUnsigned issuance.Reason = "lookup-failed-unsigned" // no answer, and the zone is unsigned: a CA may take it for a permission
	WithoutSOA     issuance.Reason = "denial-without-soa"     // some resolvers take the answer on the way up for none
	NotFoundOut    issuance.Reason = "not-found-out"          // the look-up did not get as far as the name's servers
	AnchorFails    issuance.Reason = "trust-anchor-fails"     // not even the trust anchor's zone validates from here
	Offline        issuance.Reason = "offline"                // nobody answers, not even the root
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

// outcomes are what the judgement of an RRset is to a name.
var outcomes = map[guard.Outcome]Outcome{guard.Denied: LockedOut, guard.AtRisk: AtRisk, guard.MayIssue: MayIssue}

// decided holds the requirement against the Relevant RRset.
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
		v.Detail = fmt.Sprintf("it may by the %s reading, and may not by the %s reading", strings.Join(judged.Permits(), " and the "), strings.Join(judged.Denies, " and the "))
	}
	return v
}

// details are for people, of the reasons that are not the evaluator's.
var details = map[issuance.Reason]func(r guard.Requirement, judged guard.Judgement) string{
	guard.MethodUnknown: func(r guard.Requirement, judged guard.Judgement) string {
		near := ""
		if meant := issuance.MeantMethod(judged.Request.Method); meant != "" {
			near = fmt.Sprintf("; did you mean %s?", meant)
		}
		return fmt.Sprintf("no validation method that a CA is known to have is called %s, so that %s may by none (RFC 8657 4)%s", judged.Request.Method, ca(r), near)
	},
	guard.MethodNoWildcard: func(r guard.Requirement, judged guard.Judgement) string {
		return fmt.Sprintf("no CA validates a wildcard by the method %s, so that %s may not by that one (BR 3.2.2.4.8, 18 to 20)", judged.Request.Method, ca(r))
	},
	guard.MethodNotYet: func(r guard.Requirement, judged guard.Judgement) string {
		return fmt.Sprintf("CAs have to understand the method %s from %s on, and %s is not known to do so before (BR 4.2.2.1.2)", judged.Request.Method, issuers.ParametersBindFrom.Format(time.DateOnly), ca(r))
	},
	issuance.Reason(issuers.AnotherCA): func(r guard.Requirement, judged guard.Judgement) string {
		return fmt.Sprintf("the account %s is another CA's, so that %s never meets it (RFC 8657 3)", judged.Request.Account, ca(r))
	},
	issuance.Reason(issuers.Staging): func(_ guard.Requirement, judged guard.Judgement) string {
		return fmt.Sprintf("the account %s is of the staging environment, so that no production certificate meets it (RFC 8657 3)", judged.Request.Account)
	},
	guard.TooManyRecords: func(guard.Requirement, guard.Judgement) string {
		return fmt.Sprintf("the RRset has more than %d records, to which CAs' resolvers by BIND answer SERVFAIL (max-records-per-type)", guard.MostRecords)
	},
	guard.Retired: func(r guard.Requirement, _ guard.Judgement) string {
		return fmt.Sprintf("%s honours that name no more", issuers.Lookup(ca(r)).Operators())
	},
	guard.Reseller: func(r guard.Requirement, _ guard.Judgement) string {
		return fmt.Sprintf("it sells certificates of %s, and its name in CAA lets nobody in", issuers.Lookup(ca(r)).Operators())
	},
	guard.Misspelt: func(r guard.Requirement, judged guard.Judgement) string {
		return fmt.Sprintf("no public CA is known by that name; did you mean %s? If it is meant as it is, ask for it: --issuer %s", judged.Meant, ca(r))
	},
}

func ca(r guard.Requirement) string { return cmp.Or(strings.ToLower(r.Domain), "the CA") }

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
