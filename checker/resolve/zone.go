package resolve

import (
	"context"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// Server is one name server of a zone.
type Server struct {
	Name  string       `json:"name"`
	Addrs []netip.Addr `json:"addresses"` // known from the delegation; others are looked up
}

// Zone is one zone on the way to a name. It is immutable once a lookup has returned it.
type Zone struct {
	Name    string
	Parent  *Zone    // nil for the root
	Servers []Server // of the delegation; without one, of the zone's own NS RRset

	// Trust is whether the zone's data must be signed, and why: Secure with Keys, Insecure,
	// Bogus where its DNSKEY or DS will not do, Indeterminate without a trust anchor.
	Trust  dnssec.Result
	Keys   dnssec.Keys
	DS     []*dns.DS    // the parent's, or the trust anchor
	DNSKEY dnssec.RRset // as it was received, whether it will do or not

	Anchored bool // by a trust anchor of its own
	Inherits bool // Trust is the parent's

	Seen []Observation // what establishing it took: NS, DS and DNSKEY

	resolver *Resolver
	pinned   bool // only one of its servers is asked, for whatever that has
}

// location is what is known of a name: its zone, and whether it exists at all.
type location struct {
	done    chan struct{}
	zone    *Zone
	missing bool // so there is no zone cut under it
	failure *LookupError
}

// task is one lookup of a caller, with those that it needs on the way.
type task struct {
	left   *atomic.Int32 // questions that may still be asked
	nested bool          // it looks for a name server's address
	depth  int           // of nested lookups for addresses
	stack  []string      // the name servers whose addresses are being looked up
}

func newTask() *task {
	t := &task{left: new(atomic.Int32)}
	t.left.Store(maxQueries)
	return t
}

// Zone returns the zone of a name.
func (r *Resolver) Zone(ctx context.Context, name string) (*Zone, error) {
	p := r.locate(ctx, newTask(), dns.CanonicalName(name))
	if p.failure != nil {
		return nil, p.failure
	}
	return p.zone, nil
}

// locate finds a name's zone, label by label from the root (RFC 9156), and remembers it. A caller waits
// for one that is being found, unless that could be a deadlock: a nested lookup
// finds it by itself.
func (r *Resolver) locate(ctx context.Context, t *task, name string) *location {
	r.mu.Lock()
	known := r.locations[name]
	if known == nil {
		p := &location{done: make(chan struct{})}
		r.locations[name] = p
		r.mu.Unlock()
		r.find(ctx, t, name, p)
		if p.failure != nil { // another time it may be answered
			r.mu.Lock()
			delete(r.locations, name)
			r.mu.Unlock()
		}
		close(p.done)
		return p
	}
	r.mu.Unlock()
	if t.depth == 0 {
		select {
		case <-known.done:
			if known.failure != nil && known.failure.Failure == Cancelled && ctx.Err() == nil {
				return r.locate(ctx, t, name) // the caller that was finding it has given up
			}
			return known
		case <-ctx.Done():
			return &location{failure: &LookupError{Failure: Cancelled, Name: name}}
		}
	}
	select {
	case <-known.done:
		return known
	default:
		p := &location{}
		r.find(ctx, t, name, p)
		return p
	}
}

func (r *Resolver) find(ctx context.Context, t *task, name string, p *location) {
	if name == "." {
		root := *r.start
		root.Anchored = len(r.anchors["."]) > 0
		root.trustBy(ctx, t, r.anchors["."], nil)
		p.zone, p.failure = &root, r.withoutTrust(ctx, &root)
		return
	}
	above := r.locate(ctx, t, dnsname.Parent(name))
	p.zone, p.missing, p.failure = above.zone, above.missing, above.failure
	if p.failure != nil || p.missing {
		return
	}
	p.zone, p.missing, p.failure = above.zone.cut(ctx, t, name)
}

// cut finds out whether a zone begins at a name, which is in z or does not exist. The query is for NS:
// the reply is a referral, or the apex's own NS RRset where one server has both zones. Such a server does not show the
// delegation, and the zone's servers may be dead: so the others are asked, too, until one refers.
func (z *Zone) cut(ctx context.Context, t *task, name string) (zone *Zone, missing bool, failure *LookupError) {
	var seen []Observation
	var own []Server // by the apex's word
	for o := range z.ask(ctx, t, question{name: name, rrtype: dns.TypeNS}) {
		seen = append(seen, o)
		if o.Failure != "" {
			continue
		}
		answer, authority := dnssec.RRsets(o.Msg.Answer), dnssec.RRsets(o.Msg.Ns)
		ns, apex := dnssec.Find(answer, name, dns.TypeNS)
		if !apex && len(answer) == 0 {
			ns, _ = dnssec.Find(authority, name, dns.TypeNS)
		}
		servers := serversIn(ns, dnssec.RRsets(o.Msg.Extra))
		switch {
		case apex && z.pinned:
			c := z.child(ctx, t, name, z.Servers, seen)
			c.pinned = true
			return c, false, z.resolver.withoutTrust(ctx, c)
		case len(servers) > 0 && (!apex || z.resolver.OneServer()):
			c := z.child(ctx, t, name, servers, seen)
			return c, false, z.resolver.withoutTrust(ctx, c)
		case apex && own == nil:
			own = servers
		case own != nil: // others know nothing of what one of them serves
		case len(z.resolver.anchors[name]) > 0: // so a zone begins here, whatever is denied
		case o.Rcode == dns.RcodeNameError && len(answer) == 0: // after an alias, it is the target that does not exist
			return z, true, nil
		case z.speaks(o):
			return z, false, nil
		}
	}
	switch {
	case own != nil:
		c := z.child(ctx, t, name, own, seen)
		return c, false, z.resolver.withoutTrust(ctx, c)
	case len(z.resolver.anchors[name]) > 0 && stop(seen) == "":
		c := z.child(ctx, t, name, z.Servers, seen)
		return c, false, z.resolver.withoutTrust(ctx, c)
	case fatal(seen):
		return nil, false, &LookupError{Failure: z.resolver.blame(ctx, seen, lastFailure(seen)), Name: name, Type: dns.TypeNS, Zone: z, Seen: seen}
	}
	switch c := z.deadCut(ctx, t, name, seen); {
	case c != nil:
		return c, false, nil
	case ctx.Err() != nil:
		return nil, false, &LookupError{Failure: Cancelled, Name: name, Type: dns.TypeNS, Zone: z, Seen: seen}
	}
	return z, false, nil // servers that know no NS may know the rest
}

// deadCut is the zone at a name for which a resolver has no NS records, as where the servers that it asks for them are
// dead, but a denial of DS, which the zone above gives: so it is proved to be unsigned (RFC 4035 5.2). nil for none.
func (z *Zone) deadCut(ctx context.Context, t *task, name string, seen []Observation) *Zone {
	if !z.resolver.cfg.Recursive || z.Trust.Status != dnssec.Secure {
		return nil
	}
	ds := z.deniedDS(ctx, t, name)
	if ds.Status != dnssec.Insecure {
		return nil
	}
	return &Zone{Name: name, Parent: z, Trust: ds, Seen: seen, resolver: z.resolver}
}

// fatal reports whether asking on is useless: the lookup itself has ended, or no server replies.
func fatal(seen []Observation) bool {
	return stop(seen) != "" || !slices.ContainsFunc(seen, func(o Observation) bool { return !o.Failure.Silent() })
}

// child makes the zone at a cut. In the one-server mode that server is asked for it, too.
func (z *Zone) child(ctx context.Context, t *task, name string, servers []Server, seen []Observation) *Zone {
	c := &Zone{Name: name, Parent: z, Servers: servers, Seen: seen, resolver: z.resolver}
	anchor := z.resolver.anchors[name]
	switch {
	case len(anchor) > 0:
		c.Anchored = true
		c.trustBy(ctx, t, anchor, nil)
	case z.Trust.Status != dnssec.Secure:
		c.Inherits, c.Trust = true, z.Trust
		c.Trust.Detail = "as " + z.Name + ": " + z.Trust.Detail
		if z.Trust.Detail == "" {
			c.Trust.Detail = "as " + z.Name
		}
	default:
		ds, result := z.delegation(ctx, t, c)
		c.trustBy(ctx, t, ds, &result)
		if flaw := z.onTheWay(ctx, t, c); flaw.Status == dnssec.Bogus && c.Trust.Status != dnssec.Bogus {
			c.Trust = flaw
		}
	}
	return c
}

// delegation asks the parent for a child's DS (RFC 4035 4.2). The result is that of the DS RRset or of
// its denial.
func (z *Zone) delegation(ctx context.Context, t *task, c *Zone) ([]*dns.DS, dnssec.Result) {
	best := dnssec.Result{Status: dnssec.Bogus, Reason: dnssec.Unanswered, Detail: "no server of " + z.Name + " answers for the DS of " + c.Name}
	for o := range z.ask(ctx, t, question{name: c.Name, rrtype: dns.TypeDS}) {
		c.Seen = append(c.Seen, o)
		if o.Failure != "" {
			continue
		}
		ds, result := z.readDS(o.Msg, c.Name)
		if best = result; result.Status != dnssec.Bogus {
			return ds, result
		}
	}
	return nil, best
}

// onTheWay is what the zone proves of the names between it and a cut, which are no cuts themselves: validators go down
// name by name, and ask for DS at each (RFC 4035 5.2). A zone with opt-out may leave such an empty non-terminal out of
// its NSEC3 chain (RFC 5155 7.1), and a server then deny its DS without a proof: everything under it is bogus to them. The zero
// value is that nothing is wrong.
func (z *Zone) onTheWay(ctx context.Context, t *task, c *Zone) (flaw dnssec.Result) {
	for name := range dnsname.UpTo(dnsname.Parent(c.Name), z.Name) {
		if name == z.Name || flaw.Status == dnssec.Bogus {
			break
		}
		for o := range z.ask(ctx, t, question{name: name, rrtype: dns.TypeDS}) {
			if o.Failure != "" || o.Rcode != dns.RcodeSuccess || len(o.Msg.Answer) > 0 {
				continue
			}
			c.Seen = append(c.Seen, o)
			if flaw = dnssec.NewDenial(z.Keys, dnssec.RRsets(o.Msg.Ns), z.resolver.Now()).NoDS(name); flaw.Status != dnssec.Bogus {
				break
			}
			flaw.Detail = "no DS at " + name + ", above " + c.Name + ": " + flaw.Detail
		}
	}
	return flaw
}

func (z *Zone) readDS(m *dns.Msg, name string) ([]*dns.DS, dnssec.Result) {
	now := z.resolver.Now()
	if set, ok := dnssec.Find(dnssec.RRsets(m.Answer), name, dns.TypeDS); ok {
		result := dnssec.VerifyRRset(set, z.Keys, now)
		var ds []*dns.DS
		for _, rr := range set.RRs {
			ds = append(ds, rr.(*dns.DS))
		}
		return ds, result
	}
	result := dnssec.NewDenial(z.Keys, dnssec.RRsets(m.Ns), now).NoDS(name)
	if result.Status == dnssec.Secure { // there is a delegation, and the parent denies it
		result.Status = dnssec.Bogus
		result.Detail = z.Name + " delegates " + name + ", and proves that it does not"
	}
	return nil, result
}

// trustBy settles what the zone's data may be trusted for. ds are the trust anchor, or the parent's
// with the result over them.
func (z *Zone) trustBy(ctx context.Context, t *task, ds []*dns.DS, over *dnssec.Result) {
	z.DS = ds
	switch {
	case over != nil && over.Status != dnssec.Secure:
		z.Trust = *over
		return
	case len(ds) == 0:
		z.Trust = dnssec.Result{Detail: "no trust anchor"}
		return
	}
	z.Trust = dnssec.Result{Status: dnssec.Bogus, Reason: dnssec.Unanswered, Detail: "no server of " + z.Name + " answers for its DNSKEY"}
	for o := range z.ask(ctx, t, question{name: z.Name, rrtype: dns.TypeDNSKEY}) {
		z.Seen = append(z.Seen, o)
		if o.Failure != "" {
			continue
		}
		set, _ := dnssec.Find(dnssec.RRsets(o.Msg.Answer), z.Name, dns.TypeDNSKEY)
		z.DNSKEY = set
		z.Keys, z.Trust = dnssec.Authenticate(z.Name, ds, set, z.resolver.cfg.Memory, z.resolver.Now())
		if z.Trust.Status != dnssec.Bogus {
			return
		}
	}
}

// speaks reports whether a reply without a failure is an authoritative answer
// (RFC 1034 4.3.2, RFC 4697 2.6).
func (z *Zone) speaks(o Observation) bool {
	return o.Authoritative || z.resolver.cfg.Recursive
}

// serversIn are the name servers of an NS RRset, in order, with those of their addresses that came along.
func serversIn(ns dnssec.RRset, extra []dnssec.RRset) []Server {
	var servers []Server
	for _, rr := range ns.RRs {
		s := Server{Name: dns.CanonicalName(rr.(*dns.NS).Ns)}
		for _, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			set, _ := dnssec.Find(extra, s.Name, rrtype)
			s.Addrs = append(s.Addrs, addressesIn(set)...)
		}
		servers = append(servers, s)
	}
	slices.SortFunc(servers, func(a, b Server) int { return dnsname.Compare(a.Name, b.Name) })
	return servers
}

func addressesIn(set dnssec.RRset) []netip.Addr {
	var addrs []netip.Addr
	for _, rr := range set.RRs {
		var addr netip.Addr
		switch rr := rr.(type) {
		case *dns.A:
			addr, _ = netip.AddrFromSlice(rr.A.To4())
		case *dns.AAAA:
			addr, _ = netip.AddrFromSlice(rr.AAAA.To16())
		}
		if addr.IsValid() {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}
