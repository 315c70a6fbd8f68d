package resolve

import (
	"cmp"
	"context"
	"iter"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// maxServers is how many addresses of a zone one question tries; resolvers give up then at the latest.
const maxServers = 8

// maxNameServers is how many name servers of a zone are looked up. No zone needs more, and a zone that names a thousand
// servers in another domain turns resolvers against that domain (NXNSAttack). BIND 9.18 looks up 20, later versions 13.
const maxNameServers = 20

// maxNested is the same for the zone of a name server of another zone: BIND 9.18 looks up 5.
const maxNested = 5

// Address is one address of one name server of a zone.
type Address struct {
	Server string
	Addr   netip.AddrPort // not valid where there is none to ask:
	Lacks  Failure        // NoServer for none at all, or why it was not asked or found
	Why    string         // the same for people
}

// ask sends a query to a zone's addresses, one after the other and as a resolver does: over UDP,
// then over TCP if the reply is truncated, and again without EDNS for a server that does not support it. It yields
// each reply or failure, until the caller accepts one. A resolver whose reply is not accepted is asked once more.
func (z *Zone) ask(ctx context.Context, t *task, q question) iter.Seq[Observation] {
	return func(yield func(Observation) bool) {
		r := z.resolver
		q.recurse, q.buffer, q.zone = r.cfg.Recursive, r.cfg.Buffer, z.Name
		asked, silent, most := 0, true, t.mostServers()
		for a := range z.reach(ctx, t) {
			if t.left.Add(-1) < 0 {
				yield(z.nothing(q, TooMany, "the lookup has reached its limit of queries"))
				return
			}
			o := r.converse(ctx, a, q)
			if o.Failure == "" && !z.speaks(o) && !z.refers(o, q.name) {
				o.Failure = NotAuthoritative
			}
			if o.Failure == Unreachable || o.Failure == TCPFailed {
				r.known.fail(a.Addr)
			}
			silent = silent && o.Failure.Silent()
			if !yield(o) || o.Failure == Cancelled {
				return
			}
			if r.cfg.Recursive && o.Failure == "" {
				z.askChecked(ctx, t, a, q, yield)
				return
			}
			if asked++; asked == maxServers {
				return
			}
		}
		switch {
		case ctx.Err() == nil && silent && z.outOfReach():
			yield(z.nothing(q, NotAsked, "the addresses that are left are IPv6, and this machine has none"))
		case asked == 0:
			failure := NoServer
			switch {
			case ctx.Err() != nil:
				failure = Cancelled
			case t.left.Load() < 0, len(z.withoutGlue()) > most: // there may be one among those that were not looked for
				failure = TooMany
			}
			yield(z.nothing(q, failure, "no name server of "+z.Name+" has an address"))
		}
	}
}

// askChecked sends a query to a resolver that is to validate this time. With CD set, it returns and caches whatever
// came first: the answer of the one server that is wrong, where it would have asked the next one (RFC 6840
// 5.9); or as a wildcard's proof a denial of another zone in the same message, as BIND 9.18 does.
func (z *Zone) askChecked(ctx context.Context, t *task, a Address, q question, yield func(Observation) bool) {
	if t.left.Add(-1) < 0 {
		yield(z.nothing(q, TooMany, "the lookup has reached its limit of queries"))
		return
	}
	q.check = true
	yield(z.resolver.converse(ctx, a, q))
}

// nothing is the observation of a query that could not be sent.
func (z *Zone) nothing(q question, failure Failure, text string) Observation {
	return Observation{Zone: z.Name, Name: q.name, Type: q.rrtype, Failure: failure, Error: text}
}

// converse asks one address as a resolver does.
func (r *Resolver) converse(ctx context.Context, a Address, q question) Observation {
	o := r.exchange(ctx, a, r.first(), q)
	if o.Failure == "" && o.Truncated && o.Transport == UDP {
		size := o.Size
		if o = r.exchange(ctx, a, TCP, q); o.Failure == Unreachable {
			o.Failure, o.Size = TCPFailed, size
		}
	}
	if o.Failure == "" && o.Truncated {
		o.Failure = Truncated
	}
	if (o.Failure == FormErr || o.Failure == NotImp) && q.buffer > 0 && !o.EDNS {
		q.buffer = 0
		return r.converse(ctx, a, q)
	}
	return o
}

// first is the transport that a query is sent over first.
func (r *Resolver) first() Transport {
	if r.cfg.Carry != nil {
		return Carried
	}
	return UDP
}

// refers reports whether a reply refers to a zone between z and a name.
func (z *Zone) refers(o Observation, name string) bool { return z.referral(o.Msg, name) != "" }

// referral is the zone that a reply refers to, "" for none or one above.
func (z *Zone) referral(m *dns.Msg, name string) string {
	soa := slices.ContainsFunc(m.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSOA })
	if len(m.Answer) > 0 || soa || z.resolver.cfg.Recursive {
		return ""
	}
	for _, rr := range m.Ns {
		owner := dns.CanonicalName(rr.Header().Name)
		if rr.Header().Rrtype == dns.TypeNS && dns.IsSubDomain(owner, name) && dns.IsSubDomain(z.Name, owner) && owner != z.Name {
			return owner
		}
	}
	return ""
}

