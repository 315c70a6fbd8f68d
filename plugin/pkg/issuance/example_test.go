package issuance_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// A CA decides about a certificate: it looks for the Relevant RRset of each of its names, and holds its
// request against it. What it looks up comes as records of miekg/dns here.
func Example() {
	zone := map[string][]dns.RR{"example.org.": {
		&dns.CAA{Flag: 0, Tag: "issue", Value: "letsencrypt.org; validationmethods=dns-01"},
		&dns.CAA{Flag: 128, Tag: "issuewild", Value: ";"},
	}}
	lookup := func(name string) (rrset issuance.RRset, err error) {
		for _, rr := range zone[name] {
			if caa, ok := rr.(*dns.CAA); ok {
				rrset = append(rrset, issuance.Property{Flags: caa.Flag, Tag: caa.Tag, Value: caa.Value})
			}
		}
		return rrset, nil
	}
	for _, name := range []string{"www.example.org", "*.example.org", "www.example.net"} {
		base, wildcard := strings.CutPrefix(name, "*.")
		rrset, owner, err := issuance.Climb(base+".", lookup)
		if err != nil {
			fmt.Println("do not issue:", err) // an answer that is missing is no permission
			continue
		}
		request := issuance.Request{Issuers: []string{"letsencrypt.org"}, Wildcard: wildcard, Method: "dns-01"}
		decision := issuance.Decide(rrset, request, issuance.RFC)
		fmt.Printf("%s: %t, %s %s\n", name, decision.Permitted, decision.Reason, owner)
	}
	// Output:
	// www.example.org: true, authorized example.org.
	// *.example.org: false, nobody-authorized example.org.
	// www.example.net: true, no-rrset
}

// The owner of a zone asks who could get a certificate by the most generous reading, and who may rely
// on one by the strictest.
func ExampleAnywhere() {
	rrset := issuance.RRset{{Tag: issuance.TagIssue, Value: "letsencrypt.org; accounturi=https://ca.example/1"}}
	other := issuance.Request{Issuers: []string{"letsencrypt.org"}, Account: "https://ca.example/2"}
	_, dialect := issuance.Everywhere(rrset, other)
	fmt.Println("another account:", issuance.Anywhere(rrset, other), "though not in the dialect", dialect.Name)
	// Output: another account: true though not in the dialect strict
}

// A reader of RRsets of unknown age reports each dialect's view: they may differ.
func ExampleDialect() {
	rrset := issuance.RRset{{Tag: issuance.TagIssue, Value: "letsencrypt.org; a-b=c"}}
	request := issuance.Request{Issuers: []string{"letsencrypt.org"}}
	for _, dialect := range slices.Backward(issuance.Dialects) {
		fmt.Println(dialect.Name, issuance.Decide(rrset, request, dialect).Reason)
	}
	// Output:
	// lax authorized
	// RFC authorized
	// strict malformed
}

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
