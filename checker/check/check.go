// Package check asks from outside and decides, for many names at once: requirements go in, a
// [report.Report] comes out. It joins the others: climb, verdict, finding.
package check

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/subject"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// OneServer is the reason of a name that may be issued for by most servers' answers, and not by those
// of one.
const OneServer issuance.Reason = "one-server-denies"

// Job is one name with what is asked about it.
type Job struct {
	Subject      subject.Subject
	Requirements []guard.Requirement // empty: whoever the Relevant RRset names
	Type         issuance.CertificateType
	Node         *policy.Node // the policy's own node at the name: what is seen must be its RRset
}

// Jobs are those of names given by hand: each issuer at each name.
func Jobs(subjects []subject.Subject, issuers []string, like guard.Requirement) []Job {
	var out []Job
	for _, s := range subjects {
		job := Job{Subject: s, Type: like.Type}
		for _, issuer := range issuers {
			r := like
			r.Name, r.Wildcard, r.Domain = s.Name, s.Wildcard, issuer
			job.Requirements = append(job.Requirements, r)
		}
		out = append(out, job)
	}
	return out
}

// PolicyJobs are all that a policy requires, and its nodes, in the order of names; only, if not empty,
// leaves others out.
func PolicyJobs(p *policy.Snapshot, only []subject.Subject) []Job {
	var out []Job
	at := func(s subject.Subject) *Job {
		if len(only) > 0 && !slices.Contains(only, s) {
			return nil
		}
		i := slices.IndexFunc(out, func(j Job) bool { return j.Subject == s })
		if i < 0 {
			i = len(out)
			out = append(out, Job{Subject: s})
		}
		return &out[i]
	}
	for _, r := range guard.Requirements(p) {
		if job := at(subject.Subject{Name: r.Name, Wildcard: r.Wildcard}); job != nil {
			job.Requirements = append(job.Requirements, r)
		}
	}
	for _, zone := range p.Zones {
		for node := range zone.Nodes() {
			if job := at(subject.Subject{Name: node.Name}); job != nil {
				job.Node = node
			}
		}
	}
	return out
}

// DefaultWorkers is how many names are checked at a time. Nearly all of them wait for their turn at a
// server, which is asked no faster than is polite, and those of other servers are to go on meanwhile.
const DefaultWorkers = 256

// Options say how to check.
type Options struct {
	At       time.Time             // the rules of that day
	Workers  int                   // names at a time; 0 for DefaultWorkers
	Progress func(done, total int) // called after each name; may be nil

	Perspectives *perspective.Set      // asked about every verdict as well; nil for none
	Corroborated func(done, total int) // called after each name that they were asked about; may be nil
}

// result is what was found of one job. The verdicts keep what they are about: the report is made of them at the end,
// and nothing is read back out of it.
type result struct {
	name     report.Name // without verdicts
	verdicts []judged
	findings []finding.Finding
}

// judged is a verdict, and what the perspectives made of it.
type judged struct {
	verdict       verdict.Verdict
	corroboration *perspective.Judged
}

// Run checks every job. When ctx ends, the report holds what was found until then.
func Run(ctx context.Context, r *resolve.Resolver, jobs []Job, o Options) *report.Report {
	if o.Workers == 0 {
		o.Workers = DefaultWorkers
	}
	out := &report.Report{Version: 1, At: time.Now().UTC().Truncate(time.Second), RulesOf: o.At.Format(time.DateOnly), Names: []report.Name{}, Findings: []report.Finding{}}
	collector := finding.NewCollector(r)
	results := make([]*result, len(jobs))
	next := make(chan turn)
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range min(o.Workers, len(jobs)) {
		wg.Go(func() {
			for t := range next {
				i := t.job
				found := one(resolve.WithPriority(ctx, t.number), r, collector, jobs[i], o.At)
				if ctx.Err() != nil {
					continue
				}
				mu.Lock()
				results[i] = found
				done++
				if o.Progress != nil {
					o.Progress(done, len(jobs))
				}
				mu.Unlock()
			}
		})
	}
	for number, i := range spread(len(jobs)) {
		if ctx.Err() == nil {
			next <- turn{i, number}
		}
	}
	close(next)
	wg.Wait()
	out.Complete = done == len(jobs)
	results = slices.DeleteFunc(results, func(found *result) bool { return found == nil })
	if o.Perspectives != nil && len(o.Perspectives.Names()) > 0 {
		corroborateAll(ctx, results, o)
		out.Complete = out.Complete && ctx.Err() == nil
	}
	for _, found := range results {
		out.Names = append(out.Names, found.reported())
		out.AddFindings(found.name.Name, found.findings)
	}
	if r.WasOffline() && !r.OneServer() {
		out.Notes = append(out.Notes, "For a while nobody answered this machine, not even the root: servers that were asked then are left out of the findings.")
	}
	out.Rank()
	return out
}

