package source

import (
	"context"

	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// Server is what policies come into service at.
type Server interface {
	// Prove judges a policy as the successor of another one, nil for none. It is called beside the other methods.
	Prove(ctx context.Context, p, previous *policy.Snapshot) (Candidate, error)
	// Serve brings a policy into service. It calls keep when nothing can fail any more, before anything is answered by
	// the policy. An error that is a Temporary may be gone later.
	Serve(c Candidate, keep func()) error
	// Report logs and counts an event.
	Report(Event)
}
