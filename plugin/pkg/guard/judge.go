package guard

import (
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
)

// Outcome is what becomes of a requirement by what a Relevant RRset says.
type Outcome uint8

// The outcomes.
const (
	Denied   Outcome = iota // by every reading
	AtRisk                  // by some readings or some resolvers, or by no request that anybody is known to make
	MayIssue                // by every reading: it can be relied on
)

// Reasons beside those of package issuance. They are stable. That one can be told from an RRset and is none
// of the evaluator's: it holds what is asked against what is written, whoever asks.
const (
	MethodUnknown    issuance.Reason = "method-unknown"            // a validation method that no CA is known to have
	MethodNoWildcard issuance.Reason = "method-no-wildcard"        // a validation method by which no CA validates a wildcard
	MethodNotYet     issuance.Reason = "method-not-yet-understood" // a method's label that the CA has to understand only from a later date on
	Retired          issuance.Reason = "issuer-retired"            // a name that its CA honours no more
	Reseller         issuance.Reason = "issuer-reseller"           // a reseller's name, under which no CA issues
	Misspelt         issuance.Reason = "issuer-misspelt"           // a name that nobody is known by, and that is meant for one that is known
	TooManyRecords   issuance.Reason = "rrset-too-many-records"    // more records than some CAs' resolvers accept
)

// MostRecords is how many records of a name and type every resolver accepts: BIND answers SERVFAIL to more
// (max-records-per-type, since 9.18.28), and PowerDNS Recursor to more than 256.
const MostRecords = 100

// Judgement is what becomes of a requirement, and why.
type Judgement struct {
	Outcome Outcome
	Reason  issuance.Reason
	Denies  []string         // the dialects that deny, the strictest first
	Index   int              // of the Property in the RRset that decided; -1 where an absence did
	Request issuance.Request // as the requirement's CA holds it against the RRset
	Meant   string           // the name to write instead, where Reason is Misspelt
}

// Judge holds a requirement against a Relevant RRset, wherever that was found, by the rules of a date. It is
// the one judgement: what it does not call MayIssue the guard does not accept, the self-check does not count
// as possible, and the checker reports. An account or a method that the requirement leaves open is one that
// the RRset names, where it names any.
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

// doubted lets a permission fall that nobody can make use of, or that some resolvers do not find.
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

// Permits are the dialects that permit, the strictest first.
func (j Judgement) Permits() []string {
	var out []string
	for _, d := range issuance.Dialects {
		if !slices.Contains(j.Denies, d.Name) {
			out = append(out, d.Name)
		}
	}
	return out
}

// dialects are those that a CA may read in at a date: once the parameters of RFC 8657 bind it, no reading
// ignores them, and only once they bind every CA, labels of the Baseline Requirements are read.
func dialects(domain string, at time.Time) []issuance.Dialect {
	switch {
	case !at.Before(issuers.ParametersBindFrom):
		return allBound
	case processesParameters(domain):
		return earlyBound
	}
	return unbound
}

var (
	unbound    = readings(false, false)
	earlyBound = readings(true, false)
	allBound   = readings(true, true)
)

func readings(bound, alike bool) []issuance.Dialect {
	out := slices.Clone(issuance.Dialects)
	for i := range out {
		out[i].AlikeMethods = out[i].AlikeMethods && alike
		if bound && len(out[i].BoundTags) == 0 {
			out[i].BoundTags = issuance.RFC.BoundTags
		}
	}
	return out
}

func processesParameters(domain string) bool {
	cas := issuers.Lookup(domain).CAs
	return len(cas) > 0 && !slices.ContainsFunc(cas, func(ca *issuers.CA) bool { return !ca.Parameters })
}

// asked reports whether the requirement was given explicitly, by a caller who knows the issuer, by
// which account and by which method.
func (r Requirement) asked() bool { return r.Origin == "" }

// Vouched reports whether the caller or the policy states that the issuer's name is a CA's: it was asked for explicitly,
// or the policy marks it unlisted.
func (r Requirement) Vouched() bool { return r.asked() || r.Unlisted }

// nameFault holds the issuer's name against the directory of public CAs: that it is named lets nobody in if
// nobody has the name. One that is asked for has it, and one that the policy calls unlisted. meant is what to
// write instead of a misspelt one.
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

// fault says why nobody is known to make a request that a property permits: no CA has its method, or validates
// the name by it, or its account is not the CA's. "" when nothing speaks against it.
func (r Requirement) fault(req issuance.Request, p issuance.Property, at time.Time) issuance.Reason {
	if reason := r.methodFault(req.Method); reason != "" {
		return reason
	}
	v, _ := issuance.ParseIssueValue(p.Value)
	labels := labelsOf(v)
	switch {
	case r.asked() && r.Method != "", r.Unlisted:
	case len(labels) > 0 && issuance.OfRequirements(req.Method) && at.Before(issuers.ParametersBindFrom) && processesParameters(r.Domain) &&
		!slices.ContainsFunc(labels, func(label string) bool { return !issuance.OfRequirements(label) }):
		return MethodNotYet
	}
	if r.asked() && r.Account != "" || len(v.Values("accounturi")) == 0 {
		return ""
	}
	fault, _ := issuers.CheckAccount(r.Domain, req.Account)
	return issuance.Reason(fault)
}

// methodFault says why no CA is known to validate the requirement's name by a method. What binds a private CA
// nobody knows.
func (r Requirement) methodFault(label string) issuance.Reason {
	private := r.Unlisted && issuers.Lookup(exact(r.Domain)).Status == issuers.Unknown
	switch {
	case label != "" && !issuance.KnownMethod(label) && !r.Unlisted && !(r.asked() && r.Method != ""):
		return MethodUnknown
	case r.Wildcard && !issuance.ForWildcards(label) && !private:
		return MethodNoWildcard
	}
	return ""
}

// usable are those of some methods by which the name can be validated; all where none can.
func (r Requirement) usable(methods []string) []string {
	out := slices.DeleteFunc(slices.Clone(methods), func(label string) bool { return r.methodFault(label) != "" })
	if len(out) == 0 {
		return methods
	}
	return out
}

// labelsOf are the labels of a value's validationmethods.
func labelsOf(v issuance.IssueValue) []string {
	var out []string
	for _, list := range v.Values("validationmethods") {
		out = append(out, strings.Split(list, ",")...)
	}
	return out
}

// request is the requirement as its CA holds it against an RRset, under each name that the CA answers to. One
// that leaves account or method open is met by any that the RRset itself names for the issuer: by one that is
// permitted everywhere and without a fault, else by one that is permitted; when none is, by the first, for the
// explanation.
func (r Requirement) request(rrset issuance.RRset, at time.Time) issuance.Request {
	base := issuance.Request{Issuers: append([]string{r.Domain}, alsoKnownAs(r.Domain)...), Type: r.Type, Wildcard: r.Wildcard, Account: r.Account, Method: r.Method}
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
		for _, account := range v.Values("accounturi") {
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

// mostTried is how many accounts and methods are tried for a requirement that leaves them open. An RRset that
// names more is one that resolvers do not take, and each costs a look at all of it.
const mostTried = MostRecords

// alsoKnownAs are the other names that an issuer's CA honours, where there is one such CA.
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
