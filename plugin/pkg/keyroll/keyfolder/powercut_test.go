package keyfolder

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/atomicfile"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

var (
	cuts    = flag.Int("keyfolder.cuts", 50, "how often the power is cut while keys are written")
	cutSeed = flag.Uint64("keyfolder.seed", 0, "where, and what of the disk is left; 0: another each time")
)

// newRandom is the source of a test's cuts, and its seed.
func newRandom() (*rand.Rand, uint64) {
	seed := *cutSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	return rand.New(rand.NewPCG(seed, 0)), seed
}

// volatile is a disk whose power is cut at a step. It knows what is safe then: of files the contents that were
// synced, and of the folder the names that it had when it was synced. Whatever came later is there or not, each for
// itself.
type volatile struct {
	files
	mu   sync.Mutex
	left int // steps until the power is cut; negative: it is not
	down bool

	is     map[string]*inode // by path, as a process sees it
	safe   map[string]*inode // by path, on the disk
	recent []naming          // since the names were synced
	steps  int
}

// inode is the content of a file.
type inode struct {
	text string
	mode os.FileMode
	safe bool
}

// naming is a change of names: from goes, if it is the file's, and the file is at to. Either may be "".
type naming struct {
	file     *inode
	from, to string
}

// newVolatile is a disk with what is in a folder, all of it safe.
func newVolatile(t testing.TB, dir string, left int) *volatile {
	t.Helper()
	v := &volatile{left: left, is: map[string]*inode{}}
	for _, path := range slices.Concat(glob(t, dir, "*"), glob(t, dir, ".new-*")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		v.is[path] = &inode{text: string(text), mode: 0o600, safe: true}
	}
	v.safe = maps.Clone(v.is)
	return v
}

// step does something unless the power is off, and cuts it when it is time: the step may be done then.
func (v *volatile) step(do func() error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.down {
		return errCrash
	}
	v.steps++
	if err := do(); err != nil {
		return err
	}
	if v.left--; v.left == -1 {
		v.down = true
		return errCrash
	}
	return nil
}

func (v *volatile) rename1(file *inode, from, to string) {
	if v.is[from] == file {
		delete(v.is, from)
	}
	if to != "" {
		v.is[to] = file
	}
	v.recent = append(v.recent, naming{file, from, to})
}

func (v *volatile) create(path, text string, mode os.FileMode) error {
	return v.step(func() error {
		v.rename1(&inode{text: text, mode: mode}, "", path)
		return v.files.create(path, text, mode)
	})
}

func (v *volatile) rename(from, to string) error {
	return v.step(func() error {
		v.rename1(v.is[from], from, to)
		return v.files.rename(from, to)
	})
}

func (v *volatile) renameNew(from, to string) error {
	return v.step(func() error {
		if v.is[to] != nil {
			return os.ErrExist
		}
		v.rename1(v.is[from], from, to)
		return v.files.renameNew(from, to)
	})
}

func (v *volatile) remove(path string) error {
	return v.step(func() error {
		v.rename1(v.is[path], path, "")
		return v.files.remove(path)
	})
}

func (v *volatile) open(string) (syncer, error) { return v, nil }

func (v *volatile) syncFiles(paths []string) error {
	return v.step(func() error {
		for _, path := range paths {
			v.is[path].safe = true
		}
		return nil
	})
}

func (v *volatile) syncNames() error {
	return v.step(func() error {
		v.recent, v.safe = nil, maps.Clone(v.is)
		return nil
	})
}

func (v *volatile) close() {}

// remains writes into a folder what the disk has after the power was cut.
func (v *volatile) remains(t testing.TB, random *rand.Rand, dir string) {
	t.Helper()
	for _, r := range v.recent {
		if random.IntN(2) == 0 {
			continue
		}
		if v.safe[r.from] == r.file {
			delete(v.safe, r.from)
		}
		if r.to != "" {
			v.safe[r.to] = r.file
		}
	}
	for path, file := range v.safe {
		text := file.text
		if !file.safe {
			text = []string{text, "", text[:random.IntN(len(text))], strings.Repeat("\x00", len(text))}[random.IntN(4)]
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), []byte(text), file.mode); err != nil {
			t.Fatal(err)
		}
	}
}

