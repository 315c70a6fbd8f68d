package selfcheck

import (
	"context"
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// trust are the keys of a zone as they are served, authenticated, or why there are none.
type trust struct {
	keys dnssec.Keys
	err  error // a Finding
}

// invalid is the Finding of an answer that a validating resolver rejects.
func invalid(result dnssec.Result) Finding {
	if result.Status == dnssec.Insecure {
		return find(Bogus, Reason(result.Reason), "the answer of a signed zone is insecure: %s", result.Detail)
	}
	return find(Bogus, Reason(result.Reason), "the answer does not validate: %s", result.Detail)
}

// verify verifies each RRset of a reply that is a signed zone's own, with the proof that goes with a wildcard's
// (RFC 4035 5.3). A denial is left to those who know what it has to prove, and so of which zone it is: an NSEC at a cut may
// be from either side. The error is a Finding.
func (c *Check) verify(ctx context.Context, r *reply) error {
	for _, set := range r.answer {
		if made, err := madeFrom(r.answer, set); made || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		result, zone, err := c.verifySet(ctx, set)
		if err != nil {
			return err
		}
		if result.Wildcard == "" {
			continue
		}
		keys, _ := c.keys(ctx, zone) // verifySet had them
		proof := dnssec.NewDenial(keys, dnssec.Of(zone.Name, r.authority), c.server.Now()).Wildcard(set.Name, result.Wildcard)
		if proof.Status != dnssec.Secure {
			return invalid(proof)
		}
	}
	for _, set := range r.authority {
		if slices.Contains(denying, set.Type) || set.Type == dns.TypeNS && r.refers() { // these NS are the child's (RFC 4035 2.2)
			continue
		}
		if _, _, err := c.verifySet(ctx, set); err != nil {
			return err
		}
	}
	return nil
}

// denying are the types of a denial's records.
var denying = []uint16{dns.TypeSOA, dns.TypeNSEC, dns.TypeNSEC3}

// madeFrom reports whether an RRset is a CNAME that a DNAME of the answer makes, which has no signature of its own
// (RFC 6672 5.3.1). The error is that it is not the one which that makes.
func madeFrom(answers []dnssec.RRset, set dnssec.RRset) (bool, error) {
	if set.Type != dns.TypeCNAME || len(set.Sigs) > 0 || len(set.RRs) == 0 {
		return false, nil
	}
	i := slices.IndexFunc(answers, func(other dnssec.RRset) bool {
		return other.Type == dns.TypeDNAME && len(other.RRs) > 0 && dnsname.Below(set.Name, other.Name)
	})
	if i < 0 {
		return false, nil
	}
	dname := answers[i].RRs[0].(*dns.DNAME)
	target := dns.CanonicalName(set.RRs[0].(*dns.CNAME).Target)
	to := dns.CanonicalName(dname.Target)
	if !dns.IsSubDomain(to, target) || !slices.Equal(labelsBelow(set.Name, answers[i].Name), labelsBelow(target, to)) {
		return true, Find(MadeFalsely, "the answer does not validate: the DNAME at %s does not make %s an alias of %s", dnsname.Bare(answers[i].Name), dnsname.Bare(set.Name), dnsname.Bare(target))
	}
	return true, nil
}

// labelsBelow are the labels of a name without those of a name above it.
func labelsBelow(name, above string) []string {
	labels := dns.SplitDomainName(name)
	return labels[:len(labels)-dns.CountLabel(above)]
}

// verifySet verifies one RRset with the keys of its zone, if that is a signed one of ours. The error is a Finding.
func (c *Check) verifySet(ctx context.Context, set dnssec.RRset) (dnssec.Result, Zone, error) {
	zone, ok := c.zoneOf(set)
	if !ok || zone.RoutedElsewhere || !zone.Signed || len(set.RRs) == 0 {
		return dnssec.Result{}, zone, nil
	}
	keys, err := c.keys(ctx, zone)
	if err != nil {
		return dnssec.Result{}, zone, err
	}
	result := dnssec.VerifyRRset(set, keys, c.server.Now())
	if result.Status != dnssec.Secure {
		return result, zone, invalid(result)
	}
	return result, zone, nil
}

// zoneOf is the zone that an RRset belongs to: DS at an apex is the parent's (RFC 4035 2.4).
func (c *Check) zoneOf(set dnssec.RRset) (Zone, bool) {
	zone, ok := c.server.Zone(set.Name)
	if ok && set.Type == dns.TypeDS && zone.Name == set.Name {
		return c.above(zone.Name)
	}
	return zone, ok
}

// above is the closest zone strictly above an apex.
func (c *Check) above(apex string) (Zone, bool) {
	if apex == "." {
		return Zone{}, false
	}
	return c.server.Zone(dnsname.Parent(apex))
}

// keys are a signed zone's. The error is a Finding.
func (c *Check) keys(ctx context.Context, zone Zone) (dnssec.Keys, error) {
	known, ok := c.trusts[zone.Name]
	if !ok {
		known.keys, known.err = c.authenticate(ctx, zone)
		c.trusts[zone.Name] = known
	}
	return known.keys, known.err
}

// authenticate asks for the keys of a zone, and authenticates them by the DS of the zone above if that is a signed one of
// ours and has any, else by those for the parent.
func (c *Check) authenticate(ctx context.Context, zone Zone) (dnssec.Keys, error) {
	anchors, err := c.delegation(ctx, zone)
	if err != nil {
		return dnssec.Keys{}, err
	}
	if len(anchors) == 0 {
		anchors = zone.DS
	}
	r, err := c.exchange(ctx, zone.Name, dns.TypeDNSKEY)
	if err != nil {
		return dnssec.Keys{}, err
	}
	set, ok := dnssec.Find(r.answer, zone.Name, dns.TypeDNSKEY)
	if !ok {
		return dnssec.Keys{}, Find(KeysNotServed, "the answer does not validate: %s has no DNSKEY", dnsname.Bare(zone.Name))
	}
	keys, result := dnssec.Authenticate(zone.Name, anchors, set, c.memory, c.server.Now())
	if result.Status != dnssec.Secure {
		return dnssec.Keys{}, invalid(result)
	}
	return keys, nil
}

// delegation asks the zone above, if it is a signed one of ours, for the DS of a zone, and has it prove that there are none
// (RFC 4035 5.2). No DS and no error: that zone is not ours or not signed, or delegates without DS. The error is a Finding.
func (c *Check) delegation(ctx context.Context, zone Zone) ([]*dns.DS, error) {
	above, ok := c.above(zone.Name)
	if !ok || above.RoutedElsewhere || !above.Signed {
		return nil, nil
	}
	keys, err := c.keys(ctx, above)
	if err != nil {
		return nil, err
	}
	r, err := c.exchange(ctx, zone.Name, dns.TypeDS)
	if err != nil {
		return nil, err
	}
	set, secure := dnssec.Find(r.answer, zone.Name, dns.TypeDS)
	if !secure {
		return nil, c.unsignedCut(keys, r.authority, zone.Name)
	}
	if result := dnssec.VerifyRRset(set, keys, c.server.Now()); result.Status != dnssec.Secure {
		return nil, invalid(result)
	}
	if !zone.Signed {
		return nil, Find(WrongDSAbove, "the answer does not validate: %s has a DS for %s, which is not signed", dnsname.Bare(above.Name), dnsname.Bare(zone.Name))
	}
	return dsOf(set), nil
}

// unsignedCut says why an authority section of a zone does not prove a delegation without DS (RFC 6840 4.4).
func (c *Check) unsignedCut(keys dnssec.Keys, authority []dnssec.RRset, cut string) error {
	switch result := dnssec.NewDenial(keys, dnssec.Of(keys.Zone, authority), c.server.Now()).NoDS(cut); result.Status {
	case dnssec.Insecure:
		return nil
	case dnssec.Secure:
		return Find(NotDelegated, "the answer does not validate: %s denies that %s is delegated (%s)", dnsname.Bare(keys.Zone), dnsname.Bare(cut), result.Reason)
	default:
		return invalid(result)
	}
}

func dsOf(set dnssec.RRset) (out []*dns.DS) {
	for _, rr := range set.RRs {
		if ds, ok := rr.(*dns.DS); ok {
			out = append(out, ds)
		}
	}
	return out
}
