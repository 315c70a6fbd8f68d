package check

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/test/lab"
)

// naming is a DNS where every name's CAA names one issuer.
type naming string

func (n naming) Lookup(_ context.Context, name string, rrtype uint16) resolve.Answer {
	rr := &dns.CAA{Hdr: dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET}, Tag: "issue", Value: string(n)}
	return resolve.Answer{Name: name, Type: rrtype, Owner: name, RRset: dnssec.RRset{Name: name, Type: rrtype, RRs: []dns.RR{rr}}}
}

// Where this machine is not one of the perspectives, what they corroborate is not locked out.
func TestOverrule(t *testing.T) {
	t.Parallel()
	judged := perspective.Judged{Observations: []perspective.Observation{{Perspective: "b", Reason: "other"}, {Perspective: "a", Primary: true, Reason: issuance.Authorized}}}
	for before, want := range map[verdict.Outcome]verdict.Verdict{
		verdict.MayIssue:  {Outcome: verdict.MayIssue, Reason: "r"},
		verdict.AtRisk:    {Outcome: verdict.AtRisk, Reason: "r"},
		verdict.LockedOut: {Outcome: verdict.AtRisk, Reason: OnlyHere},
		verdict.Unknown:   {Outcome: verdict.MayIssue, Reason: issuance.Authorized},
	} {
		v := overruled(verdict.Verdict{Outcome: before, Reason: "r"}, judged)
		if v.Outcome != want.Outcome || v.Reason != want.Reason || (v.Detail == "") != (before == want.Outcome) {
			t.Errorf("%v: got %+v", before, v)
		}
	}
}

// A quorum that this machine is of makes a verdict worse, and never better.
func TestCorroborate(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name   string
		ctx    context.Context
		day    time.Time
		sees   naming
		before verdict.Outcome
		after  verdict.Outcome
		reason issuance.Reason
	}{
		{"corroborated", t.Context(), time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), "ca.example", verdict.MayIssue, verdict.MayIssue, "r"},
		{"not corroborated", t.Context(), time.Date(2026, 12, 15, 0, 0, 0, 0, time.UTC), "x.example", verdict.MayIssue, verdict.LockedOut, NotCorroborated},
		{"not corroborated, and unknown from here", t.Context(), time.Date(2026, 12, 15, 0, 0, 0, 0, time.UTC), "x.example", verdict.Unknown, verdict.LockedOut, NotCorroborated},
		{"undetermined", t.Context(), time.Date(2026, 12, 15, 0, 0, 0, 0, time.UTC), "ca.example", verdict.MayIssue, verdict.Unknown, Undetermined},
		{"undetermined, and at risk from here", t.Context(), time.Date(2026, 12, 15, 0, 0, 0, 0, time.UTC), "ca.example", verdict.AtRisk, verdict.AtRisk, "r"},
		{"contested", t.Context(), time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), "CA.example", verdict.MayIssue, verdict.AtRisk, Contested},
		{"corroborated, and locked out from here", t.Context(), time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), "ca.example", verdict.LockedOut, verdict.LockedOut, "r"},
		{"interrupted", cancelled, time.Date(2026, 12, 15, 0, 0, 0, 0, time.UTC), "x.example", verdict.MayIssue, verdict.MayIssue, "r"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file, err := perspective.Parse("p.yaml", []byte("version: 1\nperspectives: [{name: a, kind: self, region: ARIN, coordinates: [1, 2]}]\n"))
			if err != nil {
				t.Fatal(err)
			}
			set, err := file.Open(perspective.Options{Self: tt.sees})
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()
			reported := ""
			all := []*examined{{name: Name{Requests: []Request{{Verdict: verdict.Verdict{
				Requirement: guard.Requirement{Name: "example.org.", Wildcard: true, Domain: "ca.example"}, Outcome: tt.before, Reason: "r"}}}}}}
			corroborateAll(tt.ctx, set, all, tt.day, func(done, total int) { reported += fmt.Sprint(done, " of ", total) })
			if reported != "1 of 1" {
				t.Errorf("the progress reported is %q", reported)
			}
			found := all[0].name.Requests[0]
			v := found.Verdict
			if v.Outcome != tt.after || v.Reason != tt.reason || (found.Corroboration == nil) != (tt.ctx == cancelled) {
				t.Errorf("got %v (%s) %s, %+v", v.Outcome, v.Reason, v.Detail, found.Corroboration)
			}
			if v.Outcome != tt.before && v.Detail == "" {
				t.Error("it does not say why")
			}
		})
	}
}

// Perspectives judge what was asked, with its origin: a name that is honoured no more, or that stands for another, they
// do not corroborate, and it is not this machine alone that sees it.
func TestCorroborateKeepsTheOrigin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		what, names string
		origin      guard.Origin
		outcome     verdict.Outcome
		reason      issuance.Reason
		quorum      quorum.Outcome
	}{
		{"a retired name", "yandex.ru", guard.Published, verdict.LockedOut, guard.Retired, quorum.NotCorroborated},
		{"a reseller's name", "cloudflare.com", guard.Published, verdict.LockedOut, guard.Reseller, quorum.NotCorroborated},
		{"a slip", "letsencrypt.com", guard.Published, verdict.AtRisk, guard.Misspelt, quorum.Contested},
		{"a slip that a policy requires", "letsencrypt.com", guard.Certificates, verdict.AtRisk, guard.Misspelt, quorum.Contested},
		{"a name that somebody asks for", "yandex.ru", "", verdict.MayIssue, issuance.Authorized, quorum.Corroborated},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, nil, lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}, Text: fmt.Sprintf("@ CAA 0 issue %q", tt.names)})
			r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			file, err := perspective.Parse("p.yaml", []byte("version: 1\nperspectives: [{name: a, kind: self, region: ARIN, coordinates: [1, 2]}]\n"))
			if err != nil {
				t.Fatal(err)
			}
			set, err := file.Open(perspective.Options{Self: naming(tt.names)})
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()
			jobs := []Job{{Subject: certname.Name{Domain: "test."}, Requirements: []guard.Requirement{{Name: "test.", Domain: tt.names, Origin: tt.origin}}}}
			found := New(r, jobs, Options{At: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Perspectives: set}).Run(t.Context(), Progress{})
			request := found.Names[0].Requests[0]
			if v, q := request.Verdict, request.Corroboration.Quorum; v.Outcome != tt.outcome || v.Reason != tt.reason || q.Outcome != tt.quorum || v.Requirement.Origin != tt.origin {
				t.Errorf("got %v (%s) of %q, %v", v.Outcome, v.Reason, v.Requirement.Origin, q.Outcome)
			}
		})
	}
}

// A name for which nobody may issue has no request, and counts as done: the progress reaches its total.
func TestProgressCountsNamesWithoutRequests(t *testing.T) {
	t.Parallel()
	var got []int
	corroborateAll(t.Context(), nil, []*examined{new(examined), new(examined)}, time.Time{}, func(done, total int) { got = append(got, done, total) })
	if want := []int{1, 2, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
