package check

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/dnssec"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// naming is a DNS where every name's CAA names one issuer.
type naming string

func (n naming) Lookup(_ context.Context, name string, rrtype uint16) resolve.Answer {
	rr := &dns.CAA{Hdr: dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET}, Tag: "issue", Value: string(n)}
	return resolve.Answer{Name: name, Type: rrtype, Owner: name, RRset: dnssec.RRset{Name: name, Type: rrtype, RRs: []dns.RR{rr}}}
}

// Where this machine is none of the perspectives, what they corroborate is not locked out for all that.
func TestOverrule(t *testing.T) {
	t.Parallel()
	judged := perspective.Judged{Sights: []perspective.Sight{{Perspective: "b", Reason: "other"}, {Perspective: "a", Primary: true, Reason: issuance.Authorized}}}
	for before, want := range map[verdict.Outcome]report.Verdict{
		verdict.MayIssue:  {Outcome: verdict.MayIssue, Reason: "r"},
		verdict.AtRisk:    {Outcome: verdict.AtRisk, Reason: "r"},
		verdict.LockedOut: {Outcome: verdict.AtRisk, Reason: OnlyHere},
		verdict.Unknown:   {Outcome: verdict.MayIssue, Reason: issuance.Authorized},
	} {
		v := report.Verdict{Outcome: before, Reason: "r"}
		overrule(&v, judged)
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
			r := &report.Report{Complete: true, Names: []report.Name{{Name: "*.example.org", Verdicts: []report.Verdict{{Issuer: "ca.example", Outcome: tt.before, Reason: "r"}}}}}
			told := ""
			Corroborate(tt.ctx, set, r, tt.day, func(done, total int) { told += fmt.Sprint(done, " of ", total) })
			if told != "1 of 1" {
				t.Errorf("the progress told was %q", told)
			}
			v := r.Names[0].Verdicts[0]
			if v.Outcome != tt.after || v.Reason != tt.reason || (v.Corroboration == nil) != (tt.ctx == cancelled) || r.Complete == (tt.ctx == cancelled) {
				t.Errorf("got %v (%s) %s, %+v", v.Outcome, v.Reason, v.Detail, v.Corroboration)
			}
			if v.Outcome != tt.before && v.Detail == "" {
				t.Error("it does not say why")
			}
		})
	}
}
