package finding

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/resolve"
)

// Collector surveys the zones of cases. It remembers what it asked about a zone, so that its keys are queried once for
// thousands of names, and not what it asked about the name of one case only, which would fill the memory. It is safe for
// concurrent use.
type Collector struct {
	Resolver *resolve.Resolver

	missing string // a label that no name has

	mu    sync.Mutex
	asked map[asking]*observed
	pins  map[server]*resolve.Resolver
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
	return &Collector{Resolver: r, missing: fmt.Sprintf("caacheck-%08x", rand.Uint32()), asked: map[asking]*observed{}, pins: map[server]*resolve.Resolver{}}
}

// otherSizes are EDNS sizes that resolvers offer, in addition to the one that all queries offer: the smallest, and what was
// usual before 2020.
var otherSizes = []uint16{dns.MinMsgSize, 4096}

// ask sends a query, once to each zone unless it is for the name of one case only.
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

// again repeats queries whose failure would be a finding by itself: one lost packet is no firewall, and one
// SERVFAIL no failed server. An address that answers nothing is not asked again.
func (k *Collector) again(ctx context.Context, a asking, seen []resolve.Observation) {
	var soa []resolve.Observation
	switch a.question.Type {
	case dns.TypeSOA:
		soa = slices.Clone(seen) // seen changes while it is read
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
