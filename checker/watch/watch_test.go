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
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/resign"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile/regularfiletest"
	"github.com/coredns-caa/caa/test/world"
)

// The example of a webhook's message in docs/watch.md is what is sent.
func TestWebhookInDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/watch.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "**Webhook.**")
	begin, end := strings.Index(after, "    {"), strings.Index(after, "}]}\n")
	if begin < 0 || end < begin {
		t.Fatal("docs/watch.md has no example")
	}
	var sent json.RawMessage
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _ = json.NewDecoder(r.Body).Decode(&sent) }))
	defer server.Close()
	at := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	news := News{At: at, Changes: []Change{{
		Condition: Condition{Kind: "verdict", Subject: "www.example.org", Issuer: "letsencrypt.org", Type: "tls"},
		Was:       Status{Outcome: "may issue", Reason: "authorized"}, Now: Status{Outcome: "locked out", Reason: "issuer-not-listed"}, Since: at,
	}}}
	if err := (Webhook{URL: server.URL, Client: server.Client()}).Notify(t.Context(), news); err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := errors.Join(json.Unmarshal(sent, &got), json.Unmarshal([]byte(after[begin:end+3]), &want)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v: sent %s, and the document has %s", err, sent, after[begin:end+3])
	}
}

// saw is a result: `name issuer outcome`, `!subject code` for an error, and `interrupted`.
func saw(text string) *check.Result {
	r := &check.Result{Complete: true}
	outcomes := map[string]verdict.Outcome{"may": verdict.MayIssue, "risk": verdict.AtRisk, "locked": verdict.LockedOut, "unknown": verdict.Unknown}
	for _, line := range strings.Split(text, ",") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "interrupted":
			r.Complete = false
		case strings.HasPrefix(words[0], "!"):
			r.Findings = append(r.Findings, finding.Found{Finding: finding.Finding{Subject: words[0][1:], Subjects: []string{words[0][1:]}, Code: words[1], Severity: catalog.Error}})
		default:
			name := certname.Name{Domain: words[0] + "."}
			i := slices.IndexFunc(r.Names, func(n check.Name) bool { return n.Subject == name })
			if i < 0 {
				i = len(r.Names)
				r.Names = append(r.Names, check.Name{Subject: name, Ends: map[string][]finding.End{}})
			}
			if len(words) == 3 {
				r.Names[i].Requests = append(r.Names[i].Requests, asked(words[1], outcomes[words[2]]))
			}
		}
	}
	return r
}

func asked(issuer string, outcome verdict.Outcome) check.Request {
	return check.Request{Verdict: verdict.Verdict{Requirement: guard.Requirement{Domain: issuer}, Outcome: outcome, Reason: "r"}}
}

