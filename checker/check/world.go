package check

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// World is where lookups start, what is trusted there, and the limits of queries.
type World struct {
	Hints    []dns.RR       // the root's NS records and addresses; nil for the Internet's
	Anchors  []dns.RR       // DS or DNSKEY records; nil for the Internet's, and for none where Hints or Server lead elsewhere
	Server   netip.AddrPort // if valid, the authoritative server that alone is asked
	Resolver netip.AddrPort // if valid, the resolver that alone is asked; not with Server
	Port     uint16         // of name servers; 0 for 53

	Timeout     time.Duration // of one try; 0 for resolve.DefaultTimeout
	Concurrency int           // as in resolve.Config
	Rate        float64       // as in resolve.Config
}

// config returns the world as package resolve takes it, with notes about it; withoutIPv6 is one for where a server has
// IPv6 addresses that were not asked. It asks a root server over IPv6.
func (w World) config(ctx context.Context) (cfg resolve.Config, notes []string, withoutIPv6 string, err error) {
	cfg = resolve.Config{
		Hints: w.Hints, Anchors: w.Anchors, Only: w.Server, Port: w.Port, Timeout: w.Timeout, Concurrency: w.Concurrency, Rate: w.Rate,
		NoIPv6: !hasIPv6(), Memory: dnssec.NewMemory(dnssec.MemorySize),
	}
	if w.Resolver.IsValid() {
		cfg.Only, cfg.Recursive = w.Resolver, true
	}
	if w.Anchors == nil && (w.Server.IsValid() || w.Hints != nil) {
		cfg.Anchors = []dns.RR{}
		notes = append(notes, "Without --trust-anchor nothing was validated: CAs validate.")
	}
	switch {
	case cfg.Only.IsValid():
	case cfg.NoIPv6:
		withoutIPv6 = "This machine has no IPv6: name servers' IPv6 addresses were not asked."
	default:
		if cfg.NoIPv6, err = unreachableIPv6(ctx, cfg); cfg.NoIPv6 {
			withoutIPv6 = "No root server answers this machine over IPv6: name servers' IPv6 addresses were not asked."
		}
	}
	return cfg, notes, withoutIPv6, err
}

// probeTime is how long a root server may take to answer over IPv6.
const probeTime = 2 * time.Second

// unreachableIPv6 reports whether a machine that has IPv6 reaches no server by it.
func unreachableIPv6(ctx context.Context, cfg resolve.Config) (bool, error) {
	cfg.Timeout, cfg.Tries = min(cfg.Timeout, probeTime), 1
	r, err := resolve.New(cfg)
	if err != nil {
		return false, err
	}
	return !r.WorksIPv6(ctx), nil
}

// hasIPv6 reports whether there is a way to the Internet's IPv6. Nothing is sent.
func hasIPv6() bool {
	conn, err := net.Dial("udp6", "[2001:7fd::1]:53")
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
