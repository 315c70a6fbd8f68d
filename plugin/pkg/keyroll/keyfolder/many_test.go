package keyfolder

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

// Many zones share a folder: each has its keys and its errors, and a name that is the beginning of another is
// not taken for it.
func TestManyZones(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	zones := []string{"org.", "example.org.", "ample.org.", "example.org.uk.", "0/25.2.0.192.in-addr.arpa.", `a\.b.example.`, "."}
	for n := range 50 {
		zones = append(zones, fmt.Sprintf("z%d.example.", n))
	}
	folder := New(dir)
	step := func(at time.Duration) map[string]*Result {
		t.Helper()
		results, err := folder.Update(epoch.Add(at), func(_ string, z keyroll.Zone, found []keyroll.Key, _ []*dns.DNSKEY) keyroll.Decision {
			return keyroll.Step(z, keyroll.Input{Now: epoch.Add(at), Settings: keyroll.DefaultSettings(), DataTTL: time.Hour, KeyTTL: time.Hour, Found: found})
		}, zones...)
		if err != nil {
			t.Fatal(err)
		}
		return results
	}
	first := step(0)
	again := step(time.Minute)
	for _, zone := range zones {
		was, is := first[zone], again[zone]
		if was.Err != nil || is.Err != nil || len(is.Sets.DNSKEY) != 1 || was.Sets.DNSKEY[0] != is.Sets.DNSKEY[0] || is.Keys[is.Sets.DNSKEY[0]].DNSKEY.Hdr.Name != dns.CanonicalName(zone) {
			t.Errorf("%s: %+v, then %+v", zone, was, is)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "Kexample.org.keyroll"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for zone, result := range step(2 * time.Minute) {
		if (result.Err != nil) != (zone == "example.org.") {
			t.Errorf("%s: %v", zone, result.Err)
		}
	}
}

// What a crash left half-written goes.
func TestHalfWrittenFilesGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newServer(t, dir)
	if err := s.update(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".new-Kexample.org.+123", ".new-Kexample.net.+123"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.update(); err != nil {
		t.Fatal(err)
	}
	if left := glob(t, dir, ".new-*"); len(left) != 1 || !strings.Contains(left[0], "example.net") {
		t.Errorf("left: %q", left)
	}
}

func BenchmarkUpdate(b *testing.B) {
	dir := b.TempDir()
	folder := New(dir)
	var zones []string
	for n := range 1000 {
		zones = append(zones, fmt.Sprintf("z%d.example.", n))
	}
	for b.Loop() {
		if _, err := folder.Update(epoch, func(_ string, z keyroll.Zone, found []keyroll.Key, _ []*dns.DNSKEY) keyroll.Decision {
			return keyroll.Step(z, keyroll.Input{Now: epoch, Settings: keyroll.DefaultSettings(), DataTTL: time.Hour, KeyTTL: time.Hour, Found: found})
		}, zones...); err != nil {
			b.Fatal(err)
		}
	}
}
