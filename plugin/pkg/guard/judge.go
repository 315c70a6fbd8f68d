package guard

import (
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
)

// Outcome is what a Relevant RRset makes of a requirement.
type Outcome uint8

// The outcomes.
const (
	Denied   Outcome = iota // every dialect denies
	AtRisk                  // some dialects or resolvers deny, or no CA is known to make a request that is permitted
	MayIssue                // every dialect permits: the operator can rely on it
)

// Reasons in addition to those of package issuance. They are stable. They need what is known of CAs and resolvers, which
// the evaluator does not have.
const (
	MethodUnknown    issuance.Reason = "method-unknown"            // a validation method that no CA is known to have
	MethodNoWildcard issuance.Reason = "method-no-wildcard"        // a validation method by which no CA validates a wildcard
	MethodNotYet     issuance.Reason = "method-not-yet-understood" // a method's label that the CA has to understand only from a later date on
	Retired          issuance.Reason = "issuer-retired"            // a name that its CA no longer honours
	Reseller         issuance.Reason = "issuer-reseller"           // a reseller's name, under which no CA issues
	Misspelt         issuance.Reason = "issuer-misspelt"           // a name that no CA is known to have, and that is near to a CA's
	TooManyRecords   issuance.Reason = "rrset-too-many-records"    // more records than some CAs' resolvers accept
)

// MostRecords is how many records of a name and type every resolver accepts: BIND answers SERVFAIL to more
// (max-records-per-type, since 9.18.28), and PowerDNS Recursor does to more than 256.
const MostRecords = 100

// Judgement is the outcome of a requirement, and why.
type Judgement struct {
	Outcome Outcome
	Reason  issuance.Reason
	Denies  []string         // the dialects that deny, the strictest first
	Index   int              // of the Property in the RRset that decided; -1 where an absence did
	Request issuance.Request // as the requirement's CA holds it against the RRset
	Meant   string           // the name to write instead, where Reason is Misspelt
}

// Judge holds a requirement against a Relevant RRset, wherever that was found, by the rules of a day. Guard, self-check
// and checker all judge by it: the guard accepts what it calls MayIssue alone, the self-check counts that alone as
// possible, and the checker reports the rest. An account or a method that the requirement leaves open is one that the
// RRset names, where it names any.
func Judge(r Requirement, rrset issuance.RRset, at time.Time) Judgement {
	r.Domain = exact(r.Domain)
	j := Judgement{Request: r.request(rrset, at)}
	all := dialects(r.Domain, at)
	for i, d := range all {
		decision := issuance.Decide(rrset, j.Request, d)
		if i == 0 || !decision.Permitted && len(j.Denies) == 0 {
			j.Reason, j.Index = decision.Reason, decision.Index
		}
		if !decision.Permitted {
			j.Denies = append(j.Denies, d.Name)
		}
	}
	switch len(j.Denies) {
	case 0:
		j.Outcome = MayIssue
	case len(all):
		return j
	default:
		j.Outcome = AtRisk
	}
	return j.doubted(r, rrset, at)
}

// doubted withdraws a permission that no CA can use, or whose RRset some resolvers do not accept.
func (j Judgement) doubted(r Requirement, rrset issuance.RRset, at time.Time) Judgement {
	reason, meant := r.nameFault()
	switch {
	case reason == Retired || reason == Reseller:
		j.Outcome, j.Reason = Denied, reason
	case j.Outcome != MayIssue:
	case len(rrset) > MostRecords:
		j.Outcome, j.Reason = AtRisk, TooManyRecords
	case r.fault(j.Request, property(rrset, j.Index), at) != "":
		j.Outcome, j.Reason = AtRisk, r.fault(j.Request, property(rrset, j.Index), at)
	case reason != "":
		j.Outcome, j.Reason, j.Meant = AtRisk, reason, meant
	}
	return j
}

func property(rrset issuance.RRset, index int) issuance.Property {
	if index < 0 {
		return issuance.Property{}
	}
	return rrset[index]
}

// Permits returns the dialects that permit, the strictest first.
func (j Judgement) Permits() []string {
	var out []string
	for _, d := range issuance.Dialects {
		if !slices.Contains(j.Denies, d.Name) {
			out = append(out, d.Name)
		}
	}
	return out
}

// dialects returns those that the CA of a name may read in on a day: some CAs process parameters before they have to.
func dialects(domain string, at time.Time) []issuance.Dialect {
	if processesParameters(domain) {
		return issuance.DialectsAt(at, &issuance.ParametersBind)
	}
	return issuance.DialectsAt(at)
}

func processesParameters(domain string) bool {
	cas := issuers.Lookup(domain).CAs
	return len(cas) > 0 && !slices.ContainsFunc(cas, func(ca *issuers.CA) bool { return !ca.Parameters })
}

// explicit reports whether a caller gave the requirement who knows the issuer, the account and the method.
func (r Requirement) explicit() bool { return r.Origin == "" }

// Vouched reports whether the caller or the policy states that the issuer's name is a CA's: it was asked for explicitly,
// or the policy marks it unlisted.
func (r Requirement) Vouched() bool { return r.explicit() || r.Unlisted }

