package caa

import (
	"context"
	"time"

	"github.com/miekg/dns"
)

// This file makes one name of what plugins say that answer by type. A name is an alias for all types or for none
// (RFC 1034 3.6.2, 4.3.2), and exists for all types or for none (RFC 8020 2), whatever one answer says: etcd,
// kubernetes and template, also behind forward, show an alias to a question for an address and not to one for CAA,
// and answer NXDOMAIN for one type of a name that has another. A resolver that had met the alias would read
// another CAA than one that had not; one that keeps denials (RFC 8198) would take every type for missing.
//
// So one more question, for CNAME, decides whether a name is an alias, and is remembered. That a name does not
// exist nobody can know: its denial says that the type asked for is missing and claims every other, so that
// nothing can be concluded from it. The same holds where several plugins share the names of a zone (hosts with
// fallthrough over file): the last one denies a name that stands above one of another's.

// showsAlias are the types whose answers show an alias by themselves, though not always: etcd denies an address of
// an alias whose target it cannot look up.
var showsAlias = map[uint16]bool{dns.TypeA: true, dns.TypeAAAA: true, dns.TypeCNAME: true}

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

// orAlias is what was found at a name, or the alias that it is to a question for CNAME.
func (q *inquiry) orAlias(ctx context.Context, z *zone, name string, qtype uint16, f finding) (finding, error) {
	known := q.known(name)
	switch {
	case known != nil:
	case qtype == dns.TypeCNAME, showsAlias[qtype] && f.kind == exists:
		known = q.learn(z, name, f)
	case !showsAlias[qtype]:
		there, err := q.askOnce(ctx, z, name, dns.TypeCNAME)
		switch {
		case err != nil && f.kind == exists:
			return f, nil // the data have been seen
		case err != nil:
			return f, err
		case there.kind == cut && there.owner == name && qtype == dns.TypeDS:
			f.kind, f.types = noType, atCut
			return f, nil
		case there.kind == cut, there.kind == alias: // of a name above
			return there, nil
		}
		known = q.learn(z, name, there)
	}
	if known != nil && known.alias != nil {
		return z.read(name, qtype, &dns.Msg{Answer: []dns.RR{known.alias}})
	}
	return f, nil
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