// Each run, and what is notified after it.
func TestWhatIsNotified(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		runs []string // what was observed -> what is notified, and `?` where that fails
	}{
		{"all is well", []string{"a ca may ->", "a ca may ->"}},
		{"wrong from the beginning", []string{"a ca locked -> a ca not seen>locked out", "a ca locked ->"}},
		{"locked out, and fixed", []string{"a ca may ->", "a ca locked -> a ca may issue>locked out", "a ca locked ->", "a ca may -> a ca locked out>may issue", "a ca may ->"}},
		{"from bad to worse", []string{"a ca risk -> a ca not seen>at risk", "a ca locked -> a ca at risk>locked out"}},
		{"repeated until it is delivered", []string{"a ca may ->", "a ca locked ?-> a ca may issue>locked out", "a ca locked -> a ca may issue>locked out", "a ca locked ->"}},
		{"over before it was delivered", []string{"a ca may ->", "a ca locked ?-> a ca may issue>locked out", "a ca may ->"}},
		{"unknown once", []string{"a ca may ->", "a ca unknown ->", "a ca may ->", "a ca unknown ->", "a ca may ->"}},
		{"unknown twice", []string{"a ca may ->", "a ca unknown ->", "a ca unknown -> a ca may issue>unknown", "a ca unknown ->", "a ca may -> a ca unknown>may issue"}},
		{"unknown from the beginning", []string{"a ca unknown ->", "a ca unknown -> a ca not seen>unknown"}},
		{"still locked out after a lost packet", []string{"a ca locked -> a ca not seen>locked out", "a ca unknown ->", "a ca locked ->"}},
		{"not delivered, then unknown", []string{"a ca locked ?-> a ca not seen>locked out", "a ca unknown -> a ca not seen>locked out", "a ca locked ->"}},
		{"an issuer fewer", []string{"a ca may, a x may ->", "a ca may -> a x may issue>not named", "a ca may ->"}},
		{"an issuer more", []string{"a ca may ->", "a ca may, a x may -> a x not named>may issue", "a ca may, a x may ->"}},
		{"a name fewer", []string{"a ca locked, b ca may -> a ca not seen>locked out", "b ca may ->"}},
		{"a name more", []string{"a ca may ->", "a ca may, b ca may ->"}},
		{"interrupted", []string{"a ca may, b ca locked -> b ca not seen>locked out", "a ca locked, interrupted -> a ca may issue>locked out", "a ca locked, b ca locked ->"}},
		{"an error, and fixed", []string{"a ca may ->", "a ca may, !z lame -> z  not seen>error", "a ca may, !z lame ->", "a ca may, interrupted ->", "a ca may -> z  error>fine", "a ca may ->", "a ca may, !z lame -> z  not seen>error"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, s := t.TempDir(), State{}
			for i, step := range tt.runs {
				seen, want, _ := strings.Cut(step, "->")
				s = s.Step(saw(strings.TrimSuffix(seen, "?")), time.Date(2026, 11, 25, i, 0, 0, 0, time.UTC))
				var sent []string
				changes := s.Changes()
				for _, c := range changes {
					sent = append(sent, fmt.Sprintf("%s %s %s>%s", c.Subject, c.Issuer, c.Was.Outcome, c.Now.Outcome))
				}
				if got := strings.Join(sent, ", "); got != strings.TrimSpace(want) {
					t.Fatalf("run %d, %q: notified %q", i, step, got)
				}
				if !strings.HasSuffix(seen, "?") {
					s = s.Notified(changes)
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
	for name, text := range map[string]string{"cut": `{"version": 2, "items": [`, "another version": `{"version": 1}`, "empty": ""} {
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

// remembering is a notifier that keeps what it is sent.
type remembering struct {
	mu   sync.Mutex
	news []News
}

func (r *remembering) Name() string  { return "test" }
func (r *remembering) Repeats() bool { return false }
func (r *remembering) Notify(_ context.Context, n News) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.news = append(r.news, n)
	return nil
}

func (r *remembering) sent() []News {
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
		w, err := New(Config{Interval: time.Hour, Notifiers: []Notifier{n}, Log: func(string) {}, Run: func(context.Context, resign.History) (*check.Result, error) {
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
		notified := 0
		for _, news := range n.sent() {
			notified += len(news.Changes)
			if len(news.Bad) != 1 || news.Expires.Sub(news.At) != 3*time.Hour {
				t.Errorf("%+v", news)
			}
		}
		if notified != 1 {
			t.Errorf("the change was notified %d times", notified)
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

// A run that never ends makes the health endpoint fail.
func TestHangingRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, err := New(Config{Interval: time.Hour, Log: func(string) {}, Run: func(ctx context.Context, _ resign.History) (*check.Result, error) { <-ctx.Done(); return saw(""), nil }})
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
	// send answers with these codes, and returns what was posted: one post for each.
	send := func(n Notifier, news News, codes ...int) (out []posted) {
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

	got := send(hook, news, 500, 204)
	if want := `{"version":1,"at":"2026-11-25T00:00:00Z","changes":[{"kind":"verdict","subject":"www.example.org","issuer":"ca.example","type":"tls","was":{"outcome":"may issue"},"now":{"outcome":"locked out","reason":"issuer-not-listed","detail":"why"},"since":"2026-11-25T00:00:00Z"}]}`; got[0] != got[1] || got[1] != (posted{"/hook", "Bearer secret", want}) {
		t.Errorf("got  %+v\nwant %s", got, want)
	}
	send(hook, News{At: at, Bad: bad(locked)}) // no change

	alerts := func(news News) (out []alert) {
		t.Helper()
		if p := send(manager, news, 200)[0]; p.path != "/api/v2/alerts" || json.Unmarshal([]byte(p.body), &out) != nil || len(out) != 1 {
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
	send(manager, News{At: at}) // nothing is bad
}

// A notification that fails is given up until the next run.
func TestNotDelivered(t *testing.T) {
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
	w, err := New(Config{Interval: time.Hour, Notifiers: []Notifier{Webhook{}}, Log: func(string) {}, Build: Build{"v1", "abc", "go1.26"}})
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
	r.Names[0].Requests = append(r.Names[0].Requests, asked("\xFF", verdict.Unknown), asked("\xFE", verdict.Unknown), r.Names[0].Requests[0])
	r.Names[0].Requests[0].Corroboration = &perspective.Judged{Observations: []perspective.Observation{{Perspective: "ohio"}, {Perspective: "oslo", View: quorum.Denies}}}
	end := time.Unix(1800000000, 0)
	for i, name := range []string{"z.", "z.", "."} {
		r.Names[0].Ends[name] = append(r.Names[0].Ends[name], finding.End{At: end.Add(time.Duration(-i) * time.Second), From: end.Add(time.Duration(-i)*time.Second - 24*time.Hour)})
	}
	w.last = &run{measure(r), time.Unix(1790000000, 0), 90 * time.Second}
	w.counts[count{"webhook", "failed"}] = 2
	text := scrape()
	for _, want := range []string{
		`caacheck_verdict{account="",issuer="ca",method="",name="a",outcome="may issue",type="tls"} 1`,
		`caacheck_verdict{account="",issuer="ca",method="",name="a",outcome="locked out",type="tls"} 0`,
		`caacheck_verdict{account="",issuer="ca2",method="",name="a",outcome="locked out",type="tls"} 1`,
		`caacheck_verdict{account="",issuer="ca",method="",name="b",outcome="unknown",type="tls"} 1`,
		`caacheck_verdict_reason{account="",issuer="ca2",method="",name="a",reason="r",type="tls"} 1`,
		`caacheck_finding{code="lame",severity="error",subject="z"} 1`,
		`caacheck_series_left_out{metric="caacheck_finding"} 0`, `caacheck_series_left_out{metric="caacheck_verdict_reason"} 0`,
		`caacheck_build_info{goversion="go1.26",revision="abc",version="v1"} 1`, `caacheck_signatures_validity_seconds{zone="z"} 86400`,
		`caacheck_findings{severity="error"} 2`, `caacheck_findings{severity="info"} 0`,
		`caacheck_perspective_unanswered_requests{perspective="ohio"} 1`, `caacheck_perspective_unanswered_requests{perspective="oslo"} 0`,
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

// The rules that we ship fire when they should; alerts_test.yaml has the cases.
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

// Whatever servers and policies have, there are not more series than the limit; the worst have them. A finding of several
// subjects has a series for each, which stays when another joins them.
func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	r := saw("")
	for i := range MaxSeries + 5 {
		r.Names = append(r.Names, saw(fmt.Sprintf("n%d ca unknown", i)).Names...)
		r.Findings = append(r.Findings, finding.Found{Finding: finding.Finding{Subject: fmt.Sprint(i), Subjects: []string{fmt.Sprint(i)}, Code: "code", Severity: catalog.Info}})
	}
	r.Names = append(r.Names, saw("z ca locked").Names...)
	r.Findings = append(r.Findings, finding.Found{Finding: finding.Finding{Subject: "y and z", Subjects: []string{"y", "z"}, Code: "worst", Severity: catalog.Error}})
	series, values := map[string]int{}, map[string]float64{}
	measure(r).collect(func(m Metric, value float64, labels ...string) {
		series[m.Name]++
		values[m.Name+" "+strings.Join(labels, " ")] = value
	})
	for name, want := range map[string]float64{"caacheck_finding worst y error": 1, "caacheck_finding worst z error": 1, "caacheck_verdict_reason z ca tls   r": 1, "caacheck_series_left_out caacheck_finding": 7, "caacheck_series_left_out caacheck_verdict_reason": 6} {
		if values[name] != want {
			t.Errorf("%s is %v, want %v", name, values[name], want)
		}
	}
	if series["caacheck_finding"] != MaxSeries || series["caacheck_verdict_reason"] != MaxSeries {
		t.Errorf("%v", series)
	}
}

// A change is notified once, though another notifier fails that repeats what is bad at each run.
func TestOnceThoughAnotherFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &remembering{}
		var log []string
		w, err := New(Config{Interval: time.Hour, Notifiers: []Notifier{n, failing{}}, Log: func(line string) { log = append(log, line) }, Run: func(context.Context, resign.History) (*check.Result, error) {
			return saw("a ca locked"), nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			w.once(t.Context(), time.Now())
		}
		notified := 0
		for _, news := range n.sent() {
			notified += len(news.Changes)
		}
		if notified != 1 {
			t.Errorf("notified %d times", notified)
		}
		if want := "ca for a: locked out (r); first seen"; len(log) == 0 || log[0] != want {
			t.Errorf("the log has %q, want %q", log, want)
		}
	})
}

// failing is a notifier that fails, and repeats.
type failing struct{}

func (failing) Name() string                       { return "failing" }
func (failing) Repeats() bool                      { return true }
func (failing) Notify(context.Context, News) error { return errors.New("refused") }

func TestStateIsARegularFile(t *testing.T) {
	t.Parallel()
	regularfiletest.Refuses(t, stateFile, maxState, func(dir, _ string) error {
		_, _, err := load(dir)
		return err
	})
}