// The power is cut at any step of writing at a first start of many zones, or until their DS are asked for: none is
// served that the disk does not have whole, and at the next start each has its keys as if it were the first. A key that
// was served is served again.
func TestPowerCutAtAFirstStart(t *testing.T) {
	t.Parallel()
	const zones = 3
	random, seed := newRandom()
	steps := 0 // of such a start, found out by the first one
	served := 0
	for n := range *cuts {
		settings := keyroll.DefaultSettings()
		settings.Split = n%2 == 1
		dir, after, left := t.TempDir(), t.TempDir(), -1
		if steps > 0 {
			left = random.IntN(steps)
		}
		disk := newVolatile(t, dir, left)
		now, last := epoch, manyZones(t, dir, disk, epoch, settings, zones)
		wrote := !disk.down
		for !disk.down && now.Before(epoch.Add(4*time.Hour)) {
			now = now.Add(50 * time.Minute)
			last = manyZones(t, dir, disk, now, settings, zones)
		}
		steps = max(steps, disk.steps)
		disk.remains(t, random, after)
		again := manyZones(t, after, newVolatile(t, after, -1), now.Add(time.Minute), settings, zones)
		for zone, is := range again {
			was := last[zone].Sets.DNSKEY
			served += len(was)
			problem := ""
			switch keys := is.Zone.Keys; {
			case is.Err != nil:
				problem = is.Err.Error()
			case len(is.Sets.DNSKEY) != len(keys) || (len(keys) == 2) != settings.Split:
				problem = "it has other keys"
			case wrote != (len(was) > 0):
				problem = fmt.Sprintf("served with %v, written: %v", was, wrote)
			case wrote && !slices.Equal(is.Sets.DNSKEY, was):
				problem = fmt.Sprintf("it was served with %v", was)
			case slices.ContainsFunc(keys, func(k keyroll.Key) bool { return k.State == keyroll.Unsure || is.Keys[k.ID] == nil }):
				problem = "nobody knows what caches have of it"
			}
			if problem != "" {
				t.Errorf("seed %d, cut %d, split %v: %s: %s: %+v", seed, n, settings.Split, zone, problem, is.Zone.Keys)
			}
		}
		if left := glob(t, after, atomicfile.Temporary+"*"); len(left) > 0 {
			t.Errorf("seed %d, cut %d: left half-written: %q", seed, n, left)
		}
	}
	if *cuts > 1 && served == 0 {
		t.Error("no zone was served before the power was cut")
	}
}

// The power is cut at any step of the life of a zone whose keys roll: the zone is not bogus at any time, and the roll
// goes on.
func TestPowerCutInALife(t *testing.T) {
	t.Parallel()
	begin := func(left int) (*server, *volatile) {
		dir := t.TempDir()
		s, disk := newServer(t, dir), newVolatile(t, dir, left)
		s.folder.disk = disk
		s.set.Split, s.set.BackupAge, s.set.Keep = true, time.Hour, 12*time.Hour
		s.set.Heartbeat, s.set.Poll = 3*time.Hour, 3*time.Hour
		s.set.Lifetime = keyroll.Lifetimes{KSK: 2 * day}
		return s, disk
	}
	s, whole := begin(-1)
	s.until(4 * day)
	random, seed := newRandom()
	for n := range *cuts {
		s, disk := begin(random.IntN(whole.steps))
		for end := epoch.Add(4 * day); s.now.Before(end); {
			err := s.update()
			switch {
			case errors.Is(err, errCrash) && disk.down:
				dir := t.TempDir()
				disk.remains(t, random, dir)
				disk = newVolatile(t, dir, -1)
				s.folder = New(dir)
				s.folder.disk = disk
				s.now = s.now.Add(time.Minute)
			case err != nil:
				t.Fatalf("seed %d, cut %d: %v", seed, n, err)
			case disk.down:
				// Only what is for people was not written, and the server that stopped here knows no more.
				dir := t.TempDir()
				disk.remains(t, random, dir)
				disk = newVolatile(t, dir, -1)
				s.folder = New(dir)
				s.folder.disk = disk
			default:
				s.now = s.last.Wake
			}
		}
		if sets := s.last.Sets; len(sets.DNSKEY) != 2 || len(sets.CDS) != 1 {
			t.Errorf("seed %d, cut %d: %+v of %v", seed, n, sets, s.last.Zone.Keys)
		}
		if t.Failed() {
			t.Fatalf("seed %d, cut %d", seed, n)
		}
	}
}

// However many zones there are, they share a few syncs: of all contents, of their temporary names, then of the names of
// ZSKs, of other keys, and of states.
func TestSyncsDoNotGrowWithZones(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		zones int
		split bool
		syncs int
	}{
		{10, false, 3*10 + 3}, // few files are synced one by one
		{100, false, 4},
		{400, false, 4},
		{100, true, 5},
	} {
		var syncs atomic.Int64
		dir := t.TempDir()
		settings := keyroll.DefaultSettings()
		settings.Split = c.split
		for n, want := range []int{c.syncs, 0} {
			syncs.Store(0)
			disk := files{synced: func() { syncs.Add(1) }}
			results := manyZones(t, dir, disk, epoch, settings, c.zones)
			for zone, r := range results {
				if r.Err != nil {
					t.Fatal(zone, r.Err)
				}
			}
			if c.zones > fewFiles && !syncsWhole(t, dir) {
				continue // another system: it syncs each file
			}
			if got := int(syncs.Load()); got != want {
				t.Errorf("%d zones, split %v, update %d: %d syncs, want %d", c.zones, c.split, n, got, want)
			}
		}
	}
}

