package outside

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

const ourPolicy = `version: 1
report: ["https://example.test/"]
issuers: {ca: {domain: ca.example, unlisted: true}, other: {domain: other.example, unlisted: true}}
zones:
  alone.test:
    nameservers: [{name: ns.alone.test, addresses: [%[1]s]}]
    issue: [ca]
    issuewild: none
    challenge: "{name}.z1.test"
    names:
      www: {issue: [other]}
      sub: {issue: none}
  over.test:
    issue: [ca]
    names:
      www: {issue: [other]}
`

const ourZone = `$ORIGIN over.test.
$TTL 300
@       SOA ns hostmaster 1 7200 3600 1209600 60
@       NS ns
ns      A %[1]s
www     A 192.0.2.1
host    A 192.0.2.2
alias   CNAME www
away    CNAME www.z1.test.
a.b.c   TXT deep
tree    DNAME z1.test.
*.wild  A 192.0.2.3
*.walias CNAME www
`

// ours are two zones on our own server: one that the policy makes, and one that it stands over.
func ours(t *testing.T, addr netip.AddrPort) []specimen {
	t.Helper()
	files := map[string]string{"caa.yaml": fmt.Sprintf(ourPolicy, addr.Addr()), "over.db": fmt.Sprintf(ourZone, addr.Addr())}
	var blocks strings.Builder
	var out []specimen
	for _, zone := range []string{"alone.test", "over.test"} {
		key := world.NewKey(t, zone)
		maps.Copy(files, key.Files)
		next := ""
		if zone == "over.test" {
			next = "file $DIR/over.db"
		}
		fmt.Fprintf(&blocks, "%s:%d {\n bind %s\n caa $DIR/caa.yaml {\n  key file $DIR/%s\n }\n %s\n}\n", zone, addr.Port(), addr.Addr(), key.Name, next)
		ds, err := dns.NewRR(key.DS)
		if err != nil {
			t.Fatal(err)
		}
		s := specimen{apex: zone + ".", ds: []*dns.DS{ds.(*dns.DS)}, server: addr, what: "our own server", whole: true}
		for _, owner := range owners {
			s.ask = append(s.ask, owner+s.apex)
		}
		out = append(out, s)
	}
	world.CoreDNS(t, blocks.String(), files)
	return out
}
