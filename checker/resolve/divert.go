package resolve

import (
	"context"
	"slices"

	"github.com/coredns-caa/caa/checker/dnssec"
)

// Turn is what one server says at one name.
type Turn struct {
	Name    string
	Zone    *Zone // whose server it is
	Reading Reading
}

// Divert is what a look-up would have found had it come upon another server at a name on its way: the name itself, or
// one that an alias leads to. Where that server's answer is an alias, the way on is that of Lookup. It reports
// false where the name is not on the way, or where the server does not answer, so that another would be asked.
func (r *Resolver) Divert(ctx context.Context, a Answer, t Turn) (Answer, bool) {
	way := a.Chain
	if i := slices.IndexFunc(a.Chain, func(l Link) bool { return l.From == t.Name }); i >= 0 {
		way = a.Chain[:i]
	} else if a.Owner != t.Name {
		return Answer{}, false
	}
	if t.Reading.Kind == Failed || t.Reading.Kind == Referral {
		return Answer{}, false
	}
	out := Answer{
		Name: a.Name, Type: a.Type, Chain: slices.Clone(way), Owner: t.Name, Zone: t.Zone,
		Kind: t.Reading.Kind, RRset: t.Reading.RRset, Result: weakest(way, t.Reading.Result),
		WithoutSOA: t.Reading.WithoutSOA,
	}
	if t.Reading.Kind != Alias || t.Reading.Result.Status == dnssec.Bogus {
		return out, true
	}
	out.Chain = append(out.Chain, t.Reading.link(t.Name, t.Zone))
	out = out.followed(r.Lookup(ctx, t.Reading.Target, a.Type))
	out.missLeftOut()
	return out, true
}

// followed is an answer that ends in an alias, with what its target's look-up found.
func (a Answer) followed(rest Answer) Answer {
	a.Chain = append(a.Chain, rest.Chain...)
	a.Owner, a.Zone, a.Kind, a.RRset, a.WithoutSOA = rest.Owner, rest.Zone, rest.Kind, rest.RRset, rest.WithoutSOA
	switch {
	case rest.Err != nil:
		return a.fail(rest.Err)
	case len(a.Chain) > maxAliases:
		return a.fail(&LookupError{Failure: AliasLoop, Name: a.Owner, Type: a.Type, Zone: a.Zone})
	}
	a.Result = weakest(a.Chain[:len(a.Chain)-len(rest.Chain)], rest.Result)
	return a
}
