// Package catalog is the one form of everything that the product can report: the reasons of verdicts, findings,
// refusals and warnings. Each package that reports has one table whose rows hold an [Entry]; text, JSON, SARIF, JUnit,
// HTML and the reference page are made from the entries of those tables. Nothing here knows what an entry is about.
package catalog

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// Severity is how much a report matters. Its zero value is Info.
type Severity uint8

// The severities.
const (
	Info    Severity = iota // good to know
	Warning                 // should be fixed
	Error                   // locks a CA out, somewhere or at some time, or admits one by accident: must be fixed
)

var severityNames = [...]string{"info", "warning", "error"}

// String returns "info", "warning" or "error".
func (s Severity) String() string {
	if int(s) >= len(severityNames) {
		return fmt.Sprintf("severity %d", uint8(s))
	}
	return severityNames[s]
}

// MarshalText writes the severity as String does, in JSON for one.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Entry is what one row of a table says of everything that it reports. A row with a day is a dated rule: until that day it
// has another severity.
type Entry struct {
	Code     string // stable, unique in its table: lower-case words joined by hyphens
	Severity Severity
	From     time.Time // the day from which on Severity holds; zero: always
	Before   Severity  // until that day
	Lenient  string    // where an error is only a warning, after "warning "; empty: nowhere
	Section  string    // of the RFC or of the Baseline Requirements that it rests on, such as "RFC 8659 4.1"
	Text     string    // what it means, one sentence, without the names and values of a case
	Fix      string    // how to fix it, one imperative sentence; empty where there is nothing to fix
}

// At returns the severity on a day.
func (e Entry) At(day time.Time) Severity {
	if day.Before(e.From) {
		return e.Before
	}
	return e.Severity
}

// Severities returns every severity that the entry can have, for a reader: "warning until 2027-03-15, then info".
func (e Entry) Severities() string {
	out := e.Severity.String()
	if !e.From.IsZero() {
		out = fmt.Sprintf("%s until %s, then %s", e.Before, e.From.Format(time.DateOnly), e.Severity)
	}
	if e.Lenient != "" {
		out += "; " + Warning.String() + " " + e.Lenient
	}
	return out
}

var code = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// Check returns what is wrong with the rows of a table, nil for nothing. Each table's test calls it.
func Check(entries []Entry) error {
	var wrong []error
	if len(entries) == 0 {
		wrong = append(wrong, errors.New("the table is empty"))
	}
	seen := map[string]bool{}
	for _, e := range entries {
		for _, rule := range []struct {
			broken bool
			what   string
		}{
			{!code.MatchString(e.Code), "the code is not lower-case words joined by hyphens"},
			{seen[e.Code], "the code is listed twice"},
			{e.Text == "", "the text is missing"},
			{e.Fix == "" && (e.Severity > Info || e.Before > Info), "the fix is missing"},
			{!inLine(e.Text) || !inLine(e.Fix) || !inLine(e.Section) || !inLine(e.Lenient), "a text is not part of a line: it ends with a full stop, or has a control character or a |"},
			{e.From.IsZero() && e.Before != Info, "the severity before a day has no day"},
			{!e.From.IsZero() && e.Before == e.Severity, "the severity is the same before the day and after it"},
			{!e.From.IsZero() && e.Section == "", "a rule with a day has no section"},
			{e.Lenient != "" && e.Severity != Error, "what is no error is not a lesser one anywhere"},
		} {
			if rule.broken {
				wrong = append(wrong, fmt.Errorf("%q: %s", e.Code, rule.what))
			}
		}
		seen[e.Code] = true
	}
	return errors.Join(wrong...)
}

func inLine(text string) bool {
	return !strings.HasSuffix(text, ".") && !strings.Contains(text, "|") && !strings.ContainsFunc(text, unicode.IsControl)
}
