package check_test

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/subject"
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
			jobs := check.Jobs([]subject.Subject{{Name: tt.name}}, []string{"ca.example"}, guard.Requirement{})
			found := check.Run(t.Context(), aliasResolver(t, map[string]lab.Hook{tt.server: tt.hook}, !tt.signed), jobs, check.Options{At: today})
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
	only := []subject.Subject{{Name: "www.own.test."}}
	found := check.Run(t.Context(), aliasResolver(t, nil, false), check.PolicyJobs(p, only), check.Options{At: today})
	if len(found.Names) != 1 || len(found.Names[0].Drift) != 2 || found.Names[0].Drift[0].Alias != "x.prov.test" || found.ExitCode() != report.ExitMend {
		t.Errorf("got %+v", found.Names)
	}
	if got := outcome(t, found); got.Issuer != "other.example" || got.Outcome != verdict.LockedOut {
		t.Errorf("got %+v", got)
	}
}
