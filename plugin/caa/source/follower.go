package source

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// tick is how often is looked after what waits, however seldom the source is looked at.
const tick = 2 * time.Second

// Config is what a Follower is made of.
type Config struct {
	Source   PolicySource
	LastGood LastGood
	Server   Server
	Now      func() time.Time
	Every    time.Duration // how often the source is looked at; 0 is only at the start
	// Patience is how long a start waits for the source's text to be judged while there is a last good policy.
	Patience time.Duration
}

// Follower has a server serve what its source has: once at the start, and again whenever that changes. All methods but
// Good and Status are for one goroutine at a time.
type Follower struct {
	config  Config
	keeper  keeper
	state   atomic.Pointer[state]
	judging *judgement // of the source's text, nil while none is under way
	looked  time.Time  // when Tick looked at the source
}

// New returns a follower that has not begun.
func New(c Config) *Follower {
	f := &Follower{config: c, keeper: keeper{file: c.LastGood}}
	f.state.Store(&state{})
	return f
}

// Good returns the policy that is served, nil before the start.
func (f *Follower) Good() *Good { return f.state.Load().good }

// Status returns what is known of the source's text.
func (f *Follower) Status() Status { return f.state.Load().status() }

// Run follows the source until stop is closed: a loop of Tick, and of Decide on what comes from Judged.
func (f *Follower) Run(stop <-chan struct{}) {
	ticker := time.NewTicker(f.interval())
	defer ticker.Stop()
	f.looked = f.config.Now()
	for {
		select {
		case <-stop:
			f.judging.drop()
			f.judging = nil
			return
		case v := <-f.Judged():
			f.Decide(v)
		case <-ticker.C:
			f.Tick()
		}
	}
}

func (f *Follower) interval() time.Duration {
	if f.config.Every > 0 {
		return min(tick, f.config.Every)
	}
	return tick
}

// Tick does what is due: it looks after what waits, and looks at the source.
func (f *Follower) Tick() {
	now := f.config.Now()
	f.handle(remind{looks: f.config.Every > 0})
	f.report(f.keeper.again(now))
	f.handle(retry{})
	due := f.config.Every > 0 && now.Sub(f.looked) >= f.config.Every-f.interval()/2
	if due || f.state.Load().held != nil {
		f.looked = now
		f.Look()
	}
}

// Look looks at the source, and has its text judged if there is something new.
func (f *Follower) Look() {
	f.config.Source.Look(f.config.Now())
	f.handle(looked{})
}

// Retry tries a policy again that waits, if one does, without waiting for its time.
func (f *Follower) Retry() { f.handle(retry{atOnce: true}) }

// Judged is where the verdict on the source's text comes from, nil when none is being judged.
func (f *Follower) Judged() <-chan Verdict {
	if f.judging == nil {
		return nil
	}
	return f.judging.done
}

// Decide acts on a verdict that has come from Judged.
func (f *Follower) Decide(v Verdict) {
	f.judging = nil
	f.handle(judged{v})
}

// handle makes the next state of an input, and does what follows.
func (f *Follower) handle(in input) {
	for in != nil {
		at := moment{f.config.Now(), f.config.Source.State(), f.judging != nil}
		next, out := in.step(*f.state.Load(), at)
		f.state.Store(&next)
		f.report(out.events)
		in = f.act(out)
	}
}

// act does what follows of an input, and returns what comes of that, nil for nothing.
func (f *Follower) act(out output) input {
	switch {
	case out.serve != nil:
		return served{*out.serve, f.serve(out.serve.verdict)}
	case out.again:
		f.config.Source.Again()
	case out.read:
		switch err := f.read(f.Good()); {
		case err == nil:
			return began{}
		case !errors.Is(err, ErrUnsettled): // that is news again when it rests
			return unreadable{err}
		}
	}
	return nil
}

func (f *Follower) report(events []Event) {
	for _, e := range events {
		f.config.Server.Report(e)
	}
}

// serve brings the source's policy into service, and keeps its text.
func (f *Follower) serve(v Verdict) error {
	return f.config.Server.Serve(v.candidate, func() { f.report(f.keeper.keep(v.text, f.config.Now())) })
}

// read reads the source and has its text judged, instead of what is being judged. previous is what it replaces, nil for
// nothing.
func (f *Follower) read(previous *Good) error {
	text, err := f.config.Source.Read(f.config.Now())
	if errors.Is(err, ErrUnsettled) {
		return err
	}
	f.judging.drop()
	f.judging = nil
	if err != nil {
		return err
	}
	changed := f.config.Source.State().Changed
	f.judging = begin(func(ctx context.Context) Verdict {
		p, err := policy.LoadContext(ctx, f.config.Source.Name(), text)
		if err != nil {
			return Verdict{text: text, err: err}
		}
		v := f.prove(ctx, text, p, previous)
		v.candidate.Changed = changed
		return v
	})
	return nil
}

// prove is the server's part of a verdict.
func (f *Follower) prove(ctx context.Context, text []byte, p *policy.Snapshot, previous *Good) Verdict {
	var replaced *policy.Snapshot
	if previous != nil {
		replaced = previous.policy
	}
	c, err := f.config.Server.Prove(ctx, p, replaced)
	return Verdict{text, c, err}
}
