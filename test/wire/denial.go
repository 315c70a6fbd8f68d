package wire

import (
	"bytes"

	"github.com/miekg/dns"
)

// denial reads a denial (RFC 2308 2, RFC 9824 3).
func (c *checker) denial(zone *Zone, soa *set) {
	c.meaning.Kind = NoData
	if soa.owner != dns.CanonicalName(zone.Apex) || len(soa.rrs) != 1 || soa.ttl() > soa.rrs[0].(*dns.SOA).Minttl {
		c.fault(DenialSOA, "%v", soa.rrs)
	}
	soa.claim(zone)
	if !c.signs(zone) {
		if c.m.Rcode == dns.RcodeNameError {
			c.meaning.Kind = NoName
		}
		return
	}
	nsec := c.find(authoritySection, c.meaning.Name, dns.TypeNSEC)
	if nsec == nil {
		c.fault(DenialProof, "none at %s", c.meaning.Name)
		return
	}
	c.nsec(zone, nsec.claim(zone))
	types := bitmap(nsec)
	if types[dns.TypeNXNAME] {
		c.meaning.Kind = NoName
	}
	if types[c.q.Qtype] || types[dns.TypeCNAME] {
		c.fault(Bitmap, "%v denies %s", nsec.rrs[0], dns.Type(c.q.Qtype))
	}
	if types[dns.TypeNS] && !types[dns.TypeSOA] && c.q.Qtype != dns.TypeDS {
		c.fault(Telling, "%v: a cut, for which a referral is the answer", nsec.rrs[0])
	}
	// The original TTL is the SOA's own: a cache may count it down.
	limit := soa.rrs[0].(*dns.SOA).Minttl
	for _, sig := range soa.sigs {
		limit = min(limit, sig.OrigTtl)
	}
	if nsec.ttl() > limit {
		c.fault(DenialTTL, "%v beside %v", nsec.rrs[0], soa.rrs[0])
	}
}

// nsec checks an NSEC for what it says by itself, whether it denies or was asked for.
func (c *checker) nsec(zone *Zone, s *set) {
	if len(s.rrs) != 1 {
		c.fault(DenialProof, "%d of them", len(s.rrs))
	}
	types, apex := bitmap(s), s.owner == dns.CanonicalName(zone.Apex)
	if !isSuccessor(s.owner, s.rrs[0].(*dns.NSEC).NextDomain) {
		c.fault(Successor, "%v", s.rrs[0])
	}
	if !types[dns.TypeNSEC] || !types[dns.TypeRRSIG] {
		c.fault(Bitmap, "%v", s.rrs[0])
	}
	cut := types[dns.TypeNS] && !types[dns.TypeSOA]
	switch alone := len(types) == 3; {
	case types[dns.TypeNXNAME]:
		if !alone || apex {
			c.fault(Telling, "%v", s.rrs[0])
		}
	case types[dns.TypeCNAME]:
		if !alone || apex {
			c.fault(Telling, "%v", s.rrs[0])
		}
	case apex != types[dns.TypeSOA], apex != types[dns.TypeDNSKEY], apex && !types[dns.TypeNS], types[dns.TypeDS] && !cut, cut && len(types) > 4:
		c.fault(Telling, "%v", s.rrs[0])
	case !cut && !types[dns.TypeCAA]:
		c.fault(HidesCAA, "%v", s.rrs[0])
	}
}

// bitmap are the types of an NSEC.
func bitmap(s *set) map[uint16]bool {
	types := map[uint16]bool{}
	for _, t := range s.rrs[0].(*dns.NSEC).TypeBitMap {
		types[t] = true
	}
	return types
}

// isSuccessor reports whether next is the very first name after owner: owner with a label of one zero
// octet before it (RFC 4034 6.1). Where that is too long, it need only follow owner closely enough for
// no name of the zone to lie between (RFC 4471), which the caller's names cannot be held against here.
func isSuccessor(owner, next string) bool {
	a, b := wireName(owner), wireName(next)
	if len(a)+2 > 255 {
		return !bytes.Equal(a, b)
	}
	return bytes.Equal(append([]byte{1, 0}, a...), b)
}

// wireName is the canonical wire form (RFC 4034 6.2); empty for what is no name.
func wireName(name string) []byte {
	buf := make([]byte, 256)
	n, err := dns.PackDomainName(dns.CanonicalName(name), buf, 0, nil, false)
	if err != nil {
		return nil
	}
	return buf[:n]
}
