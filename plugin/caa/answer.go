package caa

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// shape is which of a name's answers a message holds: a type and whether DNSSEC was asked for. All
// types that a name does not have share one, noData.
type shape uint32

const (
	noData   shape = 0       // type 0 exists nowhere
	dnssecOK shape = 1 << 16 // the DO bit, above the type
)

func (s shape) rrtype() uint16 { return uint16(s) }
func (s shape) do() bool       { return s&dnssecOK != 0 }

// Types that exist at a kind of name; the first one answers ANY (RFC 8482 4.1).
var (
	caaOnly   = []uint16{dns.TypeCAA}
	aliasOnly = []uint16{dns.TypeCNAME}
)

// answerList holds the few answers of one name, copied on write.
type answerList struct{ list atomic.Pointer[[]*message] }

func (l *answerList) get(s shape) *message {
	if list := l.list.Load(); list != nil {
		for _, m := range *list {
			if m.shape == s {
				return m
			}
		}
	}
	return nil
}

func (l *answerList) put(m *message) {
	for {
		old := l.list.Load()
		list := []*message{m}
		if old != nil {
			for _, other := range *old {
				if other.shape != m.shape {
					list = append(list, other)
				}
			}
		}
		if l.list.CompareAndSwap(old, &list) {
			return
		}
	}
}

// place is a name of a policy-only zone: every name exists, most with CAA alone.
type place struct {
	*zone
	name  string
	types []uint16
	named *named // nil for a name that the policy does not name
}

// locate finds out what exists at a canonical name of the zone.
func (z *zone) locate(name string) place {
	p := place{zone: z, name: name, types: caaOnly}
	if n := z.named[name]; n != nil {
		p.named, p.types = n, n.types
		return p
	}
	if strings.HasPrefix(name, acmeLabel) {
		if _, ok := z.Alias(name); ok {
			p.types = aliasOnly
		}
	}
	return p
}

// shape says which answer a question for qtype gets here.
func (p place) shape(qtype uint16, do bool) shape {
	s := noData
	switch {
	case slices.Contains(p.types, qtype):
		s = shape(qtype)
	case (qtype == dns.TypeRRSIG || qtype == dns.TypeNSEC) && p.Set != nil:
		s = shape(qtype) // these exist beside an alias, too (RFC 4034 4, RFC 4035 2.5)
	case qtype == dns.TypeANY || p.types[0] == dns.TypeCNAME:
		s = shape(p.types[0])
	}
	if do {
		s |= dnssecOK
	}
	return s
}

// set is the RRset of one of the place's types.
func (p place) set(rrtype uint16) (zonesign.RRset, error) {
	switch rrtype {
	case dns.TypeCAA:
		node := p.Closest(p.name)
		return zonesign.RRset{Owner: p.name, Type: dns.TypeCAA, TTL: node.TTL, RDATA: p.caa[node]}, nil
	case dns.TypeCNAME:
		target, _ := p.Alias(p.name)
		return zonesign.NewRRset(&dns.CNAME{Hdr: header(p.name, dns.TypeCNAME, p.ttl.alias), Target: target})
	case dns.TypeSOA:
		return p.soa, nil
	case dns.TypeNS:
		return p.ns, nil
	case dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY:
		if set, ok := p.keysAt(p.name, rrtype); ok {
			return set, nil
		}
		return zonesign.RRset{}, errNoSuchSet
	case dns.TypeDS:
		return zonesign.NewRRset(p.cuts[p.name]...) // only where delegate put it
	case dns.TypeNSEC:
		return zonesign.NSEC(p.name, p.ttl.negative, p.types...)
	}
	for _, set := range p.glue {
		if set.Owner == p.name && set.Type == rrtype {
			return set, nil
		}
	}
	return zonesign.RRset{}, errNoSuchSet
}

var errNoSuchSet = errors.New("no RRset of that type at the name")

// answer is the prepared answer to a question about a name of the zone: one that was made before,
// or a new one.
func (s *serving) answer(ctx context.Context, p place, sh shape) (*message, error) {
	now := s.now()
	kept := s.kept(p, sh)
	if kept != nil && kept.fresh(now) {
		return kept, nil
	}
	m, err := s.build(ctx, p, sh)
	if err != nil {
		if kept != nil && kept.alive(now) {
			return kept, nil // the last valid one, while the signing fails
		}
		return nil, err
	}
	s.keep(p, m)
	return m, nil
}

