package keyfolder

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/atomicfile"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// killedEnv makes this test binary a server that keeps the keys in the folder named until it is killed.
const killedEnv = "KEYFOLDER_TEST_SERVER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedEnv); dir != "" {
		serveUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// A key's whole life, as the files have it.
func TestLife(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "var", "keys")
	s := newServer(t, dir)
	s.until(day)
	s.roll(keyroll.CSK)
	s.until(3 * day)
	want := []string{"CSK introduced", "CSK ready", "CSK active", "CSK published", "CSK ready", "CSK retiring", "CSK active", "CSK removed"}
	if !slices.Equal(s.changes, want) {
		t.Errorf("got %q, want %q", s.changes, want)
	}
	if n := len(glob(t, dir, "K*.private")); n != 2 {
		t.Errorf("%d keys in the folder, want 2", n)
	}
	s.set.Heartbeat, s.set.Poll = 12*time.Hour, 12*time.Hour // or it takes long
	s.until(91 * day)
	if n := len(glob(t, dir, "K*.private")) + len(glob(t, dir, "K*.key")); n != 2 {
		t.Errorf("%d key files in the folder, want 2: a removed key is deleted", n)
	}
	for pattern, mode := range map[string]os.FileMode{"": 0o700, "K*.private": 0o600, "K*.key": 0o644, "Kexample.org.keyroll": 0o600} {
		info, err := os.Stat(glob(t, dir, pattern)[0])
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: %v, %v; want mode %04o", pattern, info, err, mode)
		}
	}
	if left := glob(t, dir, ".new-*"); len(left) > 0 {
		t.Errorf("left in the folder: %q", left)
	}
}

// What BIND's tools say of our files.
func TestBINDReadsOurFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newServer(t, dir)
	s.set.Split = true
	s.until(day)
	s.roll(keyroll.KSK)
	s.until(3 * day)
	for _, k := range s.last.Zone.Keys {
		base := filepath.Join(dir, fmt.Sprintf("Kexample.org.+%s", k.ID))
		got := run(t, "dnssec-settime", "-u", "-p", "all", base)
		for _, c := range timing {
			name := map[string]string{"SyncPublish": "SYNC Publish", "SyncDelete": "SYNC Delete"}[c.name]
			if name == "" {
				name = c.name
			}
			want := name + ": UNSET\n"
			if at := *c.of(&k.Times); !at.IsZero() {
				want = fmt.Sprintf("%s: %d\n", name, at.Unix())
			}
			if !strings.Contains("\n"+got, "\n"+want) {
				t.Errorf("%s: want %q in\n%s", base, want, got)
			}
		}
		if k.Role == keyroll.ZSK {
			continue
		}
		key, err := zonesign.LoadKey(base)
		if err != nil {
			t.Fatal(err)
		}
		if ds := run(t, "dnssec-dsfromkey", "-2", base); !strings.Contains(ds, strings.ToUpper(key.DNSKEY.ToDS(dns.SHA256).Digest)) {
			t.Errorf("dnssec-dsfromkey says %s", ds)
		}
	}
}

