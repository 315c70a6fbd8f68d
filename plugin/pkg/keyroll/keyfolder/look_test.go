package keyfolder

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

// What is seen of a folder is what its server decided.
func TestLook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := New(dir)
	zones := []string{".", "example.org.", "ample.org.", "0/25.2.0.192.in-addr.arpa.", `a\.b.example.`, `\000\127.example.`, `%2e.example.`}
	decide := func(_ string, z keyroll.Zone, found []keyroll.Key, _ []*dns.DNSKEY) keyroll.Decision {
		return keyroll.Step(z, keyroll.Input{Now: epoch, Settings: keyroll.DefaultSettings(), DataTTL: time.Hour, KeyTTL: time.Hour, Found: found})
	}
	results, err := folder.Update(epoch, decide, zones...)
	if err != nil {
		t.Fatal(err)
	}
	views, err := folder.Look(epoch)
	if err != nil || len(views) != len(zones) {
		t.Fatalf("%v, %+v", err, views)
	}
	for _, v := range views {
		r := results[v.Zone]
		if r == nil || v.Err != nil || !v.Served() || v.State.Keys[0].ID != r.Zone.Keys[0].ID || v.Report == nil || len(v.Found)+len(v.Lost) > 0 {
			t.Errorf("%+v, where the server has %+v", v, r)
			continue
		}
		if id := v.State.Keys[0].ID; v.Public[id] == nil || v.Public[id].PublicKey != r.Keys[id].DNSKEY.PublicKey {
			t.Errorf("%s: %v", v.Zone, v.Public)
		}
	}
	one, err := folder.Look(epoch, `a\046b.example.`)
	if err != nil || len(one) != 1 || one[0].Zone != `a\.b.example.` || one[0].Err != nil {
		t.Errorf("%v, %+v", err, one)
	}
}

// Keys that BIND made are seen before any server has taken them over, with their times.
func TestLookAtBINDsKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run(t, "dnssec-keygen", "-q", "-K", dir, "-a", "ECDSAP256SHA256", "-f", "KSK", "-P", "20260101000000", "-A", "20260102000000", zone)
	run(t, "dnssec-keygen", "-q", "-K", dir, "-a", "ECDSAP256SHA256", "-P", "20260103000000", "-A", "20260104000000", zone)
	views, err := New(dir).Look(epoch, zone)
	if err != nil || len(views) != 1 || views[0].Err != nil || views[0].Served() || len(views[0].Found) != 2 {
		t.Fatalf("%v, %+v", err, views)
	}
	for i, want := range []struct {
		role               keyroll.Role
		published, actives int // days of January
	}{{keyroll.KSK, 1, 2}, {keyroll.ZSK, 3, 4}} {
		k := views[0].Found[i]
		if k.Role != want.role || k.Times.Publish.Day() != want.published || k.Times.Activate.Day() != want.actives || k.Times.Created.IsZero() {
			t.Errorf("%+v", k)
		}
	}
}

func TestLookReportsErrors(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "nowhere")
	if _, err := New(dir).Look(epoch); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	dir = t.TempDir()
	s := newServer(t, dir)
	s.until(day)
	state, key := filepath.Join(dir, "Kexample.org.keyroll"), glob(t, dir, "K*.key")[0]
	_, err := New(state).Look(epoch)
	wantError(t, err, state, "not a folder")
	_, err = New(dir).Look(epoch, "example.net.")
	wantError(t, err, "example.net.", dir, ErrNoZone.Error())
	for name, c := range map[string]struct {
		path, text, says string
	}{
		"a damaged state":     {state, `{"version": 1`, "backup"},
		"a newer state":       {state, `{"version": 2, "zone": "example.org."}`, "version 2"},
		"a damaged key":       {key, "example.org. IN A 192.0.2.1", "but must have one DNSKEY"},
		"a key without times": {key, "; Publish: tomorrow\nexample.org. IN DNSKEY 257 3 13 AAAA", "dnssec-settime"},
	} {
		before, err := os.ReadFile(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		views, err := New(dir).Look(epoch)
		if err != nil || len(views) != 1 || views[0].Err == nil || !strings.Contains(views[0].Err.Error(), c.says) {
			t.Errorf("%s: %v, %+v", name, err, views)
		}
		if err := os.WriteFile(c.path, before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(strings.TrimSuffix(key, ".key") + ".private"); err != nil {
		t.Fatal(err)
	}
	if views, err := New(dir).Look(epoch); err != nil || !slices.Equal(views[0].Lost, []keyroll.ID{s.last.Zone.Keys[0].ID}) {
		t.Errorf("%v, %+v", err, views)
	}
}
