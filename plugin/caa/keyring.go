package caa

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// keyring has the keys of the zones that a block serves. It is safe for use by several goroutines.
type keyring interface {
	// prepare gets ready for zones that are about to be served. Its error is why one of them cannot be,
	// which may be that its parent's DS names none of its keys.
	prepare(ctx context.Context, zones []*policy.Zone) error
	// of returns the keys of one zone as they are now.
	of(zone *policy.Zone) (*zoneKeys, error)
	// retain says which zones are served; the others' keys are no longer looked after.
	retain(zones []string)
	// watch looks after the keys until stop is closed. It calls changed when zones have other keys.
	watch(stop <-chan struct{}, changed func())
	// status is what the metrics show of each zone.
	status() map[string]keyStatus
}

// zoneKeys are the keys of a zone at one moment. Immutable, but for the TTLs that are seen.
type zoneKeys struct {
	keys   *zonesign.KeySet // nil when unsigned
	ds     []*dns.DS        // what a parent that is served here has
	from   time.Time        // since when there is to be a DS, while that is to come
	served *servedTTL       // shared by all zoneKeys of the zone
}

// publish says what to publish at the parent, and when.
func (k *zoneKeys) publish() (lines []string) {
	ds, when := k.ds, ""
	if k.keys != nil && len(ds) == 0 && !k.from.IsZero() {
		for _, key := range k.keys.SEPs() {
			ds = append(ds, key.ToDS(dns.SHA256))
		}
		when = k.from.UTC().Format(" from 2006-01-02 15:04 UTC on")
	}
	for _, rr := range ds {
		lines = append(lines, fmt.Sprintf("Publish at the parent%s: %s", when, dsText(rr)))
	}
	return lines
}

// unsignedKeys are those of a zone without DNSSEC.
func unsignedKeys() *zoneKeys { return &zoneKeys{served: new(servedTTL)} }

// keySet is the RRset of a type that the keys make at the apex: DNSKEY, CDS or CDNSKEY.
func (k *zoneKeys) keySet(rrtype uint16) (set zonesign.RRset, ok bool) {
	if k.keys == nil {
		return set, false
	}
	cds, cdnskey, sync := k.keys.CDS()
	switch rrtype {
	case dns.TypeDNSKEY:
		return k.keys.DNSKEYs(), true
	case dns.TypeCDS:
		return cds, sync
	case dns.TypeCDNSKEY:
		return cdnskey, sync
	}
	return set, false
}

// apexTypes are the types that keySet has.
func (k *zoneKeys) apexTypes() (types []uint16) {
	for _, t := range []uint16{dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY} {
		if _, ok := k.keySet(t); ok {
			types = append(types, t)
		}
	}
	return types
}

// parentDS are the DS records of the zone for a parent that is served here, too.
func (k *zoneKeys) parentDS(ttl uint32) (ds []dns.RR) {
	for _, rr := range k.ds {
		rr := dns.Copy(rr)
		rr.Header().Ttl = ttl
		ds = append(ds, rr)
	}
	return ds
}

// keyStatus is what the metrics show of a zone's keys.
type keyStatus struct {
	keys  []keyroll.Key
	next  time.Time       // when the next wait ends whose end is known; zero for none
	amiss map[string]bool // the codes of what is refused or amiss
	said  []keyroll.Observation
}

// show gives each metric to show, with its labels beside the zone.
func (s *keyStatus) show(show func(d *prometheus.Desc, value float64, labels ...string)) {
	for _, key := range s.keys {
		show(keyDesc, 1, key.ID.String(), key.Role.String(), key.State.String())
	}
	if !s.next.IsZero() {
		show(nextDesc, float64(s.next.Unix()))
	}
	for code := range s.amiss {
		show(troubleDesc, 1, code)
	}
	failed := 0
	for _, o := range s.said {
		if o.Err != nil {
			failed++
		}
	}
	if len(s.said) > 0 {
		show(parentDesc, float64(len(s.said)-failed), "answered")
		show(parentDesc, float64(failed), "failed")
	}
}

// newKeyring opens the keys that the block names.
func newKeyring(cfg *config) (keyring, error) {
	above := newParents(cfg)
	others := &cosigners{files: cfg.cosigned, covers: cfg.covers}
	if _, err := others.load(); err != nil {
		return nil, err
	}
	switch {
	case cfg.unsigned:
		return newFixedKeys(nil, above), nil
	case cfg.keyDir != "":
		return newRollingKeys(cfg, above, others), nil
	}
	sets, err := readKeys(cfg, others)
	return newFixedKeys(sets, above), err
}

// readKeys reads the keys of `key file`: what was given is all there is.
func readKeys(cfg *config, others *cosigners) (map[string]*zonesign.KeySet, error) {
	byZone := map[string][]*zonesign.Key{}
	for _, file := range cfg.keyFiles {
		key, err := zonesign.LoadKey(file)
		if err != nil {
			return nil, fmt.Errorf("key file %s: %w", file, err)
		}
		for _, warning := range key.Warnings {
			log.Warning(warning)
		}
		zone := lower(key.DNSKEY.Hdr.Name)
		if !cfg.covers(zone) {
			return nil, fmt.Errorf("key file %s: it is a key of %s, which this block does not serve; name the keys of its own zones (%s)", file, zone, strings.Join(cfg.zones, " "))
		}
		byZone[zone] = append(byZone[zone], key)
	}
	sets := map[string]*zonesign.KeySet{}
	for zone, keys := range byZone {
		keys = append(keys, others.of(zone, func(id keyroll.ID) bool {
			return slices.ContainsFunc(keys, func(k *zonesign.Key) bool { return k.Tag() == id.Tag && k.DNSKEY.Algorithm == id.Algorithm })
		})...)
		set, err := zonesign.NewKeySet(zone, newTTLs(cfg).apex, keys...)
		if err != nil {
			return nil, fmt.Errorf("key file: %w", err)
		}
		sets[zone] = set
	}
	return sets, nil
}

var errNoKey = errors.New("no key for the zone")
