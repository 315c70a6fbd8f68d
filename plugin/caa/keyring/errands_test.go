package keyring

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// lostZones is a ring of zones whose folder is empty, at a time that a test sets.
func lostZones(t *testing.T, number int, ask func(context.Context, []string) map[string][]keyroll.Observation) (r *rolling, at *time.Time) {
	t.Helper()
	now, dir := time.Now(), filepath.Join(t.TempDir(), "keys")
	ring, err := Open(Config{Folder: dir, Covers: func(string) bool { return true }, TTL: 3600, Largest: func(*policy.Zone) uint32 { return 3600 },
		Roll: keyroll.DefaultSettings(), Ask: ask, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	var zones []*policy.Zone
	for n := range number {
		zones = append(zones, &policy.Zone{Name: fmt.Sprintf("z%d.example.", n)})
	}
	if err := ring.Prepare(t.Context(), zones); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return ring.(*rolling), &now
}

func noDS(_ context.Context, zones []string) map[string][]keyroll.Observation {
	observed := make(map[string][]keyroll.Observation, len(zones))
	for _, zone := range zones {
		observed[zone] = []keyroll.Observation{{Server: "192.0.2.1"}}
	}
	return observed
}

// Whoever asked to restore many zones sees at once that a server has begun, and how far it is.
func TestRestoreShowsProgress(t *testing.T) {
	t.Parallel()
	const zones = 1001
	r, now := lostZones(t, zones, noDS)
	e, err := r.folder.Send(keyfolder.Errand{Verb: keyfolder.Restore}, *now)
	if err != nil {
		t.Fatal(err)
	}
	ended, seen := make(chan struct{}), make(chan map[int]bool)
	go func() {
		all := map[int]bool{}
		defer func() { seen <- all }()
		for {
			if is, err := r.folder.Answer(e); err == nil && is.Progress != nil && is.Progress.Total == zones {
				all[is.Progress.Done] = true
			}
			select {
			case <-ended:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	r.Look(t.Context())
	*now = now.Add(2 * errandGrace)
	r.Look(t.Context())
	close(ended)
	progress := <-seen
	if len(progress) < 2 {
		t.Errorf("nothing was seen before the end: %v", progress)
	}
	for at := range progress {
		if at != 0 && at != zonesAtOnce && at != 2*zonesAtOnce && at != zones {
			t.Errorf("%d are done", at)
		}
	}
	answer, err := r.folder.Answer(e)
	if err != nil || answer.Answered.IsZero() || len(answer.Zones) != zones || len(answer.Failed) > 0 || answer.Progress.Done != zones {
		t.Errorf("%v, %+v; %d zones", answer.Progress, answer.Failed, len(answer.Zones))
	}
	if taken, err := r.folder.Cancel(e); err != nil || taken.Answered.IsZero() {
		t.Errorf("it is taken back: %+v, %v", taken, err)
	}
}

// A request is picked up while the parents are asked, which may take a minute.
func TestRestoreWhileParentsAreSilent(t *testing.T) {
	t.Parallel()
	waits, silent, answers := false, make(chan struct{}), make(chan struct{})
	r, now := lostZones(t, 2, func(ctx context.Context, zones []string) map[string][]keyroll.Observation {
		if waits {
			close(silent)
			<-answers
		}
		return noDS(ctx, zones)
	})
	waits, *now = true, now.Add(24*time.Hour)
	at := *now
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		r.Look(t.Context())
	}()
	<-silent
	e, err := r.folder.Send(keyfolder.Errand{Verb: keyfolder.Restore, Zone: "z1.example."}, at)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		is, err := r.folder.Answer(e)
		if err != nil || time.Now().After(end) {
			t.Fatal(is, err)
		}
		if !is.Answered.IsZero() {
			break
		}
	}
	waits = false
	close(answers)
	<-looked
}

// A request that was taken back before a server picked it up is not carried out.
func TestRestoreTakenBack(t *testing.T) {
	t.Parallel()
	r, now := lostZones(t, 1, noDS)
	e, err := r.folder.Send(keyfolder.Errand{Verb: keyfolder.Restore}, *now)
	if err != nil {
		t.Fatal(err)
	}
	if is, err := r.folder.Cancel(e); err != nil || is.Progress != nil {
		t.Fatal(is, err)
	}
	r.doErrands(t.Context(), []keyfolder.Errand{e})
	if keys, err := filepath.Glob(filepath.Join(r.dir, "K*")); err != nil || len(keys) > 0 {
		t.Errorf("restored %q, %v", keys, err)
	}
}
