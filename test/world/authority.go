package world

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
)

// Authority starts an authoritative server for zones, given as zone files by apex, at an address that
// the caller has chosen. The files are served as they are: whatever is wrong in them is what is served.
type Authority func(t testing.TB, addr netip.AddrPort, zones map[string]string) *Process

// NSD starts NLnet Labs' nsd.
func NSD(t testing.TB, addr netip.AddrPort, zones map[string]string) *Process {
	t.Helper()
	return NSDAt(t, []netip.AddrPort{addr}, zones)
}

// NSDAt is NSD at several addresses.
func NSDAt(t testing.TB, addrs []netip.AddrPort, zones map[string]string) *Process {
	t.Helper()
	program := Program(t, "nsd")
	dir := t.TempDir()
	var conf strings.Builder
	conf.WriteString("server:\n")
	for _, addr := range addrs {
		fmt.Fprintf(&conf, "    ip-address: %s@%d\n", addr.Addr(), addr.Port())
	}
	fmt.Fprintf(&conf, `    username: ""
    chroot: ""
    zonesdir: %q
    database: ""
    pidfile: ""
    xfrdfile: %q
    zonelistfile: %q
    server-count: 1
    rrl-ratelimit: 0
    verbosity: 1
remote-control:
    control-enable: no
`, dir, filepath.Join(dir, "xfrd.state"), filepath.Join(dir, "zone.list"))
	for apex, text := range zones {
		file := zoneFile(t, dir, apex, text)
		fmt.Fprintf(&conf, "zone:\n    name: %q\n    zonefile: %q\n", apex, file)
	}
	WriteFile(t, filepath.Join(dir, "nsd.conf"), conf.String())
	return start(t, addrs[0], dir, "nsd started", program, "-d", "-c", filepath.Join(dir, "nsd.conf"))
}

// Knot starts CZ.NIC's knotd.
func Knot(t testing.TB, addr netip.AddrPort, zones map[string]string) *Process {
	t.Helper()
	program, dir := Program(t, "knotd"), t.TempDir()
	conf := knotConf(dir, addr, "") + "zone:\n"
	for apex, text := range zones {
		conf += fmt.Sprintf("  - domain: %q\n    file: %q\n", apex, zoneFile(t, dir, apex, text))
	}
	WriteFile(t, filepath.Join(dir, "knot.conf"), conf)
	return start(t, addr, dir, "server started", program, "-c", filepath.Join(dir, "knot.conf"))
}

// KnotSecondary starts knotd for zones that it transfers from a primary, and waits until it has them all.
func KnotSecondary(t testing.TB, addr, primary netip.AddrPort, zones []string) *Process {
	t.Helper()
	p := knotSecondary(t, addr, primary, zones)
	p.WaitLogs(t, "zone updated, ", len(zones))
	return p
}

// StrandedKnot starts knotd for zones that it cannot transfer, since nobody listens where their primary should be.
func StrandedKnot(t testing.TB, addr, primary netip.AddrPort, zones []string) *Process {
	t.Helper()
	return knotSecondary(t, addr, primary, zones)
}

func knotSecondary(t testing.TB, addr, primary netip.AddrPort, zones []string) *Process {
	t.Helper()
	program, dir := Program(t, "knotd"), t.TempDir()
	remote := fmt.Sprintf("remote:\n  - id: primary\n    address: %s@%d\n", primary.Addr(), primary.Port())
	conf := knotConf(dir, addr, remote) + "zone:\n"
	for _, apex := range zones {
		conf += fmt.Sprintf("  - domain: %q\n    master: primary\n", apex)
	}
	WriteFile(t, filepath.Join(dir, "knot.conf"), conf)
	return start(t, addr, dir, "server started", program, "-c", filepath.Join(dir, "knot.conf"))
}

// knotConf is knotd's configuration, with remotes, but without its zones.
func knotConf(dir string, addr netip.AddrPort, remotes string) string {
	return fmt.Sprintf(`server:
    rundir: %q
    listen: %s@%d
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: %q
log:
  - target: stderr
    any: info
%stemplate:
  - id: default
    storage: %q
    semantic-checks: off
    zonefile-load: whole
    journal-content: none
`, dir, addr.Addr(), addr.Port(), dir, remotes, dir)
}

func zoneFile(t testing.TB, dir, apex, text string) string {
	t.Helper()
	file := filepath.Join(dir, "zone."+strings.ReplaceAll(apex, "/", "_"))
	WriteFile(t, file, text)
	return file
}

// FreeSubnet finds a port that is free, and addresses of loopback on it, 127.x.y.1 and so on, for
// servers that share a port as those of the Internet do.
func FreeSubnet(t testing.TB, n int) []netip.AddrPort {
	t.Helper()
	first := FreeAddr(t)
	var out []netip.AddrPort
	for i := range n {
		addr := netip.AddrFrom4([4]byte{127, byte(1 + first.Port()%200), byte(first.Port() >> 8), byte(1 + i)})
		out = append(out, netip.AddrPortFrom(addr, first.Port()))
	}
	return out
}

const recursorServer = unboundBase + `    trust-anchor: "%s"
    ede: yes
    aggressive-nsec: no
    qname-minimisation: no
    harden-below-nxdomain: no
    harden-algo-downgrade: no
    val-clean-additional: yes
    val-bogus-ttl: 0
    infra-host-ttl: 0
    unblock-lan-zones: yes
    insecure-lan-zones: no
    do-ip6: yes
    outgoing-interface: ::1
    local-zone: "test." transparent
`

// Recursor starts unbound as it is by default, except that it answers from nothing but what it was asked
// for and forgets how fast a server was (on a busy machine it would keep to the one of two that is wrong), with a root
// of a test's own: its anchor is a DS record. As unbound asks port 53 alone, it is given
// where each zone is served; that a zone is one, and signed, it learns from the parent.
func Recursor(t testing.TB, anchor string, zones map[string][]netip.AddrPort) *Process {
	t.Helper()
	return recursor(t, anchor, zones, "")
}

// recursor is Recursor with further lines of its server clause, which win.
func recursor(t testing.TB, anchor string, zones map[string][]netip.AddrPort, options string) *Process {
	t.Helper()
	program := Program(t, "unbound")
	dir, addr := t.TempDir(), FreeAddr(t)
	var conf strings.Builder
	fmt.Fprintf(&conf, recursorServer+options, dir, addr.Addr(), addr.Port(), anchor)
	for zone, servers := range zones {
		fmt.Fprintf(&conf, "stub-zone:\n    name: %q\n", zone)
		for _, server := range servers {
			fmt.Fprintf(&conf, "    stub-addr: %s@%d\n", server.Addr(), server.Port())
		}
	}
	conf.WriteString("remote-control:\n    control-enable: no\n")
	file := filepath.Join(dir, "unbound.conf")
	WriteFile(t, file, conf.String())
	return startResolver(t, addr, dir, "start of service", program, "-d", "-p", "-c", file)
}
