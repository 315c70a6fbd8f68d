package watch

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-caa/caa/checker/report"
)

const aDay = 24 * time.Hour

var begin = time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)

// signer is a zone that signs for so many days, and anew on each of some days.
func signer(whole int, on ...int) func(day int) report.End {
	return func(day int) report.End {
		made := 0
		for _, d := range on {
			if d <= day {
				made = d
			}
		}
		from := begin.Add(time.Duration(made) * aDay)
		return report.End{From: from, At: from.Add(time.Duration(whole) * aDay), Over: "example.test SOA"}
	}
}

// A signer is late by how it signed before, and by nothing that a healthy one does.
func TestLateSigners(t *testing.T) { // RFC 6781 4.4.2
	t.Parallel()
	for _, tt := range []struct {
		what   string
		signs  func(int) report.End
		late   string // days
		absent []int  // days on which the zone was not seen
	}{
		{"weekly, for a fortnight", signer(14, 0, 7, 14, 21, 28), "", nil},
		{"the same, and then no more", signer(14, 0, 7, 14), "26 27", nil}, // half of 7, and a fifth of 14: 2.8 days
		{"never seen to sign anew", signer(14, 0), "", nil},
		{"whenever it changes, and late once", signer(30, 0, 1, 2, 3, 29), "27 28", nil}, // a fifth of 30 is 6 days
		{"at the last moment, as ever", signer(10, 0, 9, 18, 27), "", nil},
		{"weekly, not seen for a week", signer(14, 0, 7, 14), "26 27", []int{15, 16, 17, 18, 19, 20, 21}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			dir, signing := t.TempDir(), Signing{}
			var late []string
			for day := range 30 {
				r := &report.Report{Complete: true, Names: []report.Name{{Name: "www.example.test"}}}
				seen := true
				for _, d := range tt.absent {
					seen = seen && d != day
				}
				now := begin.Add(time.Duration(day)*aDay + time.Hour)
				if end := tt.signs(day); seen && end.At.After(now) {
					r.Names[0].Zones = []report.Zone{{Name: "example.test", Ends: []report.End{end}}}
				}
				var found []report.Finding
				signing, found = signing.Step(r, now)
				if len(found) > 0 {
					late = append(late, fmt.Sprint(day))
				}
				for _, f := range found {
					if f.Subject != "example.test" || !reflect.DeepEqual(f.Names, []string{"www.example.test"}) || len(f.Evidence) != 1 {
						t.Errorf("got %+v", f)
					}
				}
				if err := (State{}).save(dir, signing); err != nil { // each run is after a restart
					t.Fatal(err)
				}
				_, kept, err := load(dir)
				if err != nil || !reflect.DeepEqual(kept, signing) {
					t.Fatalf("kept %+v of %+v, %v", kept, signing, err)
				}
			}
			if got := strings.Join(late, " "); got != tt.late {
				t.Errorf("late on the days %q, want %q", got, tt.late)
			}
		})
	}
}

// A zone that is gone is forgotten, but not at once.
func TestForgottenSigners(t *testing.T) {
	t.Parallel()
	signing := Signing{part{Zone: "example.test"}: {part: part{Zone: "example.test"}, End: begin}}
	for days, want := range map[int]int{0: 1, 29: 1, 31: 0} {
		if next, _ := signing.Step(&report.Report{Complete: true}, begin.Add(time.Duration(days)*aDay)); len(next) != want {
			t.Errorf("after %d days: %v", days, next)
		}
	}
}

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
