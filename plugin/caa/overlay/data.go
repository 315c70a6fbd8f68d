package overlay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// This file has the questions that the server puts to the next plugin on its own behalf, when it lays out zones and
// checks them.

// own is a gathering for a question of the server itself.
func (o *Overlay) own() *gathering {
	return newGathering(o, new(Loopback), new(dns.Msg), Question{})
}

// Servers are the canonical names of a zone's servers by the data of a next plugin, none where they are not to be had.
func Servers(ctx context.Context, next plugin.Handler, apex string) (names []string) {
	m, err := newAsker(next, new(Loopback), new(dns.Msg)).ask(ctx, apex, dns.TypeNS)
	if err != nil {
		return nil
	}
	r, err := read(apex, apex, dns.TypeNS, m)
	if err != nil || r.kind != exists {
		return nil
	}
	for _, rr := range r.set {
		if ns, ok := rr.(*dns.NS); ok {
			names = append(names, lower(ns.Ns))
		}
	}
	return names
}

// Data asks the next plugin for an RRset of a zone's data, as it is there: none if it has none.
func (o *Overlay) Data(ctx context.Context, name string, qtype uint16) ([]dns.RR, error) {
	m, err := o.own().asker.ask(ctx, name, qtype)
	if err != nil {
		return nil, err
	}
	return recordsAt(m.Answer, name, qtype), nil
}

// Alias is the target of the alias that a name of a zone is in the data, or "". The error is for data that
// cannot be looked at.
func (o *Overlay) Alias(ctx context.Context, z *zones.Zone, name string) (target string, err error) {
	r, err := o.own().ask(ctx, z, name, dns.TypeCAA)
	if err != nil || r.kind != alias {
		return "", err
	}
	return r.target, nil
}

// Delegation are the canonical names of the servers that a name of a zone is delegated to in the data, none where it is
// no zone cut.
func (o *Overlay) Delegation(ctx context.Context, z *zones.Zone, name string) (servers []string) {
	r, err := o.own().ask(ctx, z, name, dns.TypeNS)
	if err != nil || r.kind != cut || r.owner != name {
		return nil
	}
	for _, rr := range r.set {
		if ns, ok := rr.(*dns.NS); ok {
			servers = append(servers, lower(ns.Ns))
		}
	}
	return servers
}

// ErrEcho is that the data of a zone seem to be there and are what this server itself has served.
var ErrEcho = errors.New("its answer is this server's own answer, perhaps through a resolver: it forwards to itself")

// HasData says why the next plugin does not have the data of a zone, nil where it has. was is the zone as it was
// served before, nil where it was not. names are asked for where the zone has no SOA: plugins such as hosts and template
// have data of names alone.
func (o *Overlay) HasData(ctx context.Context, z *zones.Zone, was *policy.Zone, names []string) error {
	asker := &o.own().asker
	ask := asker.ask
	if !o.backend.nonblocking {
		ask = asker.askBriefly
	}
	m, reason := ask(ctx, z.Name(), dns.TypeSOA)
	if errors.Is(reason, ErrNobody) {
		reason = errors.New("no plugin answers for it")
	}
	if reason == nil {
		if reason = o.isData(z, was, m); reason == nil || errors.Is(reason, ErrEcho) {
			return reason
		}
	}
	for _, name := range names {
		for _, qtype := range []uint16{dns.TypeCAA, dns.TypeA} {
			if m, err := ask(ctx, name, qtype); err == nil && o.isData(z, was, m) == nil {
				return nil
			}
		}
	}
	return reason
}

// isData says why an answer of the next plugin shows no data of a zone, nil where it does.
func (o *Overlay) isData(z *zones.Zone, was *policy.Zone, m *dns.Msg) error {
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return fmt.Errorf("it answered %s", dns.RcodeToString[m.Rcode])
	}
	if was != nil && was.PolicyOnly() && slices.ContainsFunc(m.Answer, func(rr dns.RR) bool { return zones.IsOwnSOA(rr, was) }) {
		return ErrEcho
	}
	if slices.ContainsFunc(m.Answer, func(rr dns.RR) bool { return dns.IsSubDomain(z.Name(), lower(rr.Header().Name)) }) {
		return nil
	}
	if !m.Authoritative {
		return errors.New("its answer has no records of the zone and is not authoritative")
	}
	apex, ok := apexOf(m, z.Name())
	if !ok || apex == z.Name() {
		return nil
	}
	if above := o.zones.Zone(apex); was == nil && above != nil && !above.PolicyOnly() {
		return nil // the names are in the data of a zone above that is served here, too
	}
	return fmt.Errorf("it answers from the zone %s", dnsname.Bare(apex))
}

