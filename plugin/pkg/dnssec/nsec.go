package dnssec

import (
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// nsecAt is the NSEC at a name.
func (d Denial) nsecAt(name string) *dns.NSEC {
	for _, rr := range d.nsec {
		if dns.CanonicalName(rr.Hdr.Name) == name {
			return rr
		}
	}
	return nil
}

// nsecCovering is the NSEC that proves a name not to exist.
func (d Denial) nsecCovering(name string) *dns.NSEC {
	for _, rr := range d.nsec {
		if nsecCovers(rr, name) {
			return rr
		}
	}
	return nil
}

// nsecCovers reports whether a name is between an NSEC's owner and its next name. The last NSEC of a
// zone has the apex for its next. One above the name at a zone cut or with a DNAME speaks for its own
// side only (RFC 6840 4.1).
func nsecCovers(rr *dns.NSEC, name string) bool {
	owner, next := dns.CanonicalName(rr.Hdr.Name), dns.CanonicalName(rr.NextDomain)
	if dnsname.Below(name, owner) && (delegates(rr.TypeBitMap) || has(rr.TypeBitMap, dns.TypeDNAME)) {
		return false
	}
	if dnsname.Compare(owner, name) >= 0 {
		return false
	}
	if dnsname.Compare(owner, next) < 0 {
		return dnsname.Compare(name, next) < 0
	}
	return dnsname.Below(name, next)
}

// emptyNonTerminal finds the NSEC that proves a name to exist without data: its next name is below.
func (d Denial) emptyNonTerminal(name string) *dns.NSEC {
	for _, rr := range d.nsec {
		if dnsname.Below(rr.NextDomain, name) && nsecCovers(rr, name) {
			return rr
		}
	}
	return nil
}

// nsecEncloser is the closest encloser of a name that an NSEC covers: whatever the name shares with
// the two names that do exist.
func nsecEncloser(rr *dns.NSEC, name string) string {
	shared := max(dns.CompareDomainName(rr.Hdr.Name, name), dns.CompareDomainName(rr.NextDomain, name))
	return dns.CanonicalName(dnsname.Suffix(name, shared))
}

// cutAbove finds an NSEC that proves an unsigned delegation above a name.
func (d Denial) cutAbove(name string) *dns.NSEC {
	for _, rr := range d.nsec {
		if dnsname.Below(name, rr.Hdr.Name) && delegates(rr.TypeBitMap) && !has(rr.TypeBitMap, dns.TypeDS) {
			return rr
		}
	}
	return nil
}

func (d Denial) nsecNameError(name string) Result {
	if rr := d.nsecAt(name); rr != nil {
		if has(rr.TypeBitMap, dns.TypeNXNAME) {
			return secure(NoSuchName, rr) // RFC 9824 3.2, with its RCODE restored (5.1)
		}
		return bogus(DenialContradicts, []dns.RR{rr}, "the denial at %s shows that the name exists", name)
	}
	cover := d.nsecCovering(name)
	switch cut := d.cutAbove(name); {
	case cut != nil:
		return insecure(InsecureCut, []dns.RR{cut}, "%s is below an unsigned delegation", name)
	case cover == nil:
		return bogus(DenialFails, nil, "no NSEC covers %s", name)
	case dnsname.Below(cover.NextDomain, name):
		return bogus(DenialContradicts, []dns.RR{cover}, "%s exists, because names below it do", name)
	}
	wildcard := dnsname.Wildcard(nsecEncloser(cover, name))
	other := d.nsecCovering(wildcard)
	if other == nil {
		return bogus(DenialFails, []dns.RR{cover}, "no NSEC denies %s", wildcard)
	}
	return secure(NoSuchName, cover, other)
}

func (d Denial) nsecNoData(name string, rrtype uint16) Result {
	if rr := d.nsecAt(name); rr != nil {
		result := typeDenied(rr, rr.TypeBitMap, name, rrtype)
		if result.Status == Secure && has(rr.TypeBitMap, dns.TypeNXNAME) {
			result.Reason = NoSuchName
		}
		return result
	}
	if cut := d.cutAbove(name); cut != nil {
		return insecure(InsecureCut, []dns.RR{cut}, "%s is below an unsigned delegation", name)
	}
	if rr := d.emptyNonTerminal(name); rr != nil {
		return secure(NoSuchType, rr)
	}
	cover, source, result := d.nsecSource(name)
	if source == nil {
		return result
	}
	result = typeDenied(source, source.TypeBitMap, dns.CanonicalName(source.Hdr.Name), rrtype)
	if result.Status == Insecure { // a wildcard is no delegation of anything (RFC 4592 4.2)
		return bogus(DenialFails, []dns.RR{cover, source}, "the wildcard that would answer for %s is a delegation", name)
	}
	result.Evidence = []dns.RR{cover, source}
	return result
}

// nsecSource finds the NSEC of the wildcard that a name which does not exist would be answered from
// (RFC 4035 3.1.3.4), beside the one that covers the name. Without one the result says what is missing,
// or that the wildcard has no data of any type.
func (d Denial) nsecSource(name string) (cover, source *dns.NSEC, result Result) {
	cover = d.nsecCovering(name)
	if cover == nil {
		return nil, nil, bogus(DenialFails, nil, "no NSEC matches or covers %s", name)
	}
	wildcard := dnsname.Wildcard(nsecEncloser(cover, name))
	if source = d.nsecAt(wildcard); source != nil {
		return cover, source, Result{}
	}
	if rr := d.emptyNonTerminal(wildcard); rr != nil {
		return cover, nil, secure(NoSuchType, cover, rr)
	}
	return cover, nil, bogus(DenialFails, []dns.RR{cover}, "%s is proved not to exist, but no NSEC matches %s", name, wildcard)
}

func (d Denial) nsecNoDS(name string) Result {
	if rr := d.nsecAt(name); rr != nil {
		return cutDenied(rr, rr.TypeBitMap, name)
	}
	if rr := d.emptyNonTerminal(name); rr != nil {
		return secure(NotACut, rr)
	}
	if result := d.nsecNameError(name); result.Status != Bogus {
		return result
	}
	cover, source, result := d.nsecSource(name)
	if source == nil {
		if result.Status == Secure {
			result.Reason = NotACut
		}
		return result
	}
	result = cutDenied(source, source.TypeBitMap, dns.CanonicalName(source.Hdr.Name))
	result.Evidence = []dns.RR{cover, source}
	return result
}

func (d Denial) nsecWildcard(name, wildcard string) Result {
	cover := d.nsecCovering(name)
	if cover == nil || dnsname.Below(cover.NextDomain, name) {
		return bogus(DenialFails, nil, "no NSEC proves that %s itself does not exist", name)
	}
	if closest := dnsname.Wildcard(nsecEncloser(cover, name)); closest != wildcard {
		return bogus(DenialFails, []dns.RR{cover}, "%s was expanded from %s, but %s is a closer encloser", name, wildcard, closest)
	}
	return secure(WildcardProved, cover)
}
