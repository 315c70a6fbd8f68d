package e2e

import (
	"maps"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// Two blocks of one server read one policy: the zone above and the one below have keys of their own. DS is asked
// of the block above (RFC 4035 3.1.4.1), and must be that of the keys which the block below serves.
func TestZoneBelowHasABlockOfItsOwn(t *testing.T) {
	t.Parallel()
	above, below, stale := world.NewKey(t, "example.org"), world.NewKey(t, "corp.example.org"), world.NewKey(t, "corp.example.org")
	const data, complete = "{}", "{nameservers: [{name: ns1.example.org}]}"
	for name, c := range map[string]struct {
		below                string // what the policy says of the zone below
		keysAbove, keysBelow string
		authentic            bool
	}{
		"each with its key":                 {data, "key file $DIR/" + above.Name, "key file $DIR/" + below.Name, true},
		"another key above":                 {data, "key file $DIR/" + above.Name + " $DIR/" + stale.Name, "key file $DIR/" + below.Name, true},
		"the one below unsigned":            {data, "key file $DIR/" + above.Name + " $DIR/" + stale.Name, "unsigned", false},
		"the one below is yet without a DS": {data, "key file $DIR/" + above.Name + " $DIR/" + stale.Name, "key auto $DIR/keys", false},
		"policy-only, another key above":    {complete, "key file $DIR/" + above.Name + " $DIR/" + stale.Name, "key file $DIR/" + below.Name, true},
		"policy-only, unsigned":             {complete, "key file $DIR/" + above.Name + " $DIR/" + stale.Name, "unsigned", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"policy.yaml": `version: 1
issuers:
  letsencrypt: {domain: letsencrypt.org}
default: {issue: [letsencrypt]}
zones:
  example.org: {nameservers: [{name: ns1.example.org, addresses: [127.0.0.1]}]}
  corp.example.org: ` + c.below + `
certificates: [{names: [www.corp.example.org, www.example.org], issuer: letsencrypt}]
`, "corp.zone": "@ 300 IN SOA ns1.example.org. h.example.org. 1 1 1 1 300\n@ 300 IN NS ns1.example.org.\nwww 300 IN A 192.0.2.1\n"}
			for _, key := range []world.Key{above, below, stale} {
				maps.Copy(files, key.Files)
			}
			server := world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml {
        `+c.keysAbove+`
    }
}
corp.example.org:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml {
        `+c.keysBelow+`
    }
    file $DIR/corp.zone
}
`, files)
			resolver := world.Unbound(t, world.Zone{Name: "example.org", Server: server.Addr, Anchor: above.DS}).Addr
			wantCAA(t, world.Ask(t, resolver, "www.example.org", dns.TypeCAA), `0 issue "letsencrypt.org"`)
			m := world.Ask(t, resolver, "www.corp.example.org", dns.TypeCAA)
			if m.AuthenticatedData != c.authentic || len(world.Texts(m.Answer, dns.TypeCAA)) != 1 {
				t.Errorf("want an answer, authentic: %v; got\n%v", c.authentic, m)
			}
			server.WaitLogs(t, "Ready: what is required may be issued, by what is served", 2)
		})
	}
}
