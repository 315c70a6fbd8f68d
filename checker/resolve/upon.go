package resolve

import (
	"maps"
	"net/netip"

	"github.com/miekg/dns"
)

// Upon is a resolver that has come upon one server of a zone, by an observation of it: it asks no other for what is in
// the zone or delegated from there, and takes what that server has of the zones below for those zones. Of what lies
// elsewhere it knows what r knows. Limits, and what is known of addresses, are those of r.
func (r *Resolver) Upon(z *Zone, o Observation) *Resolver {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &Resolver{
		cfg: r.cfg, start: r.start, anchors: r.anchors, limits: r.limits, network: r.network, known: r.known,
		places: map[string]*place{}, answers: map[Question]*found{}, addresses: maps.Clone(r.addresses), glueless: map[string]bool{}, surveyed: map[*Zone]surveyed{},
	}
	for name, p := range r.places {
		select {
		case <-p.done:
			if !dns.IsSubDomain(z.Name, name) {
				out.places[name] = p
			}
		default:
		}
	}
	one := *z
	one.Servers, one.upon, one.resolver = []Server{{o.Server, []netip.Addr{o.Addr.Addr()}}}, true, out
	out.remember(z.Name, &one)
	return out
}