// Discover passes a question on that is about no zone of the set, and returns the answer with the apex of the zone that
// it comes from, "" where it does not say. Without an answer it returns the next plugin's code and error.
func (o *Overlay) Discover(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, name string) (m *dns.Msg, apex string, code int, err error) {
	seen := &Capture{ResponseWriter: w}
	code, err = plugin.NextOrFailure("caa", o.next, ctx, seen, r)
	if seen.Msg == nil {
		return nil, "", code, err
	}
	return seen.Msg, o.apexOfAnswer(ctx, w, r, seen.Msg, name), code, nil
}

// apexOfAnswer is the zone of an answer, which is asked for where an authoritative one does not say; "" for none.
func (o *Overlay) apexOfAnswer(ctx context.Context, w dns.ResponseWriter, r, m *dns.Msg, name string) string {
	if apex, ok := apexOf(m, name); ok || !m.Authoritative || len(m.Answer) == 0 {
		return apex
	}
	m, err := newAsker(o.next, w, r).ask(ctx, name, dns.TypeSOA)
	if err != nil {
		return ""
	}
	apex, _ := apexOf(m, name)
	return apex
}

// PassOn passes on a question about an unsigned zone whose answer is not the policy's, and returns the answer that
// there is: a name that the contents give existence is not denied, nor is one that may have another type, since resolvers
// keep NXDOMAIN for all types of a name, CAA among them. A denial has the zone's SOA, for without it no resolver keeps
// the denial (RFC 2308 5). Without an answer it returns the next plugin's code and error.
func (o *Overlay) PassOn(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, z *zones.Zone, name string) (*dns.Msg, int, error) {
	answer := &Capture{ResponseWriter: w}
	code, err := plugin.NextOrFailure("caa", o.next, ctx, answer, r)
	m := answer.Msg
	if m == nil {
		return nil, code, err
	}
	if m.Rcode == dns.RcodeNameError && o.mayExist(z, denied(m, name)) {
		m.Rcode = dns.RcodeSuccess
	}
	if deniesWithoutSOA(m) {
		g := newGathering(o, w, r, Question{})
		soa := z.OwnSOA()
		if data := g.dataSOA(ctx, z); data != nil {
			copied := *data
			soa = &copied
		}
		soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl, z.TTL.Negative)
		m.Ns = append(m.Ns, soa)
	}
	return m, code, nil
}

// mayExist reports whether a name that the next plugin denies exists by the contents of a zone, or may exist in its data:
// for another type, or above a name of another plugin (RFC 8020 2).
func (o *Overlay) mayExist(z *zones.Zone, name string) bool {
	return z.Exists(name) || (o.backend.byType || o.backend.shared) && dns.IsSubDomain(z.Name(), name)
}

// denied is the name that an answer with NXDOMAIN denies: the one asked for, or the one its aliases lead to (RFC 2308 2.1).
func denied(m *dns.Msg, name string) string {
	for _, rr := range m.Answer {
		if cname, ok := rr.(*dns.CNAME); ok && lower(cname.Hdr.Name) == name {
			name = dns.CanonicalName(cname.Target)
		}
	}
	return name
}

// deniesWithoutSOA reports whether a message is a denial that lacks the SOA; with NS it would be a referral
// (RFC 2308 2.2).
func deniesWithoutSOA(m *dns.Msg) bool {
	denies := len(m.Answer) == 0 && (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError)
	return denies && !slices.ContainsFunc(m.Ns, func(rr dns.RR) bool {
		return rr.Header().Rrtype == dns.TypeSOA || rr.Header().Rrtype == dns.TypeNS
	})
}

// Loopback is where the server's own questions come from, over TCP: nothing is truncated. It keeps what is written.
type Loopback struct {
	dns.ResponseWriter        // none: nothing else of it is used
	Wire               []byte // nil while nothing was written
}

func (l *Loopback) Write(wire []byte) (int, error) {
	l.Wire = slices.Clone(wire)
	return len(wire), nil
}

func (l *Loopback) WriteMsg(m *dns.Msg) (err error) {
	l.Wire, err = m.Pack()
	return err
}

func (l *Loopback) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (l *Loopback) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (l *Loopback) TsigStatus() error    { return nil }
