package check_test

import (
	"context"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/test/lab"
)

// What is known when a run is interrupted is in its report, and what is not known is not.
func TestInterruptedRunKeepsWhatIsKnown(t *testing.T) {
	t.Parallel()
	l := lab.New(t, map[string]lab.Hook{"ns1.slow.test.": func(string, dns.Question, *dns.Msg) *dns.Msg { return nil }},
		lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}, Text: `@ CAA 0 issue "letsencrypt.org"`},
		lab.Zone{Name: "slow.test.", Servers: []string{"ns1.slow.test."}})
	r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Timeout: 10 * time.Minute, Rate: -1})
	if err != nil {
		t.Fatal(err)
	}
	jobs := check.Jobs([]certname.Name{{Domain: "slow.test."}, {Domain: "www.test."}}, []string{"letsencrypt.org"}, guard.Requirement{})
	ctx, cancel := context.WithCancel(t.Context())
	got := check.New(r, jobs, check.Options{At: time.Now()}).Run(ctx, check.Progress{Examined: func(done, total int) {
		if done != 1 || total != 2 {
			t.Errorf("%d of %d", done, total)
		}
		cancel()
	}})
	if got.Complete || len(got.Names) != 1 || got.Names[0].Subject.String() != "www.test" || got.Names[0].Requests[0].Verdict.Outcome != verdict.MayIssue {
		t.Errorf("the report is %+v", got)
	}
}
