package finding

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/dnssec"
	"github.com/coredns-caa/caa/checker/resolve"
)

// Collector surveys the zones of cases. What it has asked of a zone it remembers, so that thousands of
// names of one zone ask for its keys once; what it has asked for the name of a case alone it does not, or
// they would fill the memory. It is safe for concurrent use.
type Collector struct {
	Resolver *resolve.Resolver

	missing string // a label that no name has

	mu    sync.Mutex
	asked map[asking]*observed
	upon  map[server]*resolve.Resolver
}

// server is one address of a zone's.
type server struct {
	zone *resolve.Zone
	addr netip.AddrPort
}

// asking is one question to a zone's servers, and how it is put.
type asking struct {
	zone     *resolve.Zone
	question resolve.Question
	how      manner
}

type manner uint8

const (
	bothWays manner = iota // over UDP and TCP
	sized                  // over UDP, with otherSizes
	overUDP
)

type observed struct {
	once sync.Once
	seen []resolve.Observation
	read []resolve.Reading
}

// NewCollector returns a Collector that has asked nothing yet.
func NewCollector(r *resolve.Resolver) *Collector {
	return &Collector{Resolver: r, missing: fmt.Sprintf("caacheck-%08x", rand.Uint32()), asked: map[asking]*observed{}, upon: map[server]*resolve.Resolver{}}
}

// Collect asks every address of every server of the zones of a climb.
func (k *Collector) Collect(ctx context.Context, c climb.Climb) *Case {
	out := &Case{Climb: c, Now: k.Resolver.Now()}
	names := namesByZone(c)
	for _, zn := range names {
		out.Surveys = append(out.Surveys, k.survey(ctx, zn.zone, zn.names, c.Name))
	}
	out.Cuts = k.cuts(ctx, c)
	out.Others, out.Aliases, out.Targets = k.others(ctx, out), k.aliases(ctx, out), k.targets(ctx, out)
	out.Mail = k.mailboxes(ctx, c)
	out.Private = k.private()
	return out
}

type zoneNames struct {
	zone  *resolve.Zone
	names []string
}

// namesByZone sorts the names that a climb asked for, and their aliases' targets, by the zone they lie in.
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
			k.beside(ctx, &s, name, own, slices.ContainsFunc(o.read, func(r resolve.Reading) bool { return r.Kind == resolve.Data }))
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

// targets looks up what each alias leads to that a server has for CAA: several may lead to the same.
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

// cuts asks the servers of parents. Where one server is asked for all, it is not theirs.
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

// denialTypes are those that a name is asked for all day long, and mostly in vain for one of them: the denials that
// resolvers remember.
var denialTypes = []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeMX, dns.TypeTXT, dns.TypeHTTPS}

// beside asks for other types than CAA. At each name that a climb comes by that is for addresses: by them it may be an alias. Where the zone is signed, a name that has CAA is asked for what makes servers deny there, below it and
// beside it.
func (k *Collector) beside(ctx context.Context, s *Survey, name, own string, has bool) {
	add := func(q resolve.Question, own bool) {
		o := k.ask(ctx, asking{s.Zone, q, overUDP}, own)
		s.Beside, s.beside = append(s.Beside, o.seen...), append(s.beside, o.read...)
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

// otherSizes are EDNS sizes that resolvers offer beside the one that everything is asked with: the least that there
// is, and what was usual before 2020.
var otherSizes = []uint16{dns.MinMsgSize, 4096}

// ask puts a question, and but once to each zone unless it is for the name of a case alone.
func (k *Collector) ask(ctx context.Context, a asking, own bool) *observed {
	o := new(observed)
	if own && a.question.Name != a.zone.Name {
		k.put(ctx, a, o)
		return o
	}
	k.mu.Lock()
	if known := k.asked[a]; known != nil {
		o = known
	} else {
		k.asked[a] = o
	}
	k.mu.Unlock()
	o.once.Do(func() { k.put(ctx, a, o) })
	return o
}

func (k *Collector) put(ctx context.Context, a asking, o *observed) {
	switch a.how {
	case sized:
		o.seen = k.Resolver.Offer(ctx, a.zone, a.question, otherSizes...)
	case overUDP:
		o.seen = k.Resolver.Offer(ctx, a.zone, a.question, resolve.DefaultBuffer)
	default:
		o.seen = k.Resolver.Survey(ctx, a.zone, a.question)
		k.again(ctx, a, o.seen)
	}
	for _, seen := range o.seen {
		o.read = append(o.read, a.zone.Read(seen, a.question.Name, a.question.Type))
	}
}

// again gives failures that would be findings by themselves a second hearing: one lost packet is no firewall, and one
// SERVFAIL no lame server. Where nothing answers there is none.
func (k *Collector) again(ctx context.Context, a asking, seen []resolve.Observation) {
	var soa []resolve.Observation
	switch a.question.Type {
	case dns.TypeSOA:
		soa = slices.Clone(seen) // which changes below
	case dns.TypeCAA:
		soa = k.ask(ctx, asking{a.zone, resolve.Question{Name: a.zone.Name, Type: dns.TypeSOA}, bothWays}, false).seen
	}
	var wg sync.WaitGroup
	for i, o := range seen {
		answers := slices.ContainsFunc(soa, func(s resolve.Observation) bool {
			return s.Addr == o.Addr && s.Transport == o.Transport && !s.Failure.Silent()
		})
		if o.Failure != "" && answers {
			wg.Go(func() {
				if other := k.Resolver.Again(ctx, a.zone, o); !other.Failure.Silent() {
					seen[i] = other
				}
			})
		}
	}
	wg.Wait()
}

// private reports whether the root's own servers have no address of the Internet.
func (k *Collector) private() bool {
	for _, a := range k.Resolver.Roots() {
		if !reserved(a) {
			return false
		}
	}
	return true
}