// Keys that BIND made are taken over in any state: what caches may hold of them is served and signs.
func TestBINDsKeysAreTakenOver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		keys   [][]string // arguments of dnssec-keygen; the first is named by the parent's DS
		dnskey int        // how many are served at first
		states string     // in the end
	}{
		"a CSK":              {[][]string{{"-f", "KSK"}}, 1, "CSK active"},
		"KSK and ZSK":        {[][]string{{"-f", "KSK"}, {}}, 2, "KSK active, ZSK active"},
		"a ZSK not yet used": {[][]string{{"-f", "KSK"}, {}, {"-P", "+30d", "-A", "+31d"}}, 2, "KSK active, ZSK active, ZSK made"},
		"a ZSK published":    {[][]string{{"-f", "KSK"}, {}, {"-P", "now-1h", "-A", "+31d"}}, 3, "KSK active, ZSK active, ZSK retiring"},
		"a ZSK that retires": {[][]string{{"-f", "KSK"}, {"-A", "now-9d"}, {"-A", "now-40d", "-P", "now-40d", "-I", "now-9d", "-D", "+9d"}}, 3, "KSK active, ZSK active, ZSK retiring"},
		"a ZSK deleted":      {[][]string{{"-f", "KSK"}, {}, {"-P", "now-40d", "-A", "now-40d", "-I", "now-20d", "-D", "now-9d"}}, 2, "KSK active, ZSK active, ZSK removed"},
		"a KSK that comes":   {[][]string{{"-f", "KSK", "-A", "now-9d"}, {}, {"-f", "KSK", "-P", "now-1h", "-A", "now-1h"}}, 3, "KSK active, KSK retiring, ZSK active"},
		"a new algorithm":    {[][]string{{"-f", "KSK", "-A", "now-9d"}, {"-f", "KSK", "-a", "ED25519"}}, 2, "CSK active, CSK yielding"},
		"RSA":                {[][]string{{"-f", "KSK", "-a", "RSASHA256", "-b", "2048"}, {"-a", "RSASHA256", "-b", "2048"}}, 2, "KSK active, ZSK active"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := newServer(t, dir)
			for i, args := range c.keys {
				if !slices.Contains(args, "-a") {
					args = append([]string{"-a", "ECDSAP256SHA256"}, args...)
				}
				base := strings.TrimSpace(run(t, "dnssec-keygen", append(append([]string{"-q", "-K", dir}, args...), zone)...))
				key, err := zonesign.LoadKey(filepath.Join(dir, base))
				if err != nil {
					t.Fatal(err)
				}
				s.set.Split = s.set.Split || !key.SEP()
				if i == 0 {
					s.ds = []*dns.DS{key.DNSKEY.ToDS(dns.SHA256)}
					s.set.Algorithm = key.DNSKEY.Algorithm
				}
			}
			s.now = time.Now().Add(time.Minute) // BIND's clock
			if err := s.update(); err != nil {
				t.Fatal(err)
			}
			if got := len(s.last.Sets.DNSKEY); got != c.dnskey || len(s.last.Sets.CDS) > 0 {
				t.Errorf("at first: %+v", s.last.Sets)
			}
			if name == "a KSK that comes" || name == "a new algorithm" {
				s.set.Algorithm = s.last.Sets.Apex[len(s.last.Sets.Apex)-1].Algorithm // or it would be rolled back
			}
			s.until(3 * time.Hour)
			var states []string
			for _, k := range s.last.Zone.Keys {
				states = append(states, fmt.Sprintf("%s %s", k.Role, k.State))
			}
			slices.Sort(states)
			if got := strings.Join(states, ", "); got != c.states {
				t.Errorf("in the end: %s, want %s", got, c.states)
			}
		})
	}
}

// The machine stops at every write there is, before it is done and after, or the write fails: the zone goes on, and no
// key that anybody saw is lost.
func TestCrashAtEveryWrite(t *testing.T) {
	t.Parallel()
	life := func(disk *crashing) *server {
		s := newServer(t, t.TempDir())
		s.folder.disk = disk
		s.set.Split, s.set.BackupAge, s.set.Keep = true, time.Hour, 12*time.Hour
		s.set.Heartbeat, s.set.Poll = 3*time.Hour, 3*time.Hour
		s.set.Lifetime = keyroll.Lifetimes{KSK: 2 * day}
		s.until(4 * day)
		return s
	}
	whole := &crashing{left: 1000}
	life(whole)
	if whole.count < 30 {
		t.Fatalf("%d writes are too few to be a life", whole.count)
	}
	for n := range whole.count {
		for name, disk := range map[string]*crashing{
			"a crash before": {left: n}, "a crash after": {left: n, after: true}, "a failure of": {left: n, once: true},
		} {
			s := life(disk)
			first := s.last.Zone.Keys[0].ID
			if sets := s.last.Sets; len(sets.DNSKEY) != 2 || len(sets.CDS) != 1 || sets.CDS[0] == first {
				t.Errorf("after %s write %d: %+v of %v", name, n, sets, s.last.Zone.Keys)
			}
			if slices.ContainsFunc(s.changes, func(change string) bool { return strings.HasSuffix(change, "unsure") }) {
				t.Errorf("after %s write %d: %q", name, n, s.changes)
			}
		}
	}
}

