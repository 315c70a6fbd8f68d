package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// Colours of views and of a quorum's outcomes.
var (
	viewColours   = map[quorum.View]string{quorum.Permits: green, quorum.Denies: red, quorum.Disputed: yellow, quorum.Unknown: yellow}
	quorumColours = map[quorum.Outcome]string{quorum.Corroborated: green, quorum.NotCorroborated: red, quorum.Contested: yellow, quorum.Undetermined: yellow}
)

// uncounted is written for a perspective that does not count, in place of what it saw.
const uncounted = "does not count"

// observation is what one perspective saw, in words.
type observation struct {
	who, where string // its name; its region, and whether it is the primary
	view       quorum.View
	counts     bool
	why        string
}

// corroboration is what the perspectives saw, in words: the quorum, each of them, and what the outcome hangs on.
// There must be one.
func (v Verdict) corroboration() (judged string, observations []observation, notes []string) {
	q := v.Corroboration.Quorum
	judged = q.Outcome.String() + byWhom(q)
	for _, seen := range v.Corroboration.Observations {
		observations = append(observations, observed(seen, q))
	}
	if len(q.Pivotal) > 0 {
		notes = append(notes, terminal.Clean("the outcome depends on one perspective: "+strings.Join(q.Pivotal, " or ")))
	}
	if denying := v.denying(); q.Outcome == quorum.Corroborated && len(denying) > 0 {
		notes = append(notes, terminal.Clean("a CA whose primary perspective sees the same as "+strings.Join(denying, " or ")+" must not issue"))
	}
	for _, later := range v.Corroboration.Later {
		notes = append(notes, fmt.Sprintf("from %s on: %s%s", later.Rule.From.Format(time.DateOnly), later.Outcome, failed(later)))
	}
	return judged, observations, notes
}

// byWhom is what follows a quorum's outcome.
func byWhom(q quorum.Result) string {
	text := fmt.Sprintf(" by %d of %d remote perspectives", len(q.Corroborating), len(q.Corroborating)+len(q.Others))
	if n := len(q.Regions); n > 0 {
		text += ", in " + counted(n, "region")
	}
	return text + phase(q.Rule) + failed(q)
}

func observed(s perspective.Observation, q quorum.Result) observation {
	out := observation{who: terminal.Clean(s.Perspective), where: terminal.Clean(string(s.Region)), view: s.View, counts: true}
	if s.Primary {
		out.where += ", primary"
	}
	parts := []string{string(s.Reason)}
	if i := slices.IndexFunc(q.NotDistinct, func(n quorum.Near) bool { return n.Name == s.Perspective }); i >= 0 {
		out.counts = false
		parts = []string{fmt.Sprintf("%.0f km from %s, and %d are required; it %s", q.NotDistinct[i].Km, q.NotDistinct[i].To, quorum.MinDistance, s.View), string(s.Reason)}
	}
	if len(s.Records) > 0 {
		parts = append(parts, strings.Join(s.Records, ", ")+" at "+dnsname.Bare(s.FoundAt))
	}
	if s.Detail != "" {
		parts = append(parts, s.Detail)
	}
	out.why = terminal.Clean(strings.Join(parts, ": "))
	return out
}

// cells are the observation as a line of text.
func (s observation) cells() []cell {
	colour := viewColours[s.view]
	if !s.counts {
		colour = dim
	}
	return []cell{{s.who, ""}, {s.where, dim}, {s.result(), colour}, {s.why, ""}}
}

// result is the view in words.
func (s observation) result() string {
	if s.counts {
		return s.view.String()
	}
	return uncounted
}

// writeCorroboration shows what the perspectives saw: with Verbose all of them, else those that do not
// corroborate, and in any case what the outcome hangs on.
func (v Verdict) writeCorroboration(out *strings.Builder, s Style) {
	if v.Corroboration == nil {
		return
	}
	_, observations, notes := v.corroboration()
	q := v.Corroboration.Quorum
	out.WriteString(Wrap("        "+s.paint(quorumColours[q.Outcome], q.Outcome.String()), byWhom(q), "          ", s.Columns) + "\n")
	var rows [][]cell
	for _, seen := range observations {
		if seen.view != quorum.Permits || !seen.counts || s.Verbose {
			rows = append(rows, seen.cells())
		}
	}
	for _, line := range s.table("            ", rows) {
		out.WriteString(line + "\n")
	}
	for _, note := range notes {
		out.WriteString(Wrap("        ", note, "          ", s.Columns) + "\n")
	}
}

// corroborated is all of it in lines of their own, "" without perspectives.
func (v Verdict) corroborated() string {
	if v.Corroboration == nil {
		return ""
	}
	var out strings.Builder
	v.writeCorroboration(&out, Style{Verbose: true})
	return out.String()
}

// denying are the perspectives that deny. A CA's primary may be near one of them, wherever the file's is.
func (v Verdict) denying() []string {
	var out []string
	for _, s := range v.Corroboration.Observations {
		if s.View == quorum.Denies {
			out = append(out, s.Perspective)
		}
	}
	return out
}

func phase(rule quorum.Rule) string {
	if rule.From.IsZero() {
		return ", which no rule requires"
	}
	return ", by the rule of " + rule.From.Format(time.DateOnly)
}

func failed(q quorum.Result) string {
	var out []string
	for _, clause := range q.Failed {
		out = append(out, string(clause))
	}
	if len(out) == 0 {
		return ""
	}
	return " (" + strings.Join(out, ", ") + ")"
}