// reach yields the addresses of a zone: known ones before those that have to be looked up, and those that failed
// before last.
func (z *Zone) reach(ctx context.Context, t *task) iter.Seq[Address] {
	return func(yield func(Address) bool) {
		r := z.resolver
		if r.cfg.Only.IsValid() {
			yield(Address{Addr: r.cfg.Only})
			return
		}
		for _, a := range r.ordered(z.known()) {
			if !yield(a) {
				return
			}
		}
		glueless := z.withoutGlue()
		for _, s := range glueless[:min(len(glueless), t.mostServers())] {
			addrs := z.askedGlue(ctx, t, s.Name)
			inside := z.Parent != nil && dns.IsSubDomain(z.Name, s.Name)
			if len(addrs) == 0 && !(inside && t.nested) { // to look for one such by way of another leads nowhere, by many ways
				addrs = r.addressesOf(ctx, t, s.Name)
			}
			for _, a := range r.ordered(r.at(s.Name, addrs)) {
				if !yield(a) {
					return
				}
			}
		}
	}
}

// askedGlue are the addresses of a name server whose name is in the zone itself, and which came without glue: a server
// that serves the zone and its parent answers for the NS RRset instead of referring, and may omit addresses. It returns
// them when asked (RFC 1034 4.3.2, step 6). Like glue they need no signature.
func (z *Zone) askedGlue(ctx context.Context, t *task, server string) []netip.Addr {
	r := z.resolver
	if z.Parent == nil || !dns.IsSubDomain(z.Name, server) {
		return nil
	}
	r.mu.Lock()
	known, asked := r.addresses[server], r.glueless[server]
	r.mu.Unlock()
	if len(known) > 0 || asked {
		return known
	}
	var addrs []netip.Addr
	answered := false
	for _, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		for o := range z.Parent.ask(ctx, t, question{name: server, rrtype: rrtype}) {
			if o.Failure != "" {
				continue
			}
			answered = true
			set, _ := dnssec.Find(dnssec.RRsets(slices.Concat(o.Msg.Answer, o.Msg.Extra)), server, rrtype)
			addrs = append(addrs, addressesIn(set)...)
			if len(set.RRs) > 0 || o.Authoritative {
				break
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(addrs) > 0 {
		r.addresses[server] = addrs
	}
	r.glueless[server] = answered && len(addrs) == 0
	return addrs
}

// mostServers is how many name servers of a zone a task looks up.
func (t *task) mostServers() int {
	if t.nested {
		return maxNested
	}
	return maxNameServers
}

// withoutGlue are the name servers whose addresses have to be looked up.
func (z *Zone) withoutGlue() []Server {
	return slices.DeleteFunc(slices.Clone(z.Servers), func(s Server) bool { return len(s.Addrs) > 0 })
}

// outOfReach reports whether a name server of the zone has an address that cannot be asked from here.
func (z *Zone) outOfReach() bool {
	r := z.resolver
	return r.cfg.NoIPv6 && !r.cfg.Only.IsValid() && slices.ContainsFunc(z.Servers, func(s Server) bool {
		r.mu.Lock()
		addrs := slices.Concat(s.Addrs, r.addresses[s.Name])
		r.mu.Unlock()
		return slices.ContainsFunc(addrs, netip.Addr.Is6)
	})
}

// known are the addresses that came with the delegation.
func (z *Zone) known() []Address {
	var out []Address
	for _, s := range z.Servers {
		out = append(out, z.resolver.at(s.Name, s.Addrs)...)
	}
	return out
}

func (r *Resolver) at(server string, addrs []netip.Addr) []Address {
	var out []Address
	for _, addr := range addrs {
		if addr.Is6() && r.cfg.NoIPv6 {
			continue
		}
		out = append(out, Address{Server: server, Addr: netip.AddrPortFrom(addr, r.cfg.Port)})
	}
	return out
}

// ordered sorts addresses by how often they failed, and then by how many queries wait for them.
func (r *Resolver) ordered(addrs []Address) []Address {
	type rank struct{ failed, waiting int }
	ranks := map[netip.AddrPort]rank{}
	for _, a := range addrs {
		ranks[a.Addr] = rank{r.known.conduct(a.Addr, "").failed, r.limits.queue(a.Addr)}
	}
	out := slices.Clone(addrs)
	slices.SortStableFunc(out, func(a, b Address) int {
		left, right := ranks[a.Addr], ranks[b.Addr]
		return cmp.Or(left.failed-right.failed, left.waiting-right.waiting)
	})
	return out
}

// addressesOf looks up a name server's addresses. A loop, or too many nested lookups, finds
// none.
func (r *Resolver) addressesOf(ctx context.Context, t *task, server string) []netip.Addr {
	r.mu.Lock()
	known, ok := r.addresses[server]
	r.mu.Unlock()
	if ok {
		return known
	}
	if t.depth == maxDepth || slices.Contains(t.stack, server) {
		return nil
	}
	within := &task{left: t.left, nested: true, depth: t.depth + 1, stack: append(slices.Clone(t.stack), server)}
	var addrs []netip.Addr
	complete := true
	for _, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		answer := r.lookup(ctx, within, server, rrtype)
		complete = complete && answer.Err == nil
		addrs = append(addrs, addressesIn(answer.RRset)...)
	}
	if complete {
		r.mu.Lock()
		r.addresses[server] = addrs
		r.mu.Unlock()
	}
	return addrs
}
