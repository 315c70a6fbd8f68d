// Package catalog is the one form of everything that the product can report: the reasons of verdicts, findings,
// refusals and warnings. Each package that reports has one table whose rows hold an [Entry]; text, JSON, SARIF, JUnit,
// HTML and the reference page are made from the entries of those tables. Nothing here knows what an entry is about.
package catalog

import "fmt"

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

// Entry is what one row of a table says of everything that it reports.
type Entry struct {
	Code     string // stable, unique in its table: lower-case words joined by hyphens
	Severity Severity
	Section  string // of the RFC or of the Baseline Requirements that it rests on, such as "RFC 8659 4.1"
	Text     string // what it means, one sentence, without the names and values of a case
	Fix      string // how to fix it, one imperative sentence; empty where there is nothing to fix
}
