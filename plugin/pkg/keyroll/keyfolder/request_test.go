package keyfolder

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

// answer is what became of a request, as the state file has it.
func answer(t *testing.T, dir string, asked keyroll.Request) *keyroll.Answer {
	t.Helper()
	state, err := New(dir).State(zone)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(state.Answers, func(a keyroll.Answer) bool { return a.Asked.Equal(asked.Asked) })
	if i < 0 {
		return nil
	}
	return &state.Answers[i]
}

// The next server that looks takes the request, and its answer comes back. The time at which the state was written stays
// as it is: a request does not make an old state a recent one.
func TestRequestsComeThroughTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newServer(t, dir)
	s.until(day)
	seen := s.last.Zone.Seen
	s.now = s.now.Add(time.Minute)
	asked := s.ask(keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.CSK, Urgent: true})
	if state, err := s.folder.State(zone); err != nil || len(state.Requests) != 1 || state.Requests[0] != asked || !state.Seen.Equal(seen) {
		t.Fatalf("%+v, %v", state, err)
	}
	other := newServer(t, dir)
	other.now, other.ds = s.now, s.ds
	if err := other.update(); err != nil || !slices.Contains(other.changes, "CSK published") {
		t.Errorf("%v, %q", err, other.changes)
	}
	if a := answer(t, dir, asked); a == nil || a.Refused != nil || !a.Time.Equal(s.now) {
		t.Errorf("%+v", a)
	}
	if err := s.update(); err != nil || len(s.last.Changes) > 0 || len(s.last.Zone.Keys) != 2 {
		t.Errorf("it was obeyed twice: %v, %+v", err, s.last.Changes)
	}
	late := s.ask(keyroll.Request{Verb: keyroll.RetireKey, Key: s.last.Zone.Keys[1].ID})
	s.ds = nil // and the parent has lost its DS meanwhile, but that is nothing to a key that it does not name
	s.now = s.now.Add(2 * time.Hour)
	if err := s.update(); err != nil {
		t.Fatal(err)
	}
	if a := answer(t, dir, late); a == nil || a.Refused == nil || a.Refused.Code != keyroll.StaleRequest {
		t.Errorf("%+v", a)
	}
}

// Whatever is asked while servers step, each request is answered once.
func TestRequestsWhileServersStep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newServer(t, dir)
	s.until(day)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			server := newServer(t, dir)
			server.now, server.ds = s.now, s.ds
			for range 10 {
				if err := server.update(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	const asks = 10
	for n := range asks {
		verb := []keyroll.Verb{keyroll.RollKey, keyroll.CallOff}[n%2]
		wg.Go(func() { s.ask(keyroll.Request{Verb: verb, Role: keyroll.CSK}) })
	}
	wg.Wait()
	if err := s.update(); err != nil {
		t.Fatal(err)
	}
	state, err := s.folder.State(zone)
	times := map[time.Time]bool{}
	for _, a := range state.Answers {
		times[a.Asked] = true
	}
	if err != nil || len(state.Requests) > 0 || len(times) != len(state.Answers) || len(times) == 0 {
		t.Errorf("%v, %+v", err, state)
	}
}

func TestRequestsThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	roll := keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.CSK}
	dir := filepath.Join(t.TempDir(), "nowhere")
	if _, _, err := New(dir).Ask(zone, epoch, roll); !errors.Is(err, ErrNoState) {
		t.Error(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the folder was made")
	}
	dir = t.TempDir()
	s := newServer(t, dir)
	s.until(day)
	asked, refused, err := s.folder.Ask(zone, s.now, keyroll.Request{Verb: keyroll.RetireKey, Key: keyroll.ID{Algorithm: 13, Tag: 1}})
	if err != nil || refused == nil || refused.Code != keyroll.NoSuchKey {
		t.Errorf("%v, %v", refused, err)
	}
	if answer(t, dir, asked) != nil {
		t.Error("what is refused beforehand was written")
	}
	broke := &Folder{dir, full{}}
	_, _, err = broke.Ask(zone, s.now, roll)
	wantError(t, err, "no space left", dir)
	s.ask(roll)
	if taken, err := s.folder.TakeBack(zone); err != nil || len(taken) != 1 || taken[0].Verb != keyroll.RollKey {
		t.Errorf("%v, %v", taken, err)
	}
	if err := s.update(); err != nil || s.last.Zone.AskedKSK != keyroll.Never {
		t.Errorf("%v, %+v", err, s.last.Zone)
	}
	if os.Geteuid() != 0 {
		return // nobody else can give a file away
	}
	if err := os.Chown(filepath.Join(dir, "Kexample.org.keyroll"), 1, -1); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.folder.Ask(zone, s.now, roll)
	wantError(t, err, "as that user")
}
