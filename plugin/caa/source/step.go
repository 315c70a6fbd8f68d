package source

import (
	"errors"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// This file decides what is to be done with the text of the source. Each thing that happens, an input, makes the next
// state of a state, and says what follows; nothing here acts.

const (
	// retryAfter is how often a policy is tried again that was refused for an error that may be gone later.
	retryAfter = 10 * time.Second
	// restlessAfter is how long a source may change from each look to the next until that is reported: no policy takes
	// so long to write.
	restlessAfter = time.Minute
)

// input is something that happens.
type input interface {
	step(s state, at moment) (state, output)
}

// moment is what an input happens at.
type moment struct {
	now     time.Time
	source  State
	judging bool // a text of the source is being judged
}

// output is what follows of an input: first the events are reported, then one thing is done, or nothing.
type output struct {
	events []Event
	read   bool     // the source, and have its text judged
	again  bool     // takes what was read for unread
	serve  *attempt // nil for none
}

// attempt is one at bringing the source's policy into service.
type attempt struct {
	verdict Verdict
	half    string // why it was held until now; "" where it was not
	again   bool   // an earlier one has failed
}

// looked is a look at the source.
type looked struct{}

// step has the source read if it is in a new state and rests, or has rested for so long that it has no half.
func (looked) step(s state, at moment) (state, output) {
	s, events := s.noticeRestless(at)
	return s, output{events: events, read: at.source.news() || !at.judging && s.held.over(at.source, at.now)}
}

// noticeRestless reports now and then that the source changes from each look to the next, and so is never read.
func (s state) noticeRestless(at moment) (state, []Event) {
	since := at.source.Restless
	if since.IsZero() {
		s.restless = time.Time{}
		return s, nil
	}
	if at.now.Sub(since) < restlessAfter || at.now.Sub(s.restless) < reminder {
		return s, nil
	}
	s.restless = at.now
	return s, []Event{Restless{at.now.Sub(since)}}
}

// began is the beginning of a judgement of a text that was read.
type began struct{}

func (began) step(s state, _ moment) (state, output) {
	s.waiting = nil
	return s, output{}
}

// unreadable is a source that could not be read.
type unreadable struct{ err error }

func (in unreadable) step(s state, at moment) (state, output) {
	return s.refuse(in.err, true, at)
}

// judged is the end of a judgement.
type judged struct{ verdict Verdict }

// step has the policy served, unless it is refused, or has to wait because it may be half of one.
func (in judged) step(s state, at moment) (state, output) {
	v := in.verdict
	if v.err != nil {
		return s.refuse(v.err, false, at)
	}
	half := halfOf(v.text, v.candidate.Policy, s.good)
	if half == "" || s.held.rested(v.text, at.source, at.now) {
		return s, output{serve: &attempt{verdict: v, half: half}}
	}
	s.held, s.trouble, s.late = s.held.next(v.text, at.source, at.now), trouble{}, false
	return s, output{events: []Event{Held{half, s.held.since.Add(rest)}}}
}

// served is the end of an attempt.
type served struct {
	attempt attempt
	err     error // nil where the policy is in service
}

func (in served) step(s state, at moment) (state, output) {
	v, waits := in.attempt.verdict, errors.As(in.err, new(Temporary))
	switch {
	case in.err == nil:
		var events []Event
		if in.attempt.half != "" {
			events = append(events, Rested{in.attempt.half, rest})
		}
		return s.accept(v, at), output{events: append(events, Accepted{v.candidate})}
	case waits && in.attempt.again: // the refusal has been reported, and is from time to time
		s.waiting = &waiting{v, at.now}
		return s, output{}
	}
	s, out := s.refuse(in.err, false, at)
	if waits {
		s.waiting = &waiting{v, at.now}
	}
	return s, out
}

// retry tries a policy again that waits.
type retry struct{ atOnce bool }

func (in retry) step(s state, at moment) (state, output) {
	if w := s.waiting; w != nil && (in.atOnce || at.now.Sub(w.tried) >= retryAfter) {
		return s, output{serve: &attempt{verdict: w.verdict, again: true}}
	}
	return s, output{}
}

// remind reports a problem again that has lasted for long. The source is read again for that where it is looked at,
// since the problem may have gone: a parent that had another DS, say, or an alias in the next plugin's data.
type remind struct{ looks bool }

func (in remind) step(s state, at moment) (state, output) {
	if s.trouble.problem == "" || at.now.Sub(s.trouble.reported) < reminder {
		return s, output{}
	}
	s.trouble.reported = at.now
	if in.looks {
		return s, output{again: true}
	}
	return s, output{events: []Event{StillRefused{s.trouble.problem}}}
}

// started is the first policy that came into service.
type started struct {
	verdict Verdict
	from    string
}

func (in started) step(s state, at moment) (state, output) {
	return s.accept(in.verdict, at), output{events: []Event{Started{in.verdict.candidate, in.from}}}
}

// slow is a start with the last good policy because the source's takes long to be judged.
type slow struct {
	after time.Duration
	from  string // where the last good policy is from
}

func (in slow) step(s state, _ moment) (state, output) {
	s.late = true
	return s, output{events: []Event{Slow{in.after, in.from}}}
}

// accept is the state after a policy came into service.
func (s state) accept(v Verdict, at moment) state {
	return state{good: &Good{v.text, v.candidate.Policy}, loaded: at.now, restless: s.restless}
}

// refuse is the state after the text of the source was found not to be served.
func (s state) refuse(err error, isUnreadable bool, at moment) (state, output) {
	problem := brief(string(terminal.Text(err)))
	s.late, s.held, s.waiting = false, nil, nil
	s.trouble = trouble{problem, refusals(err), at.now}
	return s, output{events: []Event{Refused{problem, isUnreadable}}}
}
