package report

import (
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"

	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// Of returns the report of what a run found.
func Of(found *check.Result) *Report {
	out := &Report{
		Version: 1, At: found.At, RulesOf: found.RulesOf.Format(time.DateOnly), Complete: found.Complete, Notes: found.Notes,
		Names: []Name{}, Findings: []Finding{}, exit: ExitCode(found),
	}
	for _, n := range found.Names {
		out.Names = append(out.Names, nameOf(n))
	}
	for _, f := range found.Findings {
		out.Findings = append(out.Findings, Finding{f.Finding, f.Names})
	}
	return out
}

// ExitCode returns the exit status for a run: what must be fixed goes before what could not be determined.
func ExitCode(found *check.Result) int {
	code := ExitFine
	if !found.Complete {
		code = ExitUnknown
	}
	for _, n := range found.Names {
		for _, r := range n.Requests {
			switch r.Verdict.Outcome {
			case verdict.LockedOut, verdict.AtRisk:
				return ExitWrong
			case verdict.Unknown:
				code = ExitUnknown
			}
		}
		if len(n.Drift) > 0 {
			return ExitWrong
		}
	}
	if slices.ContainsFunc(found.Findings, func(f finding.Found) bool { return f.Finding.Severity == catalog.Error }) {
		return ExitWrong
	}
	return code
}

func nameOf(n check.Name) Name {
	out := Name{Name: n.Subject.String(), Relevant: relevant(n.Climb), Verdicts: []Verdict{}, Climb: steps(n.Climb), Zones: zones(n.Climb, n.Ends)}
	for _, r := range n.Requests {
		out.Verdicts = append(out.Verdicts, verdictOf(r, n.Climb))
	}
	for _, d := range n.Drift {
		out.Drift = append(out.Drift, Drift{Pos: d.Pos, Policy: properties(d.Policy), Seen: properties(d.Seen), Alias: dnsname.Bare(d.Alias), Server: d.Server, Fix: drift.Fix})
	}
	return out
}

func verdictOf(r check.Request, way climb.Climb) Verdict {
	v, asked := r.Verdict, r.Verdict.Requirement
	out := Verdict{
		Issuer: asked.Domain, Type: asked.Type, Account: asked.Account, Method: asked.Method,
		Outcome: v.Outcome, Reason: v.Reason, Detail: v.Detail, Denies: v.Denies, Corroboration: r.Corroboration,
	}
	if v.Property != nil {
		p := Property(*v.Property)
		out.Property = &p
	}
	if v.Outcome != verdict.MayIssue {
		last := way.Last()
		entry, _ := verdict.Reason(v.Reason)
		out.Fix = entry.Fix
		if p, ok := corrected(v, last.RRset); ok {
			out.Corrected = &p
			out.Fix += ": " + dnsname.Bare(last.GovernedBy()) + " CAA " + p.String()
		}
	}
	if asked.Pos != (policy.Position{}) {
		out.RequiredBy = &asked.Pos
	}
	return out
}

func relevant(way climb.Climb) *Relevant {
	last := way.Last()
	if last.Failed() || len(last.RRset) == 0 {
		return nil
	}
	return &Relevant{
		AskedAt: dnsname.Bare(last.Name), Owner: dnsname.Bare(last.GovernedBy()), Zone: dnsname.Bare(last.Answer.Zone.Name), TTL: last.Answer.RRset.TTL,
		Security: last.Answer.Result, Properties: properties(last.RRset),
	}
}

func properties(rrset issuance.RRset) []Property {
	out := []Property{}
	for _, p := range rrset {
		out = append(out, Property(p))
	}
	return out
}

func steps(way climb.Climb) []Step {
	out := []Step{}
	for _, s := range way.Steps {
		step := Step{Name: dnsname.Bare(s.Name), Kind: s.Answer.Kind.String(), Security: s.Answer.Result, Servers: []string{}}
		if s.Answer.Zone != nil {
			step.Zone = dnsname.Bare(s.Answer.Zone.Name)
		}
		if s.Answer.Err != nil {
			step.Failure = s.Answer.Err.Error()
		}
		step.Aliases = s.Answer.Aliases()
		if len(s.RRset) > 0 {
			step.Properties = properties(s.RRset)
		}
		for _, o := range s.Answer.Seen {
			if name := o.Source(); o.Addr.IsValid() && !slices.Contains(step.Servers, name) {
				step.Servers = append(step.Servers, name)
			}
			if text := o.Source() + ": " + o.Words(); len(o.Errors) > 0 && !slices.Contains(step.Errors, text) {
				step.Errors = append(step.Errors, text)
			}
		}
		out = append(out, step)
	}
	return out
}

// zones are those that the climb rests on.
func zones(way climb.Climb, ends map[string][]finding.End) []Zone {
	out := []Zone{}
	for _, z := range way.Zones() {
		zone := Zone{Name: dnsname.Bare(z.Name), Security: z.Trust, Servers: []string{}}
		if z.Parent != nil {
			zone.Parent = dnsname.Bare(z.Parent.Name)
		}
		for _, ds := range z.DS {
			if !slices.Contains(zone.DS, ds.KeyTag) {
				zone.DS = append(zone.DS, ds.KeyTag)
			}
		}
		for _, end := range ends[z.Name] {
			zone.Ends = append(zone.Ends, End{At: end.At, From: end.From, Over: end.Over(), keys: end.Type == dns.TypeDNSKEY})
		}
		for _, s := range z.Servers {
			zone.Servers = append(zone.Servers, describe(s))
		}
		out = append(out, zone)
	}
	return out
}

func describe(s resolve.Server) string {
	text := dnsname.Bare(s.Name)
	for _, a := range s.Addrs {
		text += " " + a.String()
	}
	return text
}
