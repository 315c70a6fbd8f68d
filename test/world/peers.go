package world

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// Validators are the four validating resolvers that CAs and operators run, each of which uses what it has validated
// to answer further questions by itself (RFC 8198).
var Validators = map[string]Resolver{
	"unbound":           Unbound,
	"knot-resolver":     KnotResolver,
	"BIND":              BIND,
	"PowerDNS Recursor": PowerDNSRecursor,
}

// PowerDNSRecursor starts PowerDNS Recursor, which asks each zone's own servers and validates.
func PowerDNSRecursor(t testing.TB, zones ...Zone) *Process {
	t.Helper()
	program := Program(t, "pdns_recursor")
	dir, addr := shortDir(t), FreeAddr(t)
	var forwards []string
	var anchors strings.Builder
	for _, z := range zones {
		var servers []string
		for _, server := range z.servers() {
			servers = append(servers, server.String())
		}
		forwards = append(forwards, z.Name+"="+strings.Join(servers, ";"))
		for _, ds := range anchorDS(t, z) {
			fmt.Fprintf(&anchors, "addTA(%q, \"%d %d %d %s\")\n", z.Name, ds.KeyTag, ds.Algorithm, ds.DigestType, ds.Digest)
		}
	}
	WriteFile(t, filepath.Join(dir, "anchors.lua"), "clearTA()\n"+anchors.String())
	WriteFile(t, filepath.Join(dir, "recursor.conf"), fmt.Sprintf(`daemon=no
local-address=%s
local-port=%d
query-local-address=127.0.0.1
socket-dir=%s
lua-config-file=%s
forward-zones=%s
dnssec=validate
dont-query=
hint-file=no
security-poll-suffix=
threads=1
pdns-distributes-queries=no
packetcache-ttl=0
max-negative-ttl=3600
quiet=yes
loglevel=6
`, addr.Addr(), addr.Port(), dir, filepath.Join(dir, "anchors.lua"), strings.Join(forwards, ",")))
	return start(t, addr, dir, "Enabled multiplexer", program, "--config-dir="+dir)
}

// shortDir is a folder whose path is short enough for a socket in it (unix(7): 108 octets), whatever the test's name.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pdns-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// anchorDS are a zone's anchors as DS records.
func anchorDS(t testing.TB, z Zone) (all []*dns.DS) {
	t.Helper()
	for _, text := range anchors(z) {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		switch rr := rr.(type) {
		case *dns.DS:
			all = append(all, rr)
		case *dns.DNSKEY:
			all = append(all, rr.ToDS(dns.SHA256))
		}
	}
	return all
}
