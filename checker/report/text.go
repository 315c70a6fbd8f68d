package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"

	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// Style says how text looks.
type Style struct {
	Colour  bool // for a terminal
	Verbose bool // every name, the climb and the chain of trust of each, and all evidence
	Columns int  // of a line; 0 for no limit
}

const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
)

var outcomeColours = map[verdict.Outcome]string{verdict.MayIssue: green, verdict.AtRisk: yellow, verdict.LockedOut: red, verdict.Unknown: yellow}

var severityColours = map[catalog.Severity]string{catalog.Error: red, catalog.Warning: yellow, catalog.Info: dim}

// answerColours are those of the first line, by its class.
var answerColours = map[string]string{"good": green, "bad": red, "doubtful": yellow}

func (s Style) paint(colour, text string) string {
	if !s.Colour || colour == "" || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// wrap is Hang in the style's width, of a text that others wrote a part of.
func (s Style) wrap(first, text string) string {
	return Hang(first, terminal.Clean(text), s.Columns) + "\n"
}

const (
	// mostFine is how many names there may be for those that are fine to be shown: more hide what is wrong.
	mostFine = 20
	// listedFrom is from how many names with something wrong they are listed in a line each, before their details: fewer
	// fit on a screen with their details.
	listedFrom = 4
	// mostListed is how many lines such a list has: with the answer it fits on a screen of 24.
	mostListed = 18
	// mostOfOneCode is how many findings of a code are shown.
	mostOfOneCode = 10
	// mostEvidence is how much evidence of a finding is shown.
	mostEvidence = 3
)

// WriteText writes the report for people: the answer, the names with something wrong, those that are fine unless they
// are many, the findings, and notes.
func (r *Report) WriteText(w io.Writer, s Style) error {
	var out strings.Builder
	answer, class := r.answer()
	out.WriteString(s.paint(answerColours[class], Hang("", terminal.Clean(answer), s.Columns)) + "\n")
	if counts := r.counts(s); counts != "" {
		out.WriteString(counts + "\n")
	}
	out.WriteString("\n")
	bad, fine := r.sorted()
	r.writeList(&out, s, bad)
	writeNames(&out, s, bad)
	if len(r.Names) <= mostFine || s.Verbose {
		writeNames(&out, s, fine)
	} else if len(fine) > 0 {
		fmt.Fprintf(&out, "%s %s fine (-v)\n\n", counted(len(fine), "name"), are(len(fine)))
	}
	r.writeFindings(&out, s)
	if s.Verbose {
		r.writeComing(&out, s)
	}
	for _, note := range r.Notes {
		out.WriteString(s.wrap("Note: ", note))
	}
	_, err := io.WriteString(w, strings.TrimRight(out.String(), "\n")+"\n")
	return err
}

// counts is the second line: how many findings there are; "" for none.
func (r *Report) counts(s Style) string {
	t := r.totals()
	var parts []string
	for _, severity := range []catalog.Severity{catalog.Error, catalog.Warning} {
		if n := t.severities[severity]; n > 0 {
			parts = append(parts, s.paint(severityColours[severity], counted(n, severity.String())))
		}
	}
	if n := t.severities[catalog.Info]; n > 0 {
		text := counted(n, "remark")
		if !s.Verbose {
			text += " (-v)"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

// sorted returns the names with something wrong, the worst first, and the others.
func (r *Report) sorted() (bad, fine []Name) {
	for _, n := range r.Names {
		if n.fine() {
			fine = append(fine, n)
		} else {
			bad = append(bad, n)
		}
	}
	slices.SortStableFunc(bad, func(a, b Name) int {
		left, _ := a.worst()
		right, _ := b.worst()
		return right.Badness() - left.Badness()
	})
	return bad, fine
}

// writeList lists names with something wrong, a line for each verdict: what is wrong, without details.
func (r *Report) writeList(out *strings.Builder, s Style, bad []Name) {
	if len(bad) < listedFrom {
		return
	}
	var rows [][]cell
	for _, n := range bad {
		for _, v := range n.Verdicts {
			if v.Outcome != verdict.MayIssue {
				rows = append(rows, []cell{{v.Outcome.String(), outcomeColours[v.Outcome]}, {terminal.Clean(n.Name), ""}, {terminal.Clean(v.who()), ""}, {string(v.Reason), ""}})
			}
		}
		if len(n.Drift) > 0 {
			rows = append(rows, []cell{{drift.Code, red}, {terminal.Clean(n.Name), ""}, {"", ""}, {terminal.Clean(n.Drift[0].Server), ""}})
		}
	}
	shown := rows[:min(len(rows), mostListed)]
	for _, line := range s.table("", shown) {
		out.WriteString(line + "\n")
	}
	if n := len(rows) - len(shown); n > 0 {
		fmt.Fprintf(out, "and %d more\n", n)
	}
	out.WriteString("\n")
}

// writeNames writes what there is to show of names. Names of which the same is shown are written together.
func writeNames(out *strings.Builder, s Style, names []Name) {
	var order []string
	together := map[string][]string{}
	for _, n := range names {
		text := n.text(s)
		if together[text] == nil {
			order = append(order, text)
		}
		together[text] = append(together[text], terminal.Clean(n.Name))
	}
	for _, text := range order {
		out.WriteString(Wrap("", strings.Join(together[text], ", "), "", s.Columns) + "\n" + text + "\n")
	}
}

// text is what there is to show of a name.
func (n Name) text(s Style) string {
	var out strings.Builder
	var rows [][]cell
	for _, v := range n.Verdicts {
		rows = append(rows, []cell{{terminal.Clean(v.who()), ""}, {v.Outcome.String(), outcomeColours[v.Outcome]}, {terminal.Clean(v.because(n)), ""}})
	}
	for i, line := range s.table("    ", rows) {
		out.WriteString(line + "\n")
		n.Verdicts[i].writeCorroboration(&out, s)
		if fix := n.Verdicts[i].Fix; fix != "" {
			out.WriteString(s.wrap("        fix: ", fix))
		}
	}
	if len(n.Verdicts) == 0 {
		out.WriteString(s.wrap("    ", n.nobody()))
	}
	for _, d := range together(n.Drift) {
		out.WriteString(s.table("    ", [][]cell{{{drift.Code, red}, {terminal.Clean(d.text()), ""}}})[0] + "\n")
		out.WriteString(s.wrap("        fix: ", d.Fix))
	}
	if s.Verbose {
		n.writeTree(&out, s)
	}
	return out.String()
}

// who is the issuer, with what narrows the request, as the subject of the outcome.
func (v Verdict) who() string {
	if v.everyCA() {
		return "every" + strings.TrimPrefix(v.asked(), "any")
	}
	return v.asked()
}

// asked is the issuer, with what narrows the request, whatever the outcome.
func (v Verdict) asked() string {
	who := v.Issuer
	if v.Issuer == "" {
		who = "any CA"
	}
	if v.Type != issuance.TLS {
		who += " (" + v.Type.String() + ")"
	}
	for _, narrow := range []string{v.Account, v.Method} {
		if narrow != "" {
			who += " " + narrow
		}
	}
	return who
}

// because is the reason, with the record that decided and where it is.
func (v Verdict) because(n Name) string {
	var parts []string
	if v.Outcome != verdict.MayIssue {
		parts = append(parts, string(v.Reason))
	}
	switch {
	case v.Property != nil && n.Relevant != nil:
		parts = append(parts, v.Property.String()+" at "+n.Relevant.Owner+", "+n.Relevant.Security.Status.String())
	case n.Relevant != nil && v.Outcome == verdict.MayIssue:
		parts = append(parts, "no CAA record restricts it at "+n.Relevant.Owner+", "+n.Relevant.Security.Status.String())
	case v.Reason == issuance.NoRRset:
		parts = append(parts, "no CAA at the name or above it")
	}
	if v.Detail != "" {
		parts = append(parts, v.Detail)
	}
	return strings.Join(parts, ": ")
}

// nobody says what there is to say of a name without a verdict.
func (n Name) nobody() string {
	if n.Relevant == nil {
		return "not checked: its CAA records could not be determined"
	}
	if len(n.Drift) > 0 { // what the policy permits is what was checked
		return "the policy permits no CA, and DNS has " + list(n.Relevant.Properties) + " at " + n.Relevant.Owner + ", " + n.Relevant.Security.Status.String()
	}
	return "nobody may issue: " + list(n.Relevant.Properties) + " at " + n.Relevant.Owner + ", " + n.Relevant.Security.Status.String()
}

// String is the record's content in zone file syntax.
func (p Property) String() string { return fmt.Sprintf("%d %s %q", p.Flags, p.Tag, p.Value) }

func list(properties []Property) string {
	if len(properties) == 0 {
		return "no CAA"
	}
	var out []string
	for _, p := range properties {
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}

// writeTree shows the climb, and the chain of trust of the zones on the way.
func (n Name) writeTree(out *strings.Builder, s Style) {
	var lines []string
	for i, step := range n.Climb {
		indent := strings.Repeat("   ", i)
		lines = append(lines, indent+"└─ "+step.Name+"  "+step.what())
		for _, alias := range step.Aliases {
			lines = append(lines, indent+"     alias: "+alias)
		}
		if len(step.Servers) > 0 {
			lines = append(lines, indent+"     asked: "+strings.Join(step.Servers, ", "))
		}
		for _, words := range step.Errors {
			lines = append(lines, indent+"     error: "+words)
		}
	}
	lines = append(lines, "chain of trust"+n.legend())
	for _, z := range n.Zones {
		indent := strings.Repeat("   ", len(n.path(z))-1)
		line := indent + "└─ " + z.Name + "  " + z.Security.Status.String()
		if len(z.DS) > 0 {
			line += fmt.Sprintf(", DS %s", strings.Trim(fmt.Sprint(z.DS), "[]"))
		}
		if z.Security.Detail != "" {
			line += ": " + z.Security.Detail
		}
		lines = append(lines, line, indent+"     servers: "+strings.Join(z.Servers, ", "))
	}
	for _, line := range lines {
		text := strings.TrimLeft(line, " ")
		indent := "    " + line[:len(line)-len(text)]
		out.WriteString(s.paint(dim, Wrap(indent, terminal.Clean(text), indent+"     ", s.Columns)) + "\n")
	}
}

// legend says what the statuses of the name's answers and zones mean, other than secure; "" where they are all that.
func (n Name) legend() string {
	found := map[dnssec.Status]bool{}
	for _, step := range n.Climb {
		found[step.Security.Status] = step.Failure == "" || found[step.Security.Status]
	}
	for _, z := range n.Zones {
		found[z.Security.Status] = true
	}
	var parts []string
	for _, m := range statusMeanings {
		if found[m.status] && m.status != dnssec.Secure {
			parts = append(parts, m.status.String()+": "+m.text)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, "; ") + ")"
}

func (step Step) what() string {
	switch {
	case step.Failure != "":
		return "failed: " + step.Failure
	case step.Security.Status == dnssec.Bogus:
		return step.Security.String()
	case len(step.Properties) > 0:
		return list(step.Properties) + "  (" + step.Security.Status.String() + ")"
	}
	return "no CAA  (" + step.Security.Status.String() + ")"
}

// writeFindings writes the findings; of one code not too many.
func (r *Report) writeFindings(out *strings.Builder, s Style) {
	written := map[string]int{}
	for _, f := range r.Findings {
		if f.Severity == catalog.Info && !s.Verbose {
			continue
		}
		if written[f.Code]++; written[f.Code] <= mostOfOneCode || s.Verbose {
			f.write(out, s, len(r.Names))
		}
	}
	for _, f := range r.Findings {
		if n := written[f.Code] - mostOfOneCode; n > 0 && !s.Verbose {
			fmt.Fprintf(out, "and %d more of %s (-v)\n\n", n, f.Code)
			written[f.Code] = 0
		}
	}
}

func (f Finding) write(out *strings.Builder, s Style, names int) {
	out.WriteString(s.paint(severityColours[f.Severity], f.Severity.String()) + "  " + terminal.Clean(f.Subject) + "  " + f.Code + "\n")
	out.WriteString(s.wrap("    ", f.Text))
	shown := f.Evidence
	if !s.Verbose && len(shown) > mostEvidence {
		shown = shown[:mostEvidence]
	}
	for _, evidence := range shown {
		out.WriteString("    " + s.paint(dim, Wrap("- ", terminal.Clean(evidence), "      ", max(s.Columns-4, 0))) + "\n")
	}
	if n := len(f.Evidence) - len(shown); n > 0 {
		out.WriteString("    " + s.paint(dim, fmt.Sprintf("- and %d more (-v)", n)) + "\n")
	}
	if names > 1 && !slices.Equal(f.Names, f.Subjects) && !(len(f.Names) == 1 && f.Names[0] == f.Subject) { // it has not named them
		out.WriteString(s.wrap("    for ", others(f.Names)))
	}
	out.WriteString(s.wrap("    fix: ", f.advice()) + "\n")
}
