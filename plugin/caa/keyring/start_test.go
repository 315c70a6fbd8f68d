package keyring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// BenchmarkFirstStart10000 is a server of 10,000 zones with key auto that starts on an empty folder, looks after the
// keys for the first time, and starts again; the parents answer at once that there is no DS. How many syncs that takes
// is asserted in package keyfolder.
func BenchmarkFirstStart10000(b *testing.B) {
	var zones []*policy.Zone
	for n := range 10000 {
		zones = append(zones, &policy.Zone{Name: fmt.Sprintf("z%d.example.", n)})
	}
	took := map[string]time.Duration{}
	measure := func(what string, f func()) {
		start := time.Now()
		f()
		took[what] += time.Since(start)
	}
	for b.Loop() {
		dir := b.TempDir()
		for _, which := range []string{"first-start", "restart"} {
			ring, err := Open(Config{
				Folder: filepath.Join(dir, "keys"), Record: filepath.Join(dir, "state"+recordSuffix), Covers: func(string) bool { return true },
				TTL: 3600, Largest: func(*policy.Zone) uint32 { return 3600 }, Roll: keyroll.DefaultSettings(), Ask: noDS,
			})
			if err != nil {
				b.Fatal(err)
			}
			measure(which, func() {
				if err := ring.Prepare(b.Context(), zones); err != nil {
					b.Fatal(err)
				}
			})
			for _, zone := range zones {
				if keys, err := ring.Of(zone.Name); err != nil || keys.Set == nil {
					b.Fatal(zone.Name, err)
				}
			}
			measure("look-after-"+which, func() { ring.Look(b.Context()) })
		}
	}
	for what, d := range took {
		b.ReportMetric(d.Seconds()/float64(b.N), what+"-s/op")
	}
}

// A zone that nobody has prepared has no keys, and to ask for them makes none; to ensure it does, unless the caller's
// time is over while others are prepared.
func TestOfReadsAndEnsureActs(t *testing.T) {
	t.Parallel()
	const zone = "example.org."
	dir := filepath.Join(t.TempDir(), "keys")
	ring, err := Open(Config{Folder: dir, Covers: func(string) bool { return true }, TTL: 3600,
		Largest: func(*policy.Zone) uint32 { return 3600 }, Roll: keyroll.DefaultSettings(), Parent: Parent{Off: true}})
	if err != nil {
		t.Fatal(err)
	}
	unknown := func() {
		t.Helper()
		if keys, err := ring.Of(zone); !errors.Is(err, ErrNoKey) {
			t.Errorf("%+v, %v", keys, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the folder of keys: %v", err)
		}
	}
	unknown()
	r := ring.(*rolling)
	if err := r.stepping.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ring.Ensure(over, &policy.Zone{Name: zone}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	unknown()
	r.stepping.Release(1)
	ensured, err := ring.Ensure(t.Context(), &policy.Zone{Name: zone})
	if err != nil || ensured.Set == nil {
		t.Fatalf("%+v, %v", ensured, err)
	}
	if keys, err := ring.Of(zone); err != nil || keys != ensured {
		t.Errorf("%+v, %v; want %+v", keys, err, ensured)
	}
}