// turn is a job with its place in the order.
type turn struct{ job, number int }

// spread is an order in which neighbours are far from each other, the same each time: who lists names lists
// them by zone, and their servers are asked all the while rather than one after the other.
func spread(n int) []int { return rand.New(rand.NewPCG(0, 0)).Perm(n) }

func one(ctx context.Context, r *resolve.Resolver, collector *finding.Collector, job Job, at time.Time) *result {
	way := climb.Up(ctx, r, job.Subject.Name)
	seen := collector.Collect(ctx, way)
	seen.Now, seen.At = r.Now(), at
	out := &result{name: report.Name{Name: job.Subject.String(), Relevant: relevant(way), Climb: steps(way), Zones: zones(way, seen.Ends()), Verdicts: []report.Verdict{}}}
	fault := ""
	if r.Recursive() {
		fault = way.Last().Answer.ResolverFault()
	}
	for _, req := range job.requirements(way) {
		if domain := strings.ToLower(req.Domain); req.Unlisted {
			seen.Unlisted = append(seen.Unlisted, domain)
		} else if req.Vouched() {
			seen.Asked = append(seen.Asked, domain)
		}
		v := doubt(ctx, r, verdict.Decide(way, req, at), seen, at)
		if fault != "" { // it says nothing about the name
			v = verdict.Verdict{Requirement: req, Outcome: verdict.Unknown, Reason: verdict.NotFoundOut, Detail: "the resolver: " + fault, Climb: way}
		}
		v.Climb = climb.Climb{} // with every answer of every server, of which there are too many to keep
		out.verdicts = append(out.verdicts, judged{verdict: v})
	}
	if job.Node != nil {
		out.name.Drift = drift(job.Node, seen)
	}
	out.findings = finding.All(seen)
	return out
}

// requirements are the job's or, without any, one for each issuer that the policy names there or, without
// that, the Relevant RRset. Where nothing restricts issuance, or nothing could be found, it is anybody: no
// issuer's name.
func (j Job) requirements(way climb.Climb) []guard.Requirement {
	if len(j.Requirements) > 0 {
		return j.Requirements
	}
	like := guard.Requirement{Name: j.Subject.Name, Wildcard: j.Subject.Wildcard, Type: j.Type}
	last := way.Last()
	naming := last.RRset
	if j.Node != nil {
		naming = j.Node.RRset
	}
	var out []guard.Requirement
	for _, domain := range verdict.Named(naming, j.Type, j.Subject.Wildcard) {
		r := like
		r.Domain, r.Origin, r.Unlisted = domain, guard.Published, j.unlisted(domain)
		out = append(out, r)
	}
	if len(out) == 0 && (last.Failed() || verdict.Decide(way, like, time.Time{}).Outcome != verdict.LockedOut) {
		out = append(out, like)
	}
	return out
}

// unlisted reports whether the policy's node names the issuer and calls it unlisted.
func (j Job) unlisted(domain string) bool {
	return j.Node != nil && slices.ContainsFunc(j.Node.Sources, func(src *policy.Source) bool {
		return src.Issuer != nil && src.Issuer.Unlisted && strings.EqualFold(src.Issuer.Domain, domain)
	})
}

