package wire

import (
	"slices"

	"github.com/miekg/dns"
)

// signs reports whether data of a zone come with signatures here.
func (c *checker) signs(z *Zone) bool { return c.do && z != nil && len(z.Keys) > 0 }

// judge holds each RRset to what it is here for.
func (c *checker) judge() {
	for _, s := range c.sets {
		switch {
		case !s.reason:
			c.fault(Reason, "%v has none", s)
		case !c.signs(s.zone):
			if len(s.sigs) > 0 {
				c.fault(NotSigned, "%v", s)
			}
		default:
			c.signed(s)
		}
		if s.rrtype == dns.TypeDNSKEY && s.zone != nil && !sameKeys(s.rrs, s.zone.Keys) {
			c.fault(KeySet, "%v", s.rrs)
		}
	}
}

// signed checks the signatures over an RRset of a zone.
func (c *checker) signed(s *set) {
	made := map[uint8]bool{}
	for _, sig := range s.sigs {
		if made[sig.Algorithm] = true; c.signatureForm(s.zone, s, sig) {
			c.verify(s, sig)
		}
	}
	for _, key := range s.zone.Keys {
		if !made[key.Algorithm] {
			c.fault(Signed, "%v: no signature by algorithm %d", s, key.Algorithm)
			made[key.Algorithm] = true
		}
	}
	if secured[s.rrtype] && !slices.ContainsFunc(s.sigs, func(sig *dns.RRSIG) bool { return bySEP(s.zone, sig) }) {
		c.fault(Key, "%v: none by a secure entry point", s)
	}
}

// secured are the RRsets that the key which the parent's DS names must sign (RFC 4035 5.2, RFC 7344 4.1).
var secured = map[uint16]bool{dns.TypeDNSKEY: true, dns.TypeCDS: true, dns.TypeCDNSKEY: true}

func bySEP(z *Zone, sig *dns.RRSIG) bool {
	key := keyOf(z, sig)
	return key != nil && key.Flags&dns.SEP != 0
}

func keyOf(z *Zone, sig *dns.RRSIG) *dns.DNSKEY {
	for _, key := range z.Keys {
		if key.KeyTag() == sig.KeyTag && key.Algorithm == sig.Algorithm && key.Flags&dns.ZONE != 0 && key.Flags&dns.REVOKE == 0 && key.Protocol == 3 {
			return key
		}
	}
	return nil
}

// signatureForm checks what a signature says of itself. It reports whether there is a key to verify it.
func (c *checker) signatureForm(z *Zone, s *set, sig *dns.RRSIG) bool {
	if dns.CanonicalName(sig.SignerName) != dns.CanonicalName(z.Apex) || sig.Labels != labels(s.owner) {
		c.fault(SignerLabels, "%v of %v", sig, s)
	}
	if sig.Hdr.Ttl != s.ttl() || sig.OrigTtl < s.ttl() {
		c.fault(SignatureTTL, "%v of %v with TTL %d", sig, s, s.ttl())
	}
	// Serial arithmetic (RFC 1982) on seconds.
	now := uint32(c.now.Unix())
	if int32(now-sig.Inception) < 0 || int32(sig.Expiration-now) < 0 || sig.Expiration-now < sig.OrigTtl {
		c.fault(Period, "%v of %v at %v", sig, s, c.now)
	}
	if keyOf(z, sig) == nil {
		c.fault(Key, "%v of %v", sig, s)
		return false
	}
	return true
}

func (c *checker) verify(s *set, sig *dns.RRSIG) {
	if err := sig.Verify(keyOf(s.zone, sig), s.rrs); err != nil {
		c.fault(Cryptography, "%v of %v: %v", sig, s, err)
	}
}

// labels counts as RRSIG does: without the root and a leading asterisk (RFC 4034 3.1.3).
func labels(owner string) uint8 {
	n := dns.CountLabel(owner)
	if len(owner) > 1 && owner[:2] == "*." {
		n--
	}
	return uint8(n)
}

func sameKeys(rrs []dns.RR, keys []*dns.DNSKEY) bool {
	return len(rrs) == len(keys) && !slices.ContainsFunc(rrs, func(rr dns.RR) bool {
		return !slices.ContainsFunc(keys, func(key *dns.DNSKEY) bool { return dns.IsDuplicate(rr, key) })
	})
}
