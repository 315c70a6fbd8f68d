// Package zones has the zones that a caa block serves: what each contains, by its policy, its keys and the zones cut out
// of it, and the prepared answers of policy-only zones.
//
// A Set is made whole from a policy, keys, and what the next plugin answered for its zones' servers, and swapped for the next
// one. One table (kinds.go) has the kinds of records that are synthesised; At and All read what came of it, and
// answers, denials and the overlay (package overlay) are made from these alone. No other zone, file or plugin is asked
// here. The one thing that grows in a Set are the zones that are found in the next plugin's answers.
package zones

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/dnswire"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// Config is what a Set is made from.
type Config struct {
	Policy   *policy.Snapshot
	Zones    []*policy.Zone                            // those that are served
	Keys     func(*policy.Zone) (*keyring.Keys, error) // of a zone
	Servers  map[string][]string                       // by overlay: the names of its servers, as its data say
	TTL      TTLs
	Signer   *zonesign.Signer
	Now      func() time.Time
	Changed  time.Time // when the policy changed
	Previous *Set      // that is replaced, nil for none
}

// Set is the zones that are served under one policy. Immutable except for the prepared answers and the zones that are
// found.
type Set struct {
	cfg     Config
	zones   map[string]*Zone // by canonical name
	answers *answers
	found   *found[Zone]
}

// NewSet makes the zones of a policy that the guard has accepted. The error is for keys that cannot be had, and for
// records that cannot be packed.
func NewSet(cfg Config) (*Set, error) {
	s := &Set{cfg: cfg, zones: make(map[string]*Zone, len(cfg.Zones)), answers: newAnswers(cfg.Signer, cfg.Now), found: newFound[Zone]()}
	plans := make(plans, len(cfg.Zones))
	for _, p := range cfg.Zones {
		keys, err := cfg.Keys(p)
		if err != nil {
			return nil, err
		}
		plans[p.Name] = s.plan(p, keys)
	}
	plans.connect(cfg.Policy.Certificates, cfg.Servers)
	for apex, p := range plans {
		z, err := newZone(p)
		if err != nil {
			return nil, err
		}
		s.zones[apex] = z
	}
	s.inherit()
	s.cfg.Previous = nil // its time is over
	return s, nil
}

// plan begins a zone. It keeps the serial of the zone that it replaces where nothing of it changes.
func (s *Set) plan(p *policy.Zone, keys *keyring.Keys) *plan {
	made := &plan{policy: p, keys: keys, ttl: s.cfg.TTL, cuts: map[string]cut{}, signals: map[string]*keyring.Keys{}}
	was := s.previous(p.Name)
	switch {
	case was == nil:
		made.serial = Serial(0, s.cfg.Changed)
	case was.Policy.Digest != p.Digest:
		made.serial = Serial(was.Serial, s.cfg.Changed)
	case !was.Keys.Same(keys):
		made.serial = Serial(was.Serial, s.cfg.Now())
	default:
		made.serial = was.Serial
	}
	return made
}

// previous is the zone that one is to replace, nil for none.
func (s *Set) previous(apex string) *Zone {
	if s.cfg.Previous == nil {
		return nil
	}
	return s.cfg.Previous.Zone(apex)
}

// Now is the time by the clock of the set.
func (s *Set) Now() time.Time { return s.cfg.Now() }

// Signer makes the signatures of all zones of the set.
func (s *Set) Signer() *zonesign.Signer { return s.cfg.Signer }

// Len is the number of zones without those that were found.
func (s *Set) Len() int { return len(s.zones) }

// Zones yields the zones without those that were found, in no order.
func (s *Set) Zones() iter.Seq[*Zone] {
	return func(yield func(*Zone) bool) {
		for _, z := range s.zones {
			if !yield(z) {
				return
			}
		}
	}
}

// Apexes yields the names of all zones, the ones that were found included.
func (s *Set) Apexes() iter.Seq[string] {
	return func(yield func(string) bool) {
		for apex := range s.zones {
			if !yield(apex) {
				return
			}
		}
		for z := range s.found.all() {
			if !yield(z.Name()) {
				return
			}
		}
	}
}

