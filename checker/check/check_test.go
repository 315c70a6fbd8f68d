package check_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/test/lab"
)

var today = time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)

// start serves example.test on two servers; hook changes what the second says.
func start(t *testing.T, text string, hook lab.Hook) *resolve.Resolver {
	t.Helper()
	l := lab.New(t, map[string]lab.Hook{"ns2.example.test.": hook},
		lab.Zone{Name: "test.", Servers: []string{"a.nic.test.", "b.nic.test."}},
		lab.Zone{Name: "example.test.", Servers: []string{"ns1.example.test.", "ns2.example.test."}, Unsigned: true, Text: text})
	r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, NoIPv6: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func withoutCAA(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
	if q.Qtype == dns.TypeCAA {
		m.Answer = nil
		m.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: "example.test.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60}, Ns: ".", Mbox: "."}}
	}
	return m
}

func outcome(t *testing.T, r *check.Result) verdict.Verdict {
	t.Helper()
	if len(r.Names) != 1 || len(r.Names[0].Requests) != 1 {
		t.Fatalf("got %+v", r.Names)
	}
	return r.Names[0].Requests[0].Verdict
}

// A permission by only one server's answer is at risk: by the other's, the climb goes on
// to a name that denies.
func TestOneServerDenies(t *testing.T) {
	t.Parallel()
	const text = "@ CAA 0 issue \"other.example\"\nwww CAA 0 issue \"ca.example\"\n"
	jobs := check.Jobs([]certname.Name{{Domain: "www.example.test."}}, []string{"ca.example"}, guard.Requirement{})
	good := outcome(t, check.New(start(t, text, nil), jobs, check.Options{At: today}).Run(t.Context(), check.Progress{}))
	if good.Outcome != verdict.MayIssue {
		t.Errorf("with both servers right: %+v", good)
	}
	onlyWWW := func(transport string, q dns.Question, m *dns.Msg) *dns.Msg {
		if dns.CanonicalName(q.Name) != "www.example.test." {
			return m
		}
		return withoutCAA(transport, q, m)
	}
	bad := outcome(t, check.New(start(t, text, onlyWWW), jobs, check.Options{At: today}).Run(t.Context(), check.Progress{}))
	if bad.Outcome != verdict.AtRisk || bad.Reason != check.ServersDisagree {
		t.Errorf("with one server wrong: %+v", bad)
	}
	other := check.Jobs([]certname.Name{{Domain: "www.example.test."}}, []string{"other.example"}, guard.Requirement{})
	if let := outcome(t, check.New(start(t, text, onlyWWW), other, check.Options{At: today}).Run(t.Context(), check.Progress{})); let.Outcome != verdict.AtRisk || let.Detail == "" {
		t.Errorf("an issuer that only the wrong server permits: %+v", let)
	}
}

// Verdicts are of all servers: whichever is asked first, the same issuers are judged, and with the same reasons.
func TestVerdictsAreOfAllServers(t *testing.T) {
	t.Parallel()
	for _, other := range []string{"ns1.example.test.", "ns2.example.test."} {
		l := lab.New(t, nil, lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}}, lab.Zone{
			Name: "example.test.", Servers: []string{"ns1.example.test.", "ns2.example.test."}, Text: "www CAA 0 issue \"ca.example\"\n",
			At: map[string]func(*lab.Zone){other: func(z *lab.Zone) { z.Text = "www CAA 0 issue \"other.example\"\n" }},
		})
		r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, NoIPv6: true, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		jobs := check.Jobs([]certname.Name{{Domain: "www.example.test."}}, nil, guard.Requirement{})
		var got []string
		for _, r := range check.New(r, jobs, check.Options{At: today}).Run(t.Context(), check.Progress{}).Names[0].Requests {
			got = append(got, fmt.Sprintf("%s %v %s", r.Verdict.Requirement.Domain, r.Verdict.Outcome, r.Verdict.Reason))
		}
		if want := []string{"ca.example at risk servers-disagree", "other.example at risk servers-disagree"}; !slices.Equal(got, want) {
			t.Errorf("%s differs: got %v, want %v", other, got, want)
		}
	}
}

