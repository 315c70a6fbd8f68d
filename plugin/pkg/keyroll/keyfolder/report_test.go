package keyfolder

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

// written is a zone's state file.
func written(t *testing.T, dir string) stateFile {
	t.Helper()
	file, err := readStateFile(filepath.Join(dir, "Kexample.org.keyroll"), zone)
	if err != nil || file.Report == nil {
		t.Fatalf("%v, %+v", err, file)
	}
	return file
}

// What a server knows is next to the state for people, and people's requests leave it there.
func TestReport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newServer(t, dir)
	s.until(day)
	r := written(t, dir).Report
	if r.Settings != s.set || len(r.Parent) != 2 || len(r.Parent[0].Named) != 1 || r.Parent[0].TTL != day || r.Parent[1].Server != "b" || len(r.Waits) != 0 {
		t.Errorf("%+v", r)
	}
	s.ask(keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.CSK})
	if again := written(t, dir).Report; !again.saysTheSame(r) || !again.At.Equal(r.At) {
		t.Errorf("who asked changed %+v to %+v", r, again)
	}
	if err := s.update(); err != nil {
		t.Fatal(err)
	}
	if r := written(t, dir).Report; !r.At.Equal(s.now) || len(r.Plans) != 1 || !r.Plans[0].Begins.Equal(s.now.Add(keyroll.DefaultBackupAge+keyroll.DefaultSafety)) || len(r.Waits) != 1 || r.Waits[0].State != keyroll.Made {
		t.Errorf("%+v", r)
	}
	s.ds = []*dns.DS{{KeyTag: 7, Algorithm: 13}}
	if err := s.update(); err != nil {
		t.Fatal(err)
	}
	if r := written(t, dir).Report; len(r.Refusals) != 1 || r.Refusals[0].Code != keyroll.Orphaned || len(r.Refusals[0].Servers) != 2 || r.Parent[0].Others[0].Tag != 7 {
		t.Errorf("%+v", r)
	}
}

// It is written when it says something else, and otherwise with the state alone.
func TestReportIsNotWrittenAtEachStep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newServer(t, dir)
	s.until(day)
	counting := &crashing{left: 1000}
	s.folder.disk = counting
	silence := func(err error) {
		results, failed := s.folder.Update(s.now, func(_ string, z keyroll.Zone, found []keyroll.Key, keys []*dns.DNSKEY) keyroll.Decision {
			observed := keyroll.Observe("a", s.ds, keys)
			observed.Err = err
			return keyroll.Step(z, keyroll.Input{Now: s.now, Settings: s.set, DataTTL: time.Hour, KeyTTL: time.Hour, Found: found, Parent: []keyroll.Observation{observed}})
		}, zone)
		if failed != nil || results[zone].Err != nil {
			t.Fatal(failed, results[zone].Err)
		}
	}
	for n, c := range []struct {
		err    error
		writes int
	}{
		{nil, 1}, {nil, 0}, // there is one server less
		{errors.New("read 127.0.0.1:1234: timeout"), 1}, {errors.New("read 127.0.0.1:4321: timeout"), 0},
		{nil, 1}, {nil, 0},
	} {
		s.now = s.now.Add(time.Second)
		before := counting.placed
		if silence(c.err); counting.placed-before != c.writes {
			t.Errorf("%d: %d writes, want %d", n, counting.placed-before, c.writes)
		}
	}
	if seen := written(t, dir).State.Seen; s.now.Sub(seen) < 6*time.Second {
		t.Errorf("the state is from %s at %s, and nothing has changed in it", seen, s.now)
	}
}

// A report that cannot be written is nobody's error, and where nothing can be written nothing is tried.
func TestReportThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newServer(t, dir)
	s.until(day)
	path := filepath.Join(dir, "Kexample.org.keyroll")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s.set.Patience++ // there is something to report
	for name, disk := range map[string]disk{"full": full{}, "read-only": unwritable{readOnly{}, t}} {
		s.folder.disk = disk
		if err := s.update(); err != nil || len(s.last.Sets.DNSKEY) != 1 {
			t.Errorf("%s: %v, %+v", name, err, s.last.Sets)
		}
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("%v\n%s", err, after)
	}
}

// unwritable is a disk that nobody tries to write.
type unwritable struct {
	readOnly
	t *testing.T
}

func (u unwritable) replace(path, _, _ string, _ os.FileMode) error {
	u.t.Errorf("%s is written", path)
	return errFull
}
