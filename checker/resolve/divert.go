package resolve

import (
	"context"
	"slices"

	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// Alternative is the reply of one server for one name.
type Alternative struct {
	Name    string
	Zone    *Zone // that it is a server of
	Reading Reading
}

// Divert returns what a lookup would have found if it had taken another server's reply at a name on its way: the name
// itself, or one that an alias leads to. Where that reply is an alias, it goes on as Lookup does. It reports
// false where the name is not on the way, or where the reply is of no use, so that a resolver asks another server.
func (r *Resolver) Divert(ctx context.Context, a Answer, other Alternative) (Answer, bool) {
	way := a.Chain
	if i := slices.IndexFunc(a.Chain, func(l Link) bool { return l.From == other.Name }); i >= 0 {
		way = a.Chain[:i]
	} else if a.Owner != other.Name {
		return Answer{}, false
	}
	if other.Reading.Kind == Failed || other.Reading.Kind == Referral {
		return Answer{}, false
	}
	out := Answer{
		Name: a.Name, Type: a.Type, Chain: slices.Clone(way), Owner: other.Name, Zone: other.Zone,
		Kind: other.Reading.Kind, RRset: other.Reading.RRset, Result: weakest(way, other.Reading.Result),
		WithoutSOA: other.Reading.WithoutSOA, denials: other.Reading.denials,
	}
	if other.Reading.Kind != Alias || other.Reading.Result.Status == dnssec.Bogus {
		return out, true
	}
	out.Chain = append(out.Chain, other.Reading.link(other.Name, other.Zone))
	out = out.followed(r.Lookup(ctx, other.Reading.Target, a.Type))
	out.missLeftOut()
	return out, true
}

// followed returns an answer that ends in an alias, with what the lookup of its target found.
func (a Answer) followed(rest Answer) Answer {
	a.Chain = append(a.Chain, rest.Chain...)
	a.Owner, a.Zone, a.Kind, a.RRset, a.WithoutSOA, a.denials = rest.Owner, rest.Zone, rest.Kind, rest.RRset, rest.WithoutSOA, rest.denials
	switch {
	case rest.Err != nil:
		return a.fail(rest.Err)
	case len(a.Chain) > maxAliases:
		return a.fail(&LookupError{Failure: AliasLoop, Name: a.Owner, Type: a.Type, Zone: a.Zone})
	}
	a.Result = weakest(a.Chain[:len(a.Chain)-len(rest.Chain)], rest.Result)
	return a
}
