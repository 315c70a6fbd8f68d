package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/test/world"
)

// A watched name that is locked out is told to the webhook, counted in the metrics, and not told again by
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
			t.Fatalf("what was told is not kept: %v\n%s", err, text)
		}
		more := append([]string{}, args...)
		more[1] = "none.example.test" // its lock-out is news, and www's, which is not watched any more, is none
		started(t, more...)
		if text := <-posted; !strings.Contains(text, "none.example.test") || strings.Contains(text, "www.example.test") {
			t.Errorf("told was %s", text)
		}
	})
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
		"watch x.test --json":                                     "no report",
		"watch x.test --html x":                                   "no report",
		"watch --names -":                                         "standard input",
		"watch --policy $D/bad.yaml":                              "bad.yaml:1:10",
		"watch --policy $D/none.yaml":                             "none.yaml",
		"watch x.test --interval 1s":                              "1m0s at least",
		"watch x.test --webhook example.org":                      "--webhook is a URL",
		"watch x.test --alertmanager ftp://x":                     "--alertmanager is a URL",
		"watch x.test --webhook-token $D/x":                       "nobody to show it to",
		"watch x.test --webhook http://x --webhook-token $D/none": "none",
		"watch x.test --perspectives $D/bad.yaml":                 "bad.yaml:1:10: version is 1",
		"watch x.test --state $D/bad.yaml":                        "bad.yaml",
		"watch https://x.test/":                                   "is a URL",
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), strings.Fields(strings.ReplaceAll(args, "$D", dir)), stdio{strings.NewReader(""), &out, &errs})
		if code != report.ExitUnknown || !strings.Contains(errs.String(), want) || out.Len() > 0 {
			t.Errorf("caacheck %s: exit status %d, %q, and %q on standard output; want %q", args, code, &errs, &out, want)
		}
	}
}
