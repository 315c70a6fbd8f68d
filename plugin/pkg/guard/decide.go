package guard

import "github.com/coredns-caa/caa/plugin/pkg/issuance"

// Decide holds a requirement against a Relevant RRset, wherever that was found: the decision of the
// strictest dialect that denies or, when all permit, the strictest one's permission.
func Decide(r Requirement, rrset issuance.RRset) (issuance.Decision, issuance.Dialect) {
	return issuance.Everywhere(rrset, Request(r, rrset))
}

// Request is what the CA of a requirement holds against a Relevant RRset. An account or a method that
// the requirement leaves open is one that the RRset names, where it names any.
func Request(r Requirement, rrset issuance.RRset) issuance.Request {
	r.Domain = exact(r.Domain)
	return request(r, rrset)
}
