package check

import (
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

func relevant(way climb.Climb) *report.Relevant {
	last := way.Last()
	if last.Failed() || len(last.RRset) == 0 {
		return nil
	}
	return &report.Relevant{
		AskedAt: terminal.Bare(last.Name), Owner: terminal.Bare(last.GovernedBy()), Zone: terminal.Bare(last.Answer.Zone.Name), TTL: last.Answer.RRset.TTL,
		Security: last.Answer.Result, Properties: properties(last.RRset),
	}
}

func properties(rrset issuance.RRset) []report.Property {
	out := []report.Property{}
	for _, p := range rrset {
		out = append(out, report.Property(p))
	}
	return out
}

func steps(way climb.Climb) []report.Step {
	out := []report.Step{}
	for _, s := range way.Steps {
		step := report.Step{Name: terminal.Bare(s.Name), Kind: s.Answer.Kind.String(), Security: s.Answer.Result, Servers: []string{}}
		if s.Answer.Zone != nil {
			step.Zone = terminal.Bare(s.Answer.Zone.Name)
		}
		if s.Answer.Err != nil {
			step.Failure = s.Answer.Err.Error()
		}
		for _, l := range s.Answer.Chain {
			step.Aliases = append(step.Aliases, terminal.Bare(l.Owner)+" "+dns.Type(l.Type).String()+" "+terminal.Bare(l.Target))
		}
		if len(s.RRset) > 0 {
			step.Properties = properties(s.RRset)
		}
		for _, o := range s.Answer.Seen {
			if name := server(o); o.Addr.IsValid() && !slices.Contains(step.Servers, name) {
				step.Servers = append(step.Servers, name)
			}
			if said := server(o) + ": " + o.Words(); len(o.Errors) > 0 && !slices.Contains(step.Errors, said) {
				step.Errors = append(step.Errors, said)
			}
		}
		out = append(out, step)
	}
	return out
}

// zones are those that the climb rests on.
func zones(way climb.Climb, ends map[string][]finding.End) []report.Zone {
	out := []report.Zone{}
	for _, z := range way.Zones() {
		zone := report.Zone{Name: terminal.Bare(z.Name), Security: z.Trust, Servers: []string{}}
		if z.Parent != nil {
			zone.Parent = terminal.Bare(z.Parent.Name)
		}
		for _, ds := range z.DS {
			if !slices.Contains(zone.DS, ds.KeyTag) {
				zone.DS = append(zone.DS, ds.KeyTag)
			}
		}
		for _, end := range ends[z.Name] {
			zone.Ends = append(zone.Ends, report.End{At: end.At, From: end.From, Over: terminal.Bare(end.Name) + " " + dns.Type(end.Type).String()})
		}
		for _, s := range z.Servers {
			zone.Servers = append(zone.Servers, describe(s))
		}
		out = append(out, zone)
	}
	return out
}

func describe(s resolve.Server) string {
	text := terminal.Bare(s.Name)
	for _, a := range s.Addrs {
		text += " " + a.String()
	}
	return text
}

// reported is what the report says of the job.
func (r *result) reported() report.Name {
	name := r.name
	for _, v := range r.verdicts {
		one := asReported(v.verdict)
		one.Corroboration = v.corroboration
		name.Verdicts = append(name.Verdicts, one)
	}
	return name
}

func asReported(v verdict.Verdict) report.Verdict {
	out := report.Verdict{
		Issuer: v.Requirement.Domain, Type: v.Requirement.Type, Account: v.Requirement.Account, Method: v.Requirement.Method,
		Outcome: v.Outcome, Reason: v.Reason, Detail: v.Detail, Denies: v.Denies,
	}
	if v.Property != nil {
		p := report.Property(*v.Property)
		out.Property = &p
	}
	if v.Requirement.Pos != (policy.Position{}) {
		out.RequiredBy = &v.Requirement.Pos
	}
	return out
}
