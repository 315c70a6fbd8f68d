package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/test/world"
)

// saw is a report: `name issuer outcome`, `!subject code` for an error, and `interrupted`.
func saw(text string) *report.Report {
	r := &report.Report{Version: 1, Complete: true}
	outcomes := map[string]verdict.Outcome{"may": verdict.MayIssue, "risk": verdict.AtRisk, "locked": verdict.LockedOut, "unknown": verdict.Unknown}
	for _, line := range strings.Split(text, ",") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "interrupted":
			r.Complete = false
		case strings.HasPrefix(words[0], "!"):
			r.Findings = append(r.Findings, report.Finding{Finding: finding.Finding{Subject: words[0][1:], Code: words[1], Severity: finding.Error}})
		default:
			i := slices.IndexFunc(r.Names, func(n report.Name) bool { return n.Name == words[0] })
			if i < 0 {
				i = len(r.Names)
				r.Names = append(r.Names, report.Name{Name: words[0]})
			}
			if len(words) == 3 {
				r.Names[i].Verdicts = append(r.Names[i].Verdicts, report.Verdict{Issuer: words[1], Outcome: outcomes[words[2]], Reason: "r"})
			}
		}
	}
	return r
}

// Each run, and what is told after it.
func TestWhatIsTold(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		runs []string // what was seen -> what is told, and `?` for telling fails
	}{
		{"all is well", []string{"a ca may ->", "a ca may ->"}},
		{"wrong from the beginning", []string{"a ca locked -> a ca fine>locked out", "a ca locked ->"}},
		{"locked out, and mended", []string{"a ca may ->", "a ca locked -> a ca may issue>locked out", "a ca locked ->", "a ca may -> a ca locked out>may issue", "a ca may ->"}},
		{"from bad to worse", []string{"a ca risk -> a ca fine>at risk", "a ca locked -> a ca at risk>locked out"}},
		{"told until it is taken", []string{"a ca may ->", "a ca locked ?-> a ca may issue>locked out", "a ca locked -> a ca may issue>locked out", "a ca locked ->"}},
		{"over before it was taken", []string{"a ca may ->", "a ca locked ?-> a ca may issue>locked out", "a ca may ->"}},
		{"not found out once", []string{"a ca may ->", "a ca unknown ->", "a ca may ->", "a ca unknown ->", "a ca may ->"}},
		{"not found out twice", []string{"a ca may ->", "a ca unknown ->", "a ca unknown -> a ca may issue>could not find out", "a ca unknown ->", "a ca may -> a ca could not find out>may issue"}},
		{"not found out from the beginning", []string{"a ca unknown ->", "a ca unknown -> a ca fine>could not find out"}},
		{"a lock-out is none the less for a lost packet", []string{"a ca locked -> a ca fine>locked out", "a ca unknown ->", "a ca locked ->"}},
		{"not taken, then not found out", []string{"a ca locked ?-> a ca fine>locked out", "a ca unknown -> a ca fine>locked out", "a ca locked ->"}},
		{"an issuer less", []string{"a ca may, a x may ->", "a ca may -> a x may issue>not named", "a ca may ->"}},
		{"an issuer more", []string{"a ca may ->", "a ca may, a x may -> a x not named>may issue", "a ca may, a x may ->"}},
		{"a name less", []string{"a ca locked, b ca may -> a ca fine>locked out", "b ca may ->"}},
		{"a name more", []string{"a ca may ->", "a ca may, b ca may ->"}},
		{"interrupted", []string{"a ca may, b ca locked -> b ca fine>locked out", "a ca locked, interrupted -> a ca may issue>locked out", "a ca locked, b ca locked ->"}},
		{"an error, and mended", []string{"a ca may ->", "a ca may, !z lame -> z  fine>error", "a ca may, !z lame ->", "a ca may, interrupted ->", "a ca may -> z  error>fine", "a ca may ->", "a ca may, !z lame -> z  fine>error"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, s := t.TempDir(), State{}
			for i, step := range tt.runs {
				seen, want, _ := strings.Cut(step, "->")
				s = s.Step(saw(strings.TrimSuffix(seen, "?")), time.Date(2026, 11, 25, i, 0, 0, 0, time.UTC))
				var told []string
				changes := s.Changes()
				for _, c := range changes {
					told = append(told, fmt.Sprintf("%s %s %s>%s", c.Subject, c.Issuer, c.Was.Outcome, c.Now.Outcome))
				}
				if got := strings.Join(told, ", "); got != strings.TrimSpace(want) {
					t.Fatalf("run %d, %q: told %q", i, step, got)
				}
				if !strings.HasSuffix(seen, "?") {
					s = s.Told(changes)
				}
				if err := s.save(dir, nil); err != nil { // each run is after a restart
					t.Fatal(err)
				}
				var err error
				if s, _, err = load(dir); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestDamagedState(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"cut": `{"version": 1, "items": [`, "another version": `{"version": 2}`, "empty": ""} {
		dir := t.TempDir()
		world.WriteFile(t, filepath.Join(dir, stateFile), text)
		if _, err := New(Config{Interval: time.Hour, State: dir}); err == nil || !strings.Contains(err.Error(), "move it away") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Config{Interval: time.Second}); err == nil {
		t.Error("a run each second was taken")
	}
	if _, err := New(Config{Interval: time.Hour, State: filepath.Join(os.DevNull, "x")}); err == nil {
		t.Error("a state that cannot be written was taken")
	}
}

// remembering is a notifier that keeps what it is told.
type remembering struct {
	mu   sync.Mutex
	news []News
}

func (r *remembering) Name() string { return "test" }
func (r *remembering) Notify(_ context.Context, n News) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.news = append(r.news, n)
	return nil
}

func (r *remembering) told() []News {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.news)
}

// Runs start an interval after each other, give or take a tenth, whatever they take and whether they fail.
func TestSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // of starts
		var starts []time.Time
		n := &remembering{}
		var fails atomic.Bool
		w, err := New(Config{Interval: time.Hour, Notifiers: []Notifier{n}, Log: func(string) {}, Run: func(context.Context) (*report.Report, error) {
			mu.Lock()
			starts = append(starts, time.Now())
			mu.Unlock()
			time.Sleep(10 * time.Minute)
			if fails.Load() {
				return nil, errors.New("no policy")
			}
			return saw("a ca locked"), nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.Watch(ctx) }()
		time.Sleep(100*time.Hour + 30*time.Minute)
		mu.Lock()
		until := slices.Clone(starts)
		mu.Unlock()
		gaps := map[time.Duration]bool{}
		for i, at := range until[1:] {
			gap := at.Sub(until[i])
			gaps[gap] = true
			if gap < 54*time.Minute || gap > 66*time.Minute {
				t.Errorf("run %d comes %v after the one before", i+1, gap)
			}
		}
		if len(until) < 90 || len(gaps) < 50 {
			t.Errorf("%d runs with %d different gaps in 100 hours", len(until), len(gaps))
		}
		if err := w.Healthy(); err != nil {
			t.Error(err)
		}
		told := 0
		for _, news := range n.told() {
			told += len(news.Changes)
			if len(news.Bad) != 1 || news.Expires.Sub(news.At) != 3*time.Hour {
				t.Errorf("%+v", news)
			}
		}
		if told != 1 {
			t.Errorf("the change was told %d times", told)
		}
		fails.Store(true)
		time.Sleep(3 * time.Hour)
		if w.Healthy() == nil {
			t.Error("it is healthy, though its runs fail")
		}
		fails.Store(false)
		time.Sleep(2 * time.Hour)
		if err := w.Healthy(); err != nil {
			t.Errorf("it is well again, yet: %v", err)
		}
		cancel()
		<-done
	})
}

