package zonesign

import (
	"sync"
	"time"
)

// entry is a request with its signatures. Immutable.
type entry struct {
	request
	sigs Signatures
}

// serves reports whether the signatures are those that a request asks for.
func (e *entry) serves(r request) bool {
	if classes[r.keep].countsDown && e.set.TTL > r.set.TTL {
		r.set.TTL = e.set.TTL
	}
	return e.request.equal(r)
}

// usable reports whether the signatures may still be handed out.
func (e *entry) usable(now time.Time) bool {
	return !now.Before(e.sigs.Begins) && outlives(e.sigs.Expires, now, e.set.TTL)
}

// asked reports whether anybody may be using the signatures: renewal is not due yet, or it was tried
// and failed. Else nobody has come for them since, and their end concerns nobody.
func (e *entry) asked(now time.Time) bool { return e.sigs.Stale || now.Before(e.sigs.Refresh) }

// store keeps signatures, in two generations of half its capacity: when the young one is full, it
// becomes the old one, and the old one goes. What was asked for since then has moved to the young one,
// so that only what is no longer asked for is lost.
type store struct {
	mu         sync.Mutex
	half       int
	young, old map[uint64]*entry
}

func newStore(capacity int) *store {
	return &store{half: capacity / 2, young: map[uint64]*entry{}, old: map[uint64]*entry{}}
}

// get returns the entry of a request, or nil.
func (s *store) get(id uint64, r request) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(id, r)
	if e != nil {
		s.add(id, e)
	}
	return e
}

// put keeps signatures in the place of earlier ones.
func (s *store) put(id uint64, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(id, e)
}

// postpone notes that the renewal of a request's signatures failed and is next due at retry.
func (s *store) postpone(id uint64, r request, retry time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.find(id, r); e != nil {
		late := *e
		late.sigs.Stale, late.sigs.Refresh = true, retry
		s.add(id, &late)
	}
}

func (s *store) find(id uint64, r request) *entry {
	for _, generation := range [...]map[uint64]*entry{s.young, s.old} {
		if e := generation[id]; e != nil && e.serves(r) {
			return e
		}
	}
	return nil
}

func (s *store) add(id uint64, e *entry) {
	delete(s.old, id)
	if _, replaces := s.young[id]; !replaces && len(s.young) >= s.half {
		s.old, s.young = s.young, map[uint64]*entry{}
	}
	s.young[id] = e
}

// sweep drops the entries that drop names, and says how many.
func (s *store) sweep(drop func(*entry) bool) (dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, generation := range [...]map[uint64]*entry{s.young, s.old} {
		for id, e := range generation {
			if drop(e) {
				delete(generation, id)
				dropped++
			}
		}
	}
	return dropped
}

// each calls f for every entry, and returns how many there are.
func (s *store) each(f func(*entry)) int {
	n := 0
	s.sweep(func(e *entry) bool {
		n++
		f(e)
		return false
	})
	return n
}
