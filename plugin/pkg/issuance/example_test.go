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

// A CA climbs from the name that it was asked for to the Relevant RRset.
func ExampleClimb() {
	zone := map[string]issuance.RRset{"example.org.": {{Tag: issuance.TagIssue, Value: "letsencrypt.org"}}}
	lookup := func(name string) (issuance.RRset, error) { return zone[name], nil }
	rrset, owner, err := issuance.Climb("www.example.org.", lookup)
	fmt.Println(owner, rrset[0].Value, err)
	// Output: example.org. letsencrypt.org <nil>
}

// An operator asks whether every CA would read the RRset as meant, and whether any would not.
func ExampleEverywhere() {
	rrset := issuance.RRset{{Tag: issuance.TagIssue, Value: "LetsEncrypt.org"}}
	request := issuance.Request{Issuers: []string{"letsencrypt.org"}, Method: "dns-01"}
	decision, dialect := issuance.Everywhere(rrset, request)
	fmt.Println(decision.Permitted, decision.Reason, "in the dialect", dialect.Name)
	fmt.Println("somewhere:", issuance.Anywhere(rrset, request))
	// Output:
	// false issuer-name-not-exact in the dialect strict
	// somewhere: true
}

// A tool tells its user what is wrong with a value, and where.
func ExampleParseIssueValue() {
	_, err := issuance.ParseIssueValue("letsencrypt.org; validationmethods=dns-01;")
	fmt.Println(err)
	// Output: a parameter is missing after the semicolon, at octet 43
}
