package keyfolder

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile/regularfiletest"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// What is held is written byte for byte as BIND reads it, with its times, by every algorithm; what differs is put
// aside, and what is whole is left.
func TestRestore(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []uint8{8, 13, 15} {
		for name, damage := range map[string]func(dir string) error{
			"all is there":         func(string) error { return nil },
			"the folder is gone":   os.RemoveAll,
			"a half is cut":        func(dir string) error { return os.Truncate(glob(t, dir, "K*.private")[0], 10) },
			"a half is missing":    func(dir string) error { return os.Remove(glob(t, dir, "K*.key")[0]) },
			"the state is damaged": func(dir string) error { return os.Truncate(glob(t, dir, "K*.keyroll")[0], 10) },
			"another's key in its place": func(dir string) error {
				key, err := zonesign.NewKey(zone, algorithm, true, func(uint16) bool { return false })
				if err != nil {
					return err
				}
				private, public := key.Files()
				return errors.Join(os.WriteFile(glob(t, dir, "Kexample.org.*.private")[0], []byte(private), 0o600),
					os.WriteFile(filepath.Join(dir, "K"+key.String()+".key"), []byte(public), 0o644))
			},
		} {
			dir := filepath.Join(t.TempDir(), "keys")
			s := newServer(t, dir)
			s.set.Algorithm = algorithm
			s.until(day)
			before := texts(t, dir)
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			damaged := texts(t, dir)
			done, err := s.folder.Restore(s.now, map[string]*Held{zone: s.last.Held})
			if err != nil || done[zone].Err != nil {
				t.Fatal(name, err, done[zone].Err)
			}
			if wrote := name != "all is there"; done[zone].Wrote != wrote {
				t.Errorf("%s: wrote is %v", name, done[zone].Wrote)
			}
			after := texts(t, dir)
			for path, text := range before {
				if got := after[path]; got != text && !strings.HasSuffix(path, ".keyroll") {
					t.Errorf("%d, %s: %s has\n%s\nwant\n%s", algorithm, name, path, got, text)
				}
			}
			for path, text := range damaged {
				kept := false
				for _, other := range after {
					kept = kept || other == text
				}
				if !kept {
					t.Errorf("%s: what was at %s is overwritten", name, path)
				}
			}
			for _, path := range glob(t, dir, "*.private*") {
				if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v %v", path, info.Mode(), err)
				}
			}
			again := newServer(t, dir)
			again.now, again.ds, again.set = s.now, s.ds, s.set
			if err := again.update(); err != nil || len(again.last.Sets.DNSKEY) != 1 || again.last.Sets.DNSKEY[0] != s.last.Sets.DNSKEY[0] {
				t.Errorf("%s: after a restart %v, %v", name, again.last, err)
			}
		}
	}
}

// texts are the contents of a folder's files of keys.
func texts(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, path := range glob(t, dir, "K*") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(text)
	}
	return all
}

// A request without a state is read once by a server and answered in its place.
func TestErrands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := New(dir)
	waiting := func(now time.Time) int { return len(folder.Errands(folder.Watch().Look(), now)) }
	e, err := folder.Send(Errand{Verb: StartNew, Zone: zone}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Send(Errand{Verb: StartNew, Zone: zone}, epoch); err == nil {
		t.Error("two at once")
	}
	if _, err := folder.Send(Errand{Verb: Restore}, epoch); err != nil || waiting(epoch) != 2 {
		t.Errorf("%v, %d wait", err, waiting(epoch))
	}
	if waiting(epoch.Add(2*time.Hour)) != 0 {
		t.Error("old ones wait")
	}
	e.Refused = &keyroll.Refusal{Code: keyroll.DSAtParent, Servers: []string{"a"}}
	if err := folder.Reply(e, epoch.Add(time.Second), true); err != nil || waiting(epoch) != 1 {
		t.Errorf("%v, %d wait", err, waiting(epoch))
	}
	is, err := folder.Answer(e)
	if err != nil || is.Refused == nil || is.Refused.Code != keyroll.DSAtParent || is.Answered.IsZero() {
		t.Errorf("%+v, %v", is, err)
	}
	if err := folder.Remove(e); err != nil {
		t.Error(err)
	}
	if _, err := folder.Answer(e); err == nil {
		t.Error("an answer that is gone")
	}
	for _, text := range []string{"", "{", `{"version": 9}`, `[]`} {
		path := filepath.Join(dir, "Kexample.org.keyrequest")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if n := waiting(epoch); n != 1 {
			t.Errorf("%q: %d wait", text, n)
		}
	}
}

func TestFilesAreRegular(t *testing.T) {
	t.Parallel()
	regularfiletest.Refuses(t, "Kexample.org."+stateSuffix, maxState, func(_, path string) error {
		_, err := readState(path, "example.org.")
		return err
	})
	regularfiletest.Refuses(t, allZones, maxErrand, func(_, path string) error {
		_, err := readErrand(path)
		return err
	})
}
