package check_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/policydiff"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/policy/policygen"
)

// served is a DNS that answers CAA as the policy's server does: every name that exists has the RRset of its closest
// node, and every name exists.
type served struct{ *policy.Snapshot }

func (s served) Lookup(_ context.Context, name string, rrtype uint16) resolve.Answer {
	a := resolve.Answer{Name: name, Type: rrtype, Owner: name, RRset: dnssec.RRset{Name: name, Type: rrtype}}
	zone := s.Covering(name)
	if zone == nil {
		a.Kind = resolve.NoData
		return a
	}
	for _, p := range zone.Closest(name).RRset {
		a.RRset.RRs = append(a.RRset.RRs, &dns.CAA{Hdr: dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET}, Flag: p.Flags, Tag: p.Tag, Value: p.Value})
	}
	if len(a.RRset.RRs) == 0 {
		a.Kind = resolve.NoData
	}
	return a
}

// oneJudgement holds what guard, explain and diff say of policies against what the checker says of the same RRsets.
type oneJudgement struct {
	*testing.T
	text      string
	policy    *policy.Snapshot
	report    guard.Report
	at        time.Time
	accepted  int
	outcomes  map[verdict.Outcome]int
	doubted   map[issuance.Reason]int
	explained int
}

// One judgement: over random policies, guard (and so lint), explain and diff say of an issuance what the checker says
// of it, and what the checker does not call "may issue" the guard does not accept.
func TestOneJudgement(t *testing.T) {
	t.Parallel()
	const policies = 1000
	r := rand.New(rand.NewPCG(8659, 13))
	j := oneJudgement{T: t, outcomes: map[verdict.Outcome]int{}, doubted: map[issuance.Reason]int{}}
	var before *policy.Snapshot
	for i := range policies {
		j.text = narrow(r)
		if i%2 == 0 {
			j.text = string(policygen.Text(r, policygen.Options{Size: 3, Damage: []float64{0, 0.004}[r.IntN(2)]}))
		}
		p, err := policy.Load("caa.yaml", []byte(j.text))
		if err != nil {
			continue
		}
		j.policy, j.at = p, []time.Time{today, time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC)}[r.IntN(2)]
		j.report = guard.Check(p, guard.Options{At: j.at})
		for _, req := range guard.Requirements(p) {
			j.requirement(req)
		}
		if before != nil && i%5 == 0 {
			j.diff(before)
		}
		before = p
		if t.Failed() {
			t.Fatalf("the policy is\n%s", j.text)
		}
	}
	t.Logf("%d accepted issuances; %v; %v; %d changes", j.accepted, j.outcomes, j.doubted, j.explained)
	if j.accepted < 50 || j.outcomes[verdict.MayIssue] < 100 || j.outcomes[verdict.AtRisk] < 20 || j.outcomes[verdict.LockedOut] < 100 || j.explained < 100 ||
		slices.ContainsFunc([]issuance.Reason{guard.MethodNoWildcard, guard.MethodUnknown, guard.MethodNotYet, guard.TooManyRecords, guard.Misspelt, "account-of-staging"}, func(reason issuance.Reason) bool { return j.doubted[reason] == 0 }) {
		t.Error("the generator proves too little")
	}
}

func (j *oneJudgement) requirement(req guard.Requirement) {
	zone := j.policy.Covering(req.Name)
	if zone == nil {
		return // a zone of default's: the same nodes
	}
	if _, alias := zone.Alias(req.Name); alias {
		return // whose CAA is another's
	}
	seen := verdict.Decide(climb.Up(j.Context(), served{j.policy}, req.Name), req, j.at)
	j.outcomes[seen.Outcome]++
	if seen.Outcome == verdict.AtRisk {
		j.doubted[seen.Reason]++
	}
	judged := guard.Judge(req, zone.Closest(req.Name).RRset, j.at)
	if (judged.Outcome == guard.MayIssue) != (seen.Outcome == verdict.MayIssue) || judged.Reason != seen.Reason {
		j.Errorf("%v for %s by %q: the judgement is %v (%s), the checker's %v (%s)", req, req.Domain, req.Method, judged.Outcome, judged.Reason, seen.Outcome, seen.Reason)
	}
	if accepted := j.report.Err() == nil; accepted {
		j.accepted++
		if seen.Outcome != verdict.MayIssue {
			j.Errorf("%v for %s by %q: accepted by the guard, and %v (%s) to the checker", req, req.Domain, req.Method, seen.Outcome, seen.Reason)
		}
	} else if seen.Outcome != verdict.MayIssue && !j.refused(req) {
		j.Errorf("%v for %s by %q: %v (%s) to the checker, and no refusal names it:\n%v", req, req.Domain, req.Method, seen.Outcome, seen.Reason, j.report.Err())
	}
	j.explain(req, seen)
}

// refused reports whether a refusal names the requirement, or its issuer is refused as it is declared.
func (j *oneJudgement) refused(req guard.Requirement) bool {
	return slices.ContainsFunc(j.report.Refusals, func(r guard.Refusal) bool {
		return slices.Contains(r.Names, req.String()) || slices.ContainsFunc(j.policy.Issuers, func(issuer *policy.Issuer) bool {
			return issuer.Key == req.IssuerKey && issuer.DomainPos == r.Pos
		})
	})
}

