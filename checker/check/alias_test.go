package check_test

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/test/lab"
)

// aliasZones are a zone with an alias, and its provider's.
var aliasZones = []lab.Zone{
	{Name: "test.", Servers: []string{"a.nic.test."}},
	{Name: "own.test.", Servers: []string{"ns1.own.test.", "ns2.own.test."}, Text: "@ CAA 0 issue \"ca.example\"\nwww CNAME x.prov.test.\nplain CAA 0 issue \"ca.example\"\n"},
	{Name: "prov.test.", Servers: []string{"ns1.prov.test.", "ns2.prov.test."}, Text: "x CAA 0 issue \"ca.example\"\nlocked CAA 0 issue \";\"\n"},
}

// says makes a server answer CAA at a name with other records.
func says(name string, records ...string) lab.Hook {
	return func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if q.Qtype != dns.TypeCAA || dns.CanonicalName(q.Name) != name {
			return m
		}
		m = m.Copy()
		m.Answer, m.Ns = nil, nil
		for _, record := range records {
			rr, err := dns.NewRR(record)
			if err != nil {
				panic(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		return m
	}
}

func aliasResolver(t *testing.T, hooks map[string]lab.Hook, unsigned bool) *resolve.Resolver {
	t.Helper()
	var zones []lab.Zone
	for _, z := range aliasZones {
		z.Unsigned = unsigned && z.Name != "test."
		zones = append(zones, z)
	}
	l := lab.New(t, hooks, zones...)
	r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, NoIPv6: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A server that says otherwise puts a name at risk wherever it stands on the way: behind an alias, or with an alias
// of its own.
func TestOneServerDeniesAlongAnAlias(t *testing.T) {
	t.Parallel()
	denies, aliased := says("x.prov.test.", `x.prov.test. CAA 0 issue ";"`), says("plain.own.test.", "plain.own.test. CNAME locked.prov.test.")
	tests := []struct {
		what   string
		name   string
		server string // that the hook is of
		hook   lab.Hook
		signed bool
		want   verdict.Outcome
	}{
		{"all agree", "www.own.test.", "", nil, false, verdict.MayIssue},
		{"the provider's second server denies", "www.own.test.", "ns2.prov.test.", denies, false, verdict.AtRisk},
		{"the provider's first server denies", "www.own.test.", "ns1.prov.test.", denies, false, verdict.AtRisk},
		{"the provider's second server is bogus", "www.own.test.", "ns2.prov.test.", denies, true, verdict.AtRisk},
		{"a server has an alias that denies", "plain.own.test.", "ns2.own.test.", aliased, false, verdict.AtRisk},
		{"a server has an alias that permits", "plain.own.test.", "ns2.own.test.", says("plain.own.test.", "plain.own.test. CNAME x.prov.test."), false, verdict.MayIssue},
		{"a server has an alias that leads to itself", "plain.own.test.", "ns2.own.test.", says("plain.own.test.", "plain.own.test. CNAME www.own.test."), false, verdict.MayIssue},
		{"a server has no alias, and the zone's CAA permits", "www.own.test.", "ns2.own.test.", says("www.own.test.", `www.own.test. CAA 0 issue "ca.example"`), false, verdict.MayIssue},
		{"a server has no alias, and denies", "www.own.test.", "ns2.own.test.", says("www.own.test.", `www.own.test. CAA 0 issue ";"`), false, verdict.AtRisk},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			jobs := check.Jobs([]certname.Name{{Domain: tt.name}}, []string{"ca.example"}, guard.Requirement{})
			found := check.New(aliasResolver(t, map[string]lab.Hook{tt.server: tt.hook}, !tt.signed), jobs, check.Options{At: today}).Run(t.Context(), check.Progress{})
			got := outcome(t, found)
			if got.Outcome != tt.want {
				t.Errorf("got %v (%s): %s, want %v", got.Outcome, got.Reason, got.Detail, tt.want)
			}
			_, zone, _ := strings.Cut(strings.TrimSuffix(tt.server, "."), ".")
			if tt.want == verdict.AtRisk && !strings.Contains(got.Detail, "."+zone+" (127.") {
				t.Errorf("it does not say whose answer: %s", got.Detail)
			}
		})
	}
}

// A name that is an alias for other types than CAA is at risk where the alias would decide otherwise: a resolver that has
// met the alias follows it for CAA, too (RFC 1034 3.6.2, 5.3.3).
func TestCAABesideAnAlias(t *testing.T) {
	t.Parallel()
	tests := []struct {
		what, issuer string
		target       string // of the alias
		caa          []string
		want         verdict.Outcome
	}{
		{"CAA permits, and the alias denies", "ca.example", "locked.prov.test.", []string{`0 issue "ca.example"`}, verdict.AtRisk},
		{"CAA denies, and the alias permits", "ca.example", "x.prov.test.", []string{`0 issue ";"`}, verdict.AtRisk},
		{"both permit", "ca.example", "x.prov.test.", []string{`0 issue "ca.example"`, `0 issue "other.example"`}, verdict.MayIssue},
		{"both deny", "third.example", "x.prov.test.", []string{`0 issue "other.example"`}, verdict.LockedOut},
		{"the alias leads nowhere, and the name above permits", "ca.example", "gone.prov.test.", []string{`0 issue "ca.example"`}, verdict.MayIssue},
		{"the alias leads nowhere, and the name above denies", "other.example", "gone.prov.test.", []string{`0 issue "other.example"`}, verdict.AtRisk},
		{"the alias's look-up fails", "ca.example", "loop.own.test.", []string{`0 issue "ca.example"`}, verdict.AtRisk},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			var records []string
			for _, record := range tt.caa {
				records = append(records, "flat.own.test. CAA "+record)
			}
			hook := says("flat.own.test.", records...)
			var zones []lab.Zone
			for _, z := range aliasZones {
				if z.Unsigned = z.Name != "test."; z.Name == "own.test." {
					z.Text += "flat CNAME " + tt.target + "\nloop CNAME loop\n"
				}
				zones = append(zones, z)
			}
			l := lab.New(t, map[string]lab.Hook{"ns1.own.test.": hook, "ns2.own.test.": hook}, zones...)
			r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, NoIPv6: true})
			if err != nil {
				t.Fatal(err)
			}
			got := outcome(t, check.New(r, check.Jobs([]certname.Name{{Domain: "flat.own.test."}}, []string{tt.issuer}, guard.Requirement{}), check.Options{At: today}).Run(t.Context(), check.Progress{}))
			if got.Outcome != tt.want || (got.Reason == finding.CAABesideCNAME) != (tt.want == verdict.AtRisk) {
				t.Errorf("got %v (%s): %s, want %v", got.Outcome, got.Reason, got.Detail, tt.want)
			}
		})
	}
}

// An alias where the policy has an RRset is drift: what counts is the target's. Whom the policy names is who is
// checked.
func TestDriftOfAnAlias(t *testing.T) {
	t.Parallel()
	p, err := policy.Load("caa.yaml", []byte(`version: 1
issuers: {ca: {domain: ca.example, unlisted: true}, other: {domain: other.example, unlisted: true}}
zones: {own.test: {issue: [ca], names: {www: {issue: [other]}}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	only := []certname.Name{{Domain: "www.own.test."}}
	found := check.New(aliasResolver(t, nil, false), check.PolicyJobs(p, only), check.Options{At: today}).Run(t.Context(), check.Progress{})
	if len(found.Names) != 1 || len(found.Names[0].Drift) != 2 || found.Names[0].Drift[0].Alias != "x.prov.test." || report.ExitCode(found) != report.ExitWrong {
		t.Errorf("got %+v", found.Names)
	}
	if got := outcome(t, found); got.Requirement.Domain != "other.example" || got.Outcome != verdict.LockedOut {
		t.Errorf("got %+v", got)
	}
}
