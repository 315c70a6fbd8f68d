package keyring

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// openRing opens rolling keys in a folder.
func openRing(t *testing.T, cfg Config) *rolling {
	t.Helper()
	cfg.Covers, cfg.TTL, cfg.Roll = func(string) bool { return true }, 3600, keyroll.DefaultSettings()
	cfg.Largest = func(*policy.Zone) uint32 { return 3600 }
	ring, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return ring.(*rolling)
}

func zonesNamed(names ...string) (zones []*policy.Zone) {
	for _, name := range names {
		zones = append(zones, &policy.Zone{Name: name})
	}
	return zones
}

// foreignDS is a parent with a DS of a key that nobody has.
func foreignDS(_ context.Context, zones []string) map[string][]keyroll.Observation {
	observed := map[string][]keyroll.Observation{}
	for _, zone := range zones {
		ds := &dns.DS{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeDS, Class: dns.ClassINET}, KeyTag: 1, Algorithm: dns.ECDSAP256SHA256, DigestType: dns.SHA256, Digest: strings.Repeat("00", 32)}
		observed[zone] = []keyroll.Observation{{Server: "192.0.2.1", Others: []*dns.DS{ds}}}
	}
	return observed
}

// Two blocks prepare the zones of one keyring at once, of which it refuses one: each learns that.
func TestPrepareAtOnce(t *testing.T) {
	t.Parallel()
	const zone = "example.org."
	var asked atomic.Int32
	first, second := make(chan struct{}), make(chan struct{})
	r := openRing(t, Config{Folder: filepath.Join(t.TempDir(), "keys"), Ask: func(ctx context.Context, zones []string) map[string][]keyroll.Observation {
		if !slices.Contains(zones, zone) {
			return noDS(ctx, zones)
		}
		switch asked.Add(1) {
		case 1:
			close(first)
			select { // until the other one asks, which it does if they do not wait for each other
			case <-second:
			case <-time.After(100 * time.Millisecond):
			}
		case 2:
			close(second)
		}
		return foreignDS(ctx, zones)
	}})
	if err := r.Prepare(t.Context(), zonesNamed("served.example.")); err != nil {
		t.Fatal(err)
	}
	r.Retain([]string{"served.example."})
	done := make(chan error, 2)
	go func() { done <- r.Prepare(t.Context(), zonesNamed(zone)) }()
	<-first
	go func() { done <- r.Prepare(t.Context(), zonesNamed(zone)) }()
	for range 2 {
		if err := <-done; err == nil || !strings.Contains(err.Error(), zone[:len(zone)-1]+" is not served") {
			t.Errorf("%v", err)
		}
	}
}

// Zones that are refused before anything of the keyring is served do not keep the server from starting, although another
// block prepared one for a policy that came to nothing.
func TestPrepareBeforeTheStart(t *testing.T) {
	t.Parallel()
	r := openRing(t, Config{Folder: filepath.Join(t.TempDir(), "keys"), Ask: foreignDS})
	for _, zone := range []string{"a.example.", "b.example."} {
		if err := r.Prepare(t.Context(), zonesNamed(zone)); err != nil {
			t.Fatal(err)
		}
		if keys, err := r.Of(zone); err != nil || keys.Refused == nil {
			t.Errorf("%+v, %v", keys, err)
		}
	}
	r.Retain([]string{"a.example.", "b.example."})
	if err := r.Prepare(t.Context(), zonesNamed("c.example.")); err == nil {
		t.Error("a zone that came with a reload is not refused")
	}
}

// While the parent is asked for a zone that is to start with new keys, the zone may go, and come again.
func TestStartNewOfAZoneThatGoes(t *testing.T) {
	t.Parallel()
	const zone = "z0.example."
	for _, comes := range []bool{false, true} {
		var during func()
		r, now := lostZones(t, 1, func(ctx context.Context, zones []string) map[string][]keyroll.Observation {
			if during != nil {
				during()
			}
			return noDS(ctx, zones)
		})
		r.mu.Lock()
		r.zones[zone].keys, r.zones[zone].held = nil, nil // as after a start
		r.mu.Unlock()
		during = func() {
			during = nil
			r.Retain(nil)
			r.Retain(nil)
			if comes {
				r.meet(&policy.Zone{Name: zone})
			}
		}
		e := keyfolder.Errand{Verb: keyfolder.StartNew, Zone: zone}
		e, err := r.folder.Send(e, *now)
		if err != nil {
			t.Fatal(err)
		}
		if done, _ := r.startNew(t.Context(), &e); !done {
			t.Error("it is left to another server")
		}
		if comes != (len(e.Zones) == 1) || comes == (len(e.Failed) == 1) {
			t.Errorf("comes %v: %+v", comes, e)
		}
		if _, err := r.Of(zone); comes != (err == nil) {
			t.Errorf("comes %v: %v", comes, err)
		}
	}
}

// Where nobody is asked for a DS and no record is kept, the keyring that CoreDNS makes when it loads its Corefile again
// serves on with the keys that the earlier one holds in memory, whatever became of the folder or of its path.
func TestTakesOverWithoutARecord(t *testing.T) {
	t.Parallel()
	const zone = "example.org."
	for _, what := range []string{"the same", "emptied", "gone", "another path", "another path, which is made"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "keys")
			open := func(folder string) *rolling {
				r := openRing(t, Config{Folder: folder, Parent: Parent{Off: true}})
				if err := r.Prepare(t.Context(), zonesNamed(zone)); err != nil {
					t.Fatal(err)
				}
				r.Retain([]string{zone})
				return r
			}
			before := open(dir)
			defer running.add(before)()
			folder := dir
			switch what {
			case "emptied":
				for _, err := range []error{os.RemoveAll(dir), os.Mkdir(dir, 0o700)} {
					if err != nil {
						t.Fatal(err)
					}
				}
			case "gone":
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			case "another path, which is made":
				if err := os.Mkdir(dir+"2", 0o700); err != nil {
					t.Fatal(err)
				}
				folder += "2"
			case "another path":
				folder += "2"
			}
			after := open(folder)
			was, err := before.Of(zone)
			if err != nil {
				t.Fatal(err)
			}
			is, err := after.Of(zone)
			if err != nil || is.Refused != nil || !is.Same(was) {
				t.Errorf("the keys are replaced: %+v, %v", is, err)
			}
			if lost := len(after.Status()[zone].Problems) > 0; lost != (what != "the same") {
				t.Errorf("problems: %v", after.Status()[zone])
			}
		})
	}
}

// The refusal of a request is its answer, and no problem of the zone.
func TestRefusedRequestIsNoTrouble(t *testing.T) {
	t.Parallel()
	const zone = "example.org."
	now := time.Now()
	r := openRing(t, Config{Folder: filepath.Join(t.TempDir(), "keys"), Ask: noDS, Now: func() time.Time { return now }})
	if err := r.Prepare(t.Context(), zonesNamed(zone)); err != nil {
		t.Fatal(err)
	}
	request := keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.CSK}
	if _, refused, err := r.folder.Ask(zone, now.Add(-24*time.Hour), request); err != nil || refused != nil {
		t.Fatal(refused, err)
	}
	if _, err := r.step(t.Context(), []string{zone}, nil); err != nil {
		t.Fatal(err)
	}
	if len(r.zones[zone].last.Refusals) == 0 {
		t.Fatal("it was not refused")
	}
	if s := r.Status()[zone]; len(s.Problems) > 0 || len(s.Messages) > 0 {
		t.Errorf("%v %q", s.Problems, s.Messages)
	}
}
