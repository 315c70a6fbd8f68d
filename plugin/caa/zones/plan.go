package zones

import (
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// This file gathers what a zone is made from, before any zone is made.

// plan is what a zone is made from.
type plan struct {
	policy  *policy.Zone
	keys    *keyring.Keys
	ttl     TTLs
	found   bool
	serial  uint32
	cuts    map[string]cut           // by the apex of the zone under the cut
	signals map[string]*keyring.Keys // the zones whose keys are published here, too, by signalling name (RFC 9615)
	kept    []string                 // names that must stay issuable: their answers are kept as those of the policy's own
}

// cut is a zone that is served here, too, and whose parent another zone is.
type cut struct {
	ds      []dns.RR
	servers []policy.Nameserver // none where its data, and so its NS, are the next plugin's
}

// plans are those of all zones of a set, by apex.
type plans map[string]*plan

// connect adds to each zone what the others have it contain: zone cuts, since DS is the one type that is asked of the
// parent's side (RFC 4035 3.1.4.1); keys at signalling names; and the names that must stay issuable. servers are the
// names of overlays' servers, by apex.
func (ps plans) connect(certificates []policy.Certificate, servers map[string][]string) {
	for apex, p := range ps {
		if parent := ps.above(apex); parent != nil {
			parent.cuts[apex] = cut{p.keys.ParentDS(p.ttl.Apex), p.policy.Nameservers}
		}
		if HasCDS(p.keys) {
			for _, server := range p.policy.Nameservers {
				ps.signal(apex, p.keys, server.Name)
			}
			for _, server := range servers[apex] {
				ps.signal(apex, p.keys, server)
			}
		}
	}
	for _, cert := range certificates {
		if p := ps.find(cert.Name); p != nil {
			p.kept = append(p.kept, cert.Name)
		}
	}
}

// signal publishes the CDS and CDNSKEY of a zone once more under the name of one of its servers, where that is in another
// signed zone, for parents that look for the first DS of a zone there (RFC 9615): there nobody can forge them.
func (ps plans) signal(apex string, keys *keyring.Keys, server string) {
	name, ok := signallingName(apex, server)
	if host := ps.find(server); ok && host != nil && host.keys.Set != nil {
		host.signals[name] = keys
	}
}

func (ps plans) find(name string) *plan {
	return closest(name, func(apex string) *plan { return ps[apex] })
}

func (ps plans) above(name string) *plan {
	return above(name, func(apex string) *plan { return ps[apex] })
}

// closest is the value at the closest name at or above a canonical name that has one, or nil. Its cost grows with the
// labels of the name.
func closest[T any](name string, at func(string) *T) *T {
	for up := range dnsname.Up(name) {
		if v := at(up); v != nil {
			return v
		}
	}
	return nil
}

// above is closest, strictly above the name.
func above[T any](name string, at func(string) *T) *T {
	if name == "." {
		return nil
	}
	return closest(dnsname.Parent(name), at)
}

// signallingName is where a zone's keys are published under one of its servers (RFC 9615 4.1); none for a
// server inside the zone, which proves nothing.
func signallingName(zone, server string) (name string, ok bool) {
	if dns.IsSubDomain(zone, server) {
		return "", false
	}
	name = dnsname.Join("_dsboot."+zone, "_signal."+server)
	return name, dnsname.Valid(name)
}

// HasCDS reports whether keys make CDS, so that there is something to signal.
func HasCDS(keys *keyring.Keys) bool {
	_, ok := keys.RRset(dns.TypeCDS)
	return ok
}