// nameFault holds the issuer's name against the directory of public CAs: a name that no CA has authorises no CA. A name
// that a caller gives, or that the policy calls unlisted, has no fault. meant is what to write instead of a misspelt one.
func (r Requirement) nameFault() (reason issuance.Reason, meant string) {
	if r.Vouched() {
		return "", ""
	}
	switch issuers.Lookup(r.Domain).Status {
	case issuers.Retired:
		return Retired, ""
	case issuers.Reseller:
		return Reseller, ""
	}
	if meant := issuers.Misspelt(r.Domain); meant != "" {
		return Misspelt, meant
	}
	return "", ""
}

// fault returns why no CA is known to make a request that a property permits: no CA has its method, or validates the name
// by it, or its account is not the CA's; "" where a CA may make it.
func (r Requirement) fault(req issuance.Request, p issuance.Property, at time.Time) issuance.Reason {
	if reason := r.methodFault(req.Method); reason != "" {
		return reason
	}
	v, _ := issuance.ParseIssueValue(p.Value)
	labels := labelsOf(v)
	switch {
	case r.explicit() && r.Method != "", r.Unlisted:
	case len(labels) > 0 && issuance.OfRequirements(req.Method) && !issuance.LabelsBind.InForce(at) && processesParameters(r.Domain) &&
		!slices.ContainsFunc(labels, func(label string) bool { return !issuance.OfRequirements(label) }):
		return MethodNotYet
	}
	if r.explicit() && r.Account != "" || len(v.Values(issuance.AccountURI)) == 0 {
		return ""
	}
	fault, _ := issuers.CheckAccount(r.Domain, req.Account)
	return issuance.Reason(fault)
}

// methodFault returns why no CA is known to validate the requirement's name by a method; "" where one may. No rule binds a
// private CA.
func (r Requirement) methodFault(label string) issuance.Reason {
	private := r.Unlisted && issuers.Lookup(exact(r.Domain)).Status == issuers.Unknown
	switch {
	case label != "" && !issuance.KnownMethod(label) && !r.Unlisted && !(r.explicit() && r.Method != ""):
		return MethodUnknown
	case r.Wildcard && !issuance.ForWildcards(label) && !private:
		return MethodNoWildcard
	}
	return ""
}

// usable returns those of some methods by which a CA can validate the name; all of them where there is none.
func (r Requirement) usable(methods []string) []string {
	out := slices.DeleteFunc(slices.Clone(methods), func(label string) bool { return r.methodFault(label) != "" })
	if len(out) == 0 {
		return methods
	}
	return out
}

// labelsOf returns the labels of a value's validationmethods.
func labelsOf(v issuance.IssueValue) []string {
	var out []string
	for _, list := range v.Values(issuance.ValidationMethods) {
		out = append(out, strings.Split(list, ",")...)
	}
	return out
}

// request returns the requirement as its CA holds it against an RRset, under each name that the CA honours. Where the
// requirement leaves account or method open, it has one that the RRset itself names for the issuer: one that is permitted
// everywhere and without a fault, else one that is permitted, else the first, for the explanation.
func (r Requirement) request(rrset issuance.RRset, at time.Time) issuance.Request {
	base := issuance.Request{Issuers: append([]string{r.Domain}, alsoKnownAs(r.Domain)...), Type: r.Type, Wildcard: r.Wildcard, Account: r.Account, Method: r.Method, ParentAccount: r.ParentAccount}
	if r.Account != "" && r.Method != "" {
		return base
	}
	tag := base.DecidingTag(rrset)
	best, permitted, tried := base, false, map[issuingBy]bool{}
	for _, p := range slices.Backward(rrset) {
		v, err := issuance.ParseIssueValue(p.Value)
		if !strings.EqualFold(p.Tag, tag) || err != nil || !slices.Contains(base.Issuers, strings.ToLower(v.Domain)) {
			continue
		}
		req := base
		for _, account := range v.Values(issuance.AccountURI) {
			if r.Account == "" {
				req.Account = account
			}
		}
		labels := slices.DeleteFunc(labelsOf(v), func(label string) bool { return label == "" }) // some CAs skip an empty one
		if r.Method == "" && len(labels) > 0 {
			req.Method = r.usable(labels)[0]
		}
		by := issuingBy{req.Account, req.Method}
		if tried[by] || len(tried) == mostTried {
			continue
		}
		tried[by] = true
		decision, _ := issuance.Everywhere(rrset, req)
		if decision.Permitted && r.fault(req, p, at) == "" {
			return req
		}
		if decision.Permitted || !permitted {
			best, permitted = req, decision.Permitted
		}
	}
	return best
}

// issuingBy is an account and a method that an RRset names.
type issuingBy struct{ account, method string }

// mostTried is how many accounts and methods are tried for a requirement that leaves them open. Resolvers do not accept an
// RRset that names more, and each costs a pass over all of it.
const mostTried = MostRecords

// alsoKnownAs returns the other names that an issuer's CA honours, where there is one such CA.
func alsoKnownAs(domain string) []string {
	entry := issuers.Lookup(domain)
	if len(entry.CAs) != 1 || entry.Status != issuers.Listed && entry.Status != issuers.Deprecated {
		return nil
	}
	ca := entry.CAs[0]
	return slices.DeleteFunc(slices.Clone(ca.Domains), func(other string) bool {
		return other == domain || slices.Contains(ca.Unconfirmed, other)
	})
}
