// Package watch checks again and again, and tells what has changed, once: a service's loop with its state,
// metrics, health and notifications. What a check is, it is given.
//
// A change is told until somebody has taken it; the state is kept on disk, so that a restart neither
// repeats nor forgets. What could not be found out once is no news, twice it is.
package watch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/signing"
)

// Defaults and limits, each with its reason.
const (
	DefaultInterval = time.Hour   // CAs look at most every 8 hours (BR 3.2.2.8): seven chances to mend before the next
	MinInterval     = time.Minute // a run asks every server of every name
	jitter          = 0.1         // of the interval, either way, so that many watchers do not ask as one
	remembered      = 3           // intervals for which an alert outlives its last mention
)

// Config says what is watched, and who is told.
type Config struct {
	Run       func(context.Context) (*report.Report, error)
	Interval  time.Duration // between the starts of two runs
	State     string        // folder; "" keeps nothing
	Notifiers []Notifier
	Log       func(line string)
}

// Watcher is the service. Its handler may be asked while it runs.
type Watcher struct {
	cfg     Config
	started time.Time

	mu       sync.Mutex
	state    State
	signed   signing.History
	last     *run // that ended with a report
	failures int  // runs in a row without one
	counts   map[count]int
}

// run is a run that brought a report.
type run struct {
	report *report.Report
	ended  time.Time
	took   time.Duration
}

// count is what a counter counts: runs, or notifications of somebody, by their result.
type count struct{ what, result string }

// New returns a watcher that continues from the state of before.
func New(cfg Config) (*Watcher, error) {
	if cfg.Interval < MinInterval {
		return nil, fmt.Errorf("the interval is %v at least, not %v", MinInterval, cfg.Interval)
	}
	w := &Watcher{cfg: cfg, started: time.Now(), state: State{}, counts: map[count]int{}}
	if cfg.State == "" {
		return w, nil
	}
	if err := os.MkdirAll(cfg.State, 0o700); err != nil {
		return nil, err
	}
	var err error
	if w.state, w.signed, err = load(cfg.State); err != nil {
		return nil, err
	}
	return w, w.state.save(cfg.State, w.signed) // what cannot be written is told now, not after the first run
}

// Watch runs until ctx ends: at once, then an interval after each start, with jitter.
func (w *Watcher) Watch(ctx context.Context) {
	for {
		begin := time.Now()
		w.once(ctx, begin)
		wait := time.Duration(float64(w.cfg.Interval)*(1+jitter*(2*rand.Float64()-1))) - time.Since(begin)
		timer := time.NewTimer(max(wait, 0))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// once is one run, with what follows from it.
func (w *Watcher) once(ctx context.Context, begin time.Time) {
	found, err := w.cfg.Run(ctx)
	if ctx.Err() != nil {
		return // the service ends; a part of a run says nothing
	}
	if err != nil {
		w.cfg.Log(fmt.Sprintf("the run failed: %v", err))
		w.mu.Lock()
		w.counts[count{"run", "failed"}]++
		w.failures++
		w.mu.Unlock()
		return
	}
	now := time.Now()
	w.mu.Lock()
	var late []report.Finding
	w.signed, late = w.signed.Step(found, now)
	found.Rank(late...)
	w.state = w.state.Step(found, now.UTC())
	w.last, w.failures = &run{found, now, now.Sub(begin)}, 0
	w.counts[count{"run", "completed"}]++
	changes, bad := w.state.Changes(), w.state.Bad()
	w.mu.Unlock()
	w.keep()
	for _, c := range changes {
		w.cfg.Log(fmt.Sprintf("%s; it was %q", c.line(c.Now), c.Was.Outcome))
	}
	if w.notify(ctx, News{At: now.UTC(), Changes: changes, Bad: bad, Expires: now.UTC().Add(remembered * w.cfg.Interval)}) {
		w.mu.Lock()
		w.state = w.state.Told(changes)
		w.mu.Unlock()
		w.keep()
	}
}

// notify tells all, and reports whether everybody was told. Without anybody the log was.
func (w *Watcher) notify(ctx context.Context, news News) bool {
	told := true
	for _, n := range w.cfg.Notifiers {
		err := n.Notify(ctx, news)
		result := "delivered"
		if err != nil {
			told, result = false, "failed"
			w.cfg.Log(fmt.Sprintf("%s: not told: %v", n.Name(), err))
		}
		w.mu.Lock()
		w.counts[count{n.Name(), result}]++
		w.mu.Unlock()
	}
	return told
}

func (w *Watcher) keep() {
	if w.cfg.State == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.state.save(w.cfg.State, w.signed); err != nil {
		w.cfg.Log(fmt.Sprintf("the state is not kept: %v", err))
	}
}

// Healthy says what is wrong with the service itself: not with what it watches.
func (w *Watcher) Healthy() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	since := w.started
	if w.last != nil {
		since = w.last.ended
	}
	if w.failures > 0 {
		return fmt.Errorf("the last %d runs failed", w.failures)
	}
	if age := time.Since(since); age > 2*w.cfg.Interval {
		return errors.New("no run has ended since " + since.UTC().Format(time.RFC3339))
	}
	return nil
}
