package watch

import (
	"cmp"
	"maps"
	"slices"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"

	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// measured is what the metrics show of a run. The result itself is not kept.
type measured struct {
	names      int
	verdicts   map[Condition]outcome
	findings   map[catalog.Severity]int
	series     []foundSeries          // one for each code and subject, the worst first
	unanswered map[string]int         // by perspective: requests about which it determined nothing
	ends       map[string]finding.End // by zone: of the first of its signatures to expire
}

// outcome is that of a verdict, with its reason.
type outcome struct {
	verdict.Outcome
	reason string
}

// foundSeries are the labels of a finding.
type foundSeries struct {
	severity      catalog.Severity
	code, subject string
}

func measure(found *check.Result) measured {
	m := measured{
		names: len(found.Names), verdicts: map[Condition]outcome{}, unanswered: map[string]int{}, ends: map[string]finding.End{},
		findings: map[catalog.Severity]int{catalog.Error: 0, catalog.Warning: 0, catalog.Info: 0},
	}
	for _, n := range found.Names {
		for _, r := range n.Requests {
			m.verdicts[conditionOf(n.Subject, r.Verdict.Requirement)] = outcome{r.Verdict.Outcome, string(r.Verdict.Reason)}
			if r.Corroboration != nil {
				m.count(r.Corroboration.Observations)
			}
		}
		for zone, ends := range n.Ends {
			zone = text(dnsname.Bare(zone))
			for _, e := range ends {
				if was, known := m.ends[zone]; !known || e.At.Before(was.At) {
					m.ends[zone] = e
				}
			}
		}
	}
	distinct := map[foundSeries]bool{}
	for _, f := range found.Findings {
		m.findings[f.Finding.Severity]++
		for _, subject := range f.Finding.Subjects { // of several, each comes and goes by itself
			distinct[foundSeries{f.Finding.Severity, f.Finding.Code, text(subject)}] = true
		}
	}
	m.series = slices.SortedFunc(maps.Keys(distinct), func(a, b foundSeries) int {
		return cmp.Or(cmp.Compare(b.severity, a.severity), cmp.Compare(a.code, b.code), cmp.Compare(a.subject, b.subject))
	})
	return m
}

// count counts what one request's perspectives did not determine.
func (m measured) count(observations []perspective.Observation) {
	for _, o := range observations {
		m.unanswered[o.Perspective] += 0
		if o.View == quorum.Unknown {
			m.unanswered[o.Perspective]++
		}
	}
}

// reasons returns the conditions whose verdict is not "may issue", the worst first.
func (m measured) reasons() []Condition {
	var out []Condition
	for c, o := range m.verdicts {
		if o.Outcome != verdict.MayIssue {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b Condition) int {
		return cmp.Or(m.verdicts[b].Outcome.Badness()-m.verdicts[a].Outcome.Badness(), compare(a, b))
	})
	return out
}
