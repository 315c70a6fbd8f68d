package resolve

import (
	"maps"
	"net/netip"

	"github.com/miekg/dns"
)

// Pinned returns a resolver that asks one server of a zone, known by an observation, and no other for what is in
// the zone or delegated from there; what that server has of child zones is taken as those zones. Of names
// elsewhere it knows what r knows, and limits and records of addresses are those of r.
func (r *Resolver) Pinned(z *Zone, o Observation) *Resolver {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &Resolver{
		cfg: r.cfg, start: r.start, anchors: r.anchors, limits: r.limits, network: r.network, known: r.known,
		locations: map[string]*location{}, answers: map[Question]*found{}, addresses: maps.Clone(r.addresses), glueless: map[string]bool{}, surveyed: map[*Zone]surveyed{},
	}
	for name, p := range r.locations {
		select {
		case <-p.done:
			if !dns.IsSubDomain(z.Name, name) {
				out.locations[name] = p
			}
		default:
		}
	}
	one := *z
	one.Servers, one.pinned, one.resolver = []Server{{o.Server, []netip.Addr{o.Addr.Addr()}}}, true, out
	out.remember(z.Name, &one)
	return out
}