// So it is when the keys of many zones are restored, in whose way there may be files.
func TestSyncsOfARestoreDoNotGrowWithZones(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		zones int
		split bool
		syncs int
	}{{10, false, 3*10 + 3}, {100, false, 4}, {400, false, 4}, {100, true, 5}} {
		var syncs atomic.Int64
		dir, settings := t.TempDir(), keyroll.DefaultSettings()
		settings.Split = c.split
		held := lostKeys(t, dir, settings, c.zones)
		folder := New(dir)
		folder.disk = files{synced: func() { syncs.Add(1) }}
		done, err := folder.Restore(epoch, held)
		if err != nil || len(done) != c.zones {
			t.Fatal(len(done), err)
		}
		for zone, r := range done {
			if !r.Wrote || r.Err != nil || len(r.Aside) != 2 {
				t.Fatalf("%s: %+v", zone, r)
			}
		}
		if got := int(syncs.Load()); got != c.syncs && (c.zones <= fewFiles || syncsWhole(t, dir)) {
			t.Errorf("%d zones, split %v: %d syncs, want %d", c.zones, c.split, got, c.syncs)
		}
	}
}

// lostKeys is what a server holds of zones whose folder was emptied, and has halves of other keys since.
func lostKeys(t testing.TB, dir string, settings keyroll.Settings, zones int) map[string]*Held {
	t.Helper()
	held := map[string]*Held{}
	for zone, r := range manyZones(t, dir, files{}, epoch, settings, zones) {
		if held[zone] = r.Held; r.Err != nil {
			t.Fatal(zone, r.Err)
		}
	}
	for _, path := range glob(t, dir, "K*") {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for zone := range held {
		for _, name := range []string{"K" + zone + "+013+00001.private", "K" + zone + "keyroll"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return held
}

// The power is cut while keys are restored: the next start, which knows by a record that the zones had keys, serves these or
// none, and none as unused.
func TestPowerCutAtARestore(t *testing.T) {
	t.Parallel()
	random, seed := newRandom()
	steps, whole := 0, 0
	for n := range *cuts {
		settings := keyroll.DefaultSettings()
		settings.Split = n%2 == 1
		dir, after, left := t.TempDir(), t.TempDir(), -1
		if steps > 0 {
			left = random.IntN(steps)
		}
		held := lostKeys(t, dir, settings, 3)
		disk := newVolatile(t, dir, left)
		folder := New(dir)
		folder.disk = disk
		if _, err := folder.Restore(epoch, held); err != nil {
			t.Fatal(err)
		}
		steps = max(steps, disk.steps)
		disk.remains(t, random, after)
		records, zones := map[string]*Held{}, slices.Collect(maps.Keys(held))
		for zone, h := range held {
			records[zone] = Recorded(*h.Zone())
		}
		results, err := New(after).Do(epoch.Add(time.Minute), &Work{Held: records, Decide: func(_ string, z keyroll.Zone, found []keyroll.Key, _ []*dns.DNSKEY) keyroll.Decision {
			return keyroll.Step(z, keyroll.Input{Now: epoch.Add(time.Minute), Settings: settings, DataTTL: time.Hour, KeyTTL: time.Hour, Found: found})
		}}, zones...)
		if err != nil {
			t.Fatal(err)
		}
		for zone, r := range results {
			if r.Err != nil {
				continue
			}
			whole++
			want := held[zone].Zone().Sets().DNSKEY
			if got := r.Sets.DNSKEY; !slices.Equal(sortedIDs(got), sortedIDs(want)) {
				t.Errorf("seed %d, cut %d: %s is served with %v, and had %v", seed, n, zone, got, want)
			}
		}
	}
	if *cuts > 1 && whole == 0 {
		t.Error("no zone was restored before the power was cut")
	}
}

func sortedIDs(ids []keyroll.ID) []keyroll.ID {
	return slices.SortedFunc(slices.Values(ids), func(a, b keyroll.ID) int { return strings.Compare(a.String(), b.String()) })
}

// syncsWhole reports whether the file system of a folder is synced as a whole.
func syncsWhole(t *testing.T, dir string) bool {
	t.Helper()
	folder, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	synced, err := syncFileSystem(folder)
	if err != nil {
		t.Fatal(err)
	}
	return synced
}

// manyZones runs an Update of zones that nobody knows.
func manyZones(t testing.TB, dir string, disk disk, now time.Time, settings keyroll.Settings, number int) map[string]*Result {
	t.Helper()
	var zones []string
	for n := range number {
		zones = append(zones, fmt.Sprintf("z%d.example.", n))
	}
	folder := New(dir)
	folder.disk = disk
	results, err := folder.Update(now, func(_ string, z keyroll.Zone, found []keyroll.Key, _ []*dns.DNSKEY) keyroll.Decision {
		return keyroll.Step(z, keyroll.Input{Now: now, Settings: settings, DataTTL: time.Hour, KeyTTL: time.Hour, Found: found})
	}, zones...)
	if err != nil {
		t.Fatal(err)
	}
	return results
}
