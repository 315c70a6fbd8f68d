package check_test

import (
	"fmt"
	"sync/atomic"
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

// behind checks so many names of one zone, whose only server stands behind a firewall.
func behind(t *testing.T, names int, firewall lab.Hook) *check.Result {
	t.Helper()
	l := lab.New(t, map[string]lab.Hook{"ns.z.test.": firewall},
		lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}},
		lab.Zone{Name: "z.test.", Servers: []string{"ns.z.test."}, Text: `@ CAA 0 issue "letsencrypt.org"`})
	r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: 250 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var subjects []certname.Name
	for i := range names {
		subjects = append(subjects, certname.Name{Domain: fmt.Sprintf("x%d.z.test.", i)})
	}
	return check.New(r, check.Jobs(subjects, []string{"letsencrypt.org"}, guard.Requirement{}), check.Options{At: time.Now()}).Run(t.Context(), check.Progress{})
}

// A server that falls silent in the middle of a run, as behind a firewall that has enough of us, is not waited for
// name by name, and nothing is reported about queries that were not sent.
func TestAServerFallsSilent(t *testing.T) {
	t.Parallel()
	const names, answered, enough = 300, 100, 150
	var asked, ignored atomic.Int32
	var soa atomic.Bool // without an answer for the SOA, nobody says that it answers other questions
	got := behind(t, names, func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if asked.Add(1) > answered && soa.Load() {
			ignored.Add(1)
			return nil
		}
		if q.Qtype == dns.TypeSOA {
			soa.Store(true)
		}
		return m
	})
	if n := ignored.Load(); n > enough {
		t.Errorf("%d questions after the last answer", n)
	}
	locked, dropped := 0, 0
	for _, n := range got.Names {
		if n.Requests[0].Verdict.Outcome == verdict.LockedOut {
			locked++
		}
	}
	for _, f := range got.Findings {
		if f.Finding.Code == "caa-dropped" {
			dropped++
		}
	}
	if locked == 0 || dropped > locked/2 { // it replied to queries for CAA before, and so drops none
		t.Errorf("%d names are locked out, and the server is reported to drop the queries for CAA of %d", locked, dropped)
	}
}
