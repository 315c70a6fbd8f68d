package source

import (
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// Candidate is a policy that was proved, and so may come into service.
type Candidate struct {
	Policy   *policy.Snapshot
	Previous *policy.Snapshot    // the one that it replaces, nil for none
	Zones    []*policy.Zone      // those that the server will serve
	Operator []guard.Requirement // what the server's operator requires under the policy
	Replaces []guard.Replacement // the CAA of zones' data that the policy is the first to replace
	Report   guard.Report
	Changed  time.Time // when the policy was written; zero where that is not known
}

// Temporary is an error for which a policy is refused now, and that may be gone later without another text.
type Temporary struct{ Err error }

// Error implements error.
func (t Temporary) Error() string { return t.Err.Error() }

// Unwrap returns the error itself.
func (t Temporary) Unwrap() error { return t.Err }

// Good is a policy that is served, with its text. Immutable.
type Good struct {
	text   []byte
	policy *policy.Snapshot
}
