package caa

import (
	"context"
	"slices"
	"time"

	"github.com/miekg/dns"
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
// missing and claims every other, so that nothing can be concluded from it. The same holds where several plugins
// share the names of a zone (hosts with fallthrough over file): the last one denies a name that stands above one of
// another's.

// isAddress are the types whose answers show an alias, where its target has such an address.
var isAddress = map[uint16]bool{dns.TypeA: true, dns.TypeAAAA: true}

// nature is what was learned of a name: an alias or none. Immutable.
type nature struct {
	name  string
	alias *dns.CNAME // nil: the name is no alias
	until time.Time
}

// forAllTypes holds an answer about one type of a name against what the name is for all.
func (q *inquiry) forAllTypes(ctx context.Context, z *zone, name string, qtype uint16, f finding) (finding, error) {
	switch {
	case f.kind == alias, f.kind == cut, qtype == dns.TypeDS && f.kind == exists: // DS is at a cut, where no alias can be
		q.learn(z, name, f)
		return f, nil
	case name == z.Name: // it exists, and is no alias
		if f.kind == noName {
			f.kind = noType
		}
		return f, nil
	case q.byType:
		var err error
		if f, err = q.orAlias(ctx, z, name, qtype, f); err != nil {
			return f, err
		}
	}
	if f.kind == noName {
		f.kind, f.uncertain = noType, true
	}
	return f, nil
}

// orAlias is what was found at a name, or the alias that answers to questions for other types show.
func (q *inquiry) orAlias(ctx context.Context, z *zone, name string, qtype uint16, f finding) (finding, error) {
	n := q.known(name)
	if n == nil {
		shows, err := q.whatShowsAlias(ctx, z, name, qtype, f)
		switch {
		case err != nil && f.kind == exists:
			return f, nil // the data have been seen
		case err != nil:
			return f, err
		case shows.kind == cut && shows.owner == name && qtype == dns.TypeDS:
			f.kind, f.types = noType, atCut
			return f, nil
		case shows.kind == cut, shows.kind == alias && shows.owner != name: // of a name above
			return shows, nil
		case isAddress[q.qtype] && (shows.kind == noName || shows.kind == noType):
			return f, nil // not all was asked for
		}
		n = q.learn(z, name, shows)
	}
	if n.alias != nil {
		return z.read(name, qtype, &dns.Msg{Answer: []dns.RR{n.alias}})
	}
	return f, nil
}

// whatShowsAlias is the answer that decides whether a name is an alias, starting from the one to qtype: one with the
// alias, with an address, or with a cut, or else the last.
func (q *inquiry) whatShowsAlias(ctx context.Context, z *zone, name string, qtype uint16, f finding) (finding, error) {
	for asked, rest := qtype, q.furtherTypes(qtype, f); ; {
		decided := f.kind == alias || f.kind == cut || f.kind == exists && (asked == dns.TypeCNAME || isAddress[asked])
		if decided || len(rest) == 0 {
			return f, nil
		}
		var err error
		asked, rest = rest[0], rest[1:]
		if f, err = q.askOnce(ctx, z, name, asked); err != nil {
			return f, err
		}
	}
}

// furtherTypes are what to ask for, after qtype, until an answer shows whether a name is an alias. For most names that
// are made up somebody asks for an address: there one question is enough, since nobody concludes from its answer
// that the name is no alias.
func (q *inquiry) furtherTypes(qtype uint16, f finding) []uint16 {
	types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeCNAME}
	if isAddress[q.qtype] {
		if types = types[:2]; f.kind == noName {
			return nil
		}
	}
	return slices.DeleteFunc(types, func(t uint16) bool { return t == qtype })
}

// known is what was learned of a name, nil when nothing is remembered.
func (q *inquiry) known(name string) *nature {
	n, ok := q.natures.Get(q.cacheKey(name, noData))
	if !ok || n.name != name || !q.now().Before(n.until) {
		return nil
	}
	return n
}

// learn remembers what an answer says of a name, which must be one that shows an alias, for the TTL that this has.
func (q *inquiry) learn(z *zone, name string, f finding) *nature {
	n := &nature{name: name}
	ttl := z.ttl.negative
	if len(f.set) == 1 && (f.kind == alias && f.owner == name || f.kind == exists) {
		n.alias, _ = f.set[0].(*dns.CNAME)
	}
	switch {
	case n.alias != nil:
		ttl = min(ttl, n.alias.Hdr.Ttl)
	case f.kind == alias || f.kind == cut:
		return nil // of a name above, which every answer shows
	default:
		for _, rr := range f.soa {
			if soa, ok := rr.(*dns.SOA); ok {
				ttl = min(ttl, soa.Hdr.Ttl, soa.Minttl)
			}
		}
	}
	n.until = q.now().Add(time.Duration(ttl) * time.Second)
	q.natures.Add(q.cacheKey(name, noData), n)
	return n
}
