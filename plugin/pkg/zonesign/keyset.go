package zonesign

import (
	"crypto"
	"fmt"

	"github.com/miekg/dns"
)

// KeySet is the DNSKEY RRset of one zone exactly as it is served, and who signs what. Immutable.
type KeySet struct {
	zone     string
	zoneWire []byte
	dnskeys  RRset
	keys     []*signingKey // KSKs and CSKs sign DNSKEY, CDS and CDNSKEY
	data     []*signingKey // ZSKs, or the CSKs of an algorithm that has no ZSK, sign the rest
	ds       []*dns.DS
}

// signingKey is a key as the signing wants it.
type signingKey struct {
	*Key
	alg    algorithm
	tag    uint16
	public crypto.PublicKey
}

// NewKeySet makes the key set of a zone. Each algorithm in it must be able to sign everything
// (RFC 4035 2.2): it needs a key with the SEP flag, which signs the data, too, where it is alone.
func NewKeySet(zone string, ttl uint32, keys ...*Key) (*KeySet, error) {
	ks := &KeySet{zone: dns.CanonicalName(zone)}
	var err error
	if ks.zoneWire, err = OwnerWire(ks.zone); err != nil {
		return nil, err
	}
	var rrs []dns.RR
	byAlgorithm := map[uint8][2][]*signingKey{} // without and with the SEP flag
	seen := map[string]bool{}
	for _, key := range keys {
		k, err := newSigningKey(ks.zone, key)
		if err != nil {
			return nil, err
		}
		id := fmt.Sprintf("%d+%d", key.DNSKEY.Algorithm, k.tag)
		if seen[id] {
			return nil, fmt.Errorf("two keys of %s have the tag %d: leave one out", ks.zone, k.tag)
		}
		seen[id] = true
		group := byAlgorithm[key.DNSKEY.Algorithm]
		role := 0
		if key.sep() {
			role = 1
			ks.ds = append(ks.ds, key.DNSKEY.ToDS(dns.SHA256))
		}
		group[role] = append(group[role], k)
		byAlgorithm[key.DNSKEY.Algorithm] = group
		rr := dns.Copy(key.DNSKEY)
		rr.Header().Name, rr.Header().Ttl = ks.zone, ttl
		rrs = append(rrs, rr)
	}
	for number, group := range byAlgorithm {
		zsk, sep := group[0], group[1]
		if len(sep) == 0 {
			return nil, fmt.Errorf("the zone %s has no key-signing key of algorithm %d (%s); add the one that the parent's DS names", ks.zone, number, dns.AlgorithmToString[number])
		}
		ks.keys = append(ks.keys, sep...)
		if len(zsk) == 0 {
			zsk = sep
		}
		ks.data = append(ks.data, zsk...)
	}
	if len(rrs) == 0 {
		return nil, fmt.Errorf("the zone %s has no key", ks.zone)
	}
	ks.dnskeys, err = NewRRset(rrs...)
	return ks, err
}

func newSigningKey(zone string, key *Key) (*signingKey, error) {
	if err := key.check(); err != nil {
		return nil, fmt.Errorf("key %d: %w", key.DNSKEY.KeyTag(), err)
	}
	if owner := dns.CanonicalName(key.DNSKEY.Hdr.Name); owner != zone {
		return nil, fmt.Errorf("key %d is a key of %s, not of %s", key.DNSKEY.KeyTag(), owner, zone)
	}
	alg := algorithms[key.DNSKEY.Algorithm]
	public, err := alg.public(key.DNSKEY)
	return &signingKey{Key: key, alg: alg, tag: key.DNSKEY.KeyTag(), public: public}, err
}

// Zone is the zone's canonical name.
func (k *KeySet) Zone() string { return k.zone }

// DNSKEYs is the DNSKEY RRset.
func (k *KeySet) DNSKEYs() RRset { return k.dnskeys }

// DS are the records that the parent publishes for the keys with the SEP flag (SHA-256, RFC 4509).
func (k *KeySet) DS() []*dns.DS {
	out := make([]*dns.DS, len(k.ds))
	for i, ds := range k.ds {
		out[i] = dns.Copy(ds).(*dns.DS)
	}
	return out
}

// signers are the keys that sign RRsets of a type (RFC 4035 2.2, RFC 7344 4.1).
func (k *KeySet) signers(rrtype uint16) []*signingKey {
	switch rrtype {
	case dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY:
		return k.keys
	}
	return k.data
}
