package world

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
)

// Resolvers that start at a root of a test's own, whose zones are served at one port that is not 53, by delegations
// that may be wrong. Each knows the root's anchor, a DS record, and validates by it.

// Follower starts unbound like [Recursor], but it neither remembers long that a server is silent nor waits for one for
// minutes: it is for zones whose delegations lead nowhere. A zone's addresses are those that its delegation lists.
func Follower(t testing.TB, anchor string, zones map[string][]netip.AddrPort) *Process {
	t.Helper()
	return recursor(t, anchor, zones, impatient)
}

// Iterator is a Follower that does not validate, for a resolver behind it that does.
func Iterator(t testing.TB, anchor string, zones map[string][]netip.AddrPort) *Process {
	t.Helper()
	return recursor(t, anchor, zones, impatient+"    module-config: \"iterator\"\n    cache-max-ttl: 0\n    cache-max-negative-ttl: 0\n")
}

// impatient bounds how long unbound waits for one of its five tries, which by default doubles up to two minutes.
const impatient = "    infra-cache-max-rtt: 2000\n"

// NamedRecursor starts BIND's named as a resolver that iterates from a root server at the port that all servers share:
// it follows delegations as they are.
func NamedRecursor(t testing.TB, anchor string, root netip.AddrPort) *Process {
	t.Helper()
	program := Program(t, "named")
	dir, addr := t.TempDir(), FreeAddr(t)
	fields := strings.Fields(anchor) // owner, TTL, class, DS, then the four that count
	conf := fmt.Sprintf(`options {
    directory %q;
    port %d;
    listen-on port %d { %s; };
    listen-on-v6 { none; };
    query-source address 127.0.0.1;  // nothing leaves the machine
    pid-file none;
    session-keyfile none;
    recursion yes;
    dnssec-validation yes;
    empty-zones-enable no;
    servfail-ttl 0;
    zone-statistics none;
    qname-minimization off;
};
controls { };
trust-anchors { . static-ds %s %s %s %q; };
zone "." { type hint; file "root.hints"; };
`, dir, root.Port(), addr.Port(), addr.Addr(), fields[4], fields[5], fields[6], strings.Join(fields[7:], ""))
	WriteFile(t, filepath.Join(dir, "root.hints"), fmt.Sprintf(". 3600 NS a.root.\na.root. 3600 A %s\n", root.Addr()))
	WriteFile(t, filepath.Join(dir, "named.conf"), conf)
	return start(t, addr, dir, "running\n", program, "-g", "-4", "-n", "1", "-c", filepath.Join(dir, "named.conf"))
}

// KnotForwarder starts knot-resolver in front of another resolver, whose answers it validates. Iterating by itself it
// would ask port 53 alone.
func KnotForwarder(t testing.TB, anchor string, to netip.AddrPort) *Process {
	t.Helper()
	program := Program(t, "kresd")
	dir, addr := t.TempDir(), FreeAddr(t)
	var conf strings.Builder
	fmt.Fprintf(&conf, kresdServer, addr.Addr(), addr.Port())
	fmt.Fprintf(&conf, "trust_anchors.add([[%s]])\n", anchor)
	fmt.Fprintf(&conf, "policy.add(policy.all(policy.FORWARD({'%s@%d'})))\n", to.Addr(), to.Port())
	fmt.Fprintf(&conf, "io.stdout:write('%s\\n') io.stdout:flush()\n", kresdReady)
	file := filepath.Join(dir, "kresd.conf")
	WriteFile(t, file, conf.String())
	return start(t, addr, dir, kresdReady, program, "-n", "-c", file, dir)
}