// kept is the answer made earlier, or nil. Names that the policy names hold theirs themselves; all
// others share a bounded cache, so that a flood of random names pushes out nothing that a CA needs.
func (s *serving) kept(p place, sh shape) *message {
	if p.named != nil {
		return p.named.answers.get(sh)
	}
	m, ok := s.transient.Get(s.cacheKey(p.name, sh))
	if !ok || m.name != p.name || m.shape != sh {
		return nil // absent, or another name with the same hash (coredns/coredns#3953)
	}
	return m
}

func (s *serving) keep(p place, m *message) {
	if p.named != nil {
		p.named.answers.put(m)
		return
	}
	s.transient.Add(s.cacheKey(m.name, m.shape), m)
}

func (s *serving) cacheKey(name string, sh shape) uint64 {
	return maphash.Comparable(s.seed, name) ^ uint64(sh)*0x9E3779B97F4A7C15
}

// build makes the answer of one shape at a place.
func (s *serving) build(ctx context.Context, p place, sh shape) (*message, error) {
	growStack()
	b, err := newBuilder(p.name, sh)
	if err != nil {
		return nil, err
	}
	a := assembly{place: p, signer: s.signer, b: b, signed: sh.do() && p.Set != nil}
	if err := a.fill(ctx, sh.rrtype()); err != nil {
		return nil, err
	}
	return b.finish(), nil
}

// assembly is one answer in the making.
type assembly struct {
	place
	signer *zonesign.Signer
	b      *builder
	signed bool // whether RRSIGs go with it
}

// fill adds what answers a question for a type, 0 for one that is not there.
func (a assembly) fill(ctx context.Context, rrtype uint16) error {
	switch rrtype {
	case uint16(noData):
		return a.denial(ctx)
	case dns.TypeRRSIG:
		return a.onlySignatures(ctx)
	}
	return a.data(ctx, rrtype)
}

// data answers with the RRset asked for.
func (a assembly) data(ctx context.Context, rrtype uint16) error {
	set, err := a.set(rrtype)
	if err != nil {
		return err
	}
	if err := a.put(ctx, answerSection, set); err != nil || rrtype != dns.TypeNS {
		return err
	}
	for _, glue := range a.glue {
		if err := a.put(ctx, additionalSection, glue); err != nil {
			return err
		}
	}
	return nil
}

// onlySignatures answers RRSIG with those of one RRset: all would be a reflector's delight, and an
// empty answer would contradict the NSEC (RFC 8482 4.1).
func (a assembly) onlySignatures(ctx context.Context) error {
	set, err := a.set(a.types[0])
	if err != nil {
		return err
	}
	sigs, err := a.sign(ctx, set)
	if err != nil {
		return err
	}
	return a.b.signatures(answerSection, set, set.TTL, sigs)
}

// denial answers that the name has no such type: SOA (RFC 2308 3) and, signed, the NSEC at the name
// itself, whose bitmap lists every type that the name has (RFC 9824 3.2).
func (a assembly) denial(ctx context.Context) error {
	if err := a.put(ctx, authoritySection, a.soa); err != nil || !a.signed {
		return err
	}
	nsec, err := a.set(dns.TypeNSEC)
	if err != nil {
		return err
	}
	return a.put(ctx, authoritySection, nsec)
}

// put adds an RRset and, where they were asked for, its signatures.
func (a assembly) put(ctx context.Context, in section, set zonesign.RRset) error {
	var sigs zonesign.Signatures
	if a.signed {
		var err error
		if sigs, err = a.sign(ctx, set); err != nil {
			return err
		}
	}
	return a.b.add(in, set, set.TTL, sigs)
}

// sign signs one RRset of the place. What stands at names that the policy names is kept by the
// signer; what stands at any other name is not, for there is no end to them.
func (a assembly) sign(ctx context.Context, set zonesign.RRset) (zonesign.Signatures, error) {
	keep := zonesign.Kept
	if a.zone.named[set.Owner] == nil {
		keep = zonesign.Transient
	}
	return a.signer.Sign(ctx, a.Set, set, keep)
}
