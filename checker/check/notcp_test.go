package check_test

import (
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// A firewall that drops TCP is reported, and not waited for at each name.
func TestAFirewallDropsTCP(t *testing.T) {
	t.Parallel()
	const names, enough = 60, 20
	var dropped atomic.Int32
	got := behind(t, names, func(transport string, _ dns.Question, m *dns.Msg) *dns.Msg {
		if transport != "tcp" {
			return m
		}
		dropped.Add(1)
		return nil
	})
	if n := dropped.Load(); n > enough {
		t.Errorf("%d questions over TCP", n)
	}
	reported := 0
	for _, f := range got.Findings {
		switch f.Finding.Code {
		case "tcp-unreachable":
			reported = len(f.Names)
		case "caa-dropped", "server-unreachable", "udp-unreachable":
			t.Errorf("%s: %s", f.Finding.Code, f.Finding.Text)
		}
	}
	if reported != names {
		t.Errorf("tcp-unreachable is reported for %d names", reported)
	}
}