// A full disk holds everything as it is, and says so; with room again the zone goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newServer(t, dir)
	s.until(day)
	s.roll(keyroll.CSK)
	s.until(time.Hour)
	before, served, seen := s.last.Zone.Keys, s.last.Sets, s.last.Zone.Seen
	s.folder.disk = full{}
	for range 100 {
		err := s.update()
		s.now = s.now.Add(10 * time.Minute)
		if err != nil {
			wantError(t, err, "example.org.", dir, "no space left")
		}
	}
	if !slices.Equal(s.last.Sets.Data, served.Data) {
		t.Errorf("served %+v, want what was written: %+v", s.last.Sets, served)
	}
	if state, err := readState(filepath.Join(dir, "Kexample.org.keyroll"), zone); err != nil || !slices.EqualFunc(state.Keys, before, func(a, b keyroll.Key) bool { return a.ID == b.ID && a.State == b.State }) {
		t.Errorf("%v, %v", state.Keys, err)
	}
	for name, c := range map[string]struct {
		after time.Duration // since the state was written
		data  int           // keys that sign data
		fails bool
	}{
		"a server that starts serves what is written":                     {time.Minute, 1, false},
		"one that starts on an old state serves all that caches may need": {5 * time.Hour, 2, true},
	} {
		started := newServer(t, dir)
		started.folder.disk, started.now = full{}, seen.Add(c.after)
		results, err := started.folder.Update(started.now, started.decide, zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := results[zone]; len(got.Sets.Data) != c.data || len(got.Sets.DNSKEY) != 2 || len(got.Keys) != 2 || (got.Err != nil) != c.fails {
			t.Errorf("%s: %+v, %v", name, got.Sets, got.Err)
		}
	}
	s.folder.disk = files{}
	s.until(3 * day)
	if len(s.last.Sets.DNSKEY) != 1 || s.last.Sets.CDS[0] == before[0].ID {
		t.Errorf("%+v", s.last.Sets)
	}
}

