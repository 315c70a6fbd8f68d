package source

import (
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// reminder is how often a problem is reported again that lasts.
const reminder = 10 * time.Minute

// Event is something for the log and the metrics: one of the types of this file.
type Event interface{ event() }

// Started says that the first policy came into service.
type Started struct {
	Candidate Candidate
	From      string // what it was read from
}

// Accepted says that a later policy of the source came into service.
type Accepted struct{ Candidate Candidate }

// Refused says that the text of the source is not served, and an earlier policy still is.
type Refused struct {
	Problem    terminal.Lines
	Unreadable bool // there is no text to be refused
}

// StillRefused says that again, after a while and without another judgement.
type StillRefused struct{ Problem terminal.Lines }

// Held says that the text of the source may be half of one, and waits.
type Held struct {
	Why   string
	Until time.Time // when it will be served if it stays as it is
}

// Rested says that a text which was held is served from now on. Accepted follows.
type Rested struct {
	Why string // it was held
	For time.Duration
}

// Restless says that the source changes from each look to the next, and so is not read.
type Restless struct{ For time.Duration }

// Slow says that the source's text takes long to be judged at a start, and the last good policy is served meanwhile.
type Slow struct {
	After time.Duration
	From  string // where the last good policy is from
}

// Unkept says that a policy is served whose text could not be kept as the last good one. It is tried again.
type Unkept struct{ Err error }

// Kept says that the text of the policy that is served is kept again, after Unkept.
type Kept struct{ Path string }

// Useless says that the last good policy that was kept cannot be used.
type Useless struct {
	Path string
	Err  error
}

// Unsure says that the last good policy that was kept may not be the last one: what was kept beside it cannot be read.
type Unsure struct {
	Path string
	Err  error
}

func (Started) event()      {}
func (Accepted) event()     {}
func (Refused) event()      {}
func (StillRefused) event() {}
func (Held) event()         {}
func (Rested) event()       {}
func (Restless) event()     {}
func (Slow) event()         {}
func (Unkept) event()       {}
func (Kept) event()         {}
func (Useless) event()      {}
func (Unsure) event()       {}
