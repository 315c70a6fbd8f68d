package verdict_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/test/lab"
)

// Who gives up in the middle of a look-up, as an asker of an agent that hangs up, has found nothing out, and leaves
// nothing behind for those who ask the same resolver.
func TestGivingUpLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		server string
		rrtype uint16
	}{{"a.root.", dns.TypeDNSKEY}, {"a.root.", dns.TypeDS}, {"a.nic.test.", dns.TypeDNSKEY}, {"a.nic.test.", dns.TypeDS}, {"ns.signed.test.", dns.TypeDNSKEY}, {"ns.signed.test.", dns.TypeCAA}} {
		t.Run(tt.server+" "+dns.TypeToString[tt.rrtype], func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			var once sync.Once
			l := lab.New(t, map[string]lab.Hook{tt.server: func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
				if q.Qtype == tt.rrtype {
					once.Do(func() { cancel(); m = nil })
				}
				return m
			}},
				lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}},
				lab.Zone{Name: "signed.test.", Servers: []string{"ns.signed.test."}, Text: `@ CAA 0 issue "ca.example"`})
			r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			req := guard.Requirement{Name: "signed.test.", Domain: "ca.example"}
			if got := verdict.Decide(climb.Up(ctx, r, req.Name), req, today); got.Outcome != verdict.Unknown {
				t.Errorf("who gave up found %v (%s): %s", got.Outcome, got.Reason, got.Detail)
			}
			if got := decide(t, r, req, today); got.Outcome != verdict.MayIssue {
				t.Errorf("the next one found %v (%s): %s", got.Outcome, got.Reason, got.Detail)
			}
		})
	}
}
