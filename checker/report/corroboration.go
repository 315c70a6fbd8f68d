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

// writeCorroboration shows what the perspectives saw: with Verbose all of them, else those that do not
// corroborate, and in any case what the outcome hangs on.
func (v Verdict) writeCorroboration(out *strings.Builder, s Style) {
	if v.Corroboration == nil {
		return
	}
	q := v.Corroboration.Quorum
	fmt.Fprintf(out, "        %s by %d of %d remote perspectives%s\n", s.paint(quorumColours[q.Outcome], q.Outcome.String()), len(q.Corroborating), len(q.Corroborating)+len(q.Others), phase(q.Rule))
	var table strings.Builder
	columns := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	var shown []quorum.View
	for _, sight := range v.Corroboration.Sights {
		if sight.View == quorum.Permits && !s.Verbose {
			continue
		}
		shown = append(shown, sight.View)
		parts := []string{string(sight.Reason)}
		if len(sight.Records) > 0 {
			parts = append(parts, strings.Join(sight.Records, ", ")+" at "+bareName(sight.FoundAt))
		}
		if sight.Detail != "" {
			parts = append(parts, sight.Detail)
		}
		fmt.Fprintf(columns, "            %s\t%s\t%s\n", clean(sight.Perspective), sight.View, clean(strings.Join(parts, ": ")))
	}
	columns.Flush()
	for i, line := range strings.SplitAfter(table.String(), "\n") {
		if i < len(shown) {
			line = strings.Replace(line, shown[i].String(), s.paint(viewColours[shown[i]], shown[i].String()), 1)
		}
		out.WriteString(line)
	}
	for _, near := range q.NotDistinct {
		fmt.Fprintf(out, "            %s does not count: it is %.0f km from %s, and 500 are needed\n", clean(near.Name), near.Km, clean(near.To))
	}
	if len(q.Pivotal) > 0 {
		fmt.Fprintf(out, "        it hangs on one perspective alone: %s\n", clean(strings.Join(q.Pivotal, " or ")))
	}
	if denying := v.denying(); q.Outcome == quorum.Corroborated && len(denying) > 0 {
		fmt.Fprintf(out, "        a CA whose primary perspective sees what %s sees must not issue\n", clean(strings.Join(denying, " or ")))
	}
	for _, later := range v.Corroboration.Later {
		fmt.Fprintf(out, "        from %s on: %s%s\n", later.Rule.From.Format(time.DateOnly), later.Outcome, failed(later))
	}
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
