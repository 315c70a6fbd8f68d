package zonesign

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// Roles say who does what in a zone whose keys roll. The keys of all lists are taken together; one may be in
// any number of them.
type Roles struct {
	Published []*Key // the DNSKEY RRset
	Apex      []*Key // sign DNSKEY, CDS and CDNSKEY; each is published and has the SEP flag
	Data      []*Key // sign the rest. One that is not published comes or goes with its algorithm (RFC 6781 4.1.4)
	Named     []*Key // CDS and CDNSKEY name them (RFC 7344); each is published
	Delete    bool   // CDS and CDNSKEY ask for the DS to be removed (RFC 8078 4), and Named is empty
}

// NewRollingKeySet puts the keys of a zone together as roles say; ttl, in seconds, is that of DNSKEY, CDS and
// CDNSKEY. Its DS are those of the keys that CDS names.
//
// Errors: as those of NewKeySet, and roles by which no validator could follow a DS to the data: each algorithm
// that is published signs DNSKEY and, by a published key, data.
func NewRollingKeySet(zone string, ttl uint32, roles Roles) (*KeySet, error) {
	ks := &KeySet{zone: dns.CanonicalName(zone), local: true}
	var err error
	if ks.wire, err = OwnerWire(ks.zone); err != nil {
		return nil, err
	}
	r := rolling{ks: ks, keys: map[*Key]*signingKey{}}
	published, apex, data, named := r.all(roles.Published), r.all(roles.Apex), r.all(roles.Data), r.all(roles.Named)
	if r.err != nil {
		return nil, r.err
	}
	slices.SortFunc(published, func(a, b *signingKey) int { return bytes.Compare(a.rdata, b.rdata) })
	if err := ks.publish(ttl, published); err != nil {
		return nil, err
	}
	ks.apex, ks.data = apex, data
	for _, key := range data {
		key.unlisted = !ks.published(key)
	}
	if err := errors.Join(ks.follows(published), ks.name(ttl, named, roles.Delete)); err != nil {
		return nil, err
	}
	return ks, nil
}

// rolling makes each key's signingKey once.
type rolling struct {
	ks   *KeySet
	keys map[*Key]*signingKey
	err  error
}

func (r *rolling) all(keys []*Key) (all []*signingKey) {
	for _, key := range keys {
		k := r.keys[key]
		if k == nil {
			made, err := newSigningKey(r.ks.zone, key)
			if err != nil {
				r.err = errors.Join(r.err, fmt.Errorf("key %s: %w", key, err))
				continue
			}
			k, r.keys[key] = made, made
			r.ks.local = r.ks.local && (k.trust || key.Signer == nil)
		}
		all = append(all, k)
	}
	return all
}

// follows says why a validator could not follow a DS to the data.
func (k *KeySet) follows(published []*signingKey) error {
	if len(published) == 0 {
		return fmt.Errorf("%s has no key", k.zone)
	}
	var errs []error
	for _, key := range slices.Concat(k.apex, k.data) {
		if key.Signer == nil {
			errs = append(errs, fmt.Errorf("%s must sign, but its private key is missing", key))
		}
	}
	for _, key := range k.apex {
		if !key.SEP() || !k.published(key) {
			errs = append(errs, fmt.Errorf("%s signs DNSKEY without being published or having the SEP flag (257)", key))
		}
	}
	by := func(number uint8, keys []*signingKey) bool {
		return slices.ContainsFunc(keys, func(key *signingKey) bool {
			return key.DNSKEY.Algorithm == number && !key.unlisted
		})
	}
	for _, number := range algorithmNumbers(published) {
		if !by(number, k.apex) || !by(number, k.data) {
			errs = append(errs, fmt.Errorf("%s has keys of algorithm %s that do not sign both DNSKEY and data (RFC 4035 2.2)", k.zone, algorithmName(number)))
		}
	}
	return errors.Join(errs...)
}

// deleteCDS and deleteCDNSKEY are the RDATA that ask the parent to remove its DS (RFC 8078 4).
var (
	deleteCDS     = []byte{0, 0, 0, 0, 0}
	deleteCDNSKEY = []byte{0, 0, dnskeyProtocol, 0, 0}
)

// name makes CDS, by SHA-256 (RFC 8624 3.3), and CDNSKEY.
func (k *KeySet) name(ttl uint32, named []*signingKey, remove bool) error {
	k.ds = nil
	if len(named) == 0 && !remove {
		return nil
	}
	if len(named) > 0 && remove {
		return errors.New("CDS cannot name keys and request removal at the same time (RFC 8078 4)")
	}
	k.cds = RRset{Owner: k.zone, Type: dns.TypeCDS, TTL: ttl}
	k.cdnskey = RRset{Owner: k.zone, Type: dns.TypeCDNSKEY, TTL: ttl}
	if remove {
		k.cds.RDATA, k.cdnskey.RDATA = [][]byte{deleteCDS}, [][]byte{deleteCDNSKEY}
		return nil
	}
	for _, key := range named {
		if !k.published(key) || !key.SEP() {
			return fmt.Errorf("CDS would name %s, which is not published or lacks the SEP flag (257)", key)
		}
		ds := key.DNSKEY.ToDS(dns.SHA256)
		ds.Hdr = dns.RR_Header{Name: k.zone, Rrtype: dns.TypeDS, Class: dns.ClassINET, Ttl: ttl}
		rdata, err := canonicalRDATA(ds)
		if err != nil {
			return err
		}
		k.ds = append(k.ds, ds)
		k.cds.RDATA = append(k.cds.RDATA, rdata)
		k.cdnskey.RDATA = append(k.cdnskey.RDATA, key.rdata)
	}
	slices.SortFunc(k.cds.RDATA, bytes.Compare)
	slices.SortFunc(k.cdnskey.RDATA, bytes.Compare)
	return nil
}

// CDS and CDNSKEY are the RRsets to serve at the apex, signed as DNSKEY is; exist reports whether there are any.
func (k *KeySet) CDS() (cds, cdnskey RRset, exist bool) {
	return k.cds, k.cdnskey, len(k.cds.RDATA) > 0
}
