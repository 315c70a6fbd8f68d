// Package resign remembers from run to run when zones renew their signatures, and finds signers that are late, which one
// run cannot show.
package resign

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// History is when zones were observed to renew their signatures, by zone and part. It is a value: a step
// makes a new one.
type History map[part]Signed

// part is a zone's DNSKEY RRset, whose key may be used seldom, or the rest of the zone.
type part struct {
	Zone string `json:"zone"`
	Keys bool   `json:"keys"`
}

// Signed is what was observed of one part.
type Signed struct {
	part
	End   time.Time     `json:"end"`           // of the first of its signatures to end, at the last run
	At    string        `json:"at,omitempty"`  // a name that was checked, at which it was seen
	Least time.Duration `json:"least_left_ns"` // that was left of that when it was renewed; 0 while it never was
}

// Signatures that have less left than this part of what was left the other times, and less than this part of their
// validity, are late. The first alone would report a healthy zone that is signed whenever it changes.
const (
	lateOfLeast = 2
	lateOfWhole = 5
)

// forgotten is how long after its signatures have ended a zone that is not seen any more is kept.
const forgotten = 30 * 24 * time.Hour

// Seen is one name that was checked, with the ends of the signatures of the zones that it rests on, by zone.
type Seen struct {
	Name string // as in a certificate
	Ends map[string][]finding.End
}

// Step adds what a run observed, and returns the findings about signers that are late.
func (h History) Step(run []Seen, now time.Time) (History, []finding.Found) {
	next := History{}
	for p, signed := range h {
		if now.Before(signed.End.Add(forgotten)) {
			next[p] = signed
		}
	}
	var late []finding.Found
	for p, shown := range ends(run) {
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
			late = append(late, finding.Found{Finding: lateSigner(p, end, is.Least), Names: shown.names()})
		}
	}
	slices.SortFunc(late, func(a, b finding.Found) int {
		return strings.Compare(a.Finding.Subject+a.Finding.Text, b.Finding.Subject+b.Finding.Text)
	})
	return next, late
}

// lateSigner is the finding of a part whose signatures were renewed earlier until now.
func lateSigner(p part, end finding.End, least time.Duration) finding.Finding {
	what := "signatures of " + p.Zone
	if p.Keys {
		what = "the signature over the keys of " + p.Zone
	}
	text := fmt.Sprintf("%s expire on %s and were not renewed: in earlier runs at least %v was left", what, end.At.UTC().Format("2 January 2006 15:04 MST"), least.Round(time.Minute))
	return finding.New(finding.SignatureLate, p.Zone, text, fmt.Sprintf("%s: %s", end.Over(), end.At.UTC().Format(time.RFC3339)))
}

// shown is what the names of a run show of one part.
type shown []showing

type showing struct {
	name string
	end  finding.End
}

func (s shown) first() (end finding.End, name string) {
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
func ends(run []Seen) map[part]shown {
	out := map[part]shown{}
	for _, seen := range run {
		for zone, ends := range seen.Ends {
			for _, end := range ends {
				p := part{strings.ToValidUTF8(dnsname.Bare(zone), "\uFFFD"), end.Type == dns.TypeDNSKEY}
				out[p] = append(out[p], showing{seen.Name, end})
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

// MaxSize bounds what is read of a history that was written to a file, in octets: a zone takes 300.
const MaxSize = 64 << 20

// Parse reads what Write has written.
func Parse(data []byte) (History, error) {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("not a history of signatures: %w", err)
	}
	if f.Version != 1 || f.Signing == nil {
		return nil, errors.New("not a history of signatures, or one of another version")
	}
	return f.Signing, nil
}

// Write writes a history for Parse.
func (h History) Write(w io.Writer) error { return terminal.WriteJSON(w, file{1, h}) }
