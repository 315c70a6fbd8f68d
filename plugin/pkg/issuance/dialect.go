package issuance

import (
	"net/url"
	"slices"
	"strings"
)

// Dialect is one way to read the RFCs where CAs differ. It is a row of choices, never code: the
// reading of one more CA is one more row.
type Dialect struct {
	Name         string
	CriticalBits uint8    // the flag bits that make a Property critical
	Known        []string // the tags that a critical flag does not turn into a denial, beside that of the request's own Properties; of Tags
	Syntax       Syntax   // what it accepts in an issue-value beyond the ABNF

	FoldIssuer       bool     // Issuer Domain Names compare without regard to case
	BoundTags        []string // the Property Tags under which the parameters of RFC 8657 bind; of Tags
	HyphenDenies     bool     // a hyphen in a parameter's tag makes the value malformed
	CapitalDenies    bool     // a capital in a parameter's tag makes it unsatisfiable
	CapitalHides     bool     // a parameter whose tag has a capital is an unknown one, which restricts nothing; without either, tags compare without regard to case
	SeveralListsDeny bool     // two validationmethods in one Property are unsatisfiable; else each must name the method
	AnyLabel         bool     // in validationmethods, a malformed label names nothing; else it makes the list unsatisfiable
	AnyAccount       bool     // an accounturi that is not a URI is compared like any other; else it is unsatisfiable
	AlikeMethods     bool     // a label names every method of its section of the Baseline Requirements; else that of the same octets alone
	ParentAccount    bool     // an accounturi that names the Parent Account of the one that orders fits it
}

// Strict is the strictest reading found among CAs in each cell, so stricter than any one of them.
// In the rows, Boulder is Let's Encrypt's va/caa.go and MPIC is Open MPIC's checker, both as of 2026.
var Strict = Dialect{
	Name:             strict,
	CriticalBits:     FlagCritical | 1, // Boulder, for many took bit 7 for bit 0
	Known:            knownIn(strict),  // all that a CA must know
	Syntax:           Syntax{},         // Boulder, MPIC
	FoldIssuer:       false,            // Boulder compares octets
	BoundTags:        boundIn(strict),
	HyphenDenies:     true, // Boulder
	CapitalDenies:    true, // assumed, the outcome of boulder#8614 being open: Boulder and MPIC drop such a parameter
	SeveralListsDeny: true, // Boulder
	// ParentAccount: BR 4.2.2.1.2 lets a CA issue to a subordinate account, and no CA has to.
}

// RFC is RFC 8659, RFC 8657 and RFC 9495 as written. Where they are silent, it reads the owner's
// restriction as meant.
var RFC = Dialect{
	Name:         rfc,
	CriticalBits: FlagCritical, // 8659 4.1: the other bits are to be ignored
	Known:        knownIn(rfc), // 8659 4.2 to 4.4, 9495 4
	FoldIssuer:   true,         // a domain name: RFC 4343
	BoundTags:    boundIn(rfc), // 8657 3 and 4 define parameters for issue and issuewild alone
	// HyphenDenies: 8659 4.2 has hyphens in the ABNF of tag.
	// CapitalDenies: no RFC says how parameters' tags compare. As Property Tags do (8659 4.1), for
	// AccountURI was meant to bind; MPIC and Boulder take it for an unknown parameter.
	// SeveralListsDeny: 8657 4 lets each occurrence restrict (so MPIC), and forbids no second one.
}

// Lax is the most generous reading found among CAs in each cell.
var Lax = Dialect{
	Name:         lax,
	CriticalBits: FlagCritical, // BR 4.2.2.1 binds every public CA to it
	Known:        knownIn(lax), // Boulder and MPIC together
	Syntax: Syntax{
		LastSemicolon: true, // no CA is known to: assumed, since a human would read it so
		EmptyTag:      true, // Boulder
	},
	FoldIssuer: true,         // MPIC
	BoundTags:  boundIn(lax), // none: MPIC core 6.5, and until ParametersBind each CA that has not begun
	// These show only where the parameters bind.
	CapitalHides:  true, // Boulder (boulder#8614) and MPIC
	AnyLabel:      true, // MPIC; Boulder, of labels after the one that fits
	AnyAccount:    true, // MPIC; the CPS defines the form of accounts that are not ACME's (BR 4.2.2.1.2)
	AlikeMethods:  true, // BR 4.2.2.1.2: a CA SHOULD accept any label that fits
	ParentAccount: true, // BR 4.2.2.1.2: a CA MAY issue to a subordinate of the account that is named
}

