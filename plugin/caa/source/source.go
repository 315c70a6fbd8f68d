// Package source brings policies into service: from where they are kept, a file today, to the server. In go the texts
// of a [PolicySource], time, and a [Server] that proves and serves policies; out come calls of that server, and events
// for its log and metrics. Whatever fails on the way leaves in service what was served, and nothing is served that was
// not proved. What DNS is, and what a policy says, is not known here.
//
// A text is read when its source rests (file.go), judged while the server goes on (judge.go), and may be half of one
// that is still being written (half.go). What is to be done with it is a table of transitions without I/O (step.go),
// over one immutable state (state.go); a [Follower] asks and acts (follower.go, start.go). The text that was accepted
// last is kept for the next start (lastgood.go, keeper.go).
package source

import (
	"errors"
	"time"
)

// PolicySource is where the text of a policy comes from. One goroutine uses it.
type PolicySource interface {
	// Name is what people call the source. Errors and positions in the policy begin with it.
	Name() string
	// Look looks at the source, without reading it.
	Look(now time.Time)
	// State returns what the last look, or the last reading, saw.
	State() State
	// Read looks, and returns the text. The state is taken for read, whether that succeeds or not. While somebody writes
	// to the source the error is ErrUnsettled, and the state stays unread.
	Read(now time.Time) ([]byte, error)
	// Again takes the state for unread.
	Again()
}

// State is a source as it was seen last.
type State struct {
	Read     bool      // it is the state that was read last
	Since    time.Time // the look that saw this state first
	Restless time.Time // the first of the last looks of which each saw another state; zero while the source rests
	Changed  time.Time // when the text was written; zero where that is not known
}

// news reports whether there is something to read: half a policy may well be a valid one, and an editor that deletes a
// file to write it again has not taken it away, so that only a state that rests is read.
func (s State) news() bool { return !s.Read && s.Restless.IsZero() }

// ErrUnsettled is the error of a source that is being written.
var ErrUnsettled = errors.New("the file is being written")
