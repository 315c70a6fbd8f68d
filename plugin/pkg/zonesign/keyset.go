package zonesign

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"
)

// KeySet is the DNSKEY RRset of one zone exactly as it is served, and who signs what in the zone.
// Immutable: another set of keys is another KeySet, with signatures of its own.
type KeySet struct {
	zone    string
	wire    []byte // of the zone's name, canonical: the Signer's Name of every RRSIG
	dnskeys RRset
	cds     RRset // no RDATA: there is none
	cdnskey RRset
	ds      []*dns.DS
	apex    []*signingKey // sign DNSKEY, CDS and CDNSKEY: KSKs and CSKs
	data    []*signingKey // sign the rest: ZSKs, or the CSKs of an algorithm without ZSK
	local   bool          // every signer is a key of this process
}

// signingKey is a key as signing needs it.
type signingKey struct {
	*Key
	alg      *algorithm
	tag      uint16
	public   crypto.PublicKey // as published
	rdata    []byte           // of the DNSKEY
	trust    bool             // a key of this process: its first signature proves it
	unlisted bool             // it signs data and is not in DNSKEY, beside keys that are: NewRollingKeySet has checked
	proven   atomic.Bool      // a signature of it verified with the public half as published
}

// NewKeySet puts the keys of a zone together; ttl, in seconds, is that of the DNSKEY RRset. Keys with
// the SEP flag sign DNSKEY, CDS and CDNSKEY, those without it the rest, and where an algorithm has no
// key without it, its SEP keys sign everything. Each algorithm of the set signs every RRset
// (RFC 4035 2.2, RFC 6840 5.11).
//
// Errors: no key, a key of another zone or one that cannot be a zone's, two with one tag, an algorithm
// that cannot sign.
func NewKeySet(zone string, ttl uint32, keys ...*Key) (*KeySet, error) {
	ks := &KeySet{zone: dns.CanonicalName(zone), local: true}
	var err error
	if ks.wire, err = OwnerWire(ks.zone); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s has no key", ks.zone)
	}
	var all []*signingKey
	for _, key := range keys {
		k, err := newSigningKey(ks.zone, key)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", key, err)
		}
		all = append(all, k)
		ks.local = ks.local && (k.trust || key.Signer == nil)
	}
	slices.SortFunc(all, func(a, b *signingKey) int { return bytes.Compare(a.rdata, b.rdata) })
	if err := errors.Join(ks.publish(ttl, all), ks.assign(all)); err != nil {
		return nil, err
	}
	return ks, nil
}

func newSigningKey(zone string, key *Key) (*signingKey, error) {
	if owner := dns.CanonicalName(key.DNSKEY.Hdr.Name); owner != zone {
		return nil, fmt.Errorf("the key belongs to %s, not to %s", owner, zone)
	}
	alg, public, err := key.check()
	if err != nil {
		return nil, err
	}
	rdata, err := canonicalRDATA(key.DNSKEY)
	return &signingKey{Key: key, alg: alg, tag: key.Tag(), public: public, rdata: rdata, trust: inProcess(key.Signer)}, err
}

// publish makes the DNSKEY RRset and the DS records that name its secure entry points.
func (k *KeySet) publish(ttl uint32, all []*signingKey) error {
	k.dnskeys = RRset{Owner: k.zone, Type: dns.TypeDNSKEY, TTL: ttl}
	for i, key := range all {
		for _, other := range all[:i] {
			if other.tag == key.tag && other.alg == key.alg {
				return fmt.Errorf("two keys have the ID %s, and a signature could not tell them apart: remove one", key)
			}
		}
		k.dnskeys.RDATA = append(k.dnskeys.RDATA, key.rdata)
		if key.SEP() {
			ds := key.DNSKEY.ToDS(dns.SHA256)
			ds.Hdr = dns.RR_Header{Name: k.zone, Rrtype: dns.TypeDS, Class: dns.ClassINET, Ttl: ttl}
			k.ds = append(k.ds, ds)
		}
	}
	return nil
}

