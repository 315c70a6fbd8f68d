package caa

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/metrics"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// maxDiscovered bounds the zones that are found in the next plugin's answers.
const maxDiscovered = 100_000

// discovered are the zones that showed in the next plugin's answers and that the policy does not list.
// `default` protects them from their first question on. They are found by what an authoritative answer
// says of its zone: SOA where it denies (RFC 2308 3), NS in the authority section where it does not.
// Written seldom, read with each question. The zero value is empty.
type discovered struct {
	mu    sync.Mutex
	zones atomic.Pointer[map[string]*zone]
}

func (d *discovered) all() map[string]*zone {
	if zones := d.zones.Load(); zones != nil {
		return *zones
	}
	return nil
}

// change replaces the map by a copy with one entry set or, with a nil zone, taken out.
func (d *discovered) change(apex string, z *zone) {
	next := maps.Clone(d.all())
	if next == nil {
		next = map[string]*zone{}
	}
	if next[apex] = z; z == nil {
		delete(next, apex)
	}
	d.zones.Store(&next)
}

// apexOf is the zone that an authoritative answer about a canonical name comes from, if it says so.
func apexOf(m *dns.Msg, name string) (apex string, ok bool) {
	if !m.Authoritative {
		return "", false // a resolver's answer, which may be about any zone in the world
	}
	for _, section := range [][]dns.RR{m.Ns, m.Answer} {
		for _, rr := range section {
			h := rr.Header()
			tells := h.Rrtype == dns.TypeSOA || h.Rrtype == dns.TypeNS && len(m.Answer) > 0
			if owner := lower(h.Name); tells && h.Class == dns.ClassINET && dns.IsSubDomain(owner, name) {
				return owner, true
			}
		}
	}
	return "", false
}

// otherZone says that an answer came from a zone below the one that was thought to hold the name.
type otherZone struct{ apex string }

func (e *otherZone) Error() string { return fmt.Sprintf("the name lies in the zone %s", e.apex) }

// adopt returns the zone with that apex, made from the policy's default where it is new. It is nil where
// the policy has no default: such a zone is none of ours.
func (s *serving) adopt(apex string) (*zone, error) {
	if z := s.found.all()[apex]; z != nil {
		return z, nil
	}
	s.found.mu.Lock()
	defer s.found.mu.Unlock()
	if z := s.found.all()[apex]; z != nil {
		return z, nil
	}
	p := s.policy.ZoneOrDefault(apex)
	if p == nil || p.PolicyOnly() {
		return nil, nil
	}
	if len(s.found.all()) >= maxDiscovered {
		return nil, fmt.Errorf("%d zones have appeared that the policy does not list; list them, for no more are taken", maxDiscovered)
	}
	z, err := s.newFound(p)
	if err != nil {
		return nil, err
	}
	s.found.change(apex, z)
	if _, err := s.keys.Of(p); errors.Is(err, keyring.ErrNoKey) {
		log.Warningf("The zone %s has appeared below, and no key is given for it: it is served unsigned, with the CAA of the policy's default", apex)
		return z, nil
	}
	log.Infof("The zone %s has appeared below: the policy's default protects it", apex)
	for _, line := range z.Publish() {
		log.Info(line)
	}
	return z, nil
}

// inherit takes over the zones that have appeared under an earlier serving, as far as the policy has a
// default for them. One that fails appears anew with the next question.
func (s *serving) inherit(was *serving) {
	for apex := range was.found.all() {
		p := s.policy.ZoneOrDefault(apex)
		if s.zones[apex] != nil || p == nil || p.PolicyOnly() {
			continue
		}
		if z, err := s.newFound(p); err == nil {
			s.found.change(apex, z)
		}
	}
}

// newFound lays out a zone that has appeared. Without a key of its own it cannot have a DS at its
// parent either, so it is served unsigned rather than not at all.
func (s *serving) newFound(p *policy.Zone) (*zone, error) {
	keys, err := s.keys.Of(p)
	if errors.Is(err, keyring.ErrNoKey) {
		keys, err = keyring.Unsigned(), nil
	}
	if err != nil {
		return nil, err
	}
	z, err := newZone(p, keys, s.ttl)
	if err != nil {
		return nil, err
	}
	z.found = true
	return z, nil
}

// forget takes out a zone that is no longer there.
func (s *serving) forget(z *zone) {
	s.found.mu.Lock()
	defer s.found.mu.Unlock()
	if s.found.all()[z.Name] == z {
		s.found.change(z.Name, nil)
		log.Infof("The zone %s has gone from below", z.Name)
	}
}

// childDS are the DS records of a zone that is served here, too, and whose parent z is.
func (s *serving) childDS(z *zone, name string) (ds []dns.RR, ours bool) {
	if ds, ours = z.cuts[name]; ours {
		return ds, true
	}
	if child := s.found.all()[name]; child != nil {
		return child.ParentDS(child.ttl.apex), true
	}
	return nil, false
}

// elsewhere passes a question on that is about no zone we know of. Where the policy has a default, the
// answer may show a zone that it protects.
func (c *CAA) elsewhere(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, s *serving, name string) (int, error) {
	if c.Next == nil {
		return dns.RcodeRefused, nil // RFC 8914 4.21's case: we are not authoritative for it
	}
	if !s.discovers || passed(r) || r.Question[0].Qclass != dns.ClassINET || !c.loader.cfg.covers(name) {
		return plugin.NextOrFailure(pluginName, c.Next, ctx, w, r)
	}
	seen := &capture{ResponseWriter: w}
	code, err := plugin.NextOrFailure(pluginName, c.Next, ctx, seen, r)
	if seen.msg == nil {
		return code, err
	}
	if apex, ok := c.apexBelow(ctx, w, r, seen.msg, name); ok && c.loader.cfg.covers(apex) {
		return c.inside(ctx, w, r, s, apex, name)
	}
	return dns.RcodeSuccess, w.WriteMsg(seen.msg)
}

// transfers are refused where the policy governs: what a secondary would serve is not what the policy says.
var transfers = map[uint16]bool{dns.TypeAXFR: true, dns.TypeIXFR: true}

// apexBelow is the zone of an answer, which is asked for where an authoritative one does not say.
func (c *CAA) apexBelow(ctx context.Context, w dns.ResponseWriter, r, m *dns.Msg, name string) (string, bool) {
	if apex, ok := apexOf(m, name); ok || !m.Authoritative || len(m.Answer) == 0 {
		return apex, ok
	}
	m, err := newBelow(c.Next, w, r).ask(ctx, name, dns.TypeSOA)
	if err != nil {
		return "", false
	}
	return apexOf(m, name)
}

// inside answers from the zone that a name turned out to lie in.
func (c *CAA) inside(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, s *serving, apex, name string) (int, error) {
	z, err := s.adopt(apex)
	switch {
	case err != nil:
		code, _ := c.refuse(w, r, refused{dns.RcodeServerFailure, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeOther, ExtraText: "the zone cannot be served"}})
		return code, fmt.Errorf("the zone %s, which has appeared below: %w", apex, err)
	case z == nil:
		return plugin.NextOrFailure(pluginName, c.Next, ctx, w, r)
	case z.Refused != nil:
		return c.refuse(w, r, c.notServed(z, metrics.WithServer(ctx)))
	}
	limitSize(ctx, w, r)
	return c.overlay(ctx, w, r, s, z, name)
}
