package e2e

import (
	"bytes"
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/keys"
	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/test/world"
)

var dsRecord = regexp.MustCompile(`example\.org\. .*IN DS .*`)

// What the server logs of the DS that belong at the parent is what `caacheck keys ds` says of the same folder, at every
// moment: of a zone's first key, of keys that BIND's dnssec-keygen made (whose files have no TTL), and while keys roll,
// go insecure and come back.
func TestLogSaysWhatCaacheckSays(t *testing.T) {
	t.Parallel()
	const zone, pace = "example.org.", 3 * time.Hour
	csk := []string{"-L", "0", "-f", "KSK", "-a", "ECDSAP256SHA256"} // -L 0: no TTL in the file
	for name, c := range map[string]struct {
		keygen [][]string // arguments for each key of BIND that is taken over
		split  bool
	}{
		"a new zone":               {},
		"a new zone, split":        {split: true},
		"BIND's CSK":               {keygen: [][]string{csk}},
		"BIND's KSK and ZSK":       {keygen: [][]string{csk, {"-L", "0", "-a", "ECDSAP256SHA256"}}, split: true},
		"BIND's two CSK":           {keygen: [][]string{csk, csk}},
		"BIND's CSK, with a TTL":   {keygen: [][]string{append(slices.Clone(csk), "-L", "7200")}},
		"BIND's CSK, used later":   {keygen: [][]string{append(slices.Clone(csk), "-P", "+1d", "-A", "+1d")}},
		"BIND's CSK, to be split":  {keygen: [][]string{csk}, split: true},
		"BIND's KSK by RSA, joins": {keygen: [][]string{{"-L", "0", "-f", "KSK", "-a", "RSASHA256"}, {"-L", "0", "-a", "RSASHA256"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, args := range c.keygen {
				keygen(t, dir, args...)
			}
			now := time.Now()
			var has []*dns.DS
			settings := keyroll.DefaultSettings()
			settings.Split, settings.BackupAge = c.split, 0
			settings.Propagation, settings.Heartbeat, settings.Poll = 5*time.Hour, pace, pace
			ring, err := keyring.Open(keyring.Config{Folder: dir, Covers: func(string) bool { return true }, TTL: 3600,
				Largest: func(*policy.Zone) uint32 { return 3600 }, Roll: settings, Now: func() time.Time { return now },
				Ask: func(context.Context, []string) map[string][]keyroll.Observation {
					return map[string][]keyroll.Observation{zone: {keyroll.Observe("a.nic.example", has, nil)}}
				}})
			must(t, err)
			p := &policy.Zone{Name: zone}
			must(t, ring.Prepare(t.Context(), []*policy.Zone{p}))
			var advised []string // the first word of each advice that was logged
			look := func(d time.Duration) {
				for end := now.Add(d); now.Before(end); now = now.Add(pace) {
					ring.Look(t.Context())
					served, err := ring.Of(zone)
					must(t, err)
					logged := strings.Join(served.Publish(), "\n")
					report, err := keys.FromFolder(dir, now, zone)
					must(t, err)
					var out bytes.Buffer
					code, err := keys.WriteDS(&out, &report.Zones[0])
					must(t, err)
					shown := out.String()
					fromLog, fromFolder := dsRecord.FindAllString(logged, -1), dsRecord.FindAllString(shown, -1)
					if strings.HasPrefix(logged, "Leave ") {
						fromFolder = nil // in comments
					}
					slices.Sort(fromLog)
					slices.Sort(fromFolder)
					if now := strings.Contains(logged, "Publish at the parent: "); now != (code == 0 && len(fromFolder) > 0) || !slices.Equal(fromLog, fromFolder) || strings.Contains(logged, " 0 IN DS ") {
						t.Fatalf("the log says\n%s\ncaacheck keys ds, exit %d,\n%s", logged, code, shown)
					}
					if advice, _, _ := strings.Cut(logged, " "); len(advised) == 0 || advised[len(advised)-1] != advice {
						advised = append(advised, advice)
					}
					if code == 0 { // the parent publishes the DS as advised
						has = nil
						for _, text := range fromFolder {
							rr, err := dns.NewRR(text)
							must(t, err)
							has = append(has, rr.(*dns.DS))
						}
					}
				}
			}
			ask := func(r keyroll.Request) {
				t.Helper()
				if _, refused, err := keyfolder.New(dir).Ask(zone, now, r); err != nil || refused != nil {
					t.Fatal(err, refused)
				}
			}
			look(5 * 24 * time.Hour)
			ask(keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.KSK, Urgent: true})
			look(5 * 24 * time.Hour)
			ask(keyroll.Request{Verb: keyroll.GoInsecure})
			look(5 * 24 * time.Hour)
			ask(keyroll.Request{Verb: keyroll.ComeBack})
			look(24 * time.Hour)
			now = now.Add(30 * 24 * time.Hour) // the server stood still
			look(24 * time.Hour)
			t.Log(advised)
			if !slices.Contains(advised, "Publish") || !slices.Contains(advised, "Leave") || len(advised) < 5 {
				t.Errorf("not much was compared: %q", advised)
			}
		})
	}
}

// The same by the log of a real server that takes over a key of BIND whose DS the parent has: it does not say to
// publish anything while nobody knows what caches have.
func TestTakenOverKeyIsNotPublished(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keygen(t, dir, "-L", "0", "-f", "KSK", "-a", "ECDSAP256SHA256")
	server := world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml {
        key auto `+dir+`
    }
}
`, map[string]string{"policy.yaml": policyOnly})
	server.WaitLog(t, "Leave the parent's DS of example.org unchanged")
	if log := server.Log(); strings.Contains(log, "Publish at the parent") {
		t.Errorf("it says to publish\n%s", log)
	}
	report, err := keys.FromFolder(dir, time.Now(), "example.org.")
	must(t, err)
	var out bytes.Buffer
	if code, err := keys.WriteDS(&out, &report.Zones[0]); err != nil || code != 1 || !strings.Contains(out.String(), "Leave the parent's DS of example.org unchanged") {
		t.Errorf("caacheck keys ds: exit %d, %v\n%s", code, err, out.String())
	}
}
