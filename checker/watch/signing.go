package watch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/report"
)

// Signing is what was observed of when zones make their signatures anew, by zone and part. It is a value: a step
// makes a new one.
type Signing map[part]Signed

// part is a zone's keys, whose key may be used seldom, or all else.
type part struct {
	Zone string `json:"zone"`
	Keys bool   `json:"keys"`
}

// Signed is what was observed of one part.
type Signed struct {
	part
	End   time.Time     `json:"end"`           // of the first of its signatures to end, at the last run
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
func (s Signing) Step(r *report.Report, now time.Time) (Signing, []report.Finding) {
	next := Signing{}
	for p, signed := range s {
		if now.Before(signed.End.Add(forgotten)) {
			next[p] = signed
		}
	}
	var late []report.Finding
	ends, names := firstEnds(r)
	for p, end := range ends {
		was, known := s[p]
		is := Signed{p, end.At.UTC(), was.Least}
		if left := was.End.Sub(now); known && is.End.After(was.End) && left > 0 && (is.Least == 0 || left < is.Least) {
			is.Least = left
		}
		next[p] = is
		if left := end.At.Sub(now); is.Least > 0 && left < is.Least/lateOfLeast && left < end.At.Sub(end.From)/lateOfWhole {
			late = append(late, report.Finding{Finding: lateSigner(p, end, is.Least), Names: names[p.Zone]})
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

// firstEnds are the first ends of each part of each zone, and the names that a zone matters to.
func firstEnds(r *report.Report) (ends map[part]report.End, names map[string][]string) {
	ends, names = map[part]report.End{}, map[string][]string{}
	for _, n := range r.Names {
		for _, z := range n.Zones {
			zone := text(z.Name)
			names[zone] = append(names[zone], n.Name)
			for _, end := range z.Ends {
				p := part{zone, strings.HasSuffix(end.Over, " DNSKEY")}
				if first, known := ends[p]; !known || end.At.Before(first.At) {
					ends[p] = end
				}
			}
		}
	}
	return ends, names
}
