package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// kept is a policy that was served before the start.
type kept struct {
	good      *Good
	from      string // what to call it
	restarted bool   // it is not in a file, but served by the instance that a restart replaces
}

// replaced is what the source's policy replaces, nil for nothing: what an earlier start required was never held against
// a restart.
func (k *kept) replaced() *Good {
	if k == nil || k.restarted {
		return nil
	}
	return k.good
}

// Start brings the first policy into service: the source's or the last good one, when the source's is refused, may be
// half of one, or takes long to be judged. Without either it returns why. before is what the instance serves that this
// one is about to replace, nil for none.
func (f *Follower) Start(before *Good) error {
	k := f.lastServed(before)
	if err := f.read(k.replaced()); err != nil {
		return f.startWith(k, err, unreadable{err})
	}
	var patience <-chan time.Time
	if k != nil {
		timer := time.NewTimer(f.config.Patience)
		defer timer.Stop()
		patience = timer.C
	}
	select {
	case v := <-f.judging.done:
		return f.startJudged(k, v)
	case <-patience:
	}
	if f.serveKept(k) != nil {
		return f.startJudged(nil, <-f.judging.done)
	}
	f.handle(slow{f.config.Patience, k.from})
	return nil
}

// startJudged starts with the source's policy, unless it has to wait or is refused.
func (f *Follower) startJudged(k *kept, v Verdict) error {
	f.judging = nil
	if v.err == nil && k != nil && halfOf(v.text, v.candidate.Policy, k.good) != "" && f.serveKept(k) == nil {
		f.handle(judged{v})
		return nil
	}
	err := v.err
	if err == nil {
		err = f.serve(v)
	}
	if err != nil {
		return f.startWith(k, err, served{attempt{verdict: v}, err})
	}
	f.handle(started{v, f.config.Source.Name()})
	return nil
}

// startWith starts with the last good policy, for the source's was refused. refusal is the input that says so.
func (f *Follower) startWith(k *kept, refused error, refusal input) error {
	if k == nil || k.restarted {
		return refused
	}
	if err := f.serveKept(k); err != nil {
		return errors.Join(refused, fmt.Errorf("and the last good policy, %s, cannot be used either", f.config.LastGood.path), err)
	}
	f.handle(refusal)
	return nil
}

// serveKept serves the last good policy. What it requires itself was proved when it was accepted; what the server's
// operator requires may be new, so it is proved again. It replaces no other policy than itself, and is not the first one.
func (f *Follower) serveKept(k *kept) error {
	v := f.prove(context.Background(), k.good.text, k.good.policy, k.good)
	if v.err != nil {
		return v.err
	}
	if err := f.config.Server.Serve(v.candidate, func() {}); err != nil {
		return err
	}
	f.handle(started{v, k.from})
	return nil
}

// lastServed is the last good policy, or nil: what is served by the instance that is about to be
// replaced, since the state folder may not have it, or else the one kept there.
func (f *Follower) lastServed(before *Good) *kept {
	path := f.config.LastGood.path
	if before != nil {
		return &kept{before, "the policy from before the restart", path == ""}
	}
	text, err := f.config.LastGood.newest()
	if text == nil {
		if err != nil {
			f.report([]Event{Useless{path, err}})
		}
		return nil
	}
	if err != nil {
		f.report([]Event{Unsure{path, err}})
	}
	p, err := policy.Load(path, text)
	if err != nil {
		f.report([]Event{Useless{path, err}})
		return nil
	}
	return &kept{&Good{text, p}, "the last good policy, " + path, false}
}
