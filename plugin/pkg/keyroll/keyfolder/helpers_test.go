package keyfolder

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

const zone = "example.org."

var epoch = time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// server keeps the keys of a zone by a clock of its own, with a parent that follows CDS.
type server struct {
	t       testing.TB
	folder  *Folder
	now     time.Time
	set     keyroll.Settings
	ds      []*dns.DS
	last    *Result // what is served
	changes []string
}

func newServer(t testing.TB, dir string) *server {
	return &server{t: t, folder: New(dir), now: epoch, set: keyroll.DefaultSettings()}
}

func (s *server) decide(_ string, z keyroll.Zone, found []keyroll.Key, keys []*dns.DNSKEY) keyroll.Decision {
	return keyroll.Step(z, keyroll.Input{Now: s.now, Settings: s.set, DataTTL: time.Hour, KeyTTL: time.Hour, Found: found,
		Parent: []keyroll.Observation{keyroll.Observe("a", s.ds, keys), keyroll.Observe("b", s.ds, keys)}})
}

// update runs one Update, serves what comes of it, and lets the parent follow.
func (s *server) update() error {
	if disk, ok := s.folder.disk.(*crashing); ok {
		disk.down = false // it was started again
	}
	results, err := s.folder.Update(s.now, s.decide, zone)
	if err != nil {
		return err
	}
	result := results[zone]
	if result.Err != nil {
		return result.Err
	}
	s.last = result
	for _, c := range result.Changes {
		s.changes = append(s.changes, fmt.Sprintf("%s %s", c.Role, c.To))
	}
	s.check()
	if cds := result.Sets.CDS; len(cds) > 0 || result.Sets.Delete {
		s.ds = nil
		for _, id := range cds {
			ds := result.Keys[id].DNSKEY.ToDS(dns.SHA256)
			ds.Hdr.Ttl = 86400
			s.ds = append(s.ds, ds)
		}
	}
	return nil
}

// check sees that a validator can follow the DS to the data.
func (s *server) check() {
	s.t.Helper()
	sets := s.last.Sets
	for _, id := range slices.Concat(sets.DNSKEY, sets.Apex, sets.Data, sets.CDS) {
		if s.last.Keys[id] == nil || s.last.Keys[id].Signer == nil {
			s.t.Errorf("%s: no key for %s", s.now, id)
		}
	}
	if len(s.ds) == 0 || len(s.last.Refusals) > 0 {
		return
	}
	if !slices.ContainsFunc(sets.Apex, func(id keyroll.ID) bool {
		return slices.ContainsFunc(s.ds, func(ds *dns.DS) bool { return ds.KeyTag == id.Tag && ds.Algorithm == id.Algorithm })
	}) || !slices.ContainsFunc(sets.Data, func(id keyroll.ID) bool { return slices.Contains(sets.DNSKEY, id) }) {
		s.t.Errorf("%s: bogus: DS %v, %+v", s.now, s.ds, sets)
	}
}

// until runs for some time. What fails is tried again a minute later.
func (s *server) until(d time.Duration) {
	s.t.Helper()
	for end := s.now.Add(d); ; {
		wake := s.now.Add(time.Minute)
		if err := s.update(); err == nil {
			wake = s.last.Wake
		} else if !errors.Is(err, errCrash) {
			s.t.Fatal(err)
		}
		if wake.After(end) {
			s.now = end
			return
		}
		s.now = wake
	}
}

// roll asks for an urgent roll.
func (s *server) roll(role keyroll.Role) {
	s.t.Helper()
	s.ask(keyroll.Request{Verb: keyroll.RollKey, Role: role, Urgent: true})
}

func (s *server) ask(r keyroll.Request) keyroll.Request {
	s.t.Helper()
	asked, refused, err := New(s.folder.dir).Ask(zone, s.now, r)
	if err != nil || refused != nil {
		s.t.Fatal(err, refused)
	}
	return asked
}

var errCrash = errors.New("crash")

// crashing is a disk that stops at a write, before or after it is done, and until the server starts again; or it fails
// once.
type crashing struct {
	files
	left   int // writes until then, once
	after  bool
	once   bool
	down   bool
	count  int // steps of writing that were wanted
	placed int // those of them that put a file in place
}

func (c *crashing) stops(do func() error) error {
	c.count++
	if c.down {
		return errCrash
	}
	if c.left--; c.left != -1 {
		return do()
	}
	c.down = !c.once
	if c.after {
		if err := do(); err != nil {
			return err
		}
	}
	return errCrash
}

func (c *crashing) create(path, text string, mode os.FileMode) error {
	return c.stops(func() error { return c.files.create(path, text, mode) })
}

func (c *crashing) rename(from, to string) error {
	c.placed++
	return c.stops(func() error { return c.files.rename(from, to) })
}

func (c *crashing) renameNew(from, to string) error {
	return c.stops(func() error { return c.files.renameNew(from, to) })
}

// open returns a syncer that does nothing: the machine goes on, and loses nothing.
func (c *crashing) open(string) (syncer, error) { return noSyncs{}, nil }

type noSyncs struct{}

func (noSyncs) syncFiles([]string) error { return nil }
func (noSyncs) syncNames() error         { return nil }
func (noSyncs) close()                   {}

func (c *crashing) replace(path, stem, text string, mode os.FileMode) error {
	return c.stops(func() error { return c.files.replace(path, stem, text, mode) })
}

func (c *crashing) remove(path string) error {
	return c.stops(func() error { return c.files.remove(path) })
}

// copyDir copies a folder to where nothing stands, as a backup does.
func copyDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// run runs one of BIND's tools, and skips the test where it is not installed.
func run(t *testing.T, tool string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("%s is missing: install BIND's tools (on Debian: apt-get install bind9-utils)", tool)
	}
	out, err := exec.Command(tool, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", tool, args, err, out)
	}
	return string(out)
}

func glob(t testing.TB, dir, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func wantError(t *testing.T, err error, says ...string) {
	t.Helper()
	for _, text := range says {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want it to say %q", err, text)
		}
	}
}
