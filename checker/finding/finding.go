// Package finding says what is wrong with a name's CAA, its zones and their servers: what locks a CA
// out today, what will, and what lets one in that nobody meant.
//
// A [Case] holds all that was seen: the climb, and every answer of every address of the name servers of
// the zones that hold its names, over UDP and TCP. Each kind of finding is one row of a table, a function
// from a Case to the places where it applies, with its severity, the section it rests on and a remedy; a
// new finding is a new row and a test. [Collector] makes the Case; nothing else here asks anything.
package finding

import (
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// Severity says how much a finding matters. Its zero value is Info.
type Severity uint8

// The severities.
const (
	Info    Severity = iota // to know
	Warning                 // should be mended
	Error                   // locks a CA out, from somewhere or at some time, or lets in whom nobody meant: must be mended
)

var severityNames = [...]string{"info", "warning", "error"}

// String is the severity as reports write it.
func (s Severity) String() string { return severityNames[s] }

// MarshalText makes it so in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing to know or to mend.
type Finding struct {
	Code     string   `json:"code"` // stable
	Severity Severity `json:"severity"`
	Subject  string   `json:"subject"` // the name, zone or server that it is about
	Text     string   `json:"text"`
	Evidence []string `json:"evidence,omitempty"` // what was seen, and where
	Section  string   `json:"section"`            // of the RFC or the Baseline Requirements
	Remedy   string   `json:"remedy"`
}

// hit is a place where a rule applies.
type hit struct {
	subject  string
	text     string
	evidence []string
}

func hitf(subject, format string, args ...any) hit {
	return hit{subject: subject, text: fmt.Sprintf(format, args...)}
}

func (h hit) seen(evidence ...string) hit {
	h.evidence = append(h.evidence, evidence...)
	return h
}

// rule is one row of the table.
type rule struct {
	code     string
	severity Severity
	section  string
	remedy   string
	find     func(*Case) []hit
}

// All returns what the rules find, the worst first, and in the table's order.
func All(c *Case) []Finding {
	var out []Finding
	for _, r := range slices.Concat(serverRules, parentRules, signatureRules, contentRules) {
		for _, h := range r.find(c) {
			out = append(out, Finding{r.code, r.severity, terminal.Bare(h.subject), h.text, h.evidence, r.section, r.remedy})
		}
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return int(b.Severity) - int(a.Severity) })
	return out
}

// Kind is what one row of the table says of all its findings.
type Kind struct {
	Code     string
	Severity Severity
	Section  string
	Remedy   string
}

// Kinds are all rows of the table, in its order.
func Kinds() []Kind {
	var out []Kind
	for _, r := range slices.Concat(serverRules, parentRules, signatureRules, contentRules) {
		out = append(out, Kind{r.code, r.severity, r.section, r.remedy})
	}
	return out
}

func typeName(rrtype uint16) string { return dns.Type(rrtype).String() }
