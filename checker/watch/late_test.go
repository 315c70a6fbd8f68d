package watch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-caa/caa/checker/report"
)

const aDay = 24 * time.Hour

// A signer that stops is told of once, while nothing else is wrong.
func TestALateSignerIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, start := &remembering{}, time.Now()
		w, err := New(Config{Interval: time.Hour, Notifiers: []Notifier{n}, Log: func(string) {}, Run: func(context.Context) (*report.Report, error) {
			r := saw("a ca may")
			week := min(int(time.Since(start)/(7*aDay)), 2) // then it stops
			from := start.Add(time.Duration(week) * 7 * aDay)
			r.Names[0].Zones = []report.Zone{{Name: "example.test", Ends: []report.End{{From: from, At: from.Add(14 * aDay), Over: "example.test SOA"}}}}
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
		var told []string
		for _, news := range n.told() {
			for _, c := range news.Changes {
				told = append(told, fmt.Sprintf("%d %s %s", news.At.Sub(start)/aDay, c.Code, c.Now.Outcome))
			}
		}
		if got := strings.Join(told, ", "); got != "25 signature-late error" {
			t.Errorf("told %q", got)
		}
	})
}