// Zone is the zone with exactly that name, nil for none.
func (s *Set) Zone(apex string) *Zone {
	if z := s.zones[apex]; z != nil {
		return z
	}
	return s.Found(apex)
}

// Found is the zone with that name among those that were found in the next plugin's answers, nil for none.
func (s *Set) Found(apex string) *Zone { return s.found.get(apex) }

// Find returns the closest zone at or above a canonical name, or nil. Its cost grows with the
// labels of the name, not with the number of zones.
func (s *Set) Find(name string) *Zone { return closest(name, s.Zone) }

// ForQuestion returns the zone that answers a question: the closest one, except for DS at an apex the one
// above it where that is served here, too (RFC 4035 3.1.4.1).
func (s *Set) ForQuestion(name string, qtype uint16) *Zone {
	z := s.Find(name)
	if z != nil && qtype == dns.TypeDS && name == z.Name() {
		if parent := above(name, s.Zone); parent != nil {
			return parent
		}
	}
	return z
}

// ChildDS are the DS records at a name of zone z where a zone begins that is served here, too.
func (s *Set) ChildDS(z *Zone, name string) (ds []dns.RR, ours bool) {
	if cut, ours := z.cuts[name]; ours {
		return cut.ds, true
	}
	if child := s.Found(name); child != nil {
		return child.Keys.ParentDS(child.TTL.Apex), true
	}
	return nil, false
}

// Answer is the prepared answer to a question about a name of the contents.
func (s *Set) Answer(ctx context.Context, v View, k Key) (*dnswire.Message, error) {
	return s.answers.answer(ctx, v, k)
}

// Discovers reports whether the policy has a default, which protects zones that it does not list.
func (s *Set) Discovers() bool { return s.cfg.Policy.Default() != nil }

// Adopt returns the zone with that apex, made from the policy's default where it is new. It is nil where
// the policy has no default: such a zone is not ours.
func (s *Set) Adopt(apex string) (z *Zone, isNew bool, err error) {
	if z := s.found.get(apex); z != nil {
		return z, false, nil
	}
	s.found.mu.Lock()
	defer s.found.mu.Unlock()
	if z := s.found.get(apex); z != nil {
		return z, false, nil
	}
	p := s.cfg.Policy.ZoneOrDefault(apex)
	if p == nil || p.PolicyOnly() {
		return nil, false, nil
	}
	if s.found.count.Load() >= MaxFound {
		return nil, false, fmt.Errorf("the next plugin serves more than %d zones that the policy does not list, and no more are added: list them in the policy", MaxFound)
	}
	if z, err = s.fromDefault(p); err != nil {
		return nil, false, err
	}
	s.found.change(apex, z)
	return z, true, nil
}

// inherit takes over the zones that were found under the previous set, as far as the policy has a default for them. One
// that fails is found again with the next question.
func (s *Set) inherit() {
	if s.cfg.Previous == nil {
		return
	}
	s.found.mu.Lock()
	defer s.found.mu.Unlock()
	for was := range s.cfg.Previous.found.all() {
		p := s.cfg.Policy.ZoneOrDefault(was.Name())
		if s.zones[was.Name()] != nil || p == nil || p.PolicyOnly() {
			continue
		}
		if z, err := s.fromDefault(p); err == nil {
			s.found.change(was.Name(), z)
		}
	}
}

// fromDefault makes a zone that was found. Without a key of its own it cannot have a DS at its
// parent either, so it is served unsigned rather than not at all.
func (s *Set) fromDefault(p *policy.Zone) (*Zone, error) {
	keys, err := s.cfg.Keys(p)
	if errors.Is(err, keyring.ErrNoKey) {
		keys, err = keyring.Unsigned(), nil
	}
	if err != nil {
		return nil, err
	}
	made := s.plan(p, keys)
	made.found = true
	return newZone(made)
}

// Forget takes out a zone that was found and is no longer there, and reports whether it was still in.
func (s *Set) Forget(z *Zone) bool {
	s.found.mu.Lock()
	defer s.found.mu.Unlock()
	if s.found.get(z.Name()) != z {
		return false
	}
	s.found.change(z.Name(), nil)
	return true
}
