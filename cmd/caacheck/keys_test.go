package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
)

// keyFolder is a folder in which zones were served for some hours until now.
func keyFolder(t *testing.T, zones ...string) string {
	t.Helper()
	dir := t.TempDir()
	for now := time.Now().Add(-3 * time.Hour); now.Before(time.Now()); now = now.Add(25 * time.Minute) {
		stepKeys(t, dir, now, zones...)
	}
	return dir
}

// stepKeys is a server that looks once at its folder, below a parent without DS.
func stepKeys(t *testing.T, dir string, now time.Time, zones ...string) {
	t.Helper()
	if _, err := keyfolder.New(dir).Update(now, func(_ string, z keyroll.Zone, found []keyroll.Key, _ []*dns.DNSKEY) keyroll.Decision {
		return keyroll.Step(z, keyroll.Input{Now: now, Settings: keyroll.DefaultSettings(), DataTTL: time.Hour, KeyTTL: time.Hour, Found: found, Parent: []keyroll.Observation{{Server: "a"}}})
	}, zones...); err != nil {
		t.Fatal(err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	_, world := start(t)
	dir := keyFolder(t, "example.org.", "example.net.")
	broken := keyFolder(t, "example.org.")
	state := filepath.Join(broken, "Kexample.org.keyroll")
	if err := os.WriteFile(state, []byte(`{"version": 2, "zone": "example.org."}`), 0o600); err != nil {
		t.Fatal(err)
	}
	bind := keyFolder(t, "example.org.")
	if err := os.Remove(filepath.Join(bind, "Kexample.org.keyroll")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args string // $D is a folder with two zones, $B one with a newer state, $K one without
		code int
		out  []string
		err  string
	}{
		{args: "$D", code: 0, out: []string{"example.net  signed", "example.org  signed", "CSK   ready", "2 zones"}},
		{args: "$D example.org", code: 0, out: []string{"example.org  signed", "time line (UTC)", "waits for every server of the parent to have its DS", "▶"}},
		{args: "$D example.org example.net", code: 0, out: []string{"2 zones"}},
		{args: "--json $D EXAMPLE.ORG.", code: 0, out: []string{`"zone": "example.org"`, `"state": "ready"`, `"in_ds": "nowhere"`}},
		{args: "ds $D example.org", code: 0, out: []string{"example.org. IN DS ", " 13 2 "}},
		{args: "roll $D example.org --wait 1ms", code: 2, out: []string{"No server has answered the request to roll the CSK yet", "cancel", "not yet read by a server"}},
		{args: "cancel $D example.org --wait 1ms", code: 0, out: []string{"canceled: roll the CSK"}},
		{args: "cancel $D example.net", code: 0, out: []string{"canceled: there was no request"}},
		{args: "roll --zsk $D example.org", code: 1, out: []string{"refused to roll the ZSK: the zone has no such key"}},
		{args: "roll --zsk --json $D example.org", code: 1, out: []string{`"result": "refused"`, `"code": "no-such-key"`}},
		{args: "retire $D example.org 013+00000", code: 1, out: []string{"refused to retire 013+00000"}},
		{args: "restore $D --wait 1ms", code: 2, out: []string{"No server has answered the request to write the keys held in memory; it is canceled"}},
		{args: "restore --json $D example.org --wait 1ms", code: 2, out: []string{`"result": "unanswered"`}},
		{args: "new $D example.org --wait 1ms", code: 2, out: []string{"No server has answered the request to start with new keys"}},
		{args: "--help", code: 0, out: []string{"caacheck keys FOLDER [ZONE...]", "keys ds", "Exit status"}},
		{args: "$K", code: 0, out: []string{"example.org  not taken over", "CSK   -"}},
		{args: "$B", code: 2, out: []string{"version 2", "use the version"}},
		{args: "example.test $W", code: 0, out: []string{"example.test  signed", "DNSKEY, DS"}},
		{args: "www.example.test $W", code: 2, out: []string{"it is a name in the zone example.test"}},

		{args: "", code: 2, err: "usage: caacheck keys FOLDER [ZONE...] or caacheck keys ZONE..."},
		{args: "$D/nowhere", code: 2, err: "no such file"},
		{args: "$D/.lock", code: 2, err: "is not a folder"},
		{args: "$D example.com", code: 2, err: "the zone has no keys"},
		{args: "$D a..b", code: 2, err: "is not a domain name"},
		{args: "a..b $W", code: 2, err: "is not a domain name"},
		{args: "ds $D", code: 2, err: "usage: caacheck keys ds FOLDER ZONE"},
		{args: "ds $D example.com", code: 2, err: "the zone has no keys"},
		{args: "ds $D/nowhere example.org", code: 2, err: "no such file"},
		{args: "roll $D/nowhere example.org", code: 2, err: "no such file"},
		{args: "restore", code: 2, err: "usage: caacheck keys restore FOLDER [ZONE...]"},
		{args: "restore $D/nowhere", code: 2, err: "no such file"},
		{args: "restore $D a..b", code: 2, err: "is not a domain name"},
		{args: "new $D", code: 2, err: "usage: caacheck keys new FOLDER ZONE"},
		{args: "roll $D example.com", code: 2, err: "the zone has no keys"},
		{args: "roll $B example.org", code: 2, err: "version 2"},
		{args: "roll $K example.org", code: 2, err: "no server uses the zone's keys yet"},
		{args: "roll $D example.org --ksk --zsk", code: 2, err: "--zsk must be the only one of --ksk, --zsk and --csk"},
		{args: "retire $D example.org", code: 2, err: "usage: caacheck keys retire FOLDER ZONE KEY"},
		{args: "retire $D example.org 12345", code: 2, err: "013+12345"},
		{args: "retire $D example.org 013+12345 --urgent", code: 2, err: "caacheck keys roll has it"},
		{args: "$D --nonsense", code: 2, err: "caacheck keys --help"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			args := strings.Fields(strings.NewReplacer("$D", dir, "$B", broken, "$K", bind, "$W", strings.Join(world, " ")).Replace(tt.args))
			code, out, stderr := caacheck(t, "", append([]string{"keys"}, args...)...)
			if code != tt.code {
				t.Errorf("exit %d, want %d", code, tt.code)
			}
			for _, want := range tt.out {
				if !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(want), " ")) {
					t.Errorf("the output lacks %q", want)
				}
			}
			if !strings.Contains(stderr, tt.err) || (tt.err == "") != (stderr == "") || tt.err != "" && out != "" {
				t.Errorf("standard error %q, want %q", stderr, tt.err)
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.keyrequest")); err != nil || len(left) > 0 {
		t.Errorf("requests are left: %q, %v", left, err)
	}
	for _, path := range []string{filepath.Join(dir, "nowhere"), filepath.Join(dir, "Kexample.com.keyroll")} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s was made", path)
		}
	}
	for _, verb := range []string{"insecure", "secure"} {
		if code, out, _ := caacheck(t, "", "keys", verb, dir, "example.net", "--wait", "1ms"); code != 2 || !strings.Contains(out, "not yet read by a server") {
			t.Errorf("%s: exit %d\n%s", verb, code, out)
		}
	}
	stepKeys(t, dir, time.Now(), "example.net.")
	if code, out, _ := caacheck(t, "", "keys", dir, "example.net"); code != 0 || !strings.Contains(out, "accepted at") || strings.Contains(out, "not yet read by a server") {
		t.Errorf("exit %d\n%s", code, out)
	}
}
