package overlay

import (
	"context"
	"errors"
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// This file is the first phase: it asks.

// gather finds out what is at a name of a zone and, from alias to alias, at the names after it.
func (g *gathering) gather(ctx context.Context, z *zones.Zone, name string) (*way, error) {
	r, err := g.find(ctx, z, name, g.question.Type)
	switch {
	case err != nil:
		return nil, err
	case r.kind == exists && (g.question.Type == dns.TypeCAA || g.question.Type == dns.TypeANY):
		g.way.prepared = true
		return &g.way, nil
	}
	return &g.way, g.follow(ctx, z, name, r)
}

// follow goes from alias to alias through the zones that are served here (RFC 1034 4.3.2 3a), and ends
// with what the last name has. Where it cannot go on it stops: the resolver asks on by itself.
func (g *gathering) follow(ctx context.Context, z *zones.Zone, name string, r reading) error {
	w := &g.way
	for visited := []string{name}; r.kind == alias && g.question.goesOn(z, r.owner, name); visited = append(visited, name) {
		w.aliases = append(w.aliases, nameData{reading: r, view: z.At(name)})
		into := g.o.zones.Find(r.target)
		switch {
		case g.question.Type == dns.TypeCNAME:
			return nil // what DNAME makes is the answer (RFC 6672 3.2)
		case into == nil:
			w.foreign = g.foreign(r.answer)
			return nil
		case slices.Contains(visited, r.target) || len(visited) > MaxChain:
			return nil
		case !g.o.owned(into):
			return nil // its data are not the next plugin's, and its policy may be another file's
		case into.PolicyOnly():
			at := into.At(r.target)
			w.local = &at
			return nil
		}
		next, err := g.hop(ctx, z, into, r)
		if err != nil || next.kind == cut {
			return nil
		}
		z, name, r = into, r.target, next
	}
	w.ends, w.end = true, nameData{reading: r, view: z.At(name)}
	return g.complete(ctx, &w.end)
}

// hop finds what an alias leads to: in the answer that has the alias, where the next plugin has followed
// it to data of the zone, else by another question.
func (g *gathering) hop(ctx context.Context, z, into *zones.Zone, r reading) (reading, error) {
	apex, ok := apexOf(r.answer, r.target)
	if into == z && (!ok || apex == z.Name()) && g.hasHop(z, r) {
		return read(z.Name(), r.target, g.question.Type, r.answer)
	}
	return g.find(ctx, into, r.target, g.question.Type)
}

// hasHop reports whether an answer says what is at the target of its alias. Whether the policy's types
// are answered there, existence decides, which needs a question.
func (g *gathering) hasHop(z *zones.Zone, r reading) bool {
	if r.target != z.Name() && recordsAt(r.answer.Answer, r.target, dns.TypeCNAME) != nil {
		return true
	}
	t := g.question.Type
	plain := !ours(t) && !replaced[t] && t != dns.TypeDS && (!g.o.backend.byType || isAddress[t]) && !z.At(r.target).Owns(t)
	return plain && recordsAt(r.answer.Answer, r.target, t) != nil
}

// foreign is what the next plugin answered for an alias's target that is in no zone of ours. It is
// not ours to sign (coredns/coredns#8138), so that nobody gets it who asked for DNSSEC: that zone may be a
// signed one, another block's for example, and would be bogus without its signatures.
func (g *gathering) foreign(m *dns.Msg) (rrs []dns.RR) {
	if g.question.DO {
		return nil
	}
	for _, rr := range m.Answer {
		if h := rr.Header(); h.Class == dns.ClassINET && !replaced[h.Rrtype] && g.o.zones.Find(lower(h.Name)) == nil {
			rrs = append(rrs, rr)
		}
	}
	return rrs
}

// find finds out what the zone has at a name. Where the contents give the name existence, a next plugin that
// fails or knows no such name does not take away what they have there.
func (g *gathering) find(ctx context.Context, z *zones.Zone, name string, qtype uint16) (reading, error) {
	at := z.At(name)
	switch {
	case name == z.Name() && at.Owns(qtype):
		return reading{kind: exists, owner: name}, nil
	case name == z.Name() && qtype == dns.TypeDS:
		return reading{kind: noType}, nil // the parent's question (RFC 4035 3.1.4.1)
	}
	if ds, ours := g.o.zones.ChildDS(z, name); ours && qtype == dns.TypeDS {
		return delegation(name, ds), nil
	}
	r, err := g.ask(ctx, z, name, g.toAsk(z, name, qtype))
	if err != nil {
		return g.findWithout(at, qtype, err)
	}
	if r.kind == noName && z.Exists(name) {
		r.kind = noType
	}
	if r.kind == noType && qtype == dns.TypeDS && !g.o.backend.byType { // else the question for an alias has shown it
		return g.findNoDS(ctx, z, name, r)
	}
	return layered(r, at, qtype), nil
}

// findWithout finds out what the zone has at a name of which the next plugin gave no answer that can be used.
func (g *gathering) findWithout(at zones.View, qtype uint16, err error) (reading, error) {
	var other *OtherZone
	switch {
	case errors.As(err, &other) && other.Apex == at.Name && qtype == dns.TypeDS:
		return g.findCut(at.Name)
	case other == nil && at.Zone.Exists(at.Name) && (ours(qtype) || at.Owns(qtype)):
		return reading{kind: exists, owner: at.Name}, nil
	}
	return reading{}, err
}

// toAsk is the type that a question for qtype is put for. What the contents answer themselves needs to know only
// whether the name exists, and whether it is an alias or at a cut.
func (g *gathering) toAsk(z *zones.Zone, name string, qtype uint16) uint16 {
	elsewhere := qtype == dns.TypeSOA && name != z.Name() // etcd answers with the zone's, whatever the name
	switch {
	case !ours(qtype) && !replaced[qtype] && !elsewhere:
		return qtype
	case g.o.backend.byType:
		return dns.TypeA // whose answer shows an alias
	}
	return dns.TypeCAA
}

// layered is a reading of the data with the contents laid over it. It is pure.
func layered(r reading, at zones.View, qtype uint16) reading {
	atName := r.kind == noType || r.kind == exists // neither an alias nor under a cut
	switch {
	case signing[qtype] && !at.Zone.Signed():
		if r.kind == exists {
			r.kind = noType // an unsigned zone has neither NSEC nor RRSIG
		}
	case atName && at.Owns(qtype), r.kind == noType && ours(qtype):
		r.kind, r.owner = exists, at.Name
	case r.kind == exists && (qtype == dns.TypeSOA && at.Name != at.Zone.Name() || replaced[qtype] && !signing[qtype]):
		r.kind = noType // the answer was about something else, or is replaced by nothing
	case r.kind == noType && qtype == dns.TypeSOA && at.Name == at.Zone.Name():
		r.kind, r.owner = exists, at.Name // the zone's own where the data have none, as hosts: denials hold it
	}
	return r
}

// delegation is what a zone has at a cut for a question for DS.
func delegation(name string, ds []dns.RR) reading {
	r := reading{kind: noType, owner: name, set: ds, atCut: true}
	if len(ds) > 0 {
		r.kind = exists
	}
	return r
}

// findCut is the cut above a zone that answers for itself: the next plugin, asked for DS, answers
// from that zone, so that the parent's data cannot be seen. With a zone of ours the DS are our keys'; any
// other is proved unsigned, which is never bogus.
func (g *gathering) findCut(apex string) (reading, error) {
	child, err := g.o.Adopt(apex)
	if err != nil || child == nil {
		return reading{kind: noType, atCut: true}, err
	}
	return delegation(apex, child.Keys.ParentDS(child.TTL.Apex)), nil
}

// findNoDS tells a cut without DS, which proves the zone under it unsigned, from an ordinary name.
func (g *gathering) findNoDS(ctx context.Context, z *zones.Zone, name string, r reading) (reading, error) {
	there, err := g.ask(ctx, z, name, dns.TypeCAA)
	if err == nil && there.kind == cut && there.owner == name {
		r.atCut = true
	}
	return r, err
}

// complete asks for what an answer has besides what it is about: SOA and bitmap of a denial, DS and addresses of a
// referral.
func (g *gathering) complete(ctx context.Context, d *nameData) error {
	switch {
	case d.kind == cut:
		return g.refer(ctx, d)
	case g.question.denies(d.view.Zone, d.kind):
		return g.deny(ctx, d)
	case d.kind == exists && len(d.set) > 0 && isUnassigned(g.question.Type):
		g.o.of(d.view.Zone).addUnassigned(g.question.Type)
	}
	return nil
}

// deny finds SOA and, where the denial is proved, what its bitmap says.
func (g *gathering) deny(ctx context.Context, d *nameData) (err error) {
	z := d.view.Zone
	if d.soaSet, d.negative, err = g.soa(ctx, z, d.reading.soa); err != nil || !g.question.proves(z) {
		return err
	}
	if d.existence, err = g.existence(ctx, d); err != nil {
		return err
	}
	d.bitmap = g.o.of(z).bitmap(d.view, d.existence)
	if g.question.Type != dns.TypeNSEC && g.question.Type != dns.TypeRRSIG {
		d.bitmap = d.bitmap.Without(g.question.Type)
	}
	return nil
}

// existence is what the bitmap at a name says.
func (g *gathering) existence(ctx context.Context, d *nameData) (existence, error) {
	switch {
	case d.kind == noName:
		return missing, nil
	case d.kind == alias:
		return atAlias, nil
	case d.atCut:
		return atCut, nil
	}
	plain, dname := ordinary, withDNAME
	if d.view.Name == d.view.Zone.Name() {
		plain, dname = atApex, apexDNAME
	}
	has, err := g.hasDNAME(ctx, d)
	if err != nil && !d.view.Zone.Exists(d.view.Name) {
		return plain, err
	}
	if has {
		return dname, nil
	}
	return plain, nil
}

// hasDNAME reports whether a name that has not the type asked for has DNAME. The plugins that show their data have
// shown all DNAMEs of the zone; over plugins that answer by type the question is put only where the zone is known
// to have some: an NSEC that leaves DNAME out says nothing of the names under its owner (RFC 6672 5.3.4.1).
func (g *gathering) hasDNAME(ctx context.Context, d *nameData) (bool, error) {
	l := g.o.of(d.view.Zone)
	switch all := l.dnames.Load(); {
	case g.question.Type == dns.TypeDNAME || d.uncertain:
		return false, nil
	case all != nil:
		return (*all)[d.view.Name], nil
	case g.o.backend.byType && !l.sawDNAME.Load():
		return false, nil
	}
	there, err := g.askOnce(ctx, d.view.Zone, d.view.Name, dns.TypeDNAME)
	return err == nil && there.kind == exists, err
}

// soa is the zone's SOA, which the next plugin may give with the answer, or when asked, or not at all;
// and the TTL of a denial: the lowest of the SOA's, its minimum (RFC 9077 3) and our own bound.
func (g *gathering) soa(ctx context.Context, z *zones.Zone, soa *dns.SOA) (set zonesign.RRset, ttl uint32, err error) {
	if soa == nil {
		soa = g.dataSOA(ctx, z)
	}
	if soa == nil {
		return z.SOA(), z.TTL.Negative, nil
	}
	set, err = g.o.packSOA(z, soa)
	return set, min(set.TTL, z.TTL.Negative, soa.Minttl), err
}

// dataSOA is the SOA of a zone's data, nil where they have none, as hosts.
func (g *gathering) dataSOA(ctx context.Context, z *zones.Zone) *dns.SOA {
	there, err := g.askOnce(ctx, z, z.Name(), dns.TypeSOA)
	if err != nil || there.kind != exists {
		return nil
	}
	soa, _ := there.set[0].(*dns.SOA)
	return soa
}

// refer finds what goes with the NS of a cut: DS or the proof that there is none (RFC 4035 3.1.4), and glue.
func (g *gathering) refer(ctx context.Context, d *nameData) error {
	z := d.view.Zone
	if g.question.proves(z) {
		r, err := g.find(ctx, z, d.owner, dns.TypeDS)
		if err != nil {
			return err
		}
		if r.kind == exists {
			d.ds = r.set
		} else {
			if _, d.negative, err = g.soa(ctx, z, r.soa); err != nil {
				return err
			}
			d.bitmap = g.o.of(z).bitmap(z.At(d.owner), atCut)
		}
	}
	for _, rr := range d.answer.Extra {
		if g.isGlue(ctx, rr, d) {
			d.glue = append(d.glue, rr)
		}
	}
	return nil
}

// isGlue reports whether a record is an address of one of a cut's servers that is at or under a cut of
// the zone, this one or another (RFC 9471 2). An address that is the zone's own would need a signature here
// (RFC 4035 3.1.1); who needs it asks for it.
func (g *gathering) isGlue(ctx context.Context, rr dns.RR, d *nameData) bool {
	h, z := rr.Header(), d.view.Zone
	if (h.Rrtype != dns.TypeA && h.Rrtype != dns.TypeAAAA) || h.Class != dns.ClassINET || !dns.IsSubDomain(z.Name(), h.Name) {
		return false
	}
	host := lower(h.Name)
	if !slices.ContainsFunc(d.set, func(rr dns.RR) bool { ns, ok := rr.(*dns.NS); return ok && lower(ns.Ns) == host }) {
		return false
	}
	if dns.IsSubDomain(d.owner, host) {
		return true
	}
	there, err := g.ask(ctx, z, host, h.Rrtype)
	return err == nil && there.kind == cut
}
