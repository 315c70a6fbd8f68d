package guard

import (
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
)

// Decide holds a requirement against a Relevant RRset, wherever that was found: the decision of the
// strictest dialect that denies or, when all permit, the strictest one's permission.
func Decide(r Requirement, rrset issuance.RRset) (issuance.Decision, issuance.Dialect) {
	return issuance.Everywhere(rrset, Request(r, rrset))
}

// Request is what the CA of a requirement holds against a Relevant RRset; also are other names that it
// answers to. An account or a method that the requirement leaves open is one that the RRset names, where
// it names any.
func Request(r Requirement, rrset issuance.RRset, also ...string) issuance.Request {
	r.Domain = exact(r.Domain)
	return request(r, append([]string{r.Domain}, also...), rrset)
}

// MethodUnknown is the Fault of a validation method that no CA is known to have.
const MethodUnknown issuance.Reason = "method-unknown"

// MethodNoWildcard is the Fault of a validation method by which no CA validates a wildcard.
const MethodNoWildcard issuance.Reason = "method-no-wildcard"

// Fault says why nobody is likely to make a request with the account and the method that it took from an
// RRset, since its requirement leaves them open: the method is none, or the account is not the CA's. Or why nobody can
// make it, whoever says by which method: by that no wildcard is validated. The evaluator, which holds what is asked
// against what is written, cannot tell. "" when nothing speaks against it.
func Fault(r Requirement, req issuance.Request) issuance.Reason {
	switch {
	case r.Method == "" && req.Method != "" && !issuance.KnownMethod(req.Method):
		return MethodUnknown
	case r.Wildcard && !issuance.ForWildcards(req.Method):
		return MethodNoWildcard
	case r.Account == "" && req.Account != "":
		fault, _ := issuers.CheckAccount(exact(r.Domain), req.Account)
		return issuance.Reason(fault)
	}
	return ""
}
