package resolve

import (
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// Validating resolvers differ in the algorithms and digests that they accept. Here all count that any of the usual ones
// accepts, and the functions of this file return what the others make of a zone or an answer.

// Weakness is why some validating resolvers treat a secure zone as unsigned (RFC 9905 2).
type Weakness uint8

// The weaknesses.
const (
	Strong        Weakness = iota
	WeakAlgorithm          // every DS record is of RSASHA1 or NSEC3RSASHA1
	WeakDigest             // every other DS record has a SHA-1 digest
)

// Weak returns why some validating resolvers treat the zone as unsigned, though it is secure to others.
func (z *Zone) Weak() Weakness {
	if z == nil || z.Trust.Status != dnssec.Secure && z.Trust.Status != dnssec.Bogus || z.Inherits {
		return Strong
	}
	out := Strong
	for _, ds := range z.DS {
		switch {
		case !dnssec.SupportedDS(ds): // counts for nobody
		case dnssec.WithSHA1(ds.Algorithm):
			out = max(out, WeakAlgorithm)
		case ds.DigestType == dns.SHA1:
			out = WeakDigest
		default:
			return Strong
		}
	}
	return out
}

// Disputed returns why some validating resolvers find the zone bogus, though it is secure to others: "" where none does.
func (z *Zone) Disputed() string {
	if z.Trust.Status != dnssec.Secure || z.Inherits || len(z.DNSKEY.RRs) == 0 {
		return ""
	}
	return dnssec.Disputed(z.Name, z.DS, z.DNSKEY, z.resolver.cfg.Memory, z.resolver.Now()).Detail
}

// forgotten are algorithms that no validator has any more (RFC 9905, RFC 9906, RFC 8624 3.1): DS records of them
// count for nobody.
var forgotten = []uint8{dns.RSAMD5, dns.DSA, dns.DSANSEC3SHA1, dns.ECCGOST}

// OfUnknownAlgorithm returns a DS record of the zone that does not count here, such as one of ED448, and may count for a
// resolver that knows its algorithm or digest type. nil for none.
func (z *Zone) OfUnknownAlgorithm() *dns.DS {
	i := slices.IndexFunc(z.DS, func(ds *dns.DS) bool {
		return !dnssec.SupportedDS(ds) && !slices.Contains(forgotten, ds.Algorithm) && ds.DigestType != dns.GOST94
	})
	if i < 0 {
		return nil
	}
	return z.DS[i]
}

// Disputed returns why some validating resolvers find the answer bogus, though it is secure to others: in a zone that is
// signed to them, data have signatures with SHA-1 only (RFC 9905 2). It is "" where none does.
func (a Answer) Disputed() string {
	disputed := func(z *Zone, rrs []dns.RR) string {
		if z == nil || z.Trust.Status != dnssec.Secure || z.Weak() != Strong {
			return ""
		}
		signed := false
		for _, rr := range rrs {
			if sig, ok := rr.(*dns.RRSIG); ok {
				if signed = true; !dnssec.WithSHA1(sig.Algorithm) {
					return ""
				}
			}
		}
		if !signed {
			return ""
		}
		return "validators that do not accept SHA-1 (RFC 9905 2) find data of " + dnsname.Bare(z.Name) + " bogus: it has a DS record of another algorithm, and data are signed with SHA-1 only"
	}
	for _, l := range a.Chain {
		if detail := disputed(l.Zone, l.Result.Evidence); detail != "" {
			return detail
		}
	}
	if a.Result.Status != dnssec.Secure {
		return ""
	}
	for _, set := range append([]dnssec.RRset{a.RRset}, dnssec.Of(a.Zone.Name, a.denials)...) {
		var sigs []dns.RR
		for _, sig := range set.Sigs {
			sigs = append(sigs, sig)
		}
		if detail := disputed(a.Zone, sigs); detail != "" {
			return detail
		}
	}
	return ""
}
