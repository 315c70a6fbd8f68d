package resolve

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"github.com/miekg/dns"
)

// Question is a name and a type to ask every server of a zone for.
type Question struct {
	Name string
	Type uint16
}

// maxSurveyed is how many addresses a survey asks: more than the root has, of both families, twice.
const maxSurveyed = 64

// surveyed is what is asked in surveys of a zone.
type surveyed struct {
	addrs []Address
	left  LeftOut
}

// LeftOut is how many of a zone's name servers were not looked for, and how many of the others' addresses are not asked,
// since they are more than anybody needs.
type LeftOut struct{ Servers, Addresses int }

// Addresses are a zone's name servers, those that the delegation names and those that the zone does, each with every
// address that glue or its own records give; one that has none is listed without. They are looked up once. Of more than
// a zone can need some are left out.
func (r *Resolver) Addresses(ctx context.Context, z *Zone) []Address {
	return r.surveyOf(ctx, z).addrs
}

// LeftOut returns how much Addresses leaves out.
func (r *Resolver) LeftOut(ctx context.Context, z *Zone) LeftOut { return r.surveyOf(ctx, z).left }

func (r *Resolver) surveyOf(ctx context.Context, z *Zone) surveyed {
	if r.cfg.Only.IsValid() {
		return surveyed{addrs: []Address{{Addr: r.cfg.Only}}}
	}
	r.mu.Lock()
	known, ok := r.surveyed[z]
	r.mu.Unlock()
	if ok {
		return known
	}
	out, certain := r.findAddresses(ctx, z)
	if ctx.Err() == nil && certain {
		r.mu.Lock()
		r.surveyed[z] = out
		r.mu.Unlock()
	}
	return out
}

// findAddresses is not certain of them where the network was lost meanwhile: another time there may be more. All that it
// looks up for a zone costs no more queries than one lookup may.
func (r *Resolver) findAddresses(ctx context.Context, z *Zone) (out surveyed, certain bool) {
	t := newTask()
	servers, certain := r.allServers(ctx, t, z)
	t.nested = true
	if out.left.Servers = len(servers) - maxNameServers; out.left.Servers > 0 {
		slices.SortStableFunc(servers, func(a, b Server) int { return min(len(b.Addrs), 1) - min(len(a.Addrs), 1) }) // what can be asked first
		servers = servers[:maxNameServers]
	}
	out.left.Servers = max(out.left.Servers, 0)
	for _, s := range servers {
		addrs := slices.Clone(s.Addrs)
		var failed *LookupError
		if z.Parent != nil { // the root's are hints, and asked too often as it is
			for _, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
				answer := r.lookUp(ctx, t, s.Name, rrtype)
				addrs = append(addrs, addressesIn(answer.RRset)...)
				if answer.Err != nil && (failed == nil || answer.Err.offline()) {
					failed = answer.Err
				}
			}
		}
		slices.SortFunc(addrs, netip.Addr.Compare)
		at := r.at(s.Name, slices.Compact(addrs))
		if len(at) == 0 {
			at = []Address{lacking(s.Name, len(addrs) > 0, failed)}
		}
		out.addrs, certain = append(out.addrs, at...), certain && !failed.offline()
	}
	if out.left.Addresses = len(out.addrs) - maxSurveyed; out.left.Addresses > 0 {
		out.addrs = out.addrs[:maxSurveyed]
	}
	out.left.Addresses = max(out.left.Addresses, 0)
	return out, certain
}

// lacking is a server without an address to ask: it may have IPv6 addresses only, and their lookup may have failed.
func lacking(server string, leftOut bool, failed *LookupError) Address {
	switch {
	case leftOut:
		return Address{Server: server, Lacks: NotAsked, Why: "it has IPv6 addresses only, and this machine has no IPv6"}
	case failed == nil:
		return Address{Server: server, Lacks: NoServer, Why: "it has no address"}
	case slices.Contains(stopped, failed.Failure): // which says nothing about the server
		return Address{Server: server, Lacks: failed.Failure, Why: "the lookup of its addresses did not complete: " + failed.Error()}
	}
	return Address{Server: server, Lacks: NoServer, Why: "its addresses cannot be looked up: " + failed.Error()}
}

// allServers are the delegation's and those of the zone's own NS RRset, if that could be asked for.
func (r *Resolver) allServers(ctx context.Context, t *task, z *Zone) (out []Server, certain bool) {
	if z.Parent == nil {
		return z.Servers, true
	}
	out = slices.Clone(z.Servers)
	own := r.lookUp(ctx, t, z.Name, dns.TypeNS)
	for _, s := range serversIn(own.RRset, nil) {
		if !slices.ContainsFunc(out, func(known Server) bool { return known.Name == s.Name }) {
			out = append(out, s)
		}
	}
	return out, !own.Err.offline()
}

// Survey puts questions to every address of every name server of a zone, over UDP and over TCP. The
// order is that of the addresses, then of the questions, then of the transports. Nothing is asked
// again over another transport or without EDNS: a truncated answer is seen as it is.
func (r *Resolver) Survey(ctx context.Context, z *Zone, questions ...Question) []Observation {
	addrs := r.Addresses(ctx, z)
	transports := [...]Transport{UDP, TCP}
	out := make([]Observation, len(addrs)*len(questions)*len(transports))
	var wg sync.WaitGroup
	for i := range out {
		transport := transports[i%len(transports)]
		q := questions[i/len(transports)%len(questions)]
		a := addrs[i/len(transports)/len(questions)]
		wg.Go(func() { out[i] = r.observe(ctx, z, a, transport, q) })
	}
	wg.Wait()
	return out
}

// Offer puts one question to every address of every name server of a zone over UDP, with each of some EDNS sizes
// in turn (RFC 6891 6.2.3): by address, then by size.
func (r *Resolver) Offer(ctx context.Context, z *Zone, q Question, sizes ...uint16) []Observation {
	addrs := r.Addresses(ctx, z)
	out := make([]Observation, len(addrs)*len(sizes))
	var wg sync.WaitGroup
	for i := range out {
		a, size := addrs[i/len(sizes)], sizes[i%len(sizes)]
		wg.Go(func() { out[i] = r.observeWith(ctx, z, a, UDP, q, size) })
	}
	wg.Wait()
	return out
}

// Again puts a question of a Survey once more: the same, to the same address and over the same transport.
func (r *Resolver) Again(ctx context.Context, z *Zone, o Observation) Observation {
	return r.observe(ctx, z, Address{o.Server, o.Addr, o.Failure, o.Error}, o.Transport, Question{o.Name, o.Type})
}

func (r *Resolver) observe(ctx context.Context, z *Zone, a Address, transport Transport, q Question) Observation {
	return r.observeWith(ctx, z, a, transport, q, r.cfg.Buffer)
}

func (r *Resolver) observeWith(ctx context.Context, z *Zone, a Address, transport Transport, q Question, size uint16) Observation {
	asked := question{name: q.Name, rrtype: q.Type, buffer: size, recurse: r.cfg.Recursive, zone: z.Name}
	if !a.Addr.IsValid() {
		o := z.nothing(asked, a.Lacks, a.Why)
		o.Server, o.Transport = a.Server, transport
		return o
	}
	o := r.exchange(ctx, a, transport, asked)
	if o.Failure == "" && !o.Truncated && !z.speaks(o) && !z.refers(o, q.Name) {
		o.Failure = NotAuthoritative
	}
	return o
}