// The names of the dialects, for the table of tags.
const (
	strict = "strict"
	rfc    = "RFC"
	lax    = "lax"
)

var everyDialect = []string{strict, rfc, lax}

// knownIn returns the tags that a dialect knows.
func knownIn(dialect string) []string {
	return TagNames(func(t Tag) bool { return slices.Contains(t.Known, dialect) })
}

// boundIn returns the tags under which a dialect reads parameters.
func boundIn(dialect string) []string {
	return TagNames(func(t Tag) bool { return slices.Contains(t.Binding, dialect) })
}

// Dialects are all of them, the strictest first, without regard to the day; see [DialectsAt].
var Dialects = []Dialect{Strict, RFC, Lax}

func contains(tags []string, tag string) bool {
	return slices.ContainsFunc(tags, func(t string) bool { return equalFold(t, tag) })
}

// judge returns whether one Property of the deciding tag permits a request: Authorized, or why not.
func (d Dialect) judge(p Property, req Request) Reason {
	v, err := d.Syntax.parse(p.Value)
	switch {
	case err != nil, d.HyphenDenies && slices.ContainsFunc(v.Parameters, hyphened):
		return Malformed
	case v.Domain == "":
		return NobodyAuthorized
	}
	if reason := d.judgeIssuer(v.Domain, req.Issuers); reason != Authorized || !contains(d.BoundTags, p.Tag) {
		return reason
	}
	return d.judgeParameters(v.Parameters, req)
}

func (d Dialect) judgeIssuer(domain string, issuers []string) Reason {
	switch {
	case !slices.ContainsFunc(issuers, func(issuer string) bool { return equalFold(issuer, domain) }):
		return IssuerNotListed
	case !d.FoldIssuer && (domain != lower(domain) || !slices.Contains(issuers, domain)):
		return NameNotExact
	}
	return Authorized
}

// judgeParameters reads RFC 8657. A parameter that is neither of its two is the CA's own affair
// (RFC 8659 4.2) and restricts nothing here.
func (d Dialect) judgeParameters(parameters []Parameter, req Request) Reason {
	if d.CapitalDenies && slices.ContainsFunc(parameters, capitalised) {
		return BadParameters
	}
	if d.CapitalHides {
		parameters = slices.DeleteFunc(slices.Clone(parameters), capitalised)
	}
	for i := range ParameterTags {
		if row := &ParameterTags[i]; row.Restricts && row.once(d) && len(values(parameters, row.Name)) > 1 {
			return BadParameters
		}
	}
	for i := range ParameterTags {
		row := &ParameterTags[i]
		if !row.Restricts {
			continue
		}
		for _, value := range values(parameters, row.Name) {
			if reason := row.judge(d, value, req); reason != Authorized {
				return reason
			}
		}
	}
	return Authorized
}

func hyphened(p Parameter) bool    { return strings.Contains(p.Tag, "-") }
func capitalised(p Parameter) bool { return p.Tag != lower(p.Tag) }

// values returns those of all the parameters with a tag.
func values(parameters []Parameter, tag string) []string {
	var out []string
	for _, p := range parameters {
		if equalFold(p.Tag, tag) {
			out = append(out, p.Value)
		}
	}
	return out
}

// judgeAccount compares octets. An invalid URI matches nothing (RFC 8657 3).
func (d Dialect) judgeAccount(uri string, req Request) Reason {
	if parsed, err := url.Parse(uri); !d.AnyAccount && (err != nil || parsed.Scheme == "") {
		return BadParameters
	}
	if uri != req.Account && !(d.ParentAccount && req.ParentAccount != "" && uri == req.ParentAccount) {
		return AccountMismatch
	}
	return Authorized
}

// judgeMethods reads value = [*(label ",") label] (RFC 8657 4). An empty list names no method.
func (d Dialect) judgeMethods(list string, req Request) Reason {
	listed := false
	for label := range strings.SplitSeq(list, ",") {
		if !d.AnyLabel && !isLabel(label) {
			return BadParameters
		}
		listed = listed || isLabel(label) && (label == req.Method || d.AlikeMethods && alike(label, req.Method))
	}
	if !listed {
		return MethodNotAllowed
	}
	return Authorized
}
