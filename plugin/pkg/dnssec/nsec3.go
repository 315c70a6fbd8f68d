package dnssec

import (
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

const (
	// maxIterations is above what a zone may have: resolvers answer as if it were unsigned. RFC 9276
	// 3.2 leaves the number open; it is unbound's, which Let's Encrypt resolves with.
	maxIterations = 150

	optOut = 1 // RFC 5155 3.1.2.1
)

// hasher hashes names with one set of parameters, each once (RFC 5155 5).
type hasher struct {
	like *dns.NSEC3
	done map[string]string
}

func newHasher(like *dns.NSEC3) *hasher { return &hasher{like, map[string]string{}} }

func (h *hasher) fits(rr *dns.NSEC3) bool {
	return rr.Hash == h.like.Hash && rr.Iterations == h.like.Iterations && strings.EqualFold(rr.Salt, h.like.Salt)
}

func (h *hasher) tooMany() bool { return h.like.Iterations > maxIterations }

// of is a name's hash in upper-case base32hex.
func (h *hasher) of(name string) string {
	hash, ok := h.done[name]
	if !ok {
		hash = dns.HashName(name, h.like.Hash, h.like.Iterations, h.like.Salt)
		h.done[name] = hash
	}
	return hash
}

// ownerHash is the hash in an NSEC3's owner name.
func ownerHash(rr *dns.NSEC3) string {
	first, _, _ := strings.Cut(rr.Hdr.Name, ".")
	return strings.ToUpper(first)
}

func (d Denial) nsec3At(name string) *dns.NSEC3 {
	for _, rr := range d.nsec3 {
		if ownerHash(rr) == d.hash.of(name) {
			return rr
		}
	}
	return nil
}

func (d Denial) nsec3Covering(name string) *dns.NSEC3 {
	hash := d.hash.of(name)
	for _, rr := range d.nsec3 {
		owner, next := ownerHash(rr), strings.ToUpper(rr.NextDomain)
		if owner < next && owner < hash && hash < next || owner >= next && (hash > owner || hash < next) {
			return rr
		}
	}
	return nil
}

// encloser is the closest encloser proof of a name that has no NSEC3 of its own (RFC 5155 8.3).
type encloser struct {
	name string
	at   *dns.NSEC3 // at the closest encloser
	next *dns.NSEC3 // covers the next closer name
}

func (e encloser) evidence(more ...dns.RR) []dns.RR {
	return append([]dns.RR{e.at, e.next}, more...)
}

func (e encloser) optOut() bool { return e.next.Flags&optOut != 0 }

// nsec3Encloser finds the closest encloser of a name and its proof; a Result that is not Secure says
// why there is none.
func (d Denial) nsec3Encloser(name string) (encloser, Result) {
	closer := name
	for candidate := range dnsname.UpTo(dnsname.Parent(name), d.zone) {
		at := d.nsec3At(candidate)
		if at == nil {
			closer = candidate
			continue
		}
		if delegates(at.TypeBitMap) && !has(at.TypeBitMap, dns.TypeDS) {
			return encloser{}, insecure(InsecureCut, []dns.RR{at}, "%s is below an unsigned delegation at %s", name, candidate)
		}
		if delegates(at.TypeBitMap) || has(at.TypeBitMap, dns.TypeDNAME) {
			return encloser{}, bogus(DenialFails, []dns.RR{at}, "%s, above %s, is a delegation or a DNAME", candidate, name)
		}
		next := d.nsec3Covering(closer)
		if next == nil {
			return encloser{}, bogus(DenialFails, []dns.RR{at}, "no NSEC3 covers %s", closer)
		}
		return encloser{candidate, at, next}, Result{Status: Secure}
	}
	return encloser{}, bogus(DenialFails, nil, "no NSEC3 matches an ancestor of %s", name)
}

func (d Denial) nsec3NameError(name string) Result {
	if rr := d.nsec3At(name); rr != nil {
		return bogus(DenialContradicts, []dns.RR{rr}, "the denial at %s shows that the name exists", name)
	}
	closest, result := d.nsec3Encloser(name)
	if result.Status != Secure {
		return result
	}
	wildcard := dnsname.Wildcard(closest.name)
	other := d.nsec3Covering(wildcard)
	switch {
	case other == nil:
		return bogus(DenialFails, closest.evidence(), "no NSEC3 denies %s", wildcard)
	case closest.optOut():
		return insecure(OptOut, closest.evidence(other), "%s may be an unsigned delegation under opt-out", name)
	}
	return secure(NoSuchName, closest.evidence(other)...)
}

func (d Denial) nsec3NoData(name string, rrtype uint16) Result {
	if rr := d.nsec3At(name); rr != nil {
		return typeDenied(rr, rr.TypeBitMap, name, rrtype)
	}
	closest, source, result := d.nsec3Source(name)
	if source == nil {
		return result
	}
	result = typeDenied(source, source.TypeBitMap, dnsname.Wildcard(closest.name), rrtype)
	switch {
	case result.Status == Insecure:
		return bogus(DenialFails, closest.evidence(source), "the wildcard that would answer for %s is a delegation", name)
	case result.Status == Secure && closest.optOut():
		return insecure(OptOut, closest.evidence(source), "%s may be an unsigned delegation under opt-out", name)
	}
	result.Evidence = closest.evidence(source)
	return result
}

// nsec3Source finds the NSEC3 of the wildcard that a name which does not exist would be answered
// from (RFC 5155 8.7). Without one the result says what is missing, or that opt-out leaves it open
// (RFC 5155 8.6; RFC 6840 errata 3441 for other types than DS).
func (d Denial) nsec3Source(name string) (encloser, *dns.NSEC3, Result) {
	closest, result := d.nsec3Encloser(name)
	if result.Status != Secure {
		return closest, nil, result
	}
	source := d.nsec3At(dnsname.Wildcard(closest.name))
	switch {
	case source != nil:
		return closest, source, Result{}
	case closest.optOut():
		return closest, nil, insecure(OptOut, closest.evidence(), "%s may be an unsigned delegation under opt-out", name)
	}
	return closest, nil, bogus(DenialFails, closest.evidence(), "%s is proved not to exist, but no NSEC3 matches %s", name, dnsname.Wildcard(closest.name))
}

func (d Denial) nsec3NoDS(name string) Result {
	if rr := d.nsec3At(name); rr != nil {
		return cutDenied(rr, rr.TypeBitMap, name)
	}
	if result := d.nsec3NameError(name); result.Status != Bogus {
		return result
	}
	closest, source, result := d.nsec3Source(name)
	if source == nil {
		return result
	}
	result = cutDenied(source, source.TypeBitMap, dnsname.Wildcard(closest.name))
	if result.Status == Secure && closest.optOut() {
		return insecure(OptOut, closest.evidence(source), "%s may be an unsigned delegation under opt-out", name)
	}
	result.Evidence = closest.evidence(source)
	return result
}

func (d Denial) nsec3Wildcard(name, wildcard string) Result {
	encloser := dnsname.Parent(wildcard)
	if !dnsname.Below(name, encloser) {
		return bogus(DenialFails, nil, "%s is not a wildcard that matches %s", wildcard, name)
	}
	closer := dnsname.Suffix(name, dns.CountLabel(encloser)+1)
	cover := d.nsec3Covering(closer)
	switch {
	case cover == nil:
		return bogus(DenialFails, nil, "no NSEC3 proves that %s does not exist", closer)
	case cover.Flags&optOut != 0:
		return insecure(OptOut, []dns.RR{cover}, "%s may be an unsigned delegation under opt-out", closer)
	}
	return secure(WildcardProved, cover)
}
