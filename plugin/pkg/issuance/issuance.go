// Package issuance decides whether a CA may issue under a CAA RRset (RFC 8659, 8657, 9495).
//
// An RRset and a Request go in, a Decision with its reason comes out. Everything is a value; nothing
// here does a lookup. Real CAs read the RFCs differently, so a decision is made in a [Dialect]: [RFC] as written,
// [Strict] as the strictest CA, [Lax] as the most generous one. What Strict permits RFC permits, and what RFC permits
// Lax permits. To know whether an issuer is locked out, call [Everywhere]; to know what some CA could issue, [Anywhere].
// Tags, parameters and dated rules are tables: [Tags], [ParameterTags], [Rules].
package issuance

import (
	"strings"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// Reasons. They are stable: reports and tests may compare them.
const (
	NoRRset          Reason = "no-rrset"                 // no CAA at or above the name: anyone may issue (RFC 8659 3)
	NoProperty       Reason = "no-property"              // the RRset has no Property of the tag that decides (RFC 8659 4.2)
	Authorized       Reason = "authorized"               // a Property names the issuer and all its parameters fit
	CriticalUnknown  Reason = "critical-unknown"         // a critical Property whose tag the CA does not know (RFC 8659 4.1)
	NobodyAuthorized Reason = "nobody-authorized"        // every Property has an empty Issuer Domain Name (RFC 8659 4.2)
	Malformed        Reason = "malformed"                // no Property that could permit, and one is malformed (RFC 8659 4.2)
	IssuerNotListed  Reason = "issuer-not-listed"        // the Properties name other issuers, and not this one
	NameNotExact     Reason = "issuer-name-not-exact"    // a Property names it, but not in the bytes that this dialect compares
	AccountMismatch  Reason = "account-mismatch"         // a Property names it with another account (RFC 8657 3)
	MethodNotAllowed Reason = "method-not-allowed"       // a Property names it with other validation methods (RFC 8657 4)
	BadParameters    Reason = "unsatisfiable-parameters" // a Property names it with parameters that no request can satisfy (RFC 8657 3)
)

// closeness orders the denials: the nearest miss is the one to report.
var closeness = map[Reason]int{NobodyAuthorized: 1, IssuerNotListed: 2, Malformed: 3, NameNotExact: 4, BadParameters: 5, AccountMismatch: 6, MethodNotAllowed: 7}

// DecidingTag returns the tag of the Properties in the RRset that decide about a request: for a
// wildcard issuewild where the RRset has it, else issue (RFC 8659 4.3).
func (req Request) DecidingTag(rrset RRset) string {
	tags := granting[req.Type]
	if req.Wildcard && tags.wildcards != "" && rrset.Has(tags.wildcards) {
		return tags.wildcards
	}
	return tags.names
}

// Has reports whether the RRset holds a Property of the tag; tags are case-insensitive (RFC 8659 4.1).
func (s RRset) Has(tag string) bool {
	for _, p := range s {
		if equalFold(p.Tag, tag) {
			return true
		}
	}
	return false
}

// Decide holds a request against the Relevant RRset in a dialect. Permitted and Reason depend neither on the RRset's order
// nor on the case of its tags; of Properties that decide alike, Index is the first.
func Decide(rrset RRset, req Request, d Dialect) Decision {
	if len(rrset) == 0 {
		return Decision{true, NoRRset, -1}
	}
	tag := req.DecidingTag(rrset)
	for i, p := range rrset {
		// A CA knows the tag that it issues by, whatever else it does not know.
		if p.Flags&d.CriticalBits != 0 && !contains(d.Known, p.Tag) && !equalFold(p.Tag, tag) {
			return Decision{false, CriticalUnknown, i}
		}
	}
	best, nearest := Decision{true, NoProperty, -1}, -1
	for i, p := range rrset {
		if !equalFold(p.Tag, tag) {
			continue
		}
		reason := d.judge(p, req)
		if reason == Authorized {
			return Decision{true, Authorized, i}
		}
		if n := nearness(reason, p.Value, req); n > nearest {
			best, nearest = Decision{false, reason, i}, n
		}
	}
	return best
}

// nearness orders denials by how little is missing for a permission. Of malformed values, one that begins with the
// issuer's name is nearer.
func nearness(reason Reason, value string, req Request) int {
	n := 2 * closeness[reason]
	if name, _, _ := strings.Cut(value, ";"); reason == Malformed && contains(req.Issuers, trim(name)) {
		n++
	}
	return n
}

// Everywhere decides in every dialect and returns the strictest reading that denies or, when all
// permit, the strictest one's permission: what may be relied on.
func Everywhere(rrset RRset, req Request) (Decision, Dialect) {
	for _, d := range Dialects {
		if decision := Decide(rrset, req, d); !decision.Permitted {
			return decision, d
		}
	}
	return Decide(rrset, req, Strict), Strict
}

// Anywhere reports whether some dialect permits: what an attacker could make of the RRset.
func Anywhere(rrset RRset, req Request) bool {
	for _, d := range Dialects {
		if Decide(rrset, req, d).Permitted {
			return true
		}
	}
	return false
}

// Climb finds the Relevant RRset for a canonical name without the `*.` (RFC 8659 3): the first nonempty one at the name or
// above it, up to but not including the root. An error nearer than that ends the climb, since it could hide one. owner is
// the name that has it; "" where none does.
func Climb(name string, lookup func(name string) (RRset, error)) (rrset RRset, owner string, err error) {
	for above := range dnsname.Up(name) {
		if above == "." {
			break
		}
		if rrset, err := lookup(above); err != nil || len(rrset) > 0 {
			return rrset, above, err
		}
	}
	return nil, "", nil
}
