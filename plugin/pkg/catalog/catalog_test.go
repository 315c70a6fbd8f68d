package catalog

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var day = time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC)

func TestAt(t *testing.T) {
	t.Parallel()
	dated := Entry{Severity: Info, From: day, Before: Error}
	for _, c := range []struct {
		entry Entry
		day   time.Time
		want  Severity
	}{
		{Entry{Severity: Error}, time.Time{}, Error},
		{Entry{Severity: Error}, day, Error},
		{dated, day.Add(-1), Error},
		{dated, day, Info},
	} {
		if got := c.entry.At(c.day); got != c.want {
			t.Errorf("%+v on %v: %v, want %v", c.entry, c.day, got, c.want)
		}
	}
}

func TestSeverities(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]Entry{
		"warning":                             {Severity: Warning},
		"error until 2027-03-15, then info":   {Severity: Info, From: day, Before: Error},
		"error; warning for unlisted issuers": {Severity: Error, Lenient: "for unlisted issuers"},
	} {
		if got := e.Severities(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Each rule of a table, broken by one row, is the one that is reported.
func TestCheck(t *testing.T) {
	t.Parallel()
	good := Entry{Code: "a-code", Severity: Error, Section: "RFC 8659 4.1", Text: "it is wrong", Fix: "fix it"}
	if err := Check([]Entry{good, {Code: "b", Text: "it is so"}}); err != nil {
		t.Error(err)
	}
	if err := Check(nil); err == nil {
		t.Error("an empty table is accepted")
	}
	for want, edit := range map[string]func(*Entry){
		"not lower-case":     func(e *Entry) { e.Code = "A-code" },
		"listed twice":       func(e *Entry) { e.Code = "b" },
		"text is missing":    func(e *Entry) { e.Text = "" },
		"fix is missing":     func(e *Entry) { e.Fix = "" },
		"full stop":          func(e *Entry) { e.Fix = "fix it." },
		"control character":  func(e *Entry) { e.Text = "two\nlines" },
		"has no day":         func(e *Entry) { e.Before = Warning },
		"is the same before": func(e *Entry) { e.From, e.Before = day, Error },
		"has no section":     func(e *Entry) { e.From, e.Before, e.Section = day, Warning, "" },
		"no error":           func(e *Entry) { e.Severity, e.Lenient = Warning, "sometimes" },
	} {
		bad := good
		edit(&bad)
		err := Check([]Entry{{Code: "b", Text: "it is so"}, bad})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", fmt.Sprintf("%+v", bad), err)
		}
	}
}
