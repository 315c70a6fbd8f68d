package report

import (
	"fmt"
	"slices"

	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/catalog"
)

// totals are what a report has of each kind. A name counts once, by the worst of its verdicts.
type totals struct {
	names      int
	outcomes   map[verdict.Outcome]int
	open       int // names for which any CA may issue, whichever it is
	nobody     int // names without a verdict whose CAA permits no CA, as their policy wants
	missing    int // names in domains that do not exist
	closed     int // names in others for which no CA may issue
	drift      int // names with drift
	severities map[catalog.Severity]int
	only       string // the name, where there is one alone
}

// worst returns the worst outcome of a name's verdicts; false without any.
func (n Name) worst() (out verdict.Outcome, ok bool) {
	for i, v := range n.Verdicts {
		if i == 0 || v.Outcome.Badness() > out.Badness() {
			out = v.Outcome
		}
	}
	return out, len(n.Verdicts) > 0
}

// missing reports whether the name is in a domain that does not exist.
func (n Name) missing() bool {
	return slices.ContainsFunc(n.Verdicts, func(v Verdict) bool { return v.Reason == verdict.DomainMissing })
}

// closed reports whether every CA is locked out.
func (n Name) closed() bool { return slices.ContainsFunc(n.Verdicts, Verdict.everyCA) }

// everyCA reports whether the verdict is that no CA may issue, whichever it is.
func (v Verdict) everyCA() bool { return v.Issuer == "" && v.Outcome == verdict.LockedOut }

// fine reports whether there is nothing to fix or to find out about the name's verdicts.
func (n Name) fine() bool {
	worst, ok := n.worst()
	return (!ok || worst == verdict.MayIssue) && len(n.Drift) == 0
}

func (r *Report) totals() totals {
	t := totals{names: len(r.Names), outcomes: map[verdict.Outcome]int{}, severities: map[catalog.Severity]int{}}
	for _, n := range r.Names {
		t.only = n.Name
		if worst, ok := n.worst(); ok {
			t.outcomes[worst]++
			switch {
			case n.missing():
				t.missing++
			case n.closed():
				t.closed++
			case worst == verdict.MayIssue && !slices.ContainsFunc(n.Verdicts, func(v Verdict) bool { return v.Issuer != "" }):
				t.open++
			}
		} else if n.Relevant != nil {
			t.nobody++
		}
		if len(n.Drift) > 0 {
			t.drift++
		}
	}
	for _, f := range r.Findings {
		t.severities[f.Severity]++
	}
	return t
}

// Fine reports whether nothing is wrong: every CA that was checked may issue, and there are no errors and no warnings.
func (r *Report) Fine() bool {
	t := r.totals()
	return r.exit == ExitFine && r.Complete && t.severities[catalog.Warning] == 0
}

// answer is the first line: whether the CAs may issue. Its class says how it looks: good only where the exit code is
// ExitFine.
func (r *Report) answer() (text, class string) {
	text, class = r.totals().answer()
	if r.Complete {
		return text + ".", class
	}
	if class == "good" {
		class = "doubtful"
	}
	return text + "; interrupted: names are missing.", class
}

func (t totals) answer() (text, class string) {
	switch {
	case t.outcomes[verdict.LockedOut]+t.outcomes[verdict.AtRisk] > 0:
		return "No: " + t.bad(), "bad"
	case t.drift > 0: // as in ExitCode, what must be fixed goes before what is unknown
		text = "No: servers do not return the policy's CAA records for " + t.any(t.drift)
		if n := t.outcomes[verdict.Unknown]; n > 0 {
			text += fmt.Sprintf(", %d %s", n, verdict.Unknown)
		}
		return text, "bad"
	case t.outcomes[verdict.Unknown] > 0:
		return "Unknown: whether " + t.which(t.outcomes[verdict.Unknown]) + " may have certificates could not be determined", "doubtful"
	case len(t.outcomes) == 0 && t.nobody == 0:
		return "Unknown: nothing was checked", "doubtful"
	case len(t.outcomes) == 0:
		text = "No CA may issue for " + t.any(t.nobody) + ", as the policy says"
		if n := t.severities[catalog.Error]; n > 0 {
			return text + ", but " + counted(n, "error") + " must be fixed", "doubtful"
		}
		return text, "plain"
	}
	yes := "every CA that was checked may issue for " + t.which(t.outcomes[verdict.MayIssue])
	if t.open == t.outcomes[verdict.MayIssue] {
		yes = "any CA may issue for " + t.which(t.open)
	}
	if t.nobody > 0 {
		yes += fmt.Sprintf(", and none for %d, as the policy says", t.nobody)
	}
	if n := t.severities[catalog.Error]; n > 0 {
		return "Yes today, but " + counted(n, "error") + " must be fixed: " + yes, "doubtful"
	}
	return "Yes: " + yes, "good"
}

// bad says how many names are locked out, at risk and unknown; of those locked out, why, where no CA can do anything about it.
func (t totals) bad() string {
	switch locked := t.outcomes[verdict.LockedOut]; {
	case t.names == 1 && t.missing == 1:
		return t.only + " is in a domain that does not exist"
	case t.names == 1 && t.closed == 1:
		return "no CA may issue for " + t.only
	case locked > 0 && t.missing > 0:
		return t.each() + fmt.Sprintf(" (%d in a domain that does not exist)", t.missing)
	}
	return t.each()
}

// each says how many names are locked out, at risk and unknown.
func (t totals) each() string {
	text := ""
	for _, o := range []verdict.Outcome{verdict.LockedOut, verdict.AtRisk, verdict.Unknown} {
		switch n := t.outcomes[o]; {
		case n == 0:
		case text == "" && t.names == 1:
			text = t.only + " is " + o.String()
		case text == "":
			text = t.which(n) + " " + are(n) + " " + o.String()
		default:
			text += fmt.Sprintf(", %d %s", n, o)
		}
	}
	return text
}

// which names so many of the names.
func (t totals) which(n int) string {
	switch {
	case t.names == 1:
		return t.only
	case n == t.names:
		return fmt.Sprintf("all %d names", n)
	}
	return fmt.Sprintf("%d of %d names", n, t.names)
}

// any names so many of the names, of none of which something is true.
func (t totals) any(n int) string {
	if n == t.names && n > 1 {
		return fmt.Sprintf("any of the %d names", n)
	}
	return t.which(n)
}

func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// counted is a number of things.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