// doubt asks what becomes of a verdict when a CA's resolver comes upon one server or another, on the way up, on the
// way along an alias, or on the way down, or upon an alias that it remembers.
func doubt(ctx context.Context, r *resolve.Resolver, v verdict.Verdict, seen *finding.Case, at time.Time) verdict.Verdict {
	rest := v.Climb.Above(ctx, r)
	for o, turn := range seen.PerServer() {
		for _, step := range v.Climb.Steps {
			answer, diverted := r.Divert(ctx, step.Answer, turn)
			if !diverted {
				continue
			}
			if other, differs := differs(v, verdict.Decide(v.Climb.Replace(rest, step.Name, answer), v.Requirement, at), server(o)); differs {
				return other
			}
		}
	}
	for _, a := range seen.Aliases {
		other := verdict.Decide(a.Climb, v.Requirement, at)
		if changed, differs := differs(v, other, a.Server); differs {
			changed.Reason = finding.CAABesideCNAME
			changed.Detail = fmt.Sprintf("%s has %s for an alias of %s, and not when it is asked for CAA: %s as it answers for CAA (%s), %s by the alias (%s)", a.Server, terminal.Bare(a.Name), terminal.Bare(a.Target), v.Outcome, v.Reason, other.Outcome, other.Reason)
			return changed
		}
	}
	for _, o := range seen.Others {
		if other, differs := differs(v, verdict.Decide(o.Climb, v.Requirement, at), o.Server); differs {
			return other
		}
	}
	return v
}

// differs reports whether a verdict hangs on a server, by whose answer it would be the other, and is then that of
// both.
func differs(v, other verdict.Verdict, server string) (verdict.Verdict, bool) {
	switch {
	case v.Outcome == verdict.MayIssue && (other.Outcome == verdict.LockedOut || other.Outcome == verdict.AtRisk):
		v.Reason = OneServer
		v.Detail = fmt.Sprintf("by the answer of %s it may not: %s", server, other.Reason)
	case v.Outcome == verdict.LockedOut && other.Outcome == verdict.MayIssue:
		v.Detail = fmt.Sprintf("by the answer of %s it may", server)
	default:
		return v, false
	}
	v.Outcome = verdict.AtRisk
	return v, true
}

func server(o resolve.Observation) string {
	if o.Server == "" {
		return o.Addr.String()
	}
	return fmt.Sprintf("%s (%s)", terminal.Bare(o.Server), o.Addr.Addr())
}

// drift compares what each server says at a node's name with the policy, whose RRsets have in them what they
// inherit. An alias there has no RRset of its own, and is drift where the policy has one.
func drift(node *policy.Node, seen *finding.Case) []report.Drift {
	want := sorted(node.RRset)
	var out []report.Drift
	for o, turn := range seen.PerServer() {
		if turn.Name != node.Name {
			continue
		}
		d := report.Drift{Pos: node.Pos, Policy: properties(want), Seen: []report.Property{}, Server: server(o)}
		same := len(want) == 0
		if turn.Reading.Kind == resolve.Alias {
			d.Alias = terminal.Bare(turn.Reading.Target)
		} else {
			got := sorted(climb.Properties(turn.Reading.RRset))
			d.Seen, same = properties(got), slices.Equal(got, want)
		}
		told := slices.ContainsFunc(out, func(other report.Drift) bool { return other.Server == d.Server })
		if !same && !told {
			out = append(out, d)
		}
	}
	return out
}

// sorted is an RRset as a set: in one order, and each property once (RFC 2181 5).
func sorted(rrset issuance.RRset) issuance.RRset {
	out := slices.Clone(rrset)
	for i := range out {
		out[i].Tag = strings.ToLower(out[i].Tag)
	}
	slices.SortFunc(out, func(a, b issuance.Property) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return slices.Compact(out)
}
