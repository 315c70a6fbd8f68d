package dnssec

import (
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// Denial holds the NSEC and NSEC3 records of one answer that are validly signed by its zone. Its
// methods say what they prove; nothing else of them is used (RFC 4035 5.4, RFC 5155 8, RFC 9824 3).
type Denial struct {
	zone  string
	nsec  []*dns.NSEC
	nsec3 []*dns.NSEC3
	hash  *hasher
	flaw  Result // of an NSEC or NSEC3 that does not verify: rather one whose signature is wrong than one without
	soa   Result // of the SOA, where that does not
}

// NewDenial takes the records of denial out of an answer's authority section, and the SOA that goes with
// them, and verifies each. One that does not verify spoils the proof, even if the others would do: so
// does unbound, with which Let's Encrypt resolves.
func NewDenial(keys Keys, authority []RRset, now time.Time) Denial {
	d := Denial{zone: keys.Zone}
	for _, set := range authority {
		if !slices.Contains([]uint16{dns.TypeNSEC, dns.TypeNSEC3, dns.TypeSOA}, set.Type) || len(set.RRs) == 0 {
			continue
		}
		result := VerifyRRset(set, keys, now)
		switch {
		case result.Status != Secure && set.Type == dns.TypeSOA:
			d.soa = result
			continue
		case result.Status != Secure:
			if d.flaw.Reason == "" || d.flaw.Reason == SignatureMissing {
				d.flaw = result
			}
			continue
		}
		for _, rr := range set.RRs {
			d.add(rr, result.Wildcard)
		}
	}
	if len(d.nsec3) > 0 {
		d.hash = newHasher(d.nsec3[0])
		d.nsec3 = slices.DeleteFunc(d.nsec3, func(rr *dns.NSEC3) bool { return !d.hash.fits(rr) })
	}
	return d
}

// Signed is the denial without the records that have no signature, which then spoil nothing.
func (d Denial) Signed() Denial {
	for _, flaw := range []*Result{&d.flaw, &d.soa} {
		if flaw.Reason == SignatureMissing {
			*flaw = Result{}
		}
	}
	return d
}

// Flaw says what is wrong with the records, whatever they prove; its Reason is "" where nothing is.
func (d Denial) Flaw() Result {
	if d.flaw.Reason != "" {
		return d.flaw
	}
	return d.soa
}

// add keeps a verified record. An NSEC that was itself made from a wildcard stands for the wildcard
// (RFC 4592 4.9); an NSEC3 of an unknown hash or with unknown flags is ignored (RFC 5155 8.1, 8.2).
func (d *Denial) add(rr dns.RR, wildcard string) {
	switch rr := rr.(type) {
	case *dns.NSEC:
		if wildcard != "" {
			rr = dns.Copy(rr).(*dns.NSEC)
			rr.Hdr.Name = wildcard
		}
		if dns.IsSubDomain(d.zone, rr.NextDomain) {
			d.nsec = append(d.nsec, rr)
		}
	case *dns.NSEC3:
		if wildcard == "" && rr.Hash == dns.SHA1 && rr.Flags&^optOut == 0 && dnsname.Parent(rr.Hdr.Name) == d.zone {
			d.nsec3 = append(d.nsec3, rr)
		}
	}
}

// NameError proves that a name does not exist: Secure, or Insecure where an NSEC3 leaves room for
// unsigned delegations.
func (d Denial) NameError(name string) Result {
	return d.prove(name, d.nsecNameError, d.nsec3NameError)
}

// NoData proves that a name has no RRset of a type, nor an alias. By compact denial that may be a
// name that does not exist: then the reason is NoSuchName (RFC 9824 3.2).
func (d Denial) NoData(name string, rrtype uint16) Result {
	return d.prove(name,
		func(name string) Result { return d.nsecNoData(name, rrtype) },
		func(name string) Result { return d.nsec3NoData(name, rrtype) })
}

// NXDomain proves an answer with that RCODE: that the name does not exist or, where NSEC records prove
// that it exists without the type, just that. NSEC3 records have to prove what the RCODE says: unbound, with
// which Let's Encrypt resolves, takes nothing else from them.
func (d Denial) NXDomain(name string, rrtype uint16) (result Result, exists bool) {
	result = d.NameError(name)
	if result.Status != Bogus || len(d.nsec3) > 0 {
		return result, false
	}
	if other := d.NoData(name, rrtype); other.Status != Bogus {
		return other, true
	}
	return result, false
}

// NoDS says what a denial of DS means for a name below its zone: Insecure where it proves an unsigned
// delegation (or that nothing is known of one, under opt-out), and Secure with the reason NotACut or
// NoSuchName where it proves that no delegation is there (RFC 4035 5.2, RFC 6840 4.4). The SOA does
// not matter here, as it does not to unbound: a referral has none.
func (d Denial) NoDS(name string) Result {
	d.soa = Result{}
	return d.prove(name, d.nsecNoDS, d.nsec3NoDS)
}

// Wildcard proves that a name was rightly answered from a wildcard: no name matches it more closely
// (RFC 4035 5.3.4, RFC 5155 8.8).
func (d Denial) Wildcard(name, wildcard string) Result {
	return d.prove(name,
		func(name string) Result { return d.nsecWildcard(name, wildcard) },
		func(name string) Result { return d.nsec3Wildcard(name, wildcard) })
}

// prove asks the kind of proof that there is. When both kinds are there, either will do.
func (d Denial) prove(name string, byNSEC, byNSEC3 func(string) Result) Result {
	name = dns.CanonicalName(name)
	switch flaw := d.Flaw(); {
	case !dns.IsSubDomain(d.zone, name):
		return bogus(DenialFails, nil, "%s is not in %s", name, d.zone)
	case flaw.Reason != "":
		return flaw
	case len(d.nsec) == 0 && len(d.nsec3) > 0 && d.hash.tooMany():
		return insecure(IterationsTooHigh, []dns.RR{d.nsec3[0]}, "%d NSEC3 iterations: resolvers treat the zone as unsigned", d.nsec3[0].Iterations)
	}
	result := Result{Status: Bogus, Reason: DenialMissing, Detail: "nothing denies " + name + " and is signed by " + d.zone}
	if len(d.nsec) > 0 {
		result = byNSEC(name)
	}
	if len(d.nsec3) > 0 && result.Status == Bogus {
		result = byNSEC3(name)
	}
	return result
}

// has reports whether a type bitmap holds a type.
func has(bitmap []uint16, rrtype uint16) bool { return slices.Contains(bitmap, rrtype) }

// delegates reports whether a bitmap is that of a zone cut, seen from above (RFC 6840 4.1).
func delegates(bitmap []uint16) bool { return has(bitmap, dns.TypeNS) && !has(bitmap, dns.TypeSOA) }

// typeDenied reads the bitmap of a name that exists: what it says of a type (RFC 4035 5.4, RFC 6840 4.1
// to 4.4).
func typeDenied(rr dns.RR, bitmap []uint16, name string, rrtype uint16) Result {
	switch {
	case has(bitmap, rrtype):
		return bogus(DenialContradicts, []dns.RR{rr}, "the denial at %s shows that %s exists", name, dns.TypeToString[rrtype])
	case has(bitmap, dns.TypeCNAME):
		return bogus(DenialContradicts, []dns.RR{rr}, "the denial at %s shows an alias", name)
	case rrtype == dns.TypeDS && has(bitmap, dns.TypeSOA) && name != ".":
		return bogus(DenialFails, []dns.RR{rr}, "the denial of DS for %s comes from the child zone", name)
	case rrtype != dns.TypeDS && delegates(bitmap) && !has(bitmap, dns.TypeDS):
		return insecure(InsecureCut, []dns.RR{rr}, "%s is an unsigned delegation", name)
	case rrtype != dns.TypeDS && delegates(bitmap):
		return bogus(DenialFails, []dns.RR{rr}, "the denial at %s comes from the parent side of a delegation", name)
	}
	return secure(NoSuchType, rr)
}

// cutDenied reads the bitmap of a name for what a denial of DS there means.
func cutDenied(rr dns.RR, bitmap []uint16, name string) Result {
	switch {
	case has(bitmap, dns.TypeDS), has(bitmap, dns.TypeCNAME):
		return typeDenied(rr, bitmap, name, dns.TypeDS)
	case has(bitmap, dns.TypeSOA):
		return bogus(DenialFails, []dns.RR{rr}, "the denial of DS for %s comes from the child zone", name)
	case has(bitmap, dns.TypeNS):
		return insecure(InsecureCut, []dns.RR{rr}, "%s is delegated without DS", name)
	}
	return secure(NotACut, rr)
}
