package finding

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// others climbs again by each server whose delegations of the climb's zones differ from the others', or that serves one of
// them without a delegation to it: a CA's resolver may ask that one.
func (k *Collector) others(ctx context.Context, c *Case) []Other {
	if k.Resolver.OneServer() {
		return nil
	}
	var out []Other
	add := func(z *resolve.Zone, o resolve.Observation) {
		server := fmt.Sprintf("%s, a server of %s,", addressID(o.Server, o.Addr.Addr()), dnsname.Bare(z.Name))
		if !slices.ContainsFunc(out, func(other Other) bool { return other.Server == server }) {
			out = append(out, Other{server, climb.Up(ctx, k.pinned(z, o), c.Climb.Name)})
		}
	}
	for _, cut := range c.Cuts {
		for i, o := range cut.NS {
			if k.delegatesOtherwise(ctx, cut, o, cut.ns[i]) {
				add(cut.Zone.Parent, o)
			}
		}
	}
	for s := range c.answers(dns.TypeCAA) {
		if s.Kind == resolve.Referral {
			add(s.zone, s.Observation)
		}
	}
	return out
}

// pinned is a resolver that asks one server of a zone, the same for all names.
func (k *Collector) pinned(z *resolve.Zone, o resolve.Observation) *resolve.Resolver {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := server{z, o.Addr}
	if k.pins[id] == nil {
		k.pins[id] = k.Resolver.Pinned(z, o)
	}
	return k.pins[id]
}

// delegatesOtherwise reports whether a server of the parent refers to other servers than those known of the zone.
func (k *Collector) delegatesOtherwise(ctx context.Context, cut Cut, o resolve.Observation, r resolve.Reading) bool {
	switch {
	case o.Truncated || r.Kind == resolve.Failed:
		return false
	case r.Kind == resolve.Data: // it has the zone itself
		return !slices.ContainsFunc(k.Resolver.Addresses(ctx, cut.Zone), func(a resolve.Address) bool { return a.Addr == o.Addr })
	case r.Kind != resolve.Referral || r.Target != cut.Zone.Name:
		return true
	}
	known := k.Resolver.Addresses(ctx, cut.Zone)
	return !slices.EqualFunc(r.Servers, cut.Zone.Servers, func(a, b resolve.Server) bool { return a.Name == b.Name }) ||
		slices.ContainsFunc(r.Servers, func(s resolve.Server) bool {
			return slices.ContainsFunc(s.Addrs, func(glue netip.Addr) bool {
				return !slices.ContainsFunc(known, func(a resolve.Address) bool { return a.Server == s.Name && (a.Addr.Addr() == glue || a.Lacks != "") })
			})
		})
}

// aliases are those that a server has for another type at a name of the climb, and not for CAA.
func (k *Collector) aliases(ctx context.Context, c *Case) []Alias {
	var out []Alias
	var rest []climb.Step
	for _, s := range c.Surveys {
		for o := range s.aliases() {
			if !s.noAlias(o.Addr, o.Name) || slices.ContainsFunc(out, func(a Alias) bool { return a.Name == o.Name && a.Target == o.Target }) {
				continue
			}
			if rest == nil {
				rest = c.Climb.Above(ctx, k.Resolver)
			}
			for _, step := range c.Climb.Steps {
				if answer, ok := k.Resolver.Divert(ctx, step.Answer, resolve.Alternative{Name: o.Name, Zone: s.Zone, Reading: o.Reading}); ok {
					out = append(out, Alias{o.Name, s.Zone.Name, addressID(o.Server, o.Addr.Addr()), o.Type, o.Target, c.Climb.Replace(rest, step.Name, answer)})
					break
				}
			}
		}
	}
	return out
}

// aliases yields the answers to questions for other types than CAA that make a name an alias, and validate.
func (s Survey) aliases() iter.Seq[reply] {
	return func(yield func(reply) bool) {
		for r := range s.replies() {
			if r.Type != dns.TypeCAA && !r.Truncated && r.Kind == resolve.Alias && r.Result.Status != dnssec.Bogus && !yield(r) {
				return
			}
		}
	}
}

// noAlias reports whether an address answers CAA at a name, and not with an alias.
func (s Survey) noAlias(at netip.AddrPort, name string) bool {
	for i, o := range s.Seen {
		r := s.read[i]
		if o.Type == dns.TypeCAA && o.Addr == at && o.Name == name && !o.Truncated && r.Result.Status != dnssec.Bogus &&
			slices.Contains([]resolve.Kind{resolve.Data, resolve.NoData, resolve.NoName}, r.Kind) {
			return true
		}
	}
	return false
}
