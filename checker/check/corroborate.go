package check

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
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

// worse is the verdict that a quorum's outcome leads to, where the one from here is not as bad already.
var worse = map[quorum.Outcome]struct {
	outcome verdict.Outcome
	reason  issuance.Reason
}{
	quorum.NotCorroborated: {verdict.LockedOut, NotCorroborated},
	quorum.Contested:       {verdict.AtRisk, Contested},
	quorum.Undetermined:    {verdict.Unknown, Undetermined},
}

// requirementsAtATime is how many are asked of all perspectives at a time; each perspective has a limit of its own.
const requirementsAtATime = 2 * perspective.DefaultConcurrency

// corroborateAll asks the perspectives about every verdict, and judges what they observed by the quorum's rule of the
// day. After each name it calls report, if that is not nil.
func corroborateAll(ctx context.Context, set *perspective.Set, all []*examined, at time.Time, report func(done, total int)) {
	var group errgroup.Group
	group.SetLimit(requirementsAtATime)
	var mu sync.Mutex
	names := 0
	for _, i := range spread(len(all)) {
		requests := all[i].name.Requests
		left := len(requests)
		if left == 0 && report != nil { // nobody may issue for it
			mu.Lock()
			names++
			report(names, len(all))
			mu.Unlock()
		}
		for j := range requests {
			group.Go(func() error {
				requests[j] = corroborate(ctx, set, requests[j].Verdict, at)
				mu.Lock()
				defer mu.Unlock()
				if left--; left == 0 && report != nil {
					names++
					report(names, len(all))
				}
				return nil
			})
		}
	}
	_ = group.Wait()
}

// corroborate asks the perspectives about a verdict, and returns the verdict of the quorum.
func corroborate(ctx context.Context, set *perspective.Set, v verdict.Verdict, at time.Time) Request {
	seen := set.Ask(ctx, v.Requirement, at)
	switch {
	case ctx.Err() != nil: // interrupted: the verdict from here remains
		return Request{Verdict: v}
	case seen.Quorum.Outcome == quorum.Corroborated && !set.Here():
		v = overruled(v, seen)
	default:
		v = worsened(v, seen.Quorum)
	}
	return Request{v, &seen}
}

// worsened is a verdict where the quorum makes it worse.
func worsened(v verdict.Verdict, q quorum.Result) verdict.Verdict {
	found, ok := worse[q.Outcome]
	if !ok || found.outcome.Badness() <= v.Outcome.Badness() { // a quorum that includes this machine never improves on what was observed from here
		return v
	}
	v.Detail = fmt.Sprintf("%s from here; %s", v.Outcome, explain(q))
	if q.Outcome == quorum.NotCorroborated && !slices.Contains(q.Failed, quorum.PrimaryPermits) {
		v.Detail += fmt.Sprintf("; a CA may rely on what its remote perspectives observed up to %d days ago, so the refusal can come late", quorum.ReuseDays)
	}
	v.Outcome, v.Reason, v.Property = found.outcome, found.reason, nil
	return v
}

// overruled is a verdict that perspectives corroborate which do not include this machine: what is unknown
// from here is known to them, and what locks a CA out only from here may be the network between.
func overruled(v verdict.Verdict, seen perspective.Judged) verdict.Verdict {
	switch v.Outcome {
	case verdict.Unknown:
		i := slices.IndexFunc(seen.Observations, func(s perspective.Observation) bool { return s.Primary })
		v.Outcome, v.Reason, v.Detail = verdict.MayIssue, seen.Observations[i].Reason, "unknown from here, which is not one of the perspectives; they corroborate"
	case verdict.LockedOut:
		v.Detail = fmt.Sprintf("%s from here (%s), which is not one of the perspectives; they corroborate", v.Outcome, v.Reason)
		v.Outcome, v.Reason, v.Property = verdict.AtRisk, OnlyHere, nil
	}
	return v
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
		return fmt.Sprintf("at most %d of the remote perspectives may fail to corroborate, and %s do not", q.Allowed, strings.Join(q.Others, ", "))
	},
	quorum.EnoughRegions: func(q quorum.Result) string {
		return fmt.Sprintf("those that corroborate have to be in %d regions, and are in %d", q.Rule.Regions, len(q.Regions))
	},
}
