package selfcheck

import (
	"context"
	"errors"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// besides are the types that a CA asks for at a name beside CAA: it connects to an address (RFC 8555 8.3, RFC 8737).
var besides = []uint16{dns.TypeA, dns.TypeAAAA}

// alwaysAtApex are the types that every apex of a signed zone has, whatever the client (RFC 1034 4.2.1, RFC 4035 2.1).
var alwaysAtApex = []uint16{dns.TypeSOA, dns.TypeNS, dns.TypeDNSKEY}

// agreed is the answer to CAA at a name. At the required name itself all of a CA's questions are put, and the answers must
// agree. What contradicts itself is asked again: data may change between two questions. The error is a Finding.
func (c *Check) agreed(ctx context.Context, name string, required bool) (caa answer, err error) {
	if !required {
		return c.resolve(ctx, name, dns.TypeCAA)
	}
	for range 2 {
		var f Finding
		if caa, err = c.askAll(ctx, name); !errors.As(err, &f) || f.State != AtRisk {
			break
		}
	}
	return caa, err
}

// askAll asks for CAA and the other types at a name. Of the others, no answer at all is the affair of the data.
func (c *Check) askAll(ctx context.Context, name string) (answer, error) {
	caa, err := c.resolve(ctx, name, dns.TypeCAA)
	if err != nil || caa.kind == referred || caa.kind == outside && len(caa.aliases) == 0 {
		return caa, err
	}
	if err := c.provedUnsigned(ctx, caa.zone); err != nil {
		return caa, err
	}
	all := []answer{caa}
	for _, qtype := range besides {
		other, err := c.resolve(ctx, name, qtype)
		var f Finding
		if errors.As(err, &f) && f.State != Unanswered {
			return caa, err
		}
		if err := alike(name, caa, other); err != nil {
			return caa, err
		}
		if err == nil {
			all = append(all, other)
		}
	}
	if err := hidden(all); err != nil {
		return caa, err
	}
	return caa, c.ancestors(ctx, name, all)
}

// provedUnsigned has a signed zone above an unsigned one prove that it is unsigned.
func (c *Check) provedUnsigned(ctx context.Context, zone Zone) error {
	if zone.Name == "" || zone.Signed {
		return nil
	}
	known, ok := c.trusts[zone.Name]
	if !ok {
		_, known.err = c.delegation(ctx, zone)
		c.trusts[zone.Name] = known
	}
	return known.err
}

// alike says where another answer has a name for an alias or a cut and that to CAA has not, or the other way round. A
// resolver that has seen the alias or the cut follows it for CAA, too.
func alike(name string, caa, other answer) error {
	here, there := firstAlias(caa), firstAlias(other)
	switch {
	case there != "" && here != there:
		return Find(AliasByType, "%s is an alias of %s for %s, but not for CAA: a resolver that has cached the alias uses the CAA of its target",
			dnsname.Bare(name), dnsname.Bare(there), typeName(other.qtype))
	case there == "" && here != "" && other.kind == data:
		return Find(AliasByType, "%s is an alias of %s for CAA, but not for %s: a name must be an alias for every type or for none",
			dnsname.Bare(name), dnsname.Bare(here), typeName(other.qtype))
	case other.kind == referred && other.end == caa.end:
		return Find(CutByType, "%s is below the zone cut %s for %s, but not for CAA: a resolver that has cached the delegation queries the child's servers",
			dnsname.Bare(name), dnsname.Bare(other.cut), typeName(other.qtype))
	}
	return nil
}

func firstAlias(a answer) string {
	if len(a.aliases) == 0 {
		return ""
	}
	return a.aliases[0].target
}

// hidden says which denial denies a type that is answered at the same name.
func hidden(all []answer) error {
	for _, denial := range all {
		for _, rrtype := range answered(all, denial) {
			if denial.denies(rrtype) {
				return Find(Hidden, "the denial of %s at %s also denies %s, which exists there: a resolver that reuses denials (RFC 8198) hides it",
					typeName(denial.qtype), dnsname.Bare(denial.end), typeName(rrtype))
			}
		}
	}
	return nil
}

// answered are the types that the end of a denial is known to have.
func answered(all []answer, denial answer) (types []uint16) {
	for _, other := range all {
		if other.kind == data && other.end == denial.end {
			types = append(types, other.qtype)
		}
	}
	if denial.end == denial.zone.Name {
		types = append(types, alwaysAtApex...)
	}
	return types
}

// ancestors says which name above one with data or an alias is denied in its signed zone: then so is all below it
// (RFC 8020). Resolvers that minimise names ask for the names above first (RFC 9156).
func (c *Check) ancestors(ctx context.Context, name string, all []answer) error {
	for _, a := range all {
		names := []string{}
		if len(a.aliases) > 0 {
			names = append(names, name)
		}
		if a.kind == data {
			names = append(names, a.end)
		}
		for _, exists := range names {
			if gone := c.deniedAbove(ctx, exists); gone != "" {
				return Find(AncestorGone, "%s is denied, but %s below it exists: a resolver that has cached the denial denies both (RFC 8020)",
					dnsname.Bare(gone), dnsname.Bare(exists))
			}
		}
	}
	return nil
}

// deniedAbove is the closest name above another in its signed zone that is denied, "" where none is.
func (c *Check) deniedAbove(ctx context.Context, name string) string {
	zone, ok := c.server.Zone(name)
	if !ok || zone.RoutedElsewhere || !zone.Signed {
		return ""
	}
	for at := range dnsname.UpTo(dnsname.Parent(name), zone.Name) {
		if at == zone.Name {
			break
		}
		gone, known := c.absent[at]
		if !known {
			a, err := c.resolve(ctx, at, dns.TypeA)
			gone = err == nil && a.kind == noName && a.end == at
			c.absent[at] = gone
		}
		if gone {
			return at
		}
	}
	return ""
}