// explain holds what explain says of the requirement's name against what the checker finds there by itself.
func (j *oneJudgement) explain(req guard.Requirement, seen verdict.Verdict) {
	e, err := policydiff.Explain(j.policy, certname.Name{Domain: req.Name, Wildcard: req.Wildcard}, j.at)
	if err != nil {
		j.Errorf("%v: %v", req, err)
		return
	}
	kind := req.Type.String()
	if req.Wildcard {
		kind = "wildcard"
	}
	permission := e.Permissions[slices.IndexFunc(e.Permissions, func(p policydiff.Permission) bool { return p.Kind == kind })]
	named := slices.Contains(verdict.Named(j.policy.Covering(req.Name).Closest(req.Name).RRset, req.Type, req.Wildcard), req.Domain)
	if seen.Outcome == verdict.MayIssue && j.report.Err() == nil && named && !slices.Contains(permission.Issuers, req.Domain) {
		j.Errorf("%v for %s may issue, and explain says %+v", req, req.Domain, permission)
	}
	for _, domain := range verdict.Named(j.policy.Covering(req.Name).Closest(req.Name).RRset, req.Type, req.Wildcard) {
		open := guard.Requirement{Name: req.Name, Wildcard: req.Wildcard, Type: req.Type, Domain: domain, Origin: guard.Published, Unlisted: guard.Unlisting(j.policy, domain)}
		found := verdict.Decide(climb.Up(j.Context(), served{j.policy}, req.Name), open, j.at)
		if (found.Outcome == verdict.MayIssue) != slices.Contains(permission.Issuers, domain) {
			j.Errorf("%s at %v is %v (%s) to the checker, and explain says %+v", domain, req, found.Outcome, found.Reason, permission)
		}
	}
}

// diff holds each change against what explain says of both policies.
func (j *oneJudgement) diff(before *policy.Snapshot) {
	if changes := policydiff.Diff(j.policy, j.policy, j.at); len(changes) > 0 {
		j.Errorf("a policy differs from itself: %+v", changes)
	}
	for _, change := range policydiff.Diff(before, j.policy, j.at) {
		if change.Name == guard.Unlisted {
			continue
		}
		for _, side := range []struct {
			policy *policy.Snapshot
			who    []string
		}{{before, change.Lost}, {j.policy, change.Gained}} {
			e, err := policydiff.Explain(side.policy, certname.Name{Domain: change.Name}, j.at)
			if err != nil {
				continue // no zone of it covers the name, and anybody may
			}
			i := slices.IndexFunc(e.Permissions, func(p policydiff.Permission) bool { return p.Kind == change.Kind })
			for _, who := range side.who {
				issuer, _, _ := strings.Cut(who, " ")
				if strings.HasPrefix(who, policydiff.AnyoneElse) {
					issuer = policydiff.AnyoneElse
				}
				j.explained++
				others := slices.Contains(e.Permissions[i].Issuers, policydiff.AnyoneElse)
				if !slices.Contains(e.Permissions[i].Issuers, issuer) && !others && !honoured(e, change.Kind, issuer) {
					j.Errorf("%s %s: diff says %q, and explain %+v", change.Name, change.Kind, who, e.Permissions[i])
				}
			}
		}
	}
}

// honoured reports whether explain lets the issuer in under another of its CA's names.
func honoured(e policydiff.Explanation, kind, issuer string) bool {
	var rrset issuance.RRset
	for _, record := range e.Records {
		rrset = append(rrset, issuance.Property{Flags: record.Flags, Tag: record.Tag, Value: record.Value})
	}
	r := guard.Requirement{Domain: issuer, Wildcard: kind == "wildcard"}
	for _, t := range []issuance.CertificateType{issuance.SMIME, issuance.VMC} {
		if kind == t.String() {
			r.Type = t
		}
	}
	return guard.Judge(r, rrset, today).Outcome == guard.MayIssue
}

// narrow writes a policy whose issuers are narrowed in every way, and whose names are near to others.
func narrow(r *rand.Rand) string {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	methods := func() string {
		return "[" + pick("http-01", "dns-01", "http-01, tls-alpn-01", "http-01, dns-01", "telepathy-01", "telepathy-01, dns-01", "dns01", "ca-tbr-7", "ca-tbr-19, ca-tbr-7", "ca-own") + "]"
	}
	grant := func() string {
		return pick("[a, b]", "[a]", "any", "[b]", "none", "[{issuer: a, methods: "+methods()+"}, b]", "[{issuer: a, accounts: [\"https://acme-staging-v02.api.letsencrypt.org/acme/acct/1\"]}, b]", "[a, {issuer: b, methods: "+methods()+"}]")
	}
	accounts := ""
	if r.IntN(80) == 0 {
		for i := range 98 + r.IntN(5) {
			accounts += fmt.Sprintf(", \"x:%d\"", i)
		}
		accounts = ", accounts: [" + accounts[2:] + "]"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "version: 1\nreport: [\"mailto:x@example.org\"]\nissuers:\n  a: {domain: %s%s%s}\n  b: {domain: %s}\n", pick("letsencrypt.org", "letsencrypt.org", "actalis.it", "ca.corp.example, unlisted: true", "letsencrypt.com, unlisted: true", "www.letsencrypt.org"), accounts,
		pick("", "", ", methods: "+methods()), pick("digicert.com", "geotrust.com", "digicert"))
	fmt.Fprintf(&text, "zones:\n  example.org:\n    issue: %s\n    issuewild: %s\n    names:\n      www: {issue: %s}\n", grant(), strings.ReplaceAll(grant(), "any", "none"), grant())
	fmt.Fprintf(&text, "      hand: {properties: [{tag: issuewild, value: %q}]}\ncertificates:\n", pick("letsencrypt.org; validationmethods=http-01", "digicert.com", "geotrust.com; validationmethods=ca-tbr-8", "digicert.org", ""))
	for range 3 {
		fmt.Fprintf(&text, "  - {names: [%q], issuer: %s%s}\n", pick("", "*.")+pick("example.org", "www.example.org", "hand.example.org"), pick("a", "b"), pick("", "", ", method: http-01", ", method: dns-01", ", method: telepathy-01", ", method: ca-tbr-7"))
	}
	return text.String()
}
