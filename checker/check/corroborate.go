package check

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/subject"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// Reasons of verdicts that a quorum changes.
const (
	NotCorroborated issuance.Reason = "quorum-not-corroborated"
	Contested       issuance.Reason = "quorum-contested"
	Undetermined    issuance.Reason = "quorum-undetermined"
	OnlyHere        issuance.Reason = "locked-out-only-here"
)

// worse is what a quorum's outcome makes of a verdict that is not as bad already.
var worse = map[quorum.Outcome]struct {
	outcome verdict.Outcome
	reason  issuance.Reason
}{
	quorum.NotCorroborated: {verdict.LockedOut, NotCorroborated},
	quorum.Contested:       {verdict.AtRisk, Contested},
	quorum.Undetermined:    {verdict.Unknown, Undetermined},
}

// badness orders outcomes: a quorum that this machine is of never improves on what was seen from here.
var badness = map[verdict.Outcome]int{verdict.MayIssue: 0, verdict.Unknown: 1, verdict.AtRisk: 2, verdict.LockedOut: 3}

// requirementsAtATime are asked of all perspectives; each has a limit of its own besides.
const requirementsAtATime = 2 * perspective.DefaultConcurrency

// Corroborate asks the perspectives about every verdict of a report, and holds what they saw against the
// quorum's rule of a day. progress is called after each name; it may be nil.
func Corroborate(ctx context.Context, set *perspective.Set, r *report.Report, at time.Time, progress func(done, total int)) {
	var group errgroup.Group
	group.SetLimit(requirementsAtATime)
	var names atomic.Int32
	for _, i := range spread(len(r.Names)) {
		base, wildcard := climb.Split(r.Names[i].Name)
		name := subject.Subject{Name: base, Wildcard: wildcard}
		var verdicts atomic.Int32
		for j := range r.Names[i].Verdicts {
			group.Go(func() error {
				corroborate(ctx, set, name, &r.Names[i].Verdicts[j], at)
				if int(verdicts.Add(1)) == len(r.Names[i].Verdicts) && progress != nil {
					progress(int(names.Add(1)), len(r.Names))
				}
				return nil
			})
		}
	}
	_ = group.Wait()
	if ctx.Err() != nil {
		r.Complete = false
	}
}

func corroborate(ctx context.Context, set *perspective.Set, name subject.Subject, v *report.Verdict, at time.Time) {
	judged := set.Ask(ctx, guard.Requirement{Name: name.Name, Wildcard: name.Wildcard, Domain: v.Issuer, Type: v.Type, Account: v.Account, Method: v.Method}, at)
	if ctx.Err() != nil {
		return // interrupted: what was not asked says nothing, and what was seen from here stands
	}
	v.Corroboration = &judged
	if judged.Quorum.Outcome == quorum.Corroborated && !set.Here() {
		overrule(v, judged)
		return
	}
	found, ok := worse[judged.Quorum.Outcome]
	if !ok || badness[found.outcome] <= badness[v.Outcome] {
		return
	}
	v.Detail = fmt.Sprintf("%s from here; %s", v.Outcome, explain(judged.Quorum))
	if judged.Quorum.Outcome == quorum.NotCorroborated && !slices.Contains(judged.Quorum.Failed, quorum.PrimaryPermits) {
		v.Detail += fmt.Sprintf("; a CA may rely on what its remote perspectives saw up to %d days ago, so it can show late", quorum.ReuseDays)
	}
	v.Outcome, v.Reason, v.Property = found.outcome, found.reason, nil
}

// overrule is a corroboration by perspectives that this machine is none of: what could not be found out from here,
// they have, and what locks a CA out here alone may be the way from here.
func overrule(v *report.Verdict, judged perspective.Judged) {
	switch v.Outcome {
	case verdict.Unknown:
		i := slices.IndexFunc(judged.Sights, func(s perspective.Sight) bool { return s.Primary })
		v.Outcome, v.Reason, v.Detail = verdict.MayIssue, judged.Sights[i].Reason, "not found out from here, which is none of the perspectives; they corroborate"
	case verdict.LockedOut:
		v.Detail = fmt.Sprintf("%s from here (%s), which is none of the perspectives; they corroborate", v.Outcome, v.Reason)
		v.Outcome, v.Reason, v.Property = verdict.AtRisk, OnlyHere, nil
	}
}

// explain names the clauses that are not met, or may not be.
func explain(q quorum.Result) string {
	var out []string
	for _, clause := range q.Failed {
		out = append(out, clauseTexts[clause](q))
	}
	return strings.Join(out, ", and ")
}

var clauseTexts = map[quorum.Clause]func(quorum.Result) string{
	quorum.PrimaryPermits: func(q quorum.Result) string {
		return fmt.Sprintf("the primary perspective %s has to permit", q.Primary)
	},
	quorum.EnoughRemotes: func(q quorum.Result) string {
		return fmt.Sprintf("%d distinct remote perspectives are needed, and there are %d", q.Rule.Remotes, len(q.Corroborating)+len(q.Others))
	},
	quorum.NonCorroborations: func(q quorum.Result) string {
		return fmt.Sprintf("%d of the remote perspectives need not corroborate, and %s do not", q.Allowed, strings.Join(q.Others, ", "))
	},
	quorum.EnoughRegions: func(q quorum.Result) string {
		return fmt.Sprintf("those that corroborate have to lie in %d regions, and lie in %d", q.Rule.Regions, len(q.Regions))
	},
}
