package check_test

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/test/lab"
)

// A denial without SOA puts at risk whoever may issue, be it everybody (RFC 2308 3). A resolver need not pass the
// SOA on.
func TestDenialWithoutSOA(t *testing.T) {
	t.Parallel()
	bare := func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
		if len(m.Answer) == 0 && m.Authoritative {
			m.Ns = nil
		}
		return m
	}
	const ns1, ns2 = "ns1.own.test.", "ns2.own.test."
	tests := []struct {
		what      string
		hooks     map[string]lab.Hook
		text      string
		recursive bool
		want      verdict.Outcome
		reason    issuance.Reason
	}{
		{"every server gives it", nil, "@ CAA 0 issue \"ca.example\"\nwww A 192.0.2.1\n", false, verdict.MayIssue, issuance.Authorized},
		{"no server gives it", map[string]lab.Hook{ns1: bare, ns2: bare}, "@ CAA 0 issue \"ca.example\"\nwww A 192.0.2.1\n", false, verdict.AtRisk, verdict.WithoutSOA},
		{"no server gives it, and there is no CAA", map[string]lab.Hook{ns1: bare, ns2: bare}, "www A 192.0.2.1\n", false, verdict.AtRisk, verdict.WithoutSOA},
		{"at an alias's end", map[string]lab.Hook{ns1: bare, ns2: bare}, "@ CAA 0 issue \"ca.example\"\nwww CNAME host\nhost A 192.0.2.1\n", false, verdict.AtRisk, verdict.WithoutSOA},
		{"a resolver does not give it", map[string]lab.Hook{ns1: bare}, "@ CAA 0 issue \"ca.example\"\nwww A 192.0.2.1\n", true, verdict.MayIssue, issuance.Authorized},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			above, servers := []string{"a.root."}, []string{ns1, ns2}
			if tt.recursive { // one server with every zone is as good as a resolver
				above, servers = []string{ns1}, []string{ns1}
			}
			l := lab.New(t, tt.hooks, lab.Zone{Name: ".", Servers: above}, lab.Zone{Name: "test.", Servers: above},
				lab.Zone{Name: "own.test.", Servers: servers, Unsigned: true, Text: tt.text})
			cfg := resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, NoIPv6: true}
			if tt.recursive {
				cfg.Recursive, cfg.Only, cfg.Anchors = true, l.AddrPort(ns1), []dns.RR{}
			}
			r, err := resolve.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			jobs := check.Jobs([]certname.Name{{Domain: "www.own.test."}}, nil, guard.Requirement{})
			if got := outcome(t, check.New(r, jobs, check.Options{At: today}).Run(t.Context(), check.Progress{})); got.Outcome != tt.want || got.Reason != tt.reason {
				t.Errorf("got %v (%s): %s, want %v (%s)", got.Outcome, got.Reason, got.Detail, tt.want, tt.reason)
			}
		})
	}
}

// One server without the SOA puts at risk what the others permit, whichever a resolver comes upon.
func TestOneServerDeniesWithoutSOA(t *testing.T) {
	t.Parallel()
	hook := func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if q.Qtype == dns.TypeCAA && len(m.Answer) == 0 {
			m.Ns = nil
		}
		return m
	}
	jobs := check.Jobs([]certname.Name{{Domain: "www.example.test."}}, []string{"ca.example"}, guard.Requirement{})
	got := outcome(t, check.New(start(t, "@ CAA 0 issue \"ca.example\"\nwww A 192.0.2.1\n", hook), jobs, check.Options{At: today}).Run(t.Context(), check.Progress{}))
	if got.Outcome != verdict.AtRisk || got.Reason != check.ServersDisagree && got.Reason != verdict.WithoutSOA {
		t.Errorf("got %+v", got)
	}
}
