package issuance

import (
	"net/url"
	"slices"
	"strings"
)

// Dialect is one way to read the RFCs where CAs differ. It is a row of choices, never code.
type Dialect struct {
	Name         string
	CriticalBits uint8    // the flag bits that make a Property critical
	Known        []string // the tags that a critical flag does not turn into a denial

	FoldIssuer      bool // Issuer Domain Names compare without regard to case and a trailing dot
	TrailingSemi    bool // `ca.example; a=b;` is well-formed
	HyphenInTag     bool // parameter tags may hold hyphens
	ParametersBind  bool // RFC 8657 is processed at all
	FoldTag         bool // parameter tags compare without regard to case
	OddTagDenies    bool // a parameter tag with capitals makes the value unsatisfiable
	FoldMethod      bool // method labels compare without regard to case
	RepeatedMethods bool // several validationmethods may stand in one Property
}

// knownEverywhere are the tags that every CA must know (RFC 8659 4.2 to 4.4).
var knownEverywhere = []string{TagIssue, TagIssueWild, TagIodef}

var (
	// Strict is the strictest reading found among CAs: Let's Encrypt's Boulder, va/caa.go (2026), and
	// Open MPIC. Flag value 1 counts as critical, for many mean it so.
	Strict = Dialect{Name: "strict", CriticalBits: FlagCritical | 1, Known: knownEverywhere, ParametersBind: true, OddTagDenies: true}
	// RFC is what RFC 8659 and RFC 8657 say. Domain names compare without regard to case (RFC 4343);
	// parameter tags are case-insensitive by their ABNF strings (RFC 5234 2.3).
	RFC = Dialect{Name: "RFC", CriticalBits: FlagCritical, Known: append(slices.Clone(knownEverywhere), TagIssueMail),
		FoldIssuer: true, HyphenInTag: true, ParametersBind: true, FoldTag: true}
	// Lax is the most generous reading found: Open MPIC core 6.5 ignores RFC 8657 altogether, some
	// checkers take flag 1 for the critical bit and 128 for none.
	Lax = Dialect{Name: "lax", Known: append(slices.Clone(knownEverywhere), TagIssueMail, TagIssueVMC, TagContactEmail, TagContactPhone),
		FoldIssuer: true, TrailingSemi: true, HyphenInTag: true, FoldTag: true, FoldMethod: true, RepeatedMethods: true}

	// Dialects are all of them, the strictest first.
	Dialects = []Dialect{Strict, RFC, Lax}
)

func (d Dialect) knows(tag string) bool { return slices.Contains(d.Known, strings.ToLower(tag)) }

// judge says whether one issue-value permits a request: Authorized, or why not.
func (d Dialect) judge(value string, req Request) Reason {
	if d.TrailingSemi {
		value = strings.TrimRight(value, " \t")
		value = strings.TrimSuffix(value, ";")
	}
	v, err := ParseIssueValue(value)
	if err != nil {
		return Malformed
	}
	if v.Domain == "" {
		return NobodyAuthorized
	}
	if reason := d.judgeIssuer(v.Domain, req.Issuers); reason != Authorized {
		return reason
	}
	return d.judgeParameters(v.Parameters, req)
}

func (d Dialect) judgeIssuer(domain string, issuers []string) Reason {
	if slices.Contains(issuers, domain) && (d.FoldIssuer || domain == strings.ToLower(domain)) {
		return Authorized
	}
	for _, issuer := range issuers {
		if strings.EqualFold(domain, issuer) {
			if d.FoldIssuer {
				return Authorized
			}
			return NameNotExact
		}
	}
	return IssuerNotListed
}

func (d Dialect) judgeParameters(parameters []Parameter, req Request) Reason {
	if !d.ParametersBind {
		return Authorized
	}
	var accounts, methods []string
	for _, p := range parameters {
		tag := p.Tag
		if lower := strings.ToLower(tag); lower != tag {
			if d.OddTagDenies {
				return BadParameters
			}
			if d.FoldTag {
				tag = lower
			}
		}
		if !d.HyphenInTag && strings.Contains(tag, "-") {
			return Malformed
		}
		switch tag {
		case "accounturi":
			accounts = append(accounts, p.Value)
		case "validationmethods":
			methods = append(methods, p.Value)
		}
	}
	if len(accounts) > 1 || (len(methods) > 1 && !d.RepeatedMethods) {
		return BadParameters
	}
	for _, account := range accounts {
		if _, err := url.Parse(account); err != nil || account != req.Account || account == "" {
			return AccountMismatch
		}
	}
	for _, list := range methods {
		if reason := d.judgeMethods(list, req.Method); reason != Authorized {
			return reason
		}
	}
	return Authorized
}

// judgeMethods reads `value = [*(label ",") label]` (RFC 8657 4).
func (d Dialect) judgeMethods(list, method string) Reason {
	found := false
	for label := range strings.SplitSeq(list, ",") {
		if !isLabel(label) {
			return BadParameters
		}
		found = found || (method != "" && (label == method || (d.FoldMethod && strings.EqualFold(label, method))))
	}
	if !found {
		return MethodNotAllowed
	}
	return Authorized
}

func isLabel(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' {
			return false
		}
	}
	return s != ""
}
