package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A full or read-only state folder does not have the policy that is served. It is tried again until it has, and a restart
// by CoreDNS itself holds the file against what is served, not against an older policy there.
func TestAStateThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state")
	s := newSite(t, wholePolicy, keeping(t, state))
	was, aside := s.revision(), state+".aside"
	if err := os.Rename(state, aside); err != nil {
		t.Fatal(err)
	}
	// The second of two changes gives up what the first policy requires: a restart must not take it for a lock-out.
	both := strings.Replace(wholePolicy, "issue: [le, dc]", "issue: [le, dc, se]", 1)
	both = strings.Replace(both, "  dc: {domain: digicert.com}\n", "  dc: {domain: digicert.com}\n  se: {domain: sectigo.com}\n", 1)
	s.write(both)
	s.looks(time.Minute)
	if s.revision() == was || s.keeper.text == nil {
		t.Fatalf("the change was not served, or was kept")
	}
	if _, ok := s.server.events[len(s.server.events)-2].(Unkept); !ok {
		t.Errorf("reported: %+v", s.server.events)
	}
	newest := s.revision()
	if err := os.Rename(aside, state); err != nil {
		t.Fatal(err)
	}
	if k := s.another(nil).lastServed(s.Good()); k == nil || k.good.policy.Revision != newest || k.restarted {
		t.Errorf("a restart is held against %+v, want revision %s", k, newest)
	}
	s.Tick()
	if k := s.another(nil).lastServed(nil); s.keeper.text != nil || k == nil || k.good.policy.Revision != newest {
		t.Errorf("the state has %+v, want revision %s", k, newest)
	}
	if want := (Kept{s.config.LastGood.path}); s.server.last() != want {
		t.Errorf("reported %+v", s.server.last())
	}
}

// A block that had other zones for a while does not go back to the policy of before: what was accepted meanwhile is what
// the file replaces, although it was kept for the other zones.
func TestAStateOfLongAgo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a[b]") // a name, and no pattern
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "caa.yaml")
	write := func(path, text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	one, err := NewLastGood(dir, file, []string{"example.org."})
	if err != nil {
		t.Fatal(err)
	}
	two, err := NewLastGood(dir, file, []string{"example.net.", "example.org."})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	write(file, "new", now)
	write(one.path, "old", now.Add(-2*time.Hour))
	for _, c := range []struct {
		kept string
		at   time.Time
		want bool
	}{
		{"new", now.Add(-time.Hour), true},      // accepted since
		{"new", now.Add(-3 * time.Hour), false}, // what is kept is newer
		{"newer", now.Add(-time.Hour), false},   // the file was never accepted
	} {
		write(two.path, c.kept, c.at)
		if got, err := one.elsewhere(file); (got != nil) != c.want || err != nil {
			t.Errorf("%+v: got %q, %v", c, got, err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Remove(two.path))
	must(os.Mkdir(two.path, 0o700)) // one that cannot be read
	info, err := os.Stat(two.path)
	must(err)
	write(file, strings.Repeat("x", int(info.Size())), now)
	if got, err := one.newest(); string(got) != "old" || err == nil {
		t.Errorf("got %q, %v", got, err)
	}
}
