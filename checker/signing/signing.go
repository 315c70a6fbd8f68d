// Package signing remembers from run to run when zones make their signatures anew, and tells of a signer that is late:
// what one look at a zone cannot show.
package signing

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// History is what was observed of when zones make their signatures anew, by zone and part. It is a value: a step
// makes a new one.
type History map[part]Signed

// part is a zone's keys, whose key may be used seldom, or all else.
type part struct {
	Zone string `json:"zone"`
	Keys bool   `json:"keys"`
}

// Signed is what was observed of one part.
type Signed struct {
	part
	End   time.Time     `json:"end"`           // of the first of its signatures to end, at the last run
	At    string        `json:"at,omitempty"`  // a name that was checked, at which it was seen
	Least time.Duration `json:"least_left_ns"` // that was left of that when it was made anew; 0 while it never was
}

// Signatures that have less left than this part of what was left the other times, and less than this part of their
// whole time, are late. The first alone would tell of a healthy zone that is signed whenever it changes.
const (
	lateOfLeast = 2
	lateOfWhole = 5
)

// forgotten is how long after its signatures have ended a zone that is not seen any more is kept.
const forgotten = 30 * 24 * time.Hour

// Step takes a report in, and returns what it shows of signers that are late.
func (h History) Step(r *report.Report, now time.Time) (History, []report.Finding) {
	next := History{}
	for p, signed := range h {
		if now.Before(signed.End.Add(forgotten)) {
			next[p] = signed
		}
	}
	var late []report.Finding
	for p, shown := range ends(r) {
		end, at := shown.first()
		was := h[p]
		is := Signed{p, end.At.UTC(), at, was.Least}
		switch left := was.End.Sub(now); {
		case left <= 0 || !is.End.After(was.End):
		case was.At != "" && !shown.has(was.At): // other names of the zone have other signatures: what ended first may still be there
			is.End, is.At = was.End, was.At
		case is.Least == 0 || left < is.Least:
			is.Least = left
		}
		next[p] = is
		if left := end.At.Sub(now); is.Least > 0 && left < is.Least/lateOfLeast && left < end.At.Sub(end.From)/lateOfWhole {
			late = append(late, report.Finding{Finding: lateSigner(p, end, is.Least), Names: shown.names()})
		}
	}
	slices.SortFunc(late, func(a, b report.Finding) int { return strings.Compare(a.Subject+a.Text, b.Subject+b.Text) })
	return next, late
}

func lateSigner(p part, end report.End, least time.Duration) finding.Finding {
	what := "signatures of " + p.Zone
	if p.Keys {
		what = "the signature over the keys of " + p.Zone
	}
	return finding.Finding{
		Code: "signature-late", Severity: finding.Error, Subject: p.Zone,
		Text:     fmt.Sprintf("%s should have been made anew: until now that was done with %v left at least", what, least.Round(time.Minute)),
		Evidence: []string{fmt.Sprintf("%s: %s", end.Over, end.At.UTC().Format(time.RFC3339))},
		Section:  "RFC 6781 4.4.2", Remedy: "see that the signer still runs, and that its zone is transferred",
	}
}

// shown is what the names of a report show of one part.
type shown []showing

type showing struct {
	name string
	end  report.End
}

func (s shown) first() (end report.End, name string) {
	first := slices.MinFunc(s, func(a, b showing) int { return a.end.At.Compare(b.end.At) })
	return first.end, first.name
}

func (s shown) has(name string) bool {
	return slices.ContainsFunc(s, func(o showing) bool { return o.name == name })
}

func (s shown) names() []string {
	var out []string
	for _, o := range s {
		out = append(out, o.name)
	}
	return out
}

// ends are the first ends of each part of each zone, by the names that it matters to.
func ends(r *report.Report) map[part]shown {
	out := map[part]shown{}
	for _, n := range r.Names {
		for _, z := range n.Zones {
			for _, end := range z.Ends {
				p := part{strings.ToValidUTF8(z.Name, "\uFFFD"), strings.HasSuffix(end.Over, " DNSKEY")}
				out[p] = append(out[p], showing{n.Name, end})
			}
		}
	}
	return out
}

// MarshalJSON makes a list of it: by zone, its keys last.
func (h History) MarshalJSON() ([]byte, error) {
	return json.Marshal(slices.SortedFunc(maps.Values(h), func(a, b Signed) int {
		switch zones := strings.Compare(a.Zone, b.Zone); {
		case zones != 0:
			return zones
		case a.Keys:
			return 1
		}
		return -1
	}))
}

// UnmarshalJSON reads such a list.
func (h *History) UnmarshalJSON(data []byte) error {
	var all []Signed
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	*h = History{}
	for _, signed := range all {
		(*h)[signed.part] = signed
	}
	return nil
}

// file is a history in a file of its own.
type file struct {
	Version int     `json:"version"` // 1
	Signing History `json:"signing"`
}

// Parse reads what Write has written.
func Parse(data []byte) (History, error) {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("it is no history of signatures: %w", err)
	}
	if f.Version != 1 || f.Signing == nil {
		return nil, errors.New("it is no history of signatures, or another version's")
	}
	return f.Signing, nil
}

// Write writes a history for Parse.
func (h History) Write(w io.Writer) error { return terminal.WriteJSON(w, file{1, h}) }
