// Package issuance decides whether a CA may issue under a CAA RRset (RFC 8659, 8657, 9495).
//
// An RRset and a Request go in, a Decision with its reason comes out. Everything is a value; nothing
// here looks anything up. Real CAs read the RFCs differently, so a decision is made in a [Dialect]:
// [RFC] as written, [Strict] as the strictest CA, [Lax] as the most generous one. What Strict permits
// RFC permits, and what RFC permits Lax permits. Whoever must not be locked out asks [Everywhere];
// whoever wants to know what could be issued asks [Anywhere].
package issuance

import "strings"

// Reasons. They are stable: reports and tests may compare them.
const (
	NoRRset          Reason = "no-rrset"                 // no CAA at or above the name: anyone may issue (RFC 8659 3)
	NoProperty       Reason = "no-property"              // the RRset has no Property of the tag that decides (RFC 8659 4.2)
	Authorized       Reason = "authorized"               // a Property names the issuer and all its parameters fit
	CriticalUnknown  Reason = "critical-unknown"         // a critical Property whose tag the CA does not know (RFC 8659 4.1)
	NobodyAuthorized Reason = "nobody-authorized"        // every Property has an empty Issuer Domain Name (RFC 8659 4.2)
	Malformed        Reason = "malformed"                // no Property that could permit, and one is malformed (RFC 8659 4.2)
	IssuerNotListed  Reason = "issuer-not-listed"        // other issuers are named, this one is not
	NameNotExact     Reason = "issuer-name-not-exact"    // it is named, but not in the bytes that this dialect compares
	AccountMismatch  Reason = "account-mismatch"         // it is named with another account (RFC 8657 3)
	MethodNotAllowed Reason = "method-not-allowed"       // it is named with other validation methods (RFC 8657 4)
	BadParameters    Reason = "unsatisfiable-parameters" // it is named with parameters that no request can satisfy (RFC 8657 3)
)

// closeness orders the denials: the nearest miss is the one to tell.
var closeness = map[Reason]int{NobodyAuthorized: 1, IssuerNotListed: 2, Malformed: 3, NameNotExact: 4, BadParameters: 5, AccountMismatch: 6, MethodNotAllowed: 7}

// DecidingTag returns the tag of the Properties in the RRset that decide about a request: for a
// wildcard issuewild where one stands, else issue (RFC 8659 4.3).
func (req Request) DecidingTag(rrset RRset) string {
	switch {
	case req.Type == SMIME:
		return TagIssueMail
	case req.Type == VMC:
		return TagIssueVMC
	case req.Wildcard && rrset.Has(TagIssueWild):
		return TagIssueWild
	}
	return TagIssue
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

// Decide holds a request against the Relevant RRset in a dialect. Neither the RRset's order nor the
// case of its tags has any influence on Permitted and Reason; among Properties that decide alike,
// Index is the first.
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

// nearness orders denials by how little was missing. Of malformed values, one that begins with the
// issuer's name is the one that was meant for it.
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

// Climb finds the Relevant RRset for a canonical name without the `*.` (RFC 8659 3): the first that
// is not empty at the name or above it, short of the root. An error nearer than it ends the climb,
// for it could hide one. owner is where it was found, "" when there is none.
func Climb(name string, lookup func(name string) (RRset, error)) (rrset RRset, owner string, err error) {
	for name != "" && name != "." {
		rrset, err := lookup(name)
		if err != nil || len(rrset) > 0 {
			return rrset, name, err
		}
		name = parent(name)
	}
	return nil, "", nil
}

// parent cuts the first label off a name in presentation format.
func parent(name string) string {
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++
		case '.':
			return name[i+1:]
		}
	}
	return ""
}
