package caa

import (
	"context"
	"errors"
	"fmt"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/metrics"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/overlay"
	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/dnswire"
)

// passed are the questions about an overlay that are not ours to answer or sign.
func passed(r *dns.Msg) bool { return r.Opcode != dns.OpcodeQuery }

// transfers are refused where the policy governs: what a secondary would serve is not what the policy says.
var transfers = map[uint16]bool{dns.TypeAXFR: true, dns.TypeIXFR: true}

// overlay answers for a zone whose data a next plugin holds: CAA is the policy's wherever the name is
// the zone's to answer for (RFC 8659 3), everything else is that plugin's, completed and signed.
func (c *CAA) overlay(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, s *serving, z *zones.Zone, name string) (int, error) {
	if passed(r) || !z.Signed() && r.Question[0].Qtype != dns.TypeCAA {
		return c.unsigned(ctx, w, r, s, z, name)
	}
	if depth, ok := ctx.Value(asking{c}).(int); ok {
		return c.handOn(ctx, w, r, depth+1)
	}
	if no, ok := refusalOf(r); ok {
		return c.refuse(w, r, no)
	}
	var failed error // in writing, which is no failure of the answer
	err := s.overlay.Answer(context.WithValue(ctx, asking{c}, 0), w, r, z, name, func(m *dnswire.Message) error {
		failed = s.write(ctx, w, r, m)
		return nil
	})
	if err != nil {
		return c.otherwise(ctx, w, r, s, z, name, err)
	}
	return dns.RcodeSuccess, failed
}

// otherwise answers where the overlay could not: from another zone, without one, or with SERVFAIL.
func (c *CAA) otherwise(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, s *serving, z *zones.Zone, name string, err error) (int, error) {
	var other *overlay.OtherZone
	switch {
	case errors.As(err, &other):
		return c.inside(ctx, w, r, s, other.Apex, name)
	case errors.Is(err, overlay.ErrNobody) && z.Found:
		s.forget(z)
		return c.elsewhere(ctx, w, r, s, name)
	}
	return c.unanswerable(ctx, w, r, s, z, err)
}

// asking marks the context of what we ask the next plugin. A plugin that follows an alias there (file, template) asks
// the whole server again, us included: what it needs are the data. If we followed the alias, too, each hop
// would cost as much as all hops after it together, and a loop as good as for ever. The value is how deep
// such questions are within each other.
type asking struct{ *CAA }

// handOn passes on what the next plugin asks for itself. CoreDNS's template goes round in a loop of aliases
// until the process dies of it, unless somebody ends it.
func (c *CAA) handOn(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, depth int) (int, error) {
	if depth > overlay.MaxChain {
		return dns.RcodeServerFailure, nil
	}
	return plugin.NextOrFailure(pluginName, c.Next, context.WithValue(ctx, asking{c}, depth), w, r)
}

// unsigned passes on what the next plugin says of an unsigned zone.
func (c *CAA) unsigned(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, s *serving, z *zones.Zone, name string) (int, error) {
	if passed(r) || transfers[r.Question[0].Qtype] {
		return plugin.NextOrFailure(pluginName, c.Next, ctx, w, r)
	}
	m, code, err := s.overlay.PassOn(ctx, w, r, z, name)
	if m == nil {
		return code, err // nothing was written, so the server writes the code
	}
	return dns.RcodeSuccess, w.WriteMsg(m)
}

// unanswerable is SERVFAIL with the reason (RFC 8914), never an unsigned answer or a denial.
func (c *CAA) unanswerable(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, s *serving, z *zones.Zone, err error) (int, error) {
	s.meter(z).failed(metrics.WithServer(ctx))
	ede := &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeOther, ExtraText: "no valid signature can be made"}
	var lost *overlay.LostError
	if errors.As(err, &lost) {
		ede = &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeNotReady, ExtraText: "the zone's data are not available"}
	}
	code, _ := c.refuse(w, r, refused{dns.RcodeServerFailure, ede})
	return code, fmt.Errorf("answer %s %s: %w", r.Question[0].Name, dns.TypeToString[r.Question[0].Qtype], err)
}

// elsewhere passes a question on that is about no zone we know of. Where the policy has a default, the
// answer may show a zone that it protects.
func (c *CAA) elsewhere(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, s *serving, name string) (int, error) {
	if c.Next == nil {
		return dns.RcodeRefused, nil // RFC 8914 4.21's case: we are not authoritative for it
	}
	if !s.zones.Discovers() || passed(r) || r.Question[0].Qclass != dns.ClassINET || !c.cfg.covers(name) {
		return plugin.NextOrFailure(pluginName, c.Next, ctx, w, r)
	}
	m, apex, code, err := s.overlay.Discover(ctx, w, r, name)
	switch {
	case m == nil:
		return code, err
	case apex != "" && c.cfg.covers(apex):
		return c.inside(ctx, w, r, s, apex, name)
	}
	return dns.RcodeSuccess, w.WriteMsg(m)
}

// inside answers from the zone that a name turned out to be in.
func (c *CAA) inside(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, s *serving, apex, name string) (int, error) {
	z, err := s.overlay.Adopt(apex)
	switch {
	case err != nil:
		code, _ := c.refuse(w, r, refused{dns.RcodeServerFailure, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeOther, ExtraText: "the zone cannot be served"}})
		return code, fmt.Errorf("the zone %s, which the next plugin now serves: %w", apex, err)
	case z == nil:
		return plugin.NextOrFailure(pluginName, c.Next, ctx, w, r)
	case z.Keys.Refused != nil:
		return c.refuse(w, r, s.notServed(z, metrics.WithServer(ctx)))
	}
	limitSize(ctx, w, r)
	return c.overlay(ctx, w, r, s, z, name)
}
