package report

import (
	"encoding/json"

	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// remedies say what to do where a CA may not issue, or may not surely, by the verdict's reason.
var remedies = map[issuance.Reason]string{
	"no-property":              "add a property that names the CA, of the tag that the certificate's kind takes: issue or issuewild, issuemail, issuevmc",
	"critical-unknown":         "take the critical flag off the property, whose tag the CA does not know, or take the property out",
	"nobody-authorized":        "name the CA in the CAA RRset; an empty name, \";\", lets nobody issue",
	"malformed":                "write the property anew: a domain name and, after a semicolon each, parameters as tag=value",
	"issuer-not-listed":        "name the CA in the CAA RRset, or order from one that it names",
	"issuer-name-not-exact":    "write the CA's name in lower case, without spaces and as the CA has it",
	"account-mismatch":         "name this account in accounturi, or order with the one that is named",
	"method-not-allowed":       "name this validation method in validationmethods, or validate by one that is named",
	"unsatisfiable-parameters": "write each parameter once, as tag=value",

	"issuer-retired":          "name the CA by the Issuer Domain Name that it has now",
	"issuer-reseller":         "name the CA that issues for the reseller; its documents say which name that is",
	"issuer-misspelt":         "correct the CA's name; --issuer says that it is meant as it is",
	"method-unknown":          "correct validationmethods: its labels are those of ACME, or begin with ca-",
	"account-of-staging":      "name the account at the CA's production directory",
	"account-of-another-ca":   "name the account that is of the CA in the same property",
	"dnssec-bogus":            "mend the zone's signatures, keys or DS record as the findings say: until then every CA's look-up fails",
	"dnssec-bogus-unchecked":  "mend the zone's signatures, keys or DS record as the findings say: CAs have to check them since 2026-03-15",
	"lookup-failed-signed":    "let the zone's servers answer for CAA, as the findings say",
	"lookup-failed-unsigned":  "let the zone's servers answer for CAA, as the findings say, and sign the zone",
	"denial-without-soa":      "let the zone's servers add the SOA record to their denials (RFC 2308 3)",
	"not-found-out":           "try again, and look at the way to the servers above the name's; --resolver asks another way",
	"trust-anchor-fails":      "look here: at --trust-anchor, this machine's clock, and what answers in the root's place",
	"offline":                 "look here: at this machine's network, and at what keeps DNS (port 53, UDP and TCP) from it",
	"one-server-denies":       "find out why that server says otherwise: its transfers, its serial; a CA may come upon it",
	"quorum-not-corroborated": "find out why the perspectives that do not corroborate see otherwise: servers that do not answer from there, or answer by location",
	"quorum-contested":        "see what the disputed perspectives saw, and make it plain to every reading",
	"quorum-undetermined":     "bring the perspectives that could not find out back, or declare as many as the rule asks for",
	"locked-out-only-here":    "find out what keeps this machine from seeing what the perspectives see",
	driftCode:                 "publish what the policy says: reload the server, mend its transfers, or correct the policy",
}

// Remedy is what to do about a verdict, "" where a CA may issue.
func (v Verdict) Remedy() string {
	if v.Outcome == verdict.MayIssue {
		return ""
	}
	return remedies[v.Reason]
}

// MarshalJSON adds the remedy.
func (v Verdict) MarshalJSON() ([]byte, error) {
	type plain Verdict
	return json.Marshal(struct {
		plain
		Remedy string `json:"remedy,omitempty"`
	}{plain(v), v.Remedy()})
}

// advice is the remedy in a line, "" for none.
func (v Verdict) advice() string { return advised(v.Remedy()) }

// advice is what to do about drift, in a line.
func (Drift) advice() string { return advised(remedies[driftCode]) }

func advised(remedy string) string {
	if remedy == "" {
		return ""
	}
	return "mend: " + remedy
}
