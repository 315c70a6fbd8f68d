package issuance_test

import (
	"fmt"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// A CA asks whether it may issue a wildcard certificate.
func ExampleDecide() {
	rrset := issuance.RRset{
		{Tag: issuance.TagIssue, Value: "letsencrypt.org"},
		{Tag: issuance.TagIssueWild, Value: ";"},
	}
	request := issuance.Request{Issuers: []string{"letsencrypt.org"}, Wildcard: true, Method: "dns-01"}
	decision := issuance.Decide(rrset, request, issuance.RFC)
	fmt.Println(decision.Permitted, decision.Reason, rrset[decision.Index].Tag)
	// Output: false nobody-authorized issuewild
}

// An ACME client writes the value that binds issuance to its account.
func ExampleIssueValue_String() {
	fmt.Println(issuance.IssueValue{Domain: "letsencrypt.org", Parameters: []issuance.Parameter{
		{Tag: "accounturi", Value: "https://acme-v02.api.letsencrypt.org/acme/acct/1"},
		{Tag: "validationmethods", Value: "dns-01"},
	}})
	// Output: letsencrypt.org; accounturi=https://acme-v02.api.letsencrypt.org/acme/acct/1; validationmethods=dns-01
}
