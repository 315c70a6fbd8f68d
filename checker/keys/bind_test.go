package keys

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

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

// BIND's keys are shown before they are taken over and after; then BIND's tools read what was written of them, and
// say of the DS and of times what we say.
func TestWithBIND(t *testing.T) {
	t.Parallel()
	const zone = "example.org."
	for name, args := range map[string][][]string{
		"CSK":         {{"-f", "KSK"}},
		"KSK and ZSK": {{"-f", "KSK"}, {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, time.Now().Add(time.Minute), zone) // BIND's clock has made the keys before
			s.set.Split = len(args) > 1
			var bases []string
			for _, a := range args {
				base := strings.TrimSpace(run(t, "dnssec-keygen", append(append([]string{"-q", "-K", s.dir, "-a", "ECDSAP256SHA256"}, a...), zone)...))
				bases = append(bases, filepath.Join(s.dir, base))
			}
			key, err := zonesign.LoadKey(bases[0])
			if err != nil {
				t.Fatal(err)
			}
			s.ds[zone] = []*dns.DS{key.DNSKEY.ToDS(dns.SHA256)}
			text, ds, code := shown(t, s)
			for _, base := range bases {
				id := base[strings.LastIndex(base, ".+")+2:]
				if !strings.Contains(text, "not taken over") || !strings.Contains(text, "    "+id) || !strings.Contains(text, id+"  made, DNSKEY served, signs") {
					t.Errorf("%s is not shown:\n%s", id, text)
				}
			}
			if want := commented(run(t, "dnssec-dsfromkey", "-2", bases[0])); code != 1 || !strings.Contains(ds, want) {
				t.Errorf("exit %d, want %q in\n%s", code, want, ds)
			}

			s.until(6 * time.Hour)
			s.ask(zone, keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.KSK, Urgent: true})
			s.until(6 * time.Hour)
			r := s.report()
			_, ds, code = shown(t, s)
			newest := r.Zones[0].Keys[len(r.Zones[0].Keys)-1]
			base := filepath.Join(s.dir, "Kexample.org.+"+newest.Key.String())
			if want := run(t, "dnssec-dsfromkey", "-2", base); code != 0 || ds != want || newest.Key.Tag == key.Tag() {
				t.Errorf("exit %d\n%s, and BIND says\n%s", code, ds, want)
			}
			for _, k := range r.Zones[0].Keys {
				got := run(t, "dnssec-settime", "-u", "-p", "all", filepath.Join(s.dir, "Kexample.org.+"+k.Key.String()))
				for what, at := range map[string]time.Time{"Created": k.Times.Created, "Publish": k.Times.Publish, "Activate": k.Times.Activate,
					"Inactive": k.Times.Inactive, "Delete": k.Times.Delete, "SYNC Publish": k.Times.SyncPublish, "SYNC Delete": k.Times.SyncDelete} {
					want := what + ": UNSET"
					if !at.IsZero() {
						want = fmt.Sprintf("%s: %d", what, at.Unix())
					}
					if !slices.Contains(strings.Split(got, "\n"), want) {
						t.Errorf("%s: want %q in\n%s", k.Key, want, got)
					}
				}
			}
		})
	}
}

// shown is the zone as text, and its DS with the exit code.
func shown(t *testing.T, s *server) (text, ds string, code int) {
	t.Helper()
	r := s.report()
	checkJSON(t, compile(t), r)
	var out, records bytes.Buffer
	code, err := WriteDS(&records, &r.Zones[0])
	if err == nil {
		err = r.WriteText(&out, true, 80)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), records.String(), code
}

func commented(ds string) string { return "; " + ds }
