package check_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/subject"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/test/lab"
)

// A firewall that drops TCP is told of, and not waited for at each name.
func TestAFirewallDropsTCP(t *testing.T) {
	t.Parallel()
	const names, enough = 60, 20
	var dropped atomic.Int32
	l := lab.New(t, map[string]lab.Hook{"ns.z.test.": func(transport string, _ dns.Question, m *dns.Msg) *dns.Msg {
		if transport != "tcp" {
			return m
		}
		dropped.Add(1)
		return nil
	}},
		lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}},
		lab.Zone{Name: "z.test.", Servers: []string{"ns.z.test."}, Text: `@ CAA 0 issue "letsencrypt.org"`})
	r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var subjects []subject.Subject
	for i := range names {
		subjects = append(subjects, subject.Subject{Name: fmt.Sprintf("x%d.z.test.", i)})
	}
	got := check.Run(t.Context(), r, check.Jobs(subjects, []string{"letsencrypt.org"}, guard.Requirement{}), check.Options{At: time.Now()})
	if n := dropped.Load(); n > enough {
		t.Errorf("%d questions over TCP", n)
	}
	told := 0
	for _, f := range got.Findings {
		switch f.Code {
		case "tcp-unreachable":
			told = len(f.Names)
		case "caa-dropped", "server-unreachable", "udp-unreachable":
			t.Errorf("%s: %s", f.Code, f.Text)
		}
	}
	if told != names {
		t.Errorf("tcp-unreachable is told of %d names", told)
	}
}
