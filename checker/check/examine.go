package check

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// ServersDisagree is the reason of a verdict that depends on which of a zone's servers is asked.
const ServersDisagree issuance.Reason = "servers-disagree"

// examiner examines one name at a time. It is safe for concurrent use.
type examiner struct {
	resolver  *resolve.Resolver
	collector *finding.Collector
	at        time.Time // the day whose rules hold
}

// examined is what was found of one job.
type examined struct {
	name  Name
	signs []finding.Sign
}

// examine climbs from the job's name, asks every server of the zones on the way, and judges.
func (e examiner) examine(ctx context.Context, job Job) *examined {
	way := climb.Up(ctx, e.resolver, job.Subject.Domain)
	seen := e.collector.Collect(ctx, way)
	seen.Now, seen.At = e.resolver.Now(), e.at
	others := e.alternatives(ctx, seen)
	out := &examined{name: Name{Subject: job.Subject, Climb: way.WithoutMessages(), Ends: ends(way, seen)}}
	for _, r := range job.requirements(way, others) {
		if domain := strings.ToLower(r.Domain); r.Unlisted {
			seen.Unlisted = append(seen.Unlisted, domain)
		} else if r.Vouched() {
			seen.Asked = append(seen.Asked, domain)
		}
		out.name.Requests = append(out.name.Requests, Request{Verdict: e.decide(r, seen, others)})
	}
	if job.Node != nil {
		out.name.Drift = drift(job.Node, seen)
	}
	out.signs = finding.Signs(seen)
	return out
}

// ends returns when signatures end, of the zones that a climb rests on.
func ends(way climb.Climb, seen *finding.Case) map[string][]finding.End {
	out, all := map[string][]finding.End{}, seen.Ends()
	for _, zone := range way.Zones() {
		if ends := all[zone.Name]; len(ends) > 0 {
			out[zone.Name] = ends
		}
	}
	return out
}

// alternative is the climb of a CA's resolver that asks another server than the one whose answer was taken, or that has
// an alias in its cache.
type alternative struct {
	server string
	climb  climb.Climb
	alias  *finding.Alias // nil for none
}

// alternatives returns the climbs by the other servers' answers: on the way up, along an alias, on the way down, and by
// an alias that a resolver has in its cache.
func (e examiner) alternatives(ctx context.Context, seen *finding.Case) []alternative {
	rest := seen.Climb.Above(ctx, e.resolver)
	var out []alternative
	for o, other := range seen.PerServer() {
		for _, step := range seen.Climb.Steps {
			if answer, diverted := e.resolver.Divert(ctx, step.Answer, other); diverted {
				out = append(out, alternative{server: o.Source(), climb: seen.Climb.Replace(rest, step.Name, answer)})
			}
		}
	}
	for _, a := range seen.Aliases {
		out = append(out, alternative{server: a.Server, climb: a.Climb, alias: &a})
	}
	for _, o := range seen.Others {
		out = append(out, alternative{server: o.Server, climb: o.Climb})
	}
	return out
}

// decide judges a requirement by the climb, and by what every server answers. A fault of the resolver that is asked
// says nothing about the name.
func (e examiner) decide(r guard.Requirement, seen *finding.Case, others []alternative) verdict.Verdict {
	if e.resolver.Recursive() {
		if fault := seen.Climb.Last().Answer.ResolverFault(); fault != "" {
			return verdict.Verdict{Requirement: r, Outcome: verdict.Unknown, Reason: verdict.Incomplete, Detail: "the resolver: " + fault}
		}
	}
	return e.united(verdict.Decide(seen.Climb, r, e.at), others)
}

// united is the verdict of all servers' answers, the same whichever of them was taken. Where they differ in the outcome the
// name is at risk.
func (e examiner) united(v verdict.Verdict, others []alternative) verdict.Verdict {
	if v.Outcome == verdict.Unknown {
		return v
	}
	by := map[verdict.Outcome][]string{}
	least := v
	for _, a := range others {
		other := verdict.Decide(a.climb, v.Requirement, e.at)
		switch {
		case other.Outcome == verdict.Unknown:
			continue
		case a.alias != nil && other.Outcome != v.Outcome:
			v.Outcome, v.Reason, v.Property, v.Denies = verdict.AtRisk, finding.CAABesideCNAME, nil, nil
			v.Detail = fmt.Sprintf("%s has %s as an alias of %s, except for queries for CAA: %s by its CAA (%s), %s by the alias (%s)", a.server, dnsname.Bare(a.alias.Name), dnsname.Bare(a.alias.Target), least.Outcome, least.Reason, other.Outcome, other.Reason)
			return v
		case a.alias != nil:
			continue
		case other.Outcome == v.Outcome && other.Reason < least.Reason: // of several reasons always the same
			least = other
		}
		if text := fmt.Sprintf("%s (%s)", a.server, other.Reason); !slices.Contains(by[other.Outcome], text) {
			by[other.Outcome] = append(by[other.Outcome], text)
		}
	}
	if len(by) == 0 || len(by) == 1 && by[v.Outcome] != nil {
		return least
	}
	var parts []string
	for _, outcome := range []verdict.Outcome{verdict.MayIssue, verdict.AtRisk, verdict.LockedOut} {
		if servers := by[outcome]; len(servers) > 0 {
			slices.Sort(servers)
			parts = append(parts, fmt.Sprintf("%s by the answer of %s", outcome, strings.Join(servers, ", ")))
		}
	}
	v.Outcome, v.Reason, v.Detail, v.Property, v.Denies = verdict.AtRisk, ServersDisagree, strings.Join(parts, "; "), nil, nil
	return v
}
