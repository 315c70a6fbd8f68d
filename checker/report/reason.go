package report

import "github.com/coredns-caa/caa/plugin/pkg/catalog"

// drift is what a report has of a server whose answer is not the policy's.
var drift = catalog.Entry{
	Code: "drift", Severity: catalog.Error, Section: "RFC 8659 3", Text: "a server does not return the CAA records of the policy",
	Fix: "have that server load the policy, and make sure that nothing else serves CAA there; or change the policy",
}

// DriftEntry returns the entry of drift.
func DriftEntry() catalog.Entry { return drift }
