package world

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Zone is what a resolver is configured with for a zone.
type Zone struct {
	Name   string
	Server netip.AddrPort   // its authoritative server
	Others []netip.AddrPort // further ones
	Anchor string           // DS or DNSKEY records in zone file syntax, one a line; "": unsigned
}

// Resolver starts a validating resolver with an empty cache that knows these zones and no others.
type Resolver func(t testing.TB, zones ...Zone) *Process

// Resolvers are those that a test of "every resolver" asks, by name. Each uses what it has
// validated to answer further questions by itself (RFC 8198).
var Resolvers = map[string]Resolver{
	"unbound":       Unbound,
	"knot-resolver": KnotResolver,
}

// Variants are Resolvers in all settings that see an answer with other eyes.
var Variants = map[string]Resolver{
	"unbound":                         Unbound,
	"unbound without aggressive NSEC": unboundWith(unboundPlain),
	"unbound as a CA's":               unboundWith(unboundCA),
	"knot-resolver":                   KnotResolver,
	"BIND":                            BIND,
	"knot-resolver without cache":     kresdWith("policy.add(policy.all(policy.FLAGS({'NO_CACHE'})))\n"),
}

const (
	// unboundPlain is unbound's own default but for aggressive NSEC, which it has on.
	unboundPlain = `server:
    aggressive-nsec: no
    use-caps-for-id: no
`
	// unboundCA is what is known of Let's Encrypt's resolvers: mixed case, small answers, nothing kept,
	// no grace for clocks, the whole name at once.
	unboundCA = `server:
    aggressive-nsec: no
    use-caps-for-id: yes
    edns-buffer-size: 1232
    cache-max-ttl: 0
    cache-max-negative-ttl: 0
    msg-cache-size: 0
    val-sig-skew-min: 0
    val-sig-skew-max: 0
    qname-minimisation: no
`
)

// Unbound starts unbound as strict as it can be set: aggressive NSEC, mixed-case questions (0x20)
// and hardened against whatever it knows to harden against.
func Unbound(t testing.TB, zones ...Zone) *Process {
	t.Helper()
	return unboundWith("")(t, zones...)
}

// unboundWith is Unbound with further lines of configuration, which win.
func unboundWith(options string) Resolver {
	return func(t testing.TB, zones ...Zone) *Process {
		t.Helper()
		program := Program(t, "unbound")
		dir, addr := t.TempDir(), FreeAddr(t)
		conf := filepath.Join(dir, "unbound.conf")
		WriteFile(t, conf, unboundConf(dir, addr, zones)+options)
		return startResolver(t, addr, dir, "start of service", program, "-d", "-p", "-c", conf)
	}
}

// Relay starts an unbound that only finds and hands on what servers say: it keeps nothing and validates nothing. What
// is behind it sees parents and children as they are, though it knows one server alone.
func Relay(t testing.TB, zones ...Zone) *Process {
	t.Helper()
	return unboundWith(`server:
    module-config: "iterator"
    aggressive-nsec: no
    cache-max-ttl: 0
    cache-max-negative-ttl: 0
`)(t, zones...)
}

// unboundBase is what every unbound here needs: its folder, address and port come in.
const unboundBase = `server:
    directory: "%s"
    interface: %s@%d
    outgoing-interface: 127.0.0.1  # nothing leaves the machine
    do-ip6: no
    do-not-query-localhost: no
    access-control: 127.0.0.0/8 allow
    username: ""
    chroot: ""
    use-syslog: no
    logfile: ""
    verbosity: 1
    val-log-level: 2
    num-threads: 1
    so-reuseport: no
    module-config: "validator iterator"
    trust-anchor-signaling: no
    root-key-sentinel: no
    target-fetch-policy: "0 0 0 0 0"
`

const unboundServer = unboundBase + `    ede: yes
    aggressive-nsec: yes
    use-caps-for-id: yes
    qname-minimisation: yes
    harden-algo-downgrade: yes
    harden-below-nxdomain: yes
    harden-dnssec-stripped: yes
    harden-glue: yes
    harden-referral-path: no  # would ask for the addresses of servers that no zone here holds
    local-zone: "." refuse
`

func unboundConf(dir string, addr netip.AddrPort, zones []Zone) string {
	var conf, stubs strings.Builder
	fmt.Fprintf(&conf, unboundServer, dir, addr.Addr(), addr.Port())
	for _, z := range zones {
		fmt.Fprintf(&conf, "    local-zone: %q transparent\n", z.Name)
		for _, anchor := range anchors(z) {
			fmt.Fprintf(&conf, "    trust-anchor: '%s'\n", anchor)
		}
		fmt.Fprintf(&stubs, "stub-zone:\n    name: %q\n", z.Name)
		for _, server := range z.servers() {
			fmt.Fprintf(&stubs, "    stub-addr: %s@%d\n", server.Addr(), server.Port())
		}
	}
	// An alias may lead out of the zones: the root is a port that nobody listens on.
	stubs.WriteString("stub-zone:\n    name: \".\"\n    stub-addr: 127.0.0.1@1\n")
	return conf.String() + stubs.String() + "remote-control:\n    control-enable: no\n"
}

