package perspective

import (
	"context"
	"slices"
	"time"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/dnssec"
	"github.com/coredns-caa/caa/checker/mpic"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
)

// local climbs from here: from the root, or through a resolver, whose answers are validated as well.
type local struct {
	looker    climb.Looker
	recursive bool
}

// views are what outcomes are to a quorum.
var views = map[verdict.Outcome]quorum.View{
	verdict.Unknown: quorum.Unknown, verdict.MayIssue: quorum.Permits, verdict.AtRisk: quorum.Disputed, verdict.LockedOut: quorum.Denies,
}

func (l local) see(ctx context.Context, r guard.Requirement, at time.Time) Sight {
	way := climb.Up(ctx, l.looker, r.Name)
	if l.recursive {
		if fault := fault(way.Last().Answer); fault != "" {
			return Sight{Reason: NoAnswer, Detail: "the resolver: " + fault}
		}
	}
	return sight(verdict.Decide(way, r, at))
}

// fault is what is wrong with a resolver rather than with a name's servers, "" for nothing: it does not
// answer, be it for a zone's keys, or it passes no signatures on, not even the root's.
func fault(answer resolve.Answer) string {
	if err := answer.Err; err != nil && err.Failure != resolve.ServFail {
		return err.Error()
	}
	for z := answer.Zone; z != nil; z = z.Parent {
		if z.Trust.Status != dnssec.Bogus {
			continue
		}
		if z.Parent == nil {
			return "not even the root's keys validate through it: " + z.Trust.Detail
		}
		if slices.ContainsFunc(z.Seen, func(o resolve.Observation) bool { return o.Failure.Silent() }) {
			return "it leaves questions for the keys of " + z.Name + " without an answer"
		}
	}
	return ""
}

func sight(v verdict.Verdict) Sight {
	s := Sight{View: views[v.Outcome], Reason: v.Reason, Detail: v.Detail}
	if last := v.Climb.Last(); !last.Failed() && len(last.RRset) > 0 {
		s.FoundAt, s.Records = last.GovernedBy(), mpic.RecordsOf(last.RRset)
	}
	return s
}
