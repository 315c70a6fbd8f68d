package report

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/coredns-caa/caa/checker/quorum"
)

// Colours of views and of a quorum's outcomes.
var (
	viewColours   = map[quorum.View]string{quorum.Permits: green, quorum.Denies: red, quorum.Disputed: yellow, quorum.Unknown: yellow}
	quorumColours = map[quorum.Outcome]string{quorum.Corroborated: green, quorum.NotCorroborated: red, quorum.Contested: yellow, quorum.Undetermined: yellow}
)

// sighting is what one perspective saw, in words.
type sighting struct {
	who  string
	view quorum.View
	why  string
}

// corroboration is what the perspectives saw, in words: the quorum, each of them, and what the outcome hangs on.
// There must be one.
func (v Verdict) corroboration() (judged string, sights []sighting, near, notes []string) {
	q := v.Corroboration.Quorum
	judged = fmt.Sprintf("%s by %d of %d remote perspectives%s", q.Outcome, len(q.Corroborating), len(q.Corroborating)+len(q.Others), phase(q.Rule)) + failed(q)
	for _, sight := range v.Corroboration.Sights {
		parts := []string{string(sight.Reason)}
		if len(sight.Records) > 0 {
			parts = append(parts, strings.Join(sight.Records, ", ")+" at "+bareName(sight.FoundAt))
		}
		if sight.Detail != "" {
			parts = append(parts, sight.Detail)
		}
		sights = append(sights, sighting{clean(sight.Perspective), sight.View, clean(strings.Join(parts, ": "))})
	}
	for _, n := range q.NotDistinct {
		near = append(near, clean(fmt.Sprintf("%s does not count: it is %.0f km from %s, and 500 are needed", n.Name, n.Km, n.To)))
	}
	if len(q.Pivotal) > 0 {
		notes = append(notes, clean("it hangs on one perspective alone: "+strings.Join(q.Pivotal, " or ")))
	}
	if denying := v.denying(); q.Outcome == quorum.Corroborated && len(denying) > 0 {
		notes = append(notes, clean("a CA whose primary perspective sees what "+strings.Join(denying, " or ")+" sees must not issue"))
	}
	for _, later := range v.Corroboration.Later {
		notes = append(notes, fmt.Sprintf("from %s on: %s%s", later.Rule.From.Format(time.DateOnly), later.Outcome, failed(later)))
	}
	return judged, sights, near, notes
}

// writeCorroboration shows what the perspectives saw: with Verbose all of them, else those that do not
// corroborate, and in any case what the outcome hangs on.
func (v Verdict) writeCorroboration(out *strings.Builder, s Style) {
	if v.Corroboration == nil {
		return
	}
	judged, sights, near, notes := v.corroboration()
	outcome := v.Corroboration.Quorum.Outcome
	fmt.Fprintf(out, "        %s\n", strings.Replace(judged, outcome.String(), s.paint(quorumColours[outcome], outcome.String()), 1))
	var table strings.Builder
	columns := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	var shown []quorum.View
	for _, sight := range sights {
		if sight.view == quorum.Permits && !s.Verbose {
			continue
		}
		shown = append(shown, sight.view)
		fmt.Fprintf(columns, "            %s\t%s\t%s\n", sight.who, sight.view, sight.why)
	}
	columns.Flush()
	for i, line := range strings.SplitAfter(table.String(), "\n") {
		if i < len(shown) {
			line = strings.Replace(line, shown[i].String(), s.paint(viewColours[shown[i]], shown[i].String()), 1)
		}
		out.WriteString(line)
	}
	for _, line := range near {
		fmt.Fprintf(out, "            %s\n", line)
	}
	for _, note := range notes {
		fmt.Fprintf(out, "        %s\n", note)
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

// denying are the perspectives that deny. Not every CA's primary stands where the file's does.
func (v Verdict) denying() []string {
	var out []string
	for _, s := range v.Corroboration.Sights {
		if s.View == quorum.Denies {
			out = append(out, s.Perspective)
		}
	}
	return out
}

func phase(rule quorum.Rule) string {
	if rule.From.IsZero() {
		return ", which no rule asks for"
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

func bareName(name string) string { return strings.TrimSuffix(name, ".") }
