package overlay

import (
	"context"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/zones"
)

// This file makes one name of what plugins say that answer by type. A name is an alias for all types or for none
// (RFC 1034 3.6.2, 4.3.2), and exists for all types or for none (RFC 8020 2), whatever one answer says: etcd,
// kubernetes and template, also behind forward, show an alias to a question for an address and not to one for CAA,
// and answer NXDOMAIN for one type of a name that has another. A resolver that had met the alias would read
// another CAA than one that had not; one that keeps denials (RFC 8198) would take every type for missing.
//
// So questions for an address, and for CNAME where there is none, decide whether a name is an alias, and what they
// show is remembered. (etcd as external-dns fills it denies CNAME at its aliases, and an address where the target has
// none of that family.) That a name does not exist nobody can know: its denial says that the type asked for is
// missing and lists every other, so that nothing can be concluded from it. The same holds where several plugins
// share the names of a zone (hosts with fallthrough over file): the last one denies a name that is above one of
// another's.

// isAddress are the types whose answers show an alias, where its target has such an address.
var isAddress = map[uint16]bool{dns.TypeA: true, dns.TypeAAAA: true}

// ask puts a question to the next plugin and reads the answer. Where plugins answer by type, or several share the
// names, what the answer says is held against what the name is for all types.
func (g *gathering) ask(ctx context.Context, z *zones.Zone, name string, qtype uint16) (reading, error) {
	r, err := g.askOnce(ctx, z, name, qtype)
	if err != nil || !g.o.backend.byType && !g.o.backend.shared {
		return r, err
	}
	return g.forAllTypes(ctx, z, name, qtype, r)
}

// forAllTypes holds an answer about one type of a name against what the name is for all.
func (g *gathering) forAllTypes(ctx context.Context, z *zones.Zone, name string, qtype uint16, r reading) (reading, error) {
	switch {
	case r.kind == alias, r.kind == cut, qtype == dns.TypeDS && r.kind == exists: // DS is at a cut, where no alias can be
		g.learn(z, name, r)
		return r, nil
	case name == z.Name(): // it exists, and is no alias
		if r.kind == noName {
			r.kind = noType
		}
		return r, nil
	case g.o.backend.byType:
		var err error
		if r, err = g.orAlias(ctx, z, name, qtype, r); err != nil {
			return r, err
		}
	}
	if r.kind == noName {
		r.kind, r.uncertain = noType, true
	}
	return r, nil
}

// orAlias is what was found at a name, or the alias that answers to questions for other types show.
func (g *gathering) orAlias(ctx context.Context, z *zones.Zone, name string, qtype uint16, r reading) (reading, error) {
	n := g.known(name)
	if n == nil {
		shows, err := g.whatShowsAlias(ctx, z, name, qtype, r)
		switch {
		case err != nil && r.kind == exists:
			return r, nil // the data have been seen
		case err != nil:
			return r, err
		case shows.kind == cut && shows.owner == name && qtype == dns.TypeDS:
			r.kind, r.atCut = noType, true
			return r, nil
		case shows.kind == cut, shows.kind == alias && shows.owner != name: // of a name above
			return shows, nil
		case isAddress[g.question.Type] && r.kind == noName:
			return r, nil // nothing more was asked for
		}
		n = g.learn(z, name, shows)
	}
	if n.alias != nil {
		return read(z.Name(), name, qtype, &dns.Msg{Answer: []dns.RR{n.alias}})
	}
	return r, nil
}

// whatShowsAlias is the answer that decides whether a name is an alias, starting from the one to qtype: one with the
// alias, with an address, or with a cut, or else the last.
func (g *gathering) whatShowsAlias(ctx context.Context, z *zones.Zone, name string, qtype uint16, r reading) (reading, error) {
	for asked, rest := qtype, g.furtherTypes(qtype, r); ; {
		decided := r.kind == alias || r.kind == cut || r.kind == exists && (asked == dns.TypeCNAME || isAddress[asked])
		if decided || len(rest) == 0 {
			return r, nil
		}
		var err error
		asked, rest = rest[0], rest[1:]
		if r, err = g.askOnce(ctx, z, name, asked); err != nil {
			return r, err
		}
	}
}

// furtherTypes are what to ask for, after qtype, until an answer shows whether a name is an alias. For most names that
// are made up somebody asks for an address: there one question is enough, since nobody concludes from its answer
// that the name is no alias.
func (g *gathering) furtherTypes(qtype uint16, r reading) []uint16 {
	if isAddress[g.question.Type] && r.kind == noName {
		return nil
	}
	types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeCNAME}
	return slices.DeleteFunc(types, func(t uint16) bool { return t == qtype })
}

// known is what was learned of a name, nil when nothing is remembered.
func (g *gathering) known(name string) *nature {
	n, ok := g.o.natures.Get(g.o.natureKey(name))
	if !ok || n.name != name || !g.o.zones.Now().Before(n.until) {
		return nil
	}
	return n
}

// learn remembers what an answer says of a name, which must be one that shows an alias, for the TTL that this has.
func (g *gathering) learn(z *zones.Zone, name string, r reading) *nature {
	n := &nature{name: name}
	ttl := z.TTL.Negative
	if len(r.set) == 1 && (r.kind == alias && r.owner == name || r.kind == exists) {
		n.alias, _ = r.set[0].(*dns.CNAME)
	}
	switch {
	case n.alias != nil:
		ttl = min(ttl, n.alias.Hdr.Ttl)
	case r.kind == alias || r.kind == cut:
		return nil // of a name above, which every answer shows
	default:
		if r.soa != nil {
			ttl = min(ttl, r.soa.Hdr.Ttl, r.soa.Minttl)
		}
	}
	n.until = g.o.zones.Now().Add(time.Duration(ttl) * time.Second)
	g.o.natures.Add(g.o.natureKey(name), n)
	return n
}
