package finding

import (
	"context"
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

type zoneNames struct {
	zone  *resolve.Zone
	names []string
}

// namesByZone sorts the names that a climb asked for, and their aliases' targets, by their zone.
func namesByZone(c climb.Climb) []zoneNames {
	var out []zoneNames
	add := func(zone *resolve.Zone, name string) {
		if zone == nil || zone.Name == "." {
			return
		}
		i := slices.IndexFunc(out, func(z zoneNames) bool { return z.zone == zone })
		if i < 0 {
			i = len(out)
			out = append(out, zoneNames{zone: zone})
		}
		if !slices.Contains(out[i].names, name) {
			out[i].names = append(out[i].names, name)
		}
	}
	for _, step := range c.Steps {
		for _, link := range step.Answer.Chain {
			add(link.Zone, link.From)
		}
		add(step.Answer.Zone, step.Answer.Owner)
	}
	return out
}

func (k *Collector) survey(ctx context.Context, zone *resolve.Zone, names []string, own string) Survey {
	s := Survey{Zone: zone, LeftOut: k.Resolver.LeftOut(ctx, zone)}
	add := func(name string, rrtype uint16) {
		o := k.ask(ctx, asking{zone, resolve.Question{Name: name, Type: rrtype}, bothWays}, name == own)
		s.Seen, s.read = append(s.Seen, o.seen...), append(s.read, o.read...)
		if rrtype == dns.TypeCAA {
			k.otherTypes(ctx, &s, name, own, slices.ContainsFunc(o.read, func(r resolve.Reading) bool { return r.Kind == resolve.Data }))
		}
	}
	add(zone.Name, dns.TypeSOA)
	add(zone.Name, dns.TypeDNSKEY)
	for _, name := range names {
		add(name, dns.TypeCAA)
		add(name, Probe)
	}
	s.by = byAddress(zone, s.Seen)
	s.Sizes = k.ask(ctx, asking{zone, resolve.Question{Name: zone.Name, Type: dns.TypeDNSKEY}, sized}, false).seen
	if zone.Parent != nil {
		s.NS = k.Resolver.Lookup(ctx, zone.Name, dns.TypeNS)
	}
	return s
}

// targets looks up CAA at the target of each alias that a server has for CAA.
func (k *Collector) targets(ctx context.Context, c *Case) map[string]resolve.Answer {
	out := map[string]resolve.Answer{}
	for s := range c.answers(dns.TypeCAA) {
		if s.Kind == resolve.Alias && s.Result.Status != dnssec.Bogus {
			if _, known := out[s.Target]; !known {
				out[s.Target] = k.Resolver.Lookup(ctx, s.Target, dns.TypeCAA)
			}
		}
	}
	return out
}

// cuts asks the servers of parents, except where one server is asked for everything.
func (k *Collector) cuts(ctx context.Context, c climb.Climb) []Cut {
	if k.Resolver.OneServer() {
		return nil
	}
	var out []Cut
	for _, zone := range c.Zones() {
		if zone.Parent == nil || zone.Parent.Name == "." {
			continue
		}
		ds := k.ask(ctx, asking{zone.Parent, resolve.Question{Name: zone.Name, Type: dns.TypeDS}, bothWays}, false)
		ns := k.ask(ctx, asking{zone.Parent, resolve.Question{Name: zone.Name, Type: dns.TypeNS}, overUDP}, false)
		out = append(out, Cut{zone, ds.seen, ns.seen, ds.read, ns.read})
	}
	return out
}

// denialTypes are those that names are asked for all day long, mostly in vain for one of them: the negative answers that
// resolvers cache.
var denialTypes = []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeMX, dns.TypeTXT, dns.TypeHTTPS}

// otherTypes asks for other types than CAA. At each name of a climb that is for addresses, by which the name may be an
// alias. Where the zone is signed, a name that has CAA is also asked for types and names that the servers deny.
func (k *Collector) otherTypes(ctx context.Context, s *Survey, name, own string, has bool) {
	add := func(q resolve.Question, own bool) {
		o := k.ask(ctx, asking{s.Zone, q, overUDP}, own)
		s.OtherTypes, s.otherTypes = append(s.OtherTypes, o.seen...), append(s.otherTypes, o.read...)
	}
	if !has || s.Zone.Trust.Status != dnssec.Secure {
		if has || name != s.Zone.Name { // an apex is no alias
			add(resolve.Question{Name: name, Type: dns.TypeA}, name == own)
		}
		return
	}
	for _, rrtype := range denialTypes {
		add(resolve.Question{Name: name, Type: rrtype}, name == own)
	}
	add(resolve.Question{Name: k.missing + "." + name, Type: dns.TypeA}, name == own)
	if name != s.Zone.Name {
		add(resolve.Question{Name: k.missing + "." + s.Zone.Name, Type: dns.TypeA}, false)
	}
}