// A run that never ends is told by the health endpoint.
func TestHangingRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, err := New(Config{Interval: time.Hour, Log: func(string) {}, Run: func(ctx context.Context) (*report.Report, error) { <-ctx.Done(); return saw(""), nil }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.Watch(ctx) }()
		for _, tt := range []struct {
			after time.Duration
			code  int
		}{{time.Hour, 200}, {90 * time.Minute, 503}} {
			time.Sleep(tt.after)
			rec := httptest.NewRecorder()
			w.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/healthz", nil))
			if rec.Code != tt.code {
				t.Errorf("after %v more: %d %s", tt.after, rec.Code, rec.Body)
			}
		}
		cancel()
		<-done
		if w.last != nil {
			t.Error("a run that the service's end cut off was taken for one")
		}
	})
}

// What is posted, and how often.
func TestNotifiers(t *testing.T) {
	t.Parallel()
	type posted struct{ path, token, body string }
	posts := make(chan posted, 10)
	answers := make(chan int, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posts <- posted{r.URL.Path, r.Header.Get("Authorization"), string(body)}
		w.WriteHeader(<-answers)
	}))
	t.Cleanup(server.Close)
	// tell answers with these codes, and returns what was posted: one post for each.
	tell := func(n Notifier, news News, codes ...int) (out []posted) {
		t.Helper()
		for _, code := range codes {
			answers <- code
		}
		if err := n.Notify(t.Context(), news); err != nil {
			t.Fatal(err)
		}
		for range codes {
			out = append(out, <-posts)
		}
		if len(posts) > 0 {
			t.Fatalf("%+v was posted besides", <-posts)
		}
		return out
	}
	at := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	c := Condition{Kind: kindVerdict, Subject: "www.example.org", Issuer: "ca.example", Type: "tls"}
	locked, may, other := Status{"locked out", "issuer-not-listed", "why"}, Status{Outcome: "may issue"}, Status{"locked out", "nobody-authorized", ""}
	bad := func(s Status) []Item { return []Item{{Condition: c, Now: s, Since: at}} }
	news := News{At: at, Changes: []Change{{c, may, locked, at}}, Bad: bad(locked), Expires: at.Add(3 * time.Hour)}
	hook := Webhook{server.URL + "/hook", "secret", server.Client()}
	manager := Alertmanager{server.URL, "", server.Client()}

	got := tell(hook, news, 500, 204)
	if want := `{"version":1,"at":"2026-11-25T00:00:00Z","changes":[{"kind":"verdict","subject":"www.example.org","issuer":"ca.example","type":"tls","was":{"outcome":"may issue"},"now":{"outcome":"locked out","reason":"issuer-not-listed","detail":"why"},"since":"2026-11-25T00:00:00Z"}]}`; got[0] != got[1] || got[1] != (posted{"/hook", "Bearer secret", want}) {
		t.Errorf("got  %+v\nwant %s", got, want)
	}
	tell(hook, News{At: at, Bad: bad(locked)}) // no change

	alerts := func(news News) (out []alert) {
		t.Helper()
		if p := tell(manager, news, 200)[0]; p.path != "/api/v2/alerts" || json.Unmarshal([]byte(p.body), &out) != nil || len(out) != 1 {
			t.Fatalf("%+v", p)
		}
		return out
	}
	if a := alerts(news)[0]; a.Labels["alertname"] != "CaacheckLockedOut" || a.Labels["name"] != "www.example.org" || a.Labels["issuer"] != "ca.example" || !a.EndsAt.Equal(news.Expires) || a.Annotations["summary"] == "" {
		t.Errorf("%+v", a)
	}
	if a := alerts(News{At: at, Changes: []Change{{c, locked, may, at}}})[0]; a.Labels["alertname"] != "CaacheckLockedOut" || !a.EndsAt.Equal(at) || !a.StartsAt.Before(a.EndsAt) {
		t.Errorf("%+v", a)
	}
	// Locked out for another reason: the alert goes on, and must not be ended by the same post.
	if a := alerts(News{At: at, Changes: []Change{{c, locked, other, at}}, Bad: bad(other), Expires: news.Expires})[0]; !a.EndsAt.Equal(news.Expires) {
		t.Errorf("%+v", a)
	}
	tell(manager, News{At: at}) // nothing is bad
}

