package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/coredns-caa/caa/checker/dnssec"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// Style says how text looks.
type Style struct {
	Colour  bool // for a terminal
	Verbose bool // the chain that led to each verdict, and all evidence
}

const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
)

var outcomeColours = map[verdict.Outcome]string{verdict.MayIssue: green, verdict.AtRisk: yellow, verdict.LockedOut: red, verdict.Unknown: yellow}

var severityColours = map[finding.Severity]string{finding.Error: red, finding.Warning: yellow, finding.Info: dim}

func (s Style) paint(colour, text string) string {
	if !s.Colour || colour == "" || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// WriteText writes the report for people: names with their verdicts, what to mend, and a summary.
func (r *Report) WriteText(w io.Writer, s Style) error {
	var out strings.Builder
	for _, note := range r.Notes {
		fmt.Fprintf(&out, "%s\n\n", terminal.Clean(note))
	}
	for _, n := range r.Names {
		n.write(&out, s)
	}
	for _, f := range r.Findings {
		if f.Severity > finding.Info || s.Verbose {
			f.write(&out, s, len(r.Names))
		}
	}
	if s.Verbose {
		r.writeComing(&out)
	}
	out.WriteString(r.summary(s) + "\n")
	_, err := io.WriteString(w, out.String())
	return err
}

func (n Name) write(out *strings.Builder, s Style) {
	fmt.Fprintf(out, "%s\n", terminal.Clean(n.Name))
	var rows [][]cell
	for _, v := range n.Verdicts {
		rows = append(rows, []cell{{terminal.Clean(v.who()), ""}, {v.Outcome.String(), outcomeColours[v.Outcome]}, {terminal.Clean(v.because(n)), ""}})
	}
	for i, line := range s.columns(rows) {
		fmt.Fprintf(out, "    %s\n", line)
		n.Verdicts[i].writeCorroboration(out, s)
		if mend := n.Verdicts[i].mend(); mend != "" {
			fmt.Fprintf(out, "        %s\n", terminal.Clean(mend))
		}
	}
	if len(n.Verdicts) == 0 {
		fmt.Fprintf(out, "    %s\n", terminal.Clean(n.nobody()))
	}
	for _, d := range n.Drift {
		fmt.Fprintf(out, "    %s  %s\n", s.paint(red, driftCode), terminal.Clean(d.text()))
		fmt.Fprintf(out, "        mend: %s\n", driftRemedy)
	}
	if s.Verbose {
		n.writeTree(out, s)
	}
	out.WriteString("\n")
}

// who is the issuer, with what narrows the request.
func (v Verdict) who() string {
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

// because is the reason, with the record that decided and where it stands.
func (v Verdict) because(n Name) string {
	var parts []string
	if v.Outcome != verdict.MayIssue {
		parts = append(parts, string(v.Reason))
	}
	switch {
	case v.Property != nil && n.Relevant != nil:
		parts = append(parts, v.Property.String()+" at "+n.Relevant.Owner+", "+n.Relevant.Security.Status.String())
	case n.Relevant != nil:
		parts = append(parts, "nothing forbids it in the CAA of "+n.Relevant.Owner+", "+n.Relevant.Security.Status.String())
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
		return "nothing was asked about it"
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
			lines = append(lines, indent+"     said: "+words)
		}
	}
	lines = append(lines, "chain of trust")
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
		fmt.Fprintln(out, s.paint(dim, "    "+terminal.Clean(line)))
	}
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

// mostEvidence is how much is shown of a finding unless all is asked for.
const mostEvidence = 3

func (f Finding) write(out *strings.Builder, s Style, names int) {
	fmt.Fprintf(out, "%s  %s  %s\n", s.paint(severityColours[f.Severity], f.Severity.String()), terminal.Clean(f.Subject), f.Code)
	fmt.Fprintf(out, "    %s\n", terminal.Clean(f.Text))
	shown := f.Evidence
	if !s.Verbose && len(shown) > mostEvidence {
		shown = shown[:mostEvidence]
	}
	for _, evidence := range shown {
		fmt.Fprintf(out, "    %s\n", s.paint(dim, "- "+terminal.Clean(evidence)))
	}
	if n := len(f.Evidence) - len(shown); n > 0 {
		fmt.Fprintf(out, "    %s\n", s.paint(dim, fmt.Sprintf("- and %d more (-v)", n)))
	}
	if names > 1 && len(f.Names) == 1 && f.Names[0] != f.Subject {
		fmt.Fprintf(out, "    found for %s\n", terminal.Clean(f.Names[0]))
	}
	fmt.Fprintf(out, "    %s\n\n", f.advice())
}

func (r *Report) summary(s Style) string {
	outcomes := map[verdict.Outcome]int{}
	drift := 0
	for _, n := range r.Names {
		for _, v := range n.Verdicts {
			outcomes[v.Outcome]++
		}
		drift += len(n.Drift)
	}
	severities := map[finding.Severity]int{}
	for _, f := range r.Findings {
		severities[f.Severity]++
	}
	parts := []string{count(len(r.Names), "name")}
	for _, o := range []verdict.Outcome{verdict.MayIssue, verdict.AtRisk, verdict.LockedOut, verdict.Unknown} {
		if outcomes[o] > 0 {
			parts = append(parts, s.paint(outcomeColours[o], fmt.Sprintf("%d %s", outcomes[o], o)))
		}
	}
	if drift > 0 {
		parts = append(parts, s.paint(red, fmt.Sprintf("%d not as the policy says", drift)))
	}
	for _, v := range []finding.Severity{finding.Error, finding.Warning} {
		if severities[v] > 0 {
			parts = append(parts, s.paint(severityColours[v], count(severities[v], v.String())))
		}
	}
	if n := severities[finding.Info]; n > 0 && !s.Verbose {
		parts = append(parts, fmt.Sprintf("%s (-v)", count(n, "remark")))
	}
	line := strings.Join(parts, ", ")
	if !r.Complete {
		line += "; interrupted, so this is not all"
	}
	return line
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
