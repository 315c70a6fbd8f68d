package caa

import (
	"context"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// This file publishes the CDS and CDNSKEY of zones once more under the names of their servers, for parents that
// look for the first DS of a zone there (RFC 9615): below a name of a zone that is signed already, nobody
// can forge them.

// signalled are the zones whose keys are published at names of a zone, by these names.
type signalled map[string]*keyring.Keys

// set is the RRset of a type at a signalling name.
func (s signalled) set(name string, rrtype uint16) (set zonesign.RRset, ok bool) {
	keys := s[name]
	if keys == nil || rrtype == dns.TypeDNSKEY {
		return set, false
	}
	set, ok = keys.RRset(rrtype)
	set.Owner = name
	return set, ok
}

// keysAt is the RRset of a type that keys make at a name of the zone: its own at the apex, and at a signalling
// name another zone's.
func (z *zone) keysAt(name string, rrtype uint16) (set zonesign.RRset, ok bool) {
	if name == z.Name {
		return z.RRset(rrtype)
	}
	return z.signals.set(name, rrtype)
}

// signallingName is where a zone's keys are published below one of its servers (RFC 9615 4.1); none for a
// server inside the zone, which proves nothing.
func signallingName(zone, server string) (name string, ok bool) {
	if dns.IsSubDomain(zone, server) {
		return "", false
	}
	name = "_dsboot." + zone + "_signal." + server
	_, ok = dns.IsDomainName(name)
	return name, ok && len(name) <= 254
}

// signal publishes the keys of a zone below those of its servers that stand in other signed zones served here.
func (s *serving) signal(z *zone, servers []string) {
	if _, sync := z.RRset(dns.TypeCDS); !sync {
		return
	}
	for _, server := range servers {
		name, ok := signallingName(z.Name, server)
		host := s.find(server)
		if !ok || host == nil || host.Set == nil {
			continue
		}
		host.signals[name] = z.Keys
		if host.PolicyOnly() {
			host.exists(name, dns.TypeCDS, dns.TypeCDNSKEY)
		}
		host.giveExistence(name)
	}
}

// signalAll does so for all zones. What servers an overlay has its data say.
func (s *serving) signalAll(ctx context.Context, below *inquiry) {
	for _, z := range s.zones {
		var servers []string
		for _, server := range z.Nameservers {
			servers = append(servers, server.Name)
		}
		if _, sync := z.RRset(dns.TypeCDS); sync && !z.PolicyOnly() && ctx.Err() == nil {
			if f, err := below.ask(ctx, z, z.Name, dns.TypeNS); err == nil && f.kind == exists {
				for _, rr := range f.set {
					servers = append(servers, lower(rr.(*dns.NS).Ns))
				}
			}
		}
		s.signal(z, servers)
	}
}
