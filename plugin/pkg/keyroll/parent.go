package keyroll

import (
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Observation is what one server of the parent zone says of the DS RRset.
type Observation struct {
	Server string        // name or address, for people
	Err    error         // why it could not be asked; the rest is then empty
	Named  []ID          // our keys that a DS names
	Others []*dns.DS     // DS records that name no key of ours
	TTL    time.Duration // of the RRset; 0 without one
}

// Observe matches a DS RRset with keys. Digests that cannot be computed match nothing.
func Observe(server string, set []*dns.DS, keys []*dns.DNSKEY) Observation {
	o := Observation{Server: server}
	for _, ds := range set {
		if ds.Algorithm == 0 {
			continue // RFC 8078 4 has it ask for removal, and BIND's dnssec-cds makes a DS of that: it secures nothing
		}
		o.TTL = max(o.TTL, time.Duration(ds.Hdr.Ttl)*time.Second)
		i := slices.IndexFunc(keys, func(key *dns.DNSKEY) bool { return matches(ds, key) })
		if i < 0 {
			o.Others = append(o.Others, ds)
			continue
		}
		if id := (ID{keys[i].Algorithm, keys[i].KeyTag()}); !slices.Contains(o.Named, id) {
			o.Named = append(o.Named, id)
		}
	}
	return o
}

// matches reports whether a DS names a key (RFC 4034 5.1).
func matches(ds *dns.DS, key *dns.DNSKEY) bool {
	if ds.Algorithm != key.Algorithm || ds.KeyTag != key.KeyTag() {
		return false
	}
	made := key.ToDS(ds.DigestType)
	return made != nil && strings.EqualFold(made.Digest, ds.Digest)
}

// secure reports whether a server answered with a DS RRset.
func (o *Observation) secure() bool { return o.Err == nil && len(o.Named)+len(o.Others) > 0 }

// parent is what all of its servers say together.
type parent struct {
	servers  []Observation
	complete bool // each of them answered
}

func newParent(servers []Observation) parent {
	failed := slices.ContainsFunc(servers, func(o Observation) bool { return o.Err != nil })
	return parent{servers, len(servers) > 0 && !failed}
}

// names reports whether any server names a key.
func (p *parent) names(id ID) bool {
	return slices.ContainsFunc(p.servers, func(o Observation) bool { return slices.Contains(o.Named, id) })
}

// everywhere reports whether each server answered, and so that f holds for it.
func (p *parent) everywhere(f func(*Observation) bool) bool {
	return p.complete && !p.anywhere(func(o *Observation) bool { return !f(o) })
}

// anywhere reports whether f holds for a server that answered.
func (p *parent) anywhere(f func(*Observation) bool) bool {
	for i := range p.servers {
		if p.servers[i].Err == nil && f(&p.servers[i]) {
			return true
		}
	}
	return false
}

// ttl is the largest TTL of a DS RRset that was seen.
func (p *parent) ttl() time.Duration {
	var largest time.Duration
	for i := range p.servers {
		largest = max(largest, p.servers[i].TTL)
	}
	return largest
}

// observe notes since when the parent does without the keys that leave.
func (s *step) observe() {
	for _, k := range s.keys {
		if !k.Role.has(KSK) || k.State != Yielding && k.State != Retiring {
			continue
		}
		without := func(o *Observation) bool { return s.without(o, k) }
		switch {
		case s.parent.anywhere(func(o *Observation) bool { return !without(o) }):
			k.Gone = time.Time{}
		case s.parent.everywhere(without) && k.Gone.IsZero():
			k.Gone = s.in.Now
		}
	}
}

// without reports whether a server names a key that stays and not one that leaves; of a zone that goes
// insecure, whether it names none.
func (s *step) without(o *Observation, leaves *Key) bool {
	if s.next.Insecure {
		return !o.secure()
	}
	return !slices.Contains(o.Named, leaves.ID) && slices.ContainsFunc(o.Named, func(id ID) bool {
		return s.any(func(k *Key) bool { return k.ID == id && k.Role.has(KSK) && inUse(k) })
	})
}

// orphans lists the servers of the parent that have DS records, none of which names a key that is served.
func (s *step) orphans() []string {
	var servers []string
	for i := range s.parent.servers {
		o := &s.parent.servers[i]
		if o.secure() && !s.any(func(k *Key) bool {
			return k.Role.has(KSK) && s.m.meanings[k.State].published && slices.Contains(o.Named, k.ID)
		}) {
			servers = append(servers, o.Server)
		}
	}
	return servers
}