// A resolver that leaves the question for a zone's keys without an answer makes the zone look bogus: that says
// nothing about the name. The zone's own server, if that does so, locks everybody out.
func TestResolverWithoutKeys(t *testing.T) {
	t.Parallel()
	withhold := func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if q.Qtype == dns.TypeDNSKEY && dns.CanonicalName(q.Name) == "test." {
			return nil
		}
		return m
	}
	l := lab.New(t, map[string]lab.Hook{"a.root.": withhold}, lab.Zone{Name: ".", Servers: []string{"a.root."}},
		lab.Zone{Name: "test.", Servers: []string{"a.root."}, Text: "@ CAA 0 issue \"ca.example\"\n"})
	jobs := check.Jobs([]certname.Name{{Domain: "test."}}, []string{"ca.example"}, guard.Requirement{})
	for recursive, want := range map[bool]verdict.Outcome{true: verdict.Unknown, false: verdict.LockedOut} {
		cfg := resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, NoIPv6: true, Timeout: 300 * time.Millisecond}
		if recursive {
			cfg.Recursive, cfg.Only = true, l.AddrPort("a.root.")
		}
		r, err := resolve.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := outcome(t, check.New(r, jobs, check.Options{At: today}).Run(t.Context(), check.Progress{})); got.Outcome != want {
			t.Errorf("recursive %v: %+v, want %v", recursive, got, want)
		}
	}
}

// What a server says is held against the policy, server by server.
func TestDrift(t *testing.T) {
	t.Parallel()
	p, err := policy.Load("caa.yaml", []byte(`version: 1
issuers: {ca: {domain: ca.example, unlisted: true}}
zones: {example.test: {issue: [ca], names: {www: {issue: none}}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	const text = "@ CAA 0 ISSUE \"ca.example\"\nwww CAA 0 issue \";\"\n"
	if found := check.New(start(t, text, nil), check.PolicyJobs(p, nil), check.Options{At: today}).Run(t.Context(), check.Progress{}); len(found.Names) != 2 || len(found.Names[0].Drift)+len(found.Names[1].Drift) != 0 {
		t.Errorf("drift where there is none: %+v", found.Names)
	}
	only := []certname.Name{{Domain: "www.example.test."}}
	found := check.New(start(t, text, withoutCAA), check.PolicyJobs(p, only), check.Options{At: today}).Run(t.Context(), check.Progress{})
	if len(found.Names) != 1 || len(found.Names[0].Drift) != 1 || len(found.Names[0].Drift[0].Seen) != 0 || report.ExitCode(found) != report.ExitWrong {
		t.Errorf("one server without the record: %+v", found.Names)
	}
}

// A run that is interrupted has what was found, and no name half done.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	r := start(t, "@ CAA 0 issue \"ca.example\"\n", nil)
	var subjects []certname.Name
	for _, name := range []string{"a", "b", "c", "d"} {
		subjects = append(subjects, certname.Name{Domain: name + ".example.test."})
	}
	ctx, cancel := context.WithCancel(t.Context())
	found := check.New(r, check.Jobs(subjects, nil, guard.Requirement{}), check.Options{At: today, Workers: 1}).Run(ctx, check.Progress{Examined: func(done, _ int) {
		if done == 2 {
			cancel()
		}
	}})
	if found.Complete || len(found.Names) != 2 || report.ExitCode(found) == report.ExitFine {
		t.Errorf("complete %v, %d names, exit %d", found.Complete, len(found.Names), report.ExitCode(found))
	}
	for _, n := range found.Names {
		if n.Requests[0].Verdict.Outcome != verdict.MayIssue {
			t.Errorf("got %+v", n)
		}
	}
}
