package resolve

import (
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// Misread returns the zone whose proofs of wildcards validators take for the denial at the end of the aliases, nil for
// none. Unbound (1.17 to 1.26 at least) and knot-resolver (5.6) gather the denials of all aliases in one message, and hold
// those of the closest zone above the last name against that name. Where it is in an unsigned zone, whose servers sign
// nothing, a proof that belongs to a wildcard above does not deny it: they answer SERVFAIL. BIND and PowerDNS Recursor do
// not. Unbound is satisfied where the proof that the zone is unsigned comes along, as Knot DNS sends it.
func (a Answer) Misread() *Zone {
	if len(a.Chain) == 0 || a.Kind != NoData && a.Kind != NoName || a.Result.Status == dnssec.Bogus {
		return nil
	}
	all := slices.Clone(a.denials)
	for _, l := range a.Chain {
		all = append(all, l.denials...)
	}
	for z := a.Zone; z != nil; z = z.Parent {
		denials := dnssec.Of(z.Name, all)
		switch {
		case len(denials) == 0:
			continue
		case z == a.Zone, z.Trust.Status != dnssec.Secure:
			return nil
		}
		denial := dnssec.NewDenial(z.Keys, denials, z.resolver.Now())
		if denial.NameError(a.Owner).Status == dnssec.Bogus && denial.NoData(a.Owner, a.Type).Status == dnssec.Bogus {
			return z
		}
		return nil
	}
	return nil
}

// signedDenials are the NSEC and NSEC3 RRsets of an authority section that have a signature, of whatever zone.
func signedDenials(authority []dnssec.RRset) []dnssec.RRset {
	return slices.DeleteFunc(slices.Clone(authority), func(set dnssec.RRset) bool {
		return set.Type != dns.TypeNSEC && set.Type != dns.TypeNSEC3 || len(set.Sigs) == 0
	})
}
