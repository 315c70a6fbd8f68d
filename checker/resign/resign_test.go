package resign

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/finding"
)

const aDay = 24 * time.Hour

var begin = time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)

// signer is a zone that signs for so many days, and again on each of some days.
func signer(whole int, on ...int) func(day int) finding.End {
	return func(day int) finding.End {
		made := 0
		for _, d := range on {
			if d <= day {
				made = d
			}
		}
		from := begin.Add(time.Duration(made) * aDay)
		return finding.End{From: from, At: from.Add(time.Duration(whole) * aDay), Name: "example.test.", Type: dns.TypeSOA}
	}
}

// A signer is late by how it signed before, and by nothing that a healthy one does.
func TestLateSigners(t *testing.T) { // RFC 6781 4.4.2
	t.Parallel()
	for _, tt := range []struct {
		what   string
		signs  func(int) finding.End
		late   string // days
		absent []int  // days on which the zone was not seen
	}{
		{"weekly, for a fortnight", signer(14, 0, 7, 14, 21, 28), "", nil},
		{"the same, and then no more", signer(14, 0, 7, 14), "26 27", nil}, // half of 7, and a fifth of 14: 2.8 days
		{"never seen to renew signatures", signer(14, 0), "", nil},
		{"whenever it changes, and late once", signer(30, 0, 1, 2, 3, 29), "27 28", nil}, // a fifth of 30 is 6 days
		{"at the last moment, as ever", signer(10, 0, 9, 18, 27), "", nil},
		{"weekly, not seen for a week", signer(14, 0, 7, 14), "26 27", []int{15, 16, 17, 18, 19, 20, 21}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			history := History(nil)
			var late []string
			for day := range 30 {
				run := []Seen{{Name: "www.example.test"}}
				seen := true
				for _, d := range tt.absent {
					seen = seen && d != day
				}
				now := begin.Add(time.Duration(day)*aDay + time.Hour)
				if end := tt.signs(day); seen && end.At.After(now) {
					run[0].Ends = map[string][]finding.End{"example.test.": {end}}
				}
				var found []finding.Found
				history, found = history.Step(run, now)
				if len(found) > 0 {
					late = append(late, fmt.Sprint(day))
				}
				for _, f := range found {
					if f.Finding.Subject != "example.test" || !reflect.DeepEqual(f.Names, []string{"www.example.test"}) || len(f.Finding.Evidence) != 1 {
						t.Errorf("got %+v", f)
					}
				}
				var kept strings.Builder
				if err := history.Write(&kept); err != nil {
					t.Fatal(err)
				}
				if back, err := Parse([]byte(kept.String())); err != nil || !reflect.DeepEqual(back, history) { // each run is after a restart
					t.Fatalf("kept %+v of %+v, %v", back, history, err)
				}
			}
			if got := strings.Join(late, " "); got != tt.late {
				t.Errorf("late on the days %q, want %q", got, tt.late)
			}
		})
	}
}

// Who checks other names of a zone than the last time, or is interrupted, sees other signatures of it, and none that
// were renewed.
func TestOtherNamesOfAZone(t *testing.T) { // RFC 6781 4.4.2
	t.Parallel()
	end := func(days int) finding.End {
		at := begin.Add(time.Duration(days) * aDay)
		return finding.End{From: at.Add(-14 * aDay), At: at, Name: "example.test.", Type: dns.TypeCAA}
	}
	history := History(nil)
	for _, tt := range []struct {
		day   int
		names map[string]finding.End
		least time.Duration
	}{
		{0, map[string]finding.End{"a.example.test": end(5), "b.example.test": end(14)}, 0},
		{1, map[string]finding.End{"b.example.test": end(14)}, 0},
		{2, map[string]finding.End{"a.example.test": end(5)}, 0},
		{3, map[string]finding.End{"a.example.test": end(17), "b.example.test": end(14)}, 2 * aDay}, // renewed, of a
		{4, map[string]finding.End{"a.example.test": end(17)}, 2 * aDay},
		{15, map[string]finding.End{"a.example.test": end(29)}, 2 * aDay}, // that of b has ended unseen
		{28, map[string]finding.End{"a.example.test": end(42)}, aDay},
	} {
		var run []Seen
		for name, end := range tt.names {
			run = append(run, Seen{Name: name, Ends: map[string][]finding.End{"example.test.": {end}}})
		}
		var late []finding.Found
		history, late = history.Step(run, begin.Add(time.Duration(tt.day)*aDay))
		if got := history[part{Zone: "example.test"}].Least; got != tt.least || len(late) > 0 {
			t.Errorf("on day %d: renewed with %v left, want %v; late: %v", tt.day, got, tt.least, late)
		}
	}
}

// A zone that is gone is forgotten, but not at once.
func TestForgottenSigners(t *testing.T) {
	t.Parallel()
	history := History{part{Zone: "example.test"}: {part: part{Zone: "example.test"}, End: begin}}
	for days, want := range map[int]int{0: 1, 29: 1, 31: 0} {
		if next, _ := history.Step(nil, begin.Add(time.Duration(days)*aDay)); len(next) != want {
			t.Errorf("after %d days: %v", days, next)
		}
	}
}

func TestWhatIsNoHistory(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "null", "[]", "{}", `{"version":1}`, `{"version":2,"signing":[]}`, `{"version":1,"signing":[1]}`} {
		if h, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "history") {
			t.Errorf("%s: %v, %v", text, h, err)
		}
	}
}
