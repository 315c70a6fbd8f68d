package perspective

import (
	"context"
	"time"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/mpic"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
)

// local looks names up from this machine: from the root, or through a resolver, whose answers are validated as well.
type local struct {
	looker    climb.Looker
	recursive bool
}

// views are the views of a quorum, by outcome.
var views = map[verdict.Outcome]quorum.View{
	verdict.Unknown: quorum.Unknown, verdict.MayIssue: quorum.Permits, verdict.AtRisk: quorum.Disputed, verdict.LockedOut: quorum.Denies,
}

func (l local) see(ctx context.Context, r guard.Requirement, at time.Time) Observation {
	way := climb.Up(ctx, l.looker, r.Name)
	if l.recursive {
		if fault := way.Last().Answer.ResolverFault(); fault != "" {
			return Observation{Reason: NoAnswer, Detail: "the resolver: " + fault}
		}
	}
	return observe(way, r, at)
}

// observe returns the observation that a climb makes of a requirement.
func observe(way climb.Climb, r guard.Requirement, at time.Time) Observation {
	v := verdict.Decide(way, r, at)
	s := Observation{View: views[v.Outcome], Reason: v.Reason, Detail: v.Detail}
	if last := way.Last(); !last.Failed() && len(last.RRset) > 0 {
		s.FoundAt, s.Records = last.GovernedBy(), mpic.RecordsOf(last.RRset)
	}
	return s
}
