package caa

import (
	"hash/maphash"
	"iter"
	"time"

	"github.com/coredns/coredns/plugin/pkg/cache"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// transientAnswers bounds the answers kept for names that the policy does not name: at 600 to 900
// octets each some ten megabytes, enough for the hosts of a large site to be answered from memory.
const transientAnswers = 16384

// serving is everything that answers are made from: one policy, its zones and their keys. It is
// built whole, checked, and swapped in by one atomic pointer.
type serving struct {
	policy    *policy.Snapshot
	zones     map[string]*zone // by canonical name
	signer    *zonesign.Signer
	now       func() time.Time
	transient *cache.Cache[*message]
	natures   *cache.Cache[*nature] // of names in the data of plugins that answer by type
	seed      maphash.Seed
	keys      keyring.Keyring
	ttl       ttls
	discovers bool       // whether the policy has a default
	found     discovered // zones of the next plugin's that the policy does not list
}

// newServing lays out the zones that a block serves under a policy that the guard has accepted.
func newServing(p *policy.Snapshot, zones []*policy.Zone, keys keyring.Keyring, ttl ttls, signer *zonesign.Signer, now func() time.Time) (*serving, error) {
	s := &serving{policy: p, zones: make(map[string]*zone, len(zones)), signer: signer, now: now,
		transient: cache.New[*message](transientAnswers), natures: cache.New[*nature](transientAnswers), seed: maphash.MakeSeed(), keys: keys, ttl: ttl, discovers: p.Default() != nil}
	for _, pz := range zones {
		set, err := keys.Of(pz)
		if err != nil {
			return nil, err
		}
		z, err := newZone(pz, set, ttl)
		if err != nil {
			return nil, err
		}
		s.zones[pz.Name] = z
	}
	for _, z := range s.zones {
		s.delegate(z)
	}
	for _, cert := range p.Certificates {
		s.protect(cert.Name)
	}
	return s, nil
}

// delegate tells the zone above z, where one is served here, of the zone cut: DS is the one type that
// is asked of the parent's side (RFC 4035 3.1.4.1).
func (s *serving) delegate(z *zone) {
	above := s.above(z.Name)
	if above == nil {
		return
	}
	above.cuts[z.Name] = z.ParentDS(s.ttl.apex)
	above.giveExistence(z.Name)
	types := []uint16{dns.TypeNS}
	if len(z.DS) > 0 {
		types = []uint16{dns.TypeDS, dns.TypeNS}
	}
	if above.PolicyOnly() {
		above.named[z.Name] = &named{types: types}
	}
}

// protect keeps the answers of a name that must stay issuable as those of the policy's own names.
func (s *serving) protect(name string) {
	z := s.find(name)
	if z != nil && z.named[name] == nil {
		z.named[name] = &named{types: z.locate(name).types}
	}
}

// apexes are those of all zones that are served, the ones that have appeared below included.
func (s *serving) apexes() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, zones := range []map[string]*zone{s.zones, s.found.all()} {
			for apex := range zones {
				if !yield(apex) {
					return
				}
			}
		}
	}
}

// find returns the closest zone at or above a canonical name, or nil. Its cost grows with the
// labels of the name, not with the number of zones.
func (s *serving) find(name string) *zone {
	found := s.found.all()
	for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
		if z := s.zones[name[off:]]; z != nil {
			return z
		}
		if z := found[name[off:]]; z != nil {
			return z
		}
	}
	return s.zones["."]
}

// above returns the closest zone strictly above a canonical name, or nil.
func (s *serving) above(name string) *zone {
	off, end := dns.NextLabel(name, 0)
	if end {
		if name == "." {
			return nil
		}
		return s.zones["."]
	}
	return s.find(name[off:])
}

// zoneOf returns the zone that answers a question: the closest one, but for DS at an apex the one
// above it where that is served here, too (RFC 4035 3.1.4.1).
func (s *serving) zoneOf(name string, qtype uint16) *zone {
	z := s.find(name)
	if z != nil && qtype == dns.TypeDS && name == z.Name {
		if above := s.above(name); above != nil {
			return above
		}
	}
	return z
}
