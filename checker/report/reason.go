package report

import (
	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// statusMeanings are what the security statuses of DNSSEC mean here (RFC 4035 4.3).
var statusMeanings = []struct {
	status dnssec.Status
	text   string
}{
	{dnssec.Secure, "signed, and validated from the trust anchor down"},
	{dnssec.Insecure, "proven to be unsigned"},
	{dnssec.Bogus, "does not validate, so that every CA's resolver answers SERVFAIL"},
	{dnssec.Indeterminate, "not known, for want of a trust anchor or an answer"},
}

// drift is what a report has of a server whose answer is not the policy's.
var drift = catalog.Entry{
	Code: "drift", Severity: catalog.Error, Section: "RFC 8659 3", Text: "a server does not return the CAA records of the policy",
	Fix: "have that server load the policy, and make sure that nothing else serves CAA there; or change the policy",
}

// DriftEntry returns the entry of drift.
func DriftEntry() catalog.Entry { return drift }
