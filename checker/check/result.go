package check

import (
	"time"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/resign"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// Result is what a run found. Reports, metrics, notifications and exit codes are made from it, and nothing is read back
// out of them.
type Result struct {
	At       time.Time       // when the run began
	RulesOf  time.Time       // the day whose rules hold
	Complete bool            // false when it was interrupted: then names are missing
	Notes    []string        // for the reader
	Names    []Name          // in the order of the jobs
	Findings []finding.Found // each once, the worst first
	Signing  resign.History  // when zones renew their signatures, this run included
}

// Name is what was found of one name.
type Name struct {
	Subject  certname.Name
	Climb    climb.Climb              // without the messages
	Ends     map[string][]finding.End // of the signatures of the zones that the climb rests on, by zone
	Requests []Request
	Drift    []Drift
}

// Request is one request for a certificate, with its verdict.
type Request struct {
	Verdict       verdict.Verdict     // with the requirement that it is about
	Corroboration *perspective.Judged // by other perspectives; nil without them
}

// Drift is where what a server answers differs from the policy.
type Drift struct {
	Pos    policy.Position // of the policy's node
	Policy issuance.RRset  // as a set, in a stable order
	Seen   issuance.RRset  // likewise
	Alias  string          // the target, where the name is an alias for the server; "" where it is not
	Server string          // for people
}