// assign says who signs what, algorithm by algorithm.
func (k *KeySet) assign(all []*signingKey) error {
	var errs []error
	for _, number := range algorithmNumbers(all) {
		var sep, zsk []*signingKey
		for _, key := range all {
			switch {
			case key.DNSKEY.Algorithm != number || key.Signer == nil:
			case key.SEP():
				sep = append(sep, key)
			default:
				zsk = append(zsk, key)
			}
		}
		if len(sep) == 0 {
			errs = append(errs, fmt.Errorf("%s has no key with the SEP flag (257) that can sign with algorithm %s: add the KSK that the parent's DS matches", k.zone, algorithmName(number)))
		}
		if len(zsk) == 0 {
			zsk = sep
		}
		k.apex, k.data = append(k.apex, sep...), append(k.data, zsk...)
	}
	return errors.Join(errs...)
}

// algorithmNumbers lists the algorithms of the keys in rising order.
func algorithmNumbers(keys []*signingKey) []uint8 {
	var numbers []uint8
	for _, key := range keys {
		numbers = append(numbers, key.DNSKEY.Algorithm)
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// Zone is the zone's name in lower case, fully qualified.
func (k *KeySet) Zone() string { return k.zone }

// DNSKEYs is the DNSKEY RRset to serve.
func (k *KeySet) DNSKEYs() RRset { return k.dnskeys }

// SEPs are the published keys that a DS may name: those with the SEP flag.
func (k *KeySet) SEPs() (seps []*dns.DNSKEY) {
	for _, key := range k.apex {
		seps = append(seps, key.DNSKEY)
	}
	return seps
}

// DS are the records that the parent publishes: one for each key with the SEP flag, by SHA-256
// (RFC 4509), with the TTL of the DNSKEY RRset. They are the caller's to change.
func (k *KeySet) DS() []*dns.DS {
	out := make([]*dns.DS, len(k.ds))
	for i, ds := range k.ds {
		out[i] = dns.Copy(ds).(*dns.DS)
	}
	return out
}

// apexTypes are signed by the key that the parent's DS names, and are at the apex alone (RFC 4035
// 2.2, RFC 7344 4.1), except for the CDS and CDNSKEY of other zones.
var apexTypes = map[uint16]bool{dns.TypeDNSKEY: true, dns.TypeCDS: true, dns.TypeCDNSKEY: true}

// signers are the keys that sign RRsets of a type.
func (k *KeySet) signers(rrtype uint16) []*signingKey {
	if apexTypes[rrtype] {
		return k.apex
	}
	return k.data
}

// admits says why a zone with these keys cannot hold an RRset; owner is its canonical wire form.
func (k *KeySet) admits(set RRset, owner []byte) error {
	switch {
	case !atOrBelow(owner, k.wire):
		return fmt.Errorf("the owner is not in the zone %s (coredns/coredns#8138)", k.zone)
	case apexTypes[set.Type] && len(owner) != len(k.wire):
		if signals(set) {
			return nil
		}
		return fmt.Errorf("the owner is below the apex of %s", k.zone)
	case (set.Type == dns.TypeCDS && k.cds.RDATA != nil && !set.equal(k.cds)) || (set.Type == dns.TypeCDNSKEY && k.cdnskey.RDATA != nil && !set.equal(k.cdnskey)):
		return fmt.Errorf("it is not the %s RRset of %s as served", dns.Type(set.Type), k.zone)
	case set.Type == dns.TypeDNSKEY && !set.equal(k.dnskeys):
		return fmt.Errorf("it is not the DNSKEY RRset of %s as served", k.zone)
	case set.Type == dns.TypeNSEC && !k.nextInZone(set):
		return fmt.Errorf("its Next Domain Name is not in the zone %s", k.zone)
	}
	return nil
}

// signals reports whether an RRset speaks of the keys of another zone (RFC 9615 4.1).
func signals(set RRset) bool {
	return set.Type != dns.TypeDNSKEY && strings.HasPrefix(set.Owner, "_dsboot.") && strings.Contains(set.Owner, "._signal.")
}

func (k *KeySet) nextInZone(set RRset) bool {
	for _, rdata := range set.RDATA {
		end := nameEnd(rdata)
		if end < 0 || !atOrBelow(rdata[:end], k.wire) {
			return false
		}
	}
	return true
}

// published reports whether a key is in the DNSKEY RRset as served. The makers of a KeySet see to it; it is
// asked again at the point of signing, because the answer "no" took .de down (2026-05-05).
func (k *KeySet) published(key *signingKey) bool {
	return slices.ContainsFunc(k.dnskeys.RDATA, func(rdata []byte) bool { return bytes.Equal(rdata, key.rdata) })
}