// A folder that is read-only here is served as somebody else keeps it.
func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keeps, reads := newServer(t, dir), newServer(t, dir)
	reads.folder.disk = readOnly{}
	keeps.until(day)
	keeps.roll(keyroll.CSK)
	for range 60 {
		keeps.until(time.Hour)
		// Its keeper is writing at this moment, or crashed when it did.
		if err := os.WriteFile(filepath.Join(dir, atomicfile.Temporary+"Kexample.org.+123"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		reads.now, reads.ds = keeps.now, keeps.ds
		results, err := reads.folder.Update(keeps.now, reads.decide, zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := results[zone]; !slices.Equal(got.Sets.Data, keeps.last.Sets.Data) || !slices.Equal(got.Sets.CDS, keeps.last.Sets.CDS) {
			t.Errorf("%s: %+v, where its keeper serves %+v", keeps.now, got.Sets, keeps.last.Sets)
		}
	}
	if len(keeps.last.Zone.Keys) != 2 || len(keeps.last.Sets.DNSKEY) != 1 {
		t.Errorf("it has not rolled: %+v", keeps.last.Zone.Keys)
	}
}

// readOnly is a disk that cannot be written.
type readOnly struct{ full }

func (readOnly) lock(string) (func() error, error) {
	return nil, &os.PathError{Op: "open", Path: ".lock", Err: syscall.EROFS}
}

// A folder that may not be created is reported as that, not as one that is missing.
func TestFolderMayNotBeCreated(t *testing.T) {
	t.Parallel()
	s := newServer(t, filepath.Join(t.TempDir(), "keys"))
	s.folder.disk = forbidden{}
	_, err := s.folder.Update(s.now, s.decide, zone)
	if want := "mkdir keys: permission denied: create the folder, and give it to the user that runs the server"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// forbidden is a disk on which the folder may not be created.
type forbidden struct{ full }

func (forbidden) lock(string) (func() error, error) {
	return nil, &os.PathError{Op: "mkdir", Path: "keys", Err: syscall.EACCES}
}

// A backup of last week comes back, after a roll that it knows nothing of: since keys are in the folder for
// longer than that before they are used, it has the new one, and serves what caches need.
func TestBackupOfLastWeek(t *testing.T) {
	t.Parallel()
	dir, backup := filepath.Join(t.TempDir(), "keys"), filepath.Join(t.TempDir(), "backup")
	s := newServer(t, dir)
	s.set.Heartbeat, s.set.Poll = time.Hour, time.Hour
	s.until(day)
	s.ask(keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.CSK})
	s.until(7 * day)
	copyDir(t, dir, backup)
	s.until(6 * day)
	active := s.last.Sets.DNSKEY
	if len(active) != 1 || len(s.last.Zone.Keys) != 2 || s.last.Zone.Keys[1].ID != active[0] {
		t.Fatalf("the roll is not over: %v", s.last.Zone.Keys)
	}
	copyDir(t, backup, dir)
	if err := s.update(); err != nil {
		t.Fatal(err)
	}
	if sets := s.last.Sets; !slices.Contains(sets.Data, active[0]) || len(sets.Data) != 2 || len(sets.CDS) > 0 {
		t.Errorf("served after the backup came back: %+v", sets)
	}
	s.until(3 * day)
	if sets := s.last.Sets; !slices.Equal(sets.DNSKEY, active) || !slices.Equal(sets.Data, active) {
		t.Errorf("in the end: %+v, want %v", sets, active)
	}
}

// A backup from before the zone's key was made, or no folder at all: nothing is made, and the cause is named.
func TestFolderThatIsTooOld(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	s.until(day)
	s.folder = New(t.TempDir())
	if err := s.update(); err != nil {
		t.Fatal(err)
	}
	if len(s.last.Refusals) != 1 || s.last.Refusals[0].Code != keyroll.Orphaned || len(s.last.Sets.DNSKEY) > 0 {
		t.Errorf("%v, %+v", s.last.Refusals, s.last.Sets)
	}
}

// The clock of a running server jumps by an hour at each moment of a roll, forward or back.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		for at := time.Duration(0); at < 5*time.Hour; at += 45 * time.Minute {
			s := newServer(t, t.TempDir())
			s.until(day)
			s.roll(keyroll.CSK)
			s.until(at)
			s.now = s.now.Add(by)
			s.until(3 * day)
			if len(s.last.Sets.DNSKEY) != 1 || len(s.last.Zone.Keys) != 2 {
				t.Errorf("%s at %s: %+v", by, at, s.last.Sets)
			}
		}
	}
}

func TestKeyLost(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{".key", ".private"} {
		dir := t.TempDir()
		s := newServer(t, dir)
		s.until(day)
		base := filepath.Join(dir, "Kexample.org.+"+s.last.Sets.DNSKEY[0].String())
		if err := os.Remove(base + suffix); err != nil {
			t.Fatal(err)
		}
		err := s.update()
		if !errors.Is(err, ErrKeyLost) {
			t.Error(err)
		}
		wantError(t, err, filepath.Base(base), "backup")
		if n := len(glob(t, dir, "K*.key")); n > 1 {
			t.Errorf("%d keys: one was made in the place of the lost one", n)
		}
	}
}

func TestBadStates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, says string }{
		"empty":             {"", "backup"},
		"cut":               {`{"version": 1, "zone": "exam`, "delete it"},
		"of a newer form":   {`{"version": 2, "zone": "example.org."}`, "version 2"},
		"of another zone":   {`{"version": 1, "zone": "example.net."}`, "example.net."},
		"without a time":    {`{"version": 1, "zone": "example.org."}`, "no time of writing"},
		"in another state":  {`{"version": 1, "zone": "example.org.", "state": {"keys": [{"state": "happy"}]}}`, "happy"},
		"with no such role": {`{"version": 1, "zone": "example.org.", "state": {"keys": [{"role": "XSK"}]}}`, "XSK"},
	} {
		dir := t.TempDir()
		s := newServer(t, dir)
		s.until(day)
		path := filepath.Join(dir, "Kexample.org.keyroll")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		wantError(t, s.update(), path, c.says)
		if t.Failed() {
			t.Fatal(name)
		}
		// As it says: without a state, the keys are taken over.
		if err := errors.Join(os.Remove(path), s.update()); err != nil || len(s.last.Sets.Data) != 1 || s.last.Zone.Keys[0].State != keyroll.Unsure {
			t.Errorf("%s: %v, %+v", name, err, s.last.Zone.Keys)
		}
	}
}