// KnotResolver starts knot-resolver. It uses aggressive NSEC by default. FORWARD is its mode that
// validates and takes a port; STUB would not validate.
func KnotResolver(t testing.TB, zones ...Zone) *Process {
	t.Helper()
	return kresdWith("")(t, zones...)
}

// ExactKnotResolver keeps answers for as long as its TTL says. By default knot-resolver keeps it for five
// seconds at least, which is nothing, but where TTLs are of a second.
func ExactKnotResolver(t testing.TB, zones ...Zone) *Process {
	t.Helper()
	return kresdWith("cache.min_ttl(0)\n")(t, zones...)
}

// kresdWith is KnotResolver with further lines of configuration, before those of the zones.
func kresdWith(options string) Resolver {
	return func(t testing.TB, zones ...Zone) *Process {
		t.Helper()
		program := Program(t, "kresd")
		dir, addr := t.TempDir(), FreeAddr(t)
		conf := filepath.Join(dir, "kresd.conf")
		WriteFile(t, conf, kresdConf(addr, options, zones))
		return startResolver(t, addr, dir, kresdReady, program, "-n", "-c", conf, dir)
	}
}

const (
	kresdReady  = "world: ready"
	kresdServer = `net.listen('%s', %d, { kind = 'dns' })
net.ipv6 = false
net.outgoing_v4('127.0.0.1')  -- nothing leaves the machine
cache.size = 10 * MB
for _, name in ipairs({ 'priming', 'ta_update', 'ta_signal_query', 'ta_sentinel', 'detect_time_skew', 'detect_time_jump' }) do
    modules.unload(name)
end
trust_anchors.remove('.')
`
)

func kresdConf(addr netip.AddrPort, options string, zones []Zone) string {
	var conf strings.Builder
	fmt.Fprintf(&conf, kresdServer, addr.Addr(), addr.Port())
	conf.WriteString(options)
	for _, z := range zones {
		if anchors := anchors(z); len(anchors) > 0 { // in one call: a second one would take the place of the first
			fmt.Fprintf(&conf, "trust_anchors.add([[%s]])\n", strings.Join(anchors, "\n"))
		}
		var servers []string
		for _, server := range z.servers() {
			servers = append(servers, fmt.Sprintf("'%s@%d'", server.Addr(), server.Port()))
		}
		fmt.Fprintf(&conf, "policy.add(policy.suffix(policy.FORWARD({%s}), {todname('%s')}))\n", strings.Join(servers, ", "), z.Name)
	}
	conf.WriteString("policy.add(policy.all(policy.REFUSE))\n")
	fmt.Fprintf(&conf, "io.stdout:write('%s\\n') io.stdout:flush()\n", kresdReady)
	return conf.String()
}

// BIND starts BIND's named as a validating resolver. It forwards, because its stubs take no port.
func BIND(t testing.TB, zones ...Zone) *Process {
	t.Helper()
	program := Program(t, "named")
	dir, addr := t.TempDir(), FreeAddr(t)
	conf := filepath.Join(dir, "named.conf")
	WriteFile(t, conf, bindConf(dir, addr, zones))
	return start(t, addr, dir, "running\n", program, "-g", "-4", "-n", "1", "-c", conf)
}

const bindResolver = `options {
    directory %q;
    listen-on port %d { %s; };
    listen-on-v6 { none; };
    query-source address 127.0.0.1;  // nothing leaves the machine
    pid-file none;
    session-keyfile none;
    recursion yes;
    dnssec-validation yes;
    synth-from-dnssec yes;
    qname-minimization strict;
    empty-zones-enable no;
    trust-anchor-telemetry no;
    servfail-ttl 0;
};
controls { };
zone "." { type forward; forward only; forwarders { 127.0.0.1 port 1; }; };
`

func bindConf(dir string, addr netip.AddrPort, zones []Zone) string {
	var conf strings.Builder
	fmt.Fprintf(&conf, bindResolver, dir, addr.Port(), addr.Addr())
	for _, z := range zones {
		for _, anchor := range anchors(z) {
			conf.WriteString(bindAnchor(anchor))
		}
		var servers []string
		for _, server := range z.servers() {
			servers = append(servers, fmt.Sprintf("%s port %d;", server.Addr(), server.Port()))
		}
		fmt.Fprintf(&conf, "zone %q { type forward; forward only; forwarders { %s }; };\n", z.Name, strings.Join(servers, " "))
	}
	return conf.String()
}

// bindAnchor is a DS or DNSKEY record as a trust anchor.
func bindAnchor(record string) string {
	fields := strings.Fields(record)
	i := slices.IndexFunc(fields, func(f string) bool { return f == "DS" || f == "DNSKEY" })
	kind := map[string]string{"DS": "static-ds", "DNSKEY": "static-key"}[fields[i]]
	return fmt.Sprintf("trust-anchors { %q %s %s %q; };\n", fields[0], kind, strings.Join(fields[i+1:i+4], " "), strings.Join(fields[i+4:], ""))
}

func (z Zone) servers() []netip.AddrPort { return append([]netip.AddrPort{z.Server}, z.Others...) }

// anchors are a zone's, with single spaces, as both configurations read them.
func anchors(z Zone) []string {
	var records []string
	for line := range strings.Lines(z.Anchor) {
		if fields := strings.Fields(line); len(fields) > 0 {
			records = append(records, strings.Join(fields, " "))
		}
	}
	return records
}
