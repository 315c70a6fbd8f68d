package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// A reload takes away the nameservers of a zone whose data no other plugin has: it is refused, also after a restart,
// until the plugin auto has the zone.
func TestNameserversTakenAway(t *testing.T) {
	t.Parallel()
	const nameservers = "    nameservers: [{name: ns1.corp.example, addresses: [192.0.2.1]}]\n"
	complete := `version: 1
issuers: {le: {domain: letsencrypt.org}}
certificates: [{names: [vpn.corp.example], issuer: le}]
zones:
  data.example: {issue: [le]}
  corp.example:
    issue: [le]
` + nameservers
	overlay := strings.Replace(complete, nameservers, "    # no nameservers\n", 1) // else it would be the beginning of the other, and wait
	const zone = "@ 300 IN SOA ns1 h 1 1 1 1 300\n@ 300 IN NS ns1\nns1 300 IN A 192.0.2.1\n"
	folder := t.TempDir()
	policy, data := filepath.Join(folder, "policy.yaml"), filepath.Join(folder, "db.corp.example")
	world.WriteFile(t, policy, complete)
	world.WriteFile(t, filepath.Join(folder, "db.data.example"), zone)
	run := func() *site {
		return &site{folder: folder, Process: world.CoreDNS(t, `corp.example:$PORT data.example:$PORT {
    bind $ADDR
    errors
    caa `+policy+` {
        unsigned
        reload 100ms
        state `+folder+`/state
    }
    auto {
        directory `+folder+`
        reload 1s
    }
}
`, nil)}
	}
	const refused = "corp.example, vpn.corp.example: the zone has no nameservers, and the next plugin does not have its data"
	wantServed := func(s *site) {
		t.Helper()
		if m := world.Ask(t, s.Addr, "vpn.corp.example", dns.TypeCAA); len(world.Texts(m.Answer, dns.TypeCAA)) != 1 {
			t.Errorf("want the policy's CAA, got\n%v", m)
		}
	}

	first := run()
	refuse(t, first, overlay, refused)
	wantServed(first)
	first.Stop(t)
	second := run()
	second.WaitLog(t, refused)
	wantServed(second)
	world.WriteFile(t, data, zone+"vpn 300 IN A 192.0.2.2\n")
	second.WaitLog(t, "Serving "+policy)
	wantServed(second)
	if m := world.Ask(t, second.Addr, "vpn.corp.example", dns.TypeA); len(m.Answer) != 1 {
		t.Errorf("the data are not served:\n%v", m)
	}
}

// A zone of the policy is misspelt: its certificates are not proved, and metric and log say so.
func TestMisspeltZone(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	world.WriteFile(t, filepath.Join(folder, "policy.yaml"), `version: 1
issuers: {le: {domain: letsencrypt.org}}
default: {issue: [le]}
zones:
  exmaple.org: {issue: [le]}
  example.net: {issue: [le]}
certificates: [{names: [www.exmaple.org, www.example.net], issuer: le}]
`)
	s := &site{folder: folder, metrics: world.FreeAddr(t).String()}
	s.Process = world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    prometheus `+s.metrics+`
    caa `+s.policy()+` {
        unsigned
    }
    file $DIR/z
}
example.net:$PORT {
    bind $ADDR
    caa `+s.policy()+` {
        unsigned
    }
    file $DIR/z
}
`, map[string]string{"z": "@ 300 IN SOA ns1 h 1 1 1 1 300\n@ 300 IN NS ns1\nns1 300 IN A 192.0.2.1\n"})
	for _, want := range []string{
		"0 required issuances proved, 1 in other blocks, 1 in zones that this server does not serve",
		"1 required issuance proved, 1 in zones that this server does not serve",
		"[WARNING] plugin/caa: " + s.policy() + ": no caa block of this server serves the zone exmaple.org of the policy",
		"[WARNING] plugin/caa: " + s.policy() + ":5:3: the policy lists exmaple.org, but this server serves example.org, which the policy does not list: is one of them misspelt?",
		"Ready: the served answers allow every required issuance; 1 required issuances",
	} {
		s.WaitLogs(t, want, 1)
	}
	s.WaitLogs(t, "Ready: ", 2)
	wantSeries(t, s.series(t), map[string]float64{`required_issuances{issuer="letsencrypt.org",state="not_served"}`: 1, `required_issuances{issuer="letsencrypt.org",state="may_issue"}`: 1})
}
