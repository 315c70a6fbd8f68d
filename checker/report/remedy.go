package report

import (
	"encoding/json"

	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// remedies say what to do about a verdict that is not "may issue", by its reason. What is wrong in detail is
// the findings' affair; this is for whoever sees the verdict alone.
var remedies = map[issuance.Reason]string{
	// The Relevant RRset.
	"issuer-not-listed":         `if that CA is to issue, let every server have a property that names it: 0 issue with its domain or, for a wildcard where issuewild is there, 0 issuewild`,
	"nobody-authorized":         `if anybody is to issue, add a property that names the CA beside the one that names nobody`,
	"malformed":                 `write the value as RFC 8659 4.2 has it: the CA's domain, and after a semicolon each parameter as tag=value`,
	"critical-unknown":          `take the critical flag away from the property: a CA that does not know its tag issues to nobody`,
	"issuer-name-not-exact":     `write the CA's domain as the CA does, in lower case and without a last dot`,
	"account-mismatch":          `let accounturi be the account that asks, or ask with the account that it names`,
	"method-not-allowed":        `add the method to validationmethods, or validate by one that is listed there`,
	"unsatisfiable-parameters":  `write one accounturi that is a URI, and one validationmethods with labels between commas, the tags in lower case`,
	"method-unknown":            `write the validation method as the CA does, such as dns-01`,
	"method-no-wildcard":        `let wildcards be validated by a method that looks at DNS: add dns-01 to validationmethods`,
	"method-not-yet-understood": `add the label of an ACME method, such as dns-01, to validationmethods until the date from which the CA has to understand the others`,
	"rrset-too-many-records":    `have at most 100 CAA records at a name: name fewer issuers or accounts`,
	"account-of-another-ca":     `write the URI of the account at the CA that the property names`,
	"account-of-staging":        `register the ACME client at the production directory, and write that account's URI`,
	"issuer-retired":            `name the CA by one of its present names`,
	"issuer-reseller":           `name the CA that issues for the reseller`,
	"issuer-misspelt":           `write the CA's domain as the CA does; if it is meant as it is, ask for it with --issuer`,

	// The way to it.
	"dnssec-bogus":           `mend the zone's signatures or its DS record at the parent: the finding about it says which`,
	"dnssec-bogus-unchecked": `mend the zone's signatures or its DS record at the parent: since 2026-03-15 every CA validates`,
	"lookup-failed-signed":   `let the zone's servers answer for CAA at that name, without data where there is none; --observations FILE has what each of them said`,
	"lookup-failed-unsigned": `let the zone's servers answer for CAA at that name, without data where there is none; --observations FILE has what each of them said`,
	"denial-without-soa":     `let every server send the zone's SOA record along when it denies (RFC 2308 3)`,
	"one-server-denies":      `let every server of the zone say the same: look at that one's transfers, and at how old its data are`,
	"caa-beside-cname":       `let the name be an alias whatever it is asked for, or have addresses of its own beside its CAA (RFC 1034 3.6.2)`,

	// This machine.
	"not-found-out":      `check again; if it stays, ask from another network, or by --resolver`,
	"offline":            `see that this machine reaches name servers over UDP and TCP port 53, or ask by --resolver`,
	"trust-anchor-fails": `set this machine's clock, and see that the trust anchor is the present one`,

	// Other perspectives.
	"quorum-not-corroborated": `let the name's servers say the same to every network: look at what the perspectives that deny saw, and at answers by region, firewalls and routes`,
	"quorum-contested":        `write what the disputed perspectives saw so that every CA reads it alike`,
	"quorum-undetermined":     `see why perspectives do not answer, or declare more of them, in the regions that the rule wants`,
	"locked-out-only-here":    `look at the way from this machine to the name's servers: the perspectives see no such thing`,
}

// driftRemedy is what to do about a Drift.
const driftRemedy = "let that server load the policy, and see that nothing else serves CAA there; or write into the policy what it is to say"

// Remedy is what to do about a verdict, in one line; "" where it may issue.
func (v Verdict) Remedy() string {
	if v.Outcome == verdict.MayIssue {
		return ""
	}
	return remedies[v.Reason]
}

// mend is the remedy as people are shown it, "" for none.
func (v Verdict) mend() string {
	if remedy := v.Remedy(); remedy != "" {
		return "mend: " + remedy
	}
	return ""
}

// MarshalJSON adds the remedy.
func (v Verdict) MarshalJSON() ([]byte, error) {
	type plain Verdict
	return json.Marshal(struct {
		plain
		Remedy string `json:"remedy,omitempty"`
	}{plain(v), v.Remedy()})
}

// MarshalJSON adds the remedy.
func (d Drift) MarshalJSON() ([]byte, error) {
	type plain Drift
	return json.Marshal(struct {
		plain
		Remedy string `json:"remedy"`
	}{plain(d), driftRemedy})
}
