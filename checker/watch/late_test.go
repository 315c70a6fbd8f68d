package watch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/resign"
)

const aDay = 24 * time.Hour

// A signer that stops is sent of once, while nothing else is wrong.
func TestALateSignerIsNotified(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, start := &remembering{}, time.Now()
		w, err := New(Config{Interval: time.Hour, Notifiers: []Notifier{n}, Log: func(string) {}, Run: func(_ context.Context, signed resign.History) (*check.Result, error) {
			r := saw("a ca may")
			week := min(int(time.Since(start)/(7*aDay)), 2) // then it stops
			from := start.Add(time.Duration(week) * 7 * aDay)
			ends := map[string][]finding.End{"example.test.": {{From: from, At: from.Add(14 * aDay), Name: "example.test.", Type: dns.TypeSOA}}}
			r.Signing, r.Findings = signed.Step([]resign.Seen{{Name: "a", Ends: ends}}, time.Now())
			return r, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.Watch(ctx) }()
		time.Sleep(27 * aDay)
		cancel()
		<-done
		var sent []string
		for _, news := range n.sent() {
			for _, c := range news.Changes {
				sent = append(sent, fmt.Sprintf("%d %s %s", news.At.Sub(start)/aDay, c.Code, c.Now.Outcome))
			}
		}
		if got := strings.Join(sent, ", "); got != "25 signature-late error" {
			t.Errorf("sent %q", got)
		}
	})
}