// Servers on one folder make one key and go through one roll.
func TestServersOnOneFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	var mu sync.Mutex
	ids := map[string]bool{}
	together := func(now time.Time) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				s := newServer(t, dir)
				s.now = now
				if err := s.update(); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				for _, id := range s.last.Sets.DNSKEY {
					ids[id.String()] = true
				}
			})
		}
		wg.Wait()
	}
	for at := time.Duration(0); at < 3*time.Hour; at += 25 * time.Minute {
		together(epoch.Add(at))
	}
	if len(ids) != 1 {
		t.Errorf("8 servers made %v", ids)
	}
	s := newServer(t, dir)
	s.now = epoch.Add(3 * time.Hour)
	s.roll(keyroll.CSK)
	together(s.now)
	for at := 3 * time.Hour; at < 6*time.Hour; at += 25 * time.Minute {
		together(epoch.Add(at))
	}
	if len(ids) != 2 {
		t.Errorf("8 servers rolled to %v", ids)
	}
}

// serveUntilKilled goes through the life of a zone by a fast clock, again and again, and prints how far the
// clock has come.
func serveUntilKilled(dir string) {
	t := &testing.T{}
	s := newServer(t, dir)
	s.set = fast()
	seconds, _ := time.ParseDuration(os.Getenv("KEYFOLDER_TEST_AT"))
	for s.now = epoch.Add(seconds); ; s.now = s.last.Wake {
		if err := s.update(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(s.now.Sub(epoch))
	}
}

// fast are settings by which a KSK rolls every day.
func fast() keyroll.Settings {
	set := keyroll.DefaultSettings()
	set.Split, set.BackupAge, set.Keep, set.ParentTTL = true, time.Hour, 6*time.Hour, time.Hour
	set.Lifetime = keyroll.Lifetimes{KSK: 12 * time.Hour, ZSK: 5 * time.Hour}
	return set
}

// A server is killed (SIGKILL) at random moments and starts again on what it left.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	at := "0s"
	for range kills {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), killedEnv+"="+dir, "KEYFOLDER_TEST_AT="+at)
		var stderr strings.Builder
		command.Stderr = &stderr
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		steps := 1 + int(time.Now().UnixNano()%13) // and then some way into the next
		for range steps {
			if !lines.Scan() {
				break
			}
			at = lines.Text()
		}
		command.Process.Kill()
		for lines.Scan() {
			at = lines.Text()
		}
		command.Wait()
		if stderr.Len() > 0 {
			t.Fatal(stderr.String())
		}
	}
	t.Logf("killed %d times by %s", kills, at)
	s := newServer(t, dir)
	s.set = fast()
	now, err := time.ParseDuration(at)
	if err != nil {
		t.Fatal(err)
	}
	s.now = epoch.Add(now)
	s.until(day)
	if sets := s.last.Sets; len(sets.DNSKEY) < 2 || len(sets.Data) != 1 || len(sets.CDS) != 1 {
		t.Errorf("%+v of %v", sets, s.last.Zone.Keys)
	}
}

// kills is how often.
const kills = 25

// full is a disk without room.
type full struct{}

var errFull = &os.PathError{Op: "write", Path: "x", Err: errors.New("no space left on device")}

func (full) lock(dir string) (func() error, error)             { return zonesign.Lock(dir) }
func (full) create(string, string, os.FileMode) error          { return errFull }
func (full) rename(string, string) error                       { return errFull }
func (full) renameNew(string, string) error                    { return errFull }
func (full) open(dir string) (syncer, error)                   { return files{}.open(dir) }
func (full) replace(string, string, string, os.FileMode) error { return errFull }
func (full) remove(string) error                               { return errFull }
