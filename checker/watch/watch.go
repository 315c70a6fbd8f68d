// Package watch runs checks at intervals and notifies each change once: the loop of a service with its state, metrics,
// health and notifications. The check itself is a parameter.
//
// A notification that fails is repeated at the next run; the state is kept on disk, so that a restart neither repeats nor
// loses one. The outcome unknown counts from the second run in a row on.
package watch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/resign"
)

// Defaults and limits, each with its reason.
const (
	DefaultInterval = time.Hour   // CAs look at most every 8 hours (BR 4.2.2.1): seven chances to fix it before the next
	MinInterval     = time.Minute // a run asks every server of every name
	jitter          = 0.1         // of the interval, either way, so that many watchers do not ask at the same moment
	remembered      = 3           // intervals after which an alert ends that is not repeated
)

// Config says what is watched, and who is notified.
type Config struct {
	Run       func(context.Context, resign.History) (*check.Result, error) // with when zones were signed, as earlier runs saw it
	Interval  time.Duration                                                // between the starts of two runs
	State     string                                                       // folder; "" keeps nothing
	Notifiers []Notifier
	Log       func(line string)
	Build     Build
}

// Watcher is the service. Its handler may be asked while it runs.
type Watcher struct {
	cfg     Config
	started time.Time

	mu       sync.Mutex
	state    State
	signed   resign.History
	last     *run // that brought a result
	failures int  // runs in a row without one
	counts   map[count]int
}

// run is a run that brought a result.
type run struct {
	found measured
	ended time.Time
	took  time.Duration
}

// count is what a counter counts: runs, or notifications by one notifier, by their result.
type count struct{ what, result string }

// New returns a watcher that continues from the state in the folder.
func New(cfg Config) (*Watcher, error) {
	if cfg.Interval < MinInterval {
		return nil, fmt.Errorf("--interval must be at least %v", strings.TrimSuffix(MinInterval.String(), "0s"))
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
	return w, w.state.save(cfg.State, w.signed) // so that a folder that cannot be written to is an error now, not after the first run
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
	w.mu.Lock()
	signed := w.signed
	w.mu.Unlock()
	found, err := w.cfg.Run(ctx, signed)
	if ctx.Err() != nil {
		return // the service ends, and the run is not complete
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
	w.signed, w.state = found.Signing, w.state.Step(found, now.UTC())
	w.last, w.failures = &run{measure(found), now, now.Sub(begin)}, 0
	w.counts[count{"run", "completed"}]++
	changes, bad := w.state.Changes(), w.state.Bad()
	w.mu.Unlock()
	w.keep()
	for _, c := range changes {
		w.cfg.Log(c.String())
	}
	if w.notify(ctx, News{At: now.UTC(), Changes: changes, Bad: bad, Expires: now.UTC().Add(remembered * w.cfg.Interval)}) {
		w.mu.Lock()
		w.state = w.state.Notified(changes)
		w.mu.Unlock()
		w.keep()
	}
}

// notify notifies everybody, and reports whether it need not be repeated at the next run. Without notifiers the log has it.
func (w *Watcher) notify(ctx context.Context, news News) bool {
	delivered := true
	for _, n := range w.cfg.Notifiers {
		err := n.Notify(ctx, news)
		result := "delivered"
		if err != nil {
			result = "failed"
			delivered = delivered && n.Repeats()
			w.cfg.Log(fmt.Sprintf("%s: notification failed: %v", n.Name(), err))
		}
		w.mu.Lock()
		w.counts[count{n.Name(), result}]++
		w.mu.Unlock()
	}
	return delivered
}

func (w *Watcher) keep() {
	if w.cfg.State == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.state.save(w.cfg.State, w.signed); err != nil {
		w.cfg.Log(fmt.Sprintf("cannot save the state: %v", err))
	}
}

// Healthy returns what is wrong with the service itself, not with the names that it watches.
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
