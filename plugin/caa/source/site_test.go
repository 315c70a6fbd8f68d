package source

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// site is a follower of a file, with a clock that the test moves.
type site struct {
	*Follower
	t      testing.TB
	server *server
	file   string
	clock  time.Time
}

// newSite starts one on a policy. change sets what the test wants otherwise; nil for nothing.
func newSite(t testing.TB, text string, change func(*Config)) *site {
	t.Helper()
	s := &site{t: t, server: newServer(), file: filepath.Join(t.TempDir(), "caa.yaml"), clock: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Config{Source: NewFile(s.file, "Corefile:2"), Server: s.server, Now: func() time.Time { return s.clock }, Every: 2 * time.Second, Patience: time.Minute}
	if change != nil {
		change(&c)
	}
	s.Follower = New(c)
	if err := s.Start(nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// keeping has the last good policy kept in a folder.
func keeping(t testing.TB, folder string) func(*Config) {
	return func(c *Config) {
		t.Helper()
		kept, err := NewLastGood(folder, c.Source.Name(), nil)
		if err != nil {
			t.Fatal(err)
		}
		c.LastGood = kept
	}
}

// another is a site of the same file with another server, as after a restart. It has not started.
func (s *site) another(change func(*Config)) *site {
	a := &site{t: s.t, server: newServer(), file: s.file, clock: s.clock}
	c := s.config
	c.Source, c.Server, c.Now = NewFile(a.file, "Corefile:2"), a.server, func() time.Time { return a.clock }
	if change != nil {
		change(&c)
	}
	a.Follower = New(c)
	return a
}

// write puts a text into the file as it is.
func (s *site) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	// Two writes in one tick of the file system's clock would be one state to the follower.
	s.clock = s.clock.Add(time.Second)
	if err := os.Chtimes(s.file, s.clock, s.clock); err != nil {
		s.t.Fatal(err)
	}
}

// look looks at the file, and waits until it is judged.
func (s *site) look() {
	s.Look()
	s.settle()
}

// settle waits until what is being judged is judged, and acts on it.
func (s *site) settle() {
	if judged := s.Judged(); judged != nil {
		s.Decide(<-judged)
	}
}

// looks lets a time pass in which the follower looks as often as it does.
func (s *site) looks(passes time.Duration) {
	for end := s.clock.Add(passes); s.clock.Before(end); s.clock = s.clock.Add(tick) {
		s.look()
	}
}

// ticks lets a time pass in which the follower does what is due.
func (s *site) ticks(passes time.Duration) {
	for end := s.clock.Add(passes); s.clock.Before(end); s.clock = s.clock.Add(tick) {
		s.Tick()
		s.settle()
	}
}

func (s *site) revision() string { return s.server.served.Revision }

func (s *site) held() *held { return s.state.Load().held }

// server is one that serves whatever the guard accepts.
type server struct {
	check  func(context.Context, *policy.Snapshot, guard.Options) (guard.Report, error)
	fails  error // of Serve, nil for none
	served *policy.Snapshot
	events []Event
}

func newServer() *server { return &server{check: guard.CheckContext} }

func (s *server) Prove(ctx context.Context, p, previous *policy.Snapshot) (Candidate, error) {
	report, err := s.check(ctx, p, guard.Options{Previous: previous})
	if err == nil {
		err = report.Err()
	}
	return Candidate{Policy: p, Previous: previous, Zones: p.Zones, Report: report}, err
}

func (s *server) Serve(c Candidate, keep func()) error {
	if s.fails != nil {
		return s.fails
	}
	keep()
	s.served = c.Policy
	return nil
}

func (s *server) Report(e Event) { s.events = append(s.events, e) }

// last is the last event that was reported.
func (s *server) last() Event { return s.events[len(s.events)-1] }

// slowGuard is a guard that waits for the test to go on.
type slowGuard struct {
	began chan context.Context
	goOn  chan struct{}
}

func newSlow() *slowGuard { return &slowGuard{make(chan context.Context, 10), make(chan struct{})} }

func (s *slowGuard) check(ctx context.Context, p *policy.Snapshot, o guard.Options) (guard.Report, error) {
	if o.Previous == nil || o.Previous == p {
		return guard.CheckContext(ctx, p, o) // that of the last good policy
	}
	s.began <- ctx
	select {
	case <-s.goOn:
		return guard.CheckContext(ctx, p, o)
	case <-ctx.Done():
		return guard.Report{}, ctx.Err()
	}
}