// A notifier that never takes anything is given up until the next run.
func TestNotTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		begin := time.Now()
		if err := retried(t.Context(), func() error { tries++; return errors.New("no") }); err == nil || tries != 3 || time.Since(begin) != 6*time.Second {
			t.Errorf("%v after %d tries in %v", err, tries, time.Since(begin))
		}
	})
}

// What is measured passes promtool's linter, whatever octets servers have sent.
func TestMetrics(t *testing.T) {
	t.Parallel()
	w, err := New(Config{Interval: time.Hour, Notifiers: []Notifier{Webhook{}}, Log: func(string) {}})
	if err != nil {
		t.Fatal(err)
	}
	scrape := func() string {
		rec := httptest.NewRecorder()
		w.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if rec.Code != http.StatusOK {
			t.Fatalf("%d: %s", rec.Code, rec.Body)
		}
		return rec.Body.String()
	}
	if text := scrape(); !strings.Contains(text, "caacheck_interval_seconds 3600") || strings.Contains(text, "caacheck_last_run") {
		t.Errorf("before the first run:\n%s", text)
	}
	r := saw("a ca may, a ca2 locked, b ca unknown, !z lame, !y lame")
	r.Names[0].Verdicts = append(r.Names[0].Verdicts, report.Verdict{Issuer: "\xFF"}, report.Verdict{Issuer: "\xFE"}, r.Names[0].Verdicts[0])
	r.Names[0].Verdicts[0].Corroboration = &perspective.Judged{Sights: []perspective.Sight{{Perspective: "ohio"}, {Perspective: "oslo", View: quorum.Denies}}}
	end := time.Unix(1800000000, 0)
	for i, name := range []string{"z", "z", "."} {
		r.Names[0].Zones = append(r.Names[0].Zones, report.Zone{Name: name, Ends: []report.End{{At: end.Add(time.Duration(-i) * time.Second)}}})
	}
	w.last = &run{r, time.Unix(1790000000, 0), 90 * time.Second}
	w.counts[count{"webhook", "failed"}] = 2
	text := scrape()
	for _, want := range []string{
		`caacheck_verdict{account="",issuer="ca",method="",name="a",outcome="may issue",type="tls"} 1`,
		`caacheck_verdict{account="",issuer="ca",method="",name="a",outcome="locked out",type="tls"} 0`,
		`caacheck_verdict{account="",issuer="ca2",method="",name="a",outcome="locked out",type="tls"} 1`,
		`caacheck_verdict{account="",issuer="ca",method="",name="b",outcome="could not find out",type="tls"} 1`,
		`caacheck_findings{severity="error"} 2`, `caacheck_findings{severity="info"} 0`,
		`caacheck_perspective_silent_requests{perspective="ohio"} 1`, `caacheck_perspective_silent_requests{perspective="oslo"} 0`,
		`caacheck_signatures_end_timestamp_seconds{zone="z"} 1.799999999e+09`,
		`caacheck_last_run_timestamp_seconds 1.79e+09`, `caacheck_last_run_duration_seconds 90`, `caacheck_names 2`,
		`caacheck_notifications_total{notifier="webhook",result="failed"} 2`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	lint := exec.Command(world.Program(t, "promtool"), "check", "metrics")
	lint.Stdin = strings.NewReader(text)
	if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// The rules that we ship say what they should, when they should; alerts_test.yaml has the cases.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	promtool := world.Program(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	rules, err := os.ReadFile("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for outcome, a := range alertNames { // those that Alertmanager gets from us have the same names
		if outcome != notNamed && !strings.Contains(string(rules), "alert: "+a.name+"\n") {
			t.Errorf("alerts.yaml has no %s", a.name)
		}
	}
}
