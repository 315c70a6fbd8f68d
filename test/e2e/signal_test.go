package e2e

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// RFC 9615: once caches have a zone's keys, a parent finds what its first DS is to be below the zone's name
// server, where a resolver takes it for authentic though no DS of the zone itself is known to it.
func TestSignallingNames(t *testing.T) {
	t.Parallel()
	server := world.CoreDNS(t, `.:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml example.org example.net {
        key auto $DIR/keys
        ttl 1s
        roll propagation 3s
        roll safety 3s
        roll heartbeat 1s
        roll poll 1s
    }
}
`, map[string]string{"policy.yaml": `version: 1
ttl: 1s
issuers: {le: {domain: letsencrypt.org}}
zones:
  example.org: {nameservers: [{name: ns1.example.net}], issue: [le]}
  example.net: {nameservers: [{name: ns1.example.net, addresses: [192.0.2.1]}], issue: [le]}
`})
	server.WaitLog(t, "Publish at the parent: example.org.")
	server.WaitLog(t, "Publish at the parent: example.net.")
	signer := dnskeysAt(t, server.Addr, "example.net.")[0]
	zones := []world.Zone{
		{Name: "example.net", Server: server.Addr, Anchor: signer.ToDS(dns.SHA256).String()},
		{Name: "example.org", Server: server.Addr},
	}
	const name = "_dsboot.example.org._signal.ns1.example.net"
	for kind, start := range world.Resolvers {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			resolver := start(t, zones...).Addr
			for _, rrtype := range []uint16{dns.TypeCDS, dns.TypeCDNSKEY} {
				own, signalled := world.Ask(t, resolver, "example.org", rrtype), world.Ask(t, resolver, name, rrtype)
				a, b := world.Texts(own.Answer, rrtype), world.Texts(signalled.Answer, rrtype)
				if len(a) != 1 || len(b) != 1 || a[0] != b[0] || own.AuthenticatedData || !signalled.AuthenticatedData {
					t.Errorf("%s: at the apex %q, authentic %v; below the server %q, authentic %v", dns.Type(rrtype), a, own.AuthenticatedData, b, signalled.AuthenticatedData)
				}
			}
			wantDenied(t, world.Ask(t, resolver, name, dns.TypeTXT))
			wantDenied(t, world.Ask(t, resolver, "org._signal.ns1.example.net", dns.TypeTXT))
		})
	}
}
