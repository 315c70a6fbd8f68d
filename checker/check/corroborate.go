package check

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/verdict"
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

// corroborateAll asks the perspectives about every verdict, and holds what they saw against the quorum's rule of the
// day.
func corroborateAll(ctx context.Context, results []*result, o Options) {
	var group errgroup.Group
	group.SetLimit(requirementsAtATime)
	var names atomic.Int32
	for _, i := range spread(len(results)) {
		found := results[i]
		var verdicts atomic.Int32
		for j := range found.verdicts {
			group.Go(func() error {
				corroborate(ctx, o.Perspectives, &found.verdicts[j], o.At)
				if int(verdicts.Add(1)) == len(found.verdicts) && o.Corroborated != nil {
					o.Corroborated(int(names.Add(1)), len(results))
				}
				return nil
			})
		}
	}
	_ = group.Wait()
}

func corroborate(ctx context.Context, set *perspective.Set, v *judged, at time.Time) {
	seen := set.Ask(ctx, v.verdict.Requirement, at)
	if ctx.Err() != nil {
		return // interrupted: what was not asked says nothing, and what was seen from here stands
	}
	v.corroboration = &seen
	if seen.Quorum.Outcome == quorum.Corroborated && !set.Here() {
		overrule(&v.verdict, seen)
		return
	}
	found, ok := worse[seen.Quorum.Outcome]
	if !ok || badness[found.outcome] <= badness[v.verdict.Outcome] {
		return
	}
	v.verdict.Detail = fmt.Sprintf("%s from here; %s", v.verdict.Outcome, explain(seen.Quorum))
	if seen.Quorum.Outcome == quorum.NotCorroborated && !slices.Contains(seen.Quorum.Failed, quorum.PrimaryPermits) {
		v.verdict.Detail += fmt.Sprintf("; a CA may rely on what its remote perspectives saw up to %d days ago, so it can show late", quorum.ReuseDays)
	}
	v.verdict.Outcome, v.verdict.Reason, v.verdict.Property = found.outcome, found.reason, nil
}

// overrule is a corroboration by perspectives that this machine is none of: what could not be found out from here,
// they have, and what locks a CA out here alone may be the way from here.
func overrule(v *verdict.Verdict, seen perspective.Judged) {
	switch v.Outcome {
	case verdict.Unknown:
		i := slices.IndexFunc(seen.Sights, func(s perspective.Sight) bool { return s.Primary })
		v.Outcome, v.Reason, v.Detail = verdict.MayIssue, seen.Sights[i].Reason, "not found out from here, which is not one of the perspectives; they corroborate"
	case verdict.LockedOut:
		v.Detail = fmt.Sprintf("%s from here (%s), which is not one of the perspectives; they corroborate", v.Outcome, v.Reason)
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
