package guard

import "github.com/coredns-caa/caa/plugin/pkg/issuance"

// Decide holds a requirement against a Relevant RRset, wherever that was found: the decision of the
// strictest dialect that denies or, when all permit, the strictest one's permission.
func Decide(r Requirement, rrset issuance.RRset) (issuance.Decision, issuance.Dialect) {
	r.Domain = exact(r.Domain)
	return issuance.Everywhere(rrset, request(r, rrset))
}
