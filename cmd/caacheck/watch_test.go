package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/test/world"
)

// A watched name that is locked out is notified to the webhook, counted in the metrics, and not notified again by
// the next process with the same state.
func TestWatch(t *testing.T) {
	t.Parallel()
	dir, flags := start(t)
	posted := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posted <- r.Header.Get("Authorization") + " " + string(body)
	}))
	t.Cleanup(hook.Close)
	world.WriteFile(t, filepath.Join(dir, "hook.token"), "secret\n")
	state := filepath.Join(dir, "state")
	args := append([]string{"watch", "www.example.test", "--issuer", "digicert.com", "--listen", "127.0.0.1:0", "--state", state,
		"--webhook", hook.URL, "--webhook-token", filepath.Join(dir, "hook.token")}, flags...)

	t.Run("first", func(t *testing.T) {
		url := started(t, args...)
		text := <-posted
		token, body, _ := strings.Cut(text, " {")
		var message struct {
			Changes []struct {
				Subject, Issuer string
				Now             struct{ Outcome, Reason string }
			}
		}
		if err := json.Unmarshal([]byte("{"+body), &message); err != nil || token != "Bearer secret" || len(message.Changes) == 0 {
			t.Fatalf("%v: %s", err, text)
		}
		if c := message.Changes[len(message.Changes)-1]; c.Subject != "www.example.test" || c.Issuer != "digicert.com" || c.Now.Outcome != "locked out" || c.Now.Reason != "issuer-not-listed" {
			t.Errorf("%+v", message)
		}
		for path, want := range map[string]string{
			"/metrics": `caacheck_verdict{account="",issuer="digicert.com",method="",name="www.example.test",outcome="locked out",type="tls"} 1`,
			"/healthz": "ok",
		} {
			response, err := http.Get(url + path)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
				t.Errorf("%s: %s %s", path, response.Status, body)
			}
		}
	})
	t.Run("second", func(t *testing.T) {
		if text, err := os.ReadFile(filepath.Join(state, "state.json")); err != nil || strings.Count(string(text), "issuer-not-listed") != 2 {
			t.Fatalf("what was notified is not kept: %v\n%s", err, text)
		}
		more := append([]string{}, args...)
		more[1] = "none.example.test" // its lock-out is a change; www is no longer watched
		started(t, more...)
		if text := <-posted; !strings.Contains(text, "none.example.test") || strings.Contains(text, "www.example.test") {
			t.Errorf("notified was %s", text)
		}
	})
}

// Of one world a check and a watch find the same: each request's outcome, and how much must be fixed.
func TestWatchFindsWhatACheckFinds(t *testing.T) {
	t.Parallel()
	dir, flags := start(t)
	notified := make(chan struct{}, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { notified <- struct{}{} }))
	t.Cleanup(hook.Close)
	for _, asked := range []string{
		"www.example.test open.example.test shop.example.test old.example.test slip.example.test store.example.test down.test *.www.example.test",
		// The servers of stale.test name different issuers: without --issuer, whichever is asked first says for whom.
		"www.example.test stale.test --issuer letsencrypt.org --issuer digicert.com --account x:1 --method dns-01",
		"--policy $D/other.yaml",
	} {
		args := append(strings.Fields(strings.ReplaceAll(asked, "$D", dir)), flags...)
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"--json"}, args...), stdio{in: strings.NewReader(""), out: &out, err: &errs})
		var checked struct {
			Names []struct {
				Name     string
				Verdicts []struct{ Issuer, Type, Account, Method, Outcome string }
			}
			Findings []struct{ Severity string }
		}
		if err := json.Unmarshal(out.Bytes(), &checked); err != nil || code == report.ExitUnknown {
			t.Fatalf("%s: %v: exit status %d, %s", asked, err, code, &errs)
		}
		severities := map[string]int{"error": 0, "warning": 0, "info": 0}
		want := []string{fmt.Sprintf("caacheck_names %d", len(checked.Names))}
		for _, n := range checked.Names {
			for _, v := range n.Verdicts {
				want = append(want, fmt.Sprintf("caacheck_verdict{account=%q,issuer=%q,method=%q,name=%q,outcome=%q,type=%q} 1", v.Account, v.Issuer, v.Method, n.Name, v.Outcome, v.Type))
			}
		}
		for _, f := range checked.Findings {
			severities[f.Severity]++
		}
		for severity, n := range severities {
			want = append(want, fmt.Sprintf("caacheck_findings{severity=%q} %d", severity, n))
		}

		t.Run(asked, func(t *testing.T) {
			url := started(t, append([]string{"watch", "--listen", "127.0.0.1:0", "--webhook", hook.URL}, args...)...)
			<-notified // something is wrong in each of these, so that the end of the first run is notified
			response, err := http.Get(url + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.Lines(string(text)) {
				line = strings.TrimSuffix(line, "\n")
				if strings.HasPrefix(line, "caacheck_verdict{") && strings.HasSuffix(line, " 1") || strings.HasPrefix(line, "caacheck_findings{") || strings.HasPrefix(line, "caacheck_names ") {
					got = append(got, line)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("a watch finds\n%s\nand a check\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// What a service logs has names in it that anybody may write into his CAA.
func TestLogOfHostileNames(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logTo(&out)("\x1b[31mca.example\ncaacheck: fine for www.example.test: locked out")
	if got, want := out.String(), "caacheck: \\x1b[31mca.example\\ncaacheck: fine for www.example.test: locked out\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWatchUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	world.WriteFile(t, filepath.Join(dir, "bad.yaml"), "version: 2\n")
	for args, want := range map[string]string{
		"watch":                                                   "no names",
		"watch x.test --json":                                     "caacheck check has it",
		"watch x.test --html x":                                   "caacheck check has it",
		"watch --names -":                                         "--names - is for a single check",
		"watch --policy $D/bad.yaml":                              "bad.yaml:1:10",
		"watch --policy $D/none.yaml":                             "none.yaml",
		"watch x.test --interval 1s":                              "--interval must be at least 1m",
		"watch x.test --webhook example.org":                      "invalid --webhook",
		"watch x.test --alertmanager ftp://x":                     "invalid --alertmanager",
		"watch x.test --webhook-token $D/x":                       "--webhook-token needs --webhook",
		"watch x.test --webhook http://x --webhook-token $D/none": "none",
		"watch x.test --perspectives $D/bad.yaml":                 "bad.yaml:1:10: version must be 1",
		"watch x.test --state $D/bad.yaml":                        "bad.yaml",
		"watch https://x.test/":                                   "is a URL",
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), strings.Fields(strings.ReplaceAll(args, "$D", dir)), stdio{in: strings.NewReader(""), out: &out, err: &errs})
		if code != report.ExitUnknown || !strings.Contains(errs.String(), want) || out.Len() > 0 {
			t.Errorf("caacheck %s: exit status %d, %q, and %q on standard output; want %q", args, code, &errs, &out, want)
		}
	}
}
