package keyroll

import "time"

// This file is about keys of which nobody knows what caches have: those that others made, and those of a state
// that may be a backup's. All are served and sign, until every cache has all of them; then the parent's DS
// says which is in use.

// takeOver says in which state keys are that were found: as their files have it in a zone that is not known
// yet, and unused in one that is. Files by other programs have no times.
func (s *step) takeOver(found []*Key) {
	for _, k := range found {
		past := func(t time.Time) bool { return !t.IsZero() && !t.After(s.in.Now) }
		k.State, k.Since = Made, s.in.Now
		switch {
		case past(k.Times.Delete):
			k.State = Removed
		case s.next.Seen.IsZero() && (past(k.Times.Publish) || past(k.Times.Activate) || k.Times == Times{}):
			k.State = Unsure // without any time it may well be in use, as BIND has it
			s.out.Changes = append(s.out.Changes, Change{k.ID, k.Role, Made, Unsure})
		}
		if k.Times.Created.IsZero() || k.State == Made && k.Times.Created.After(s.in.Now) {
			k.Times.Created = s.in.Now
		}
	}
}

// doubt stops to believe a state so old that it may be that of a backup, or from the future: everything that
// a cache may have or need is served and signs, until all caches have run out.
func (s *step) doubt() {
	seen := s.next.Seen
	tolerance := stale(s, seen).Sub(seen)
	if seen.IsZero() || s.in.Now.Sub(seen).Abs() <= tolerance {
		return
	}
	// A key that is in no backup yet has not been used, and nor has one whose other half is not.
	old := func(k *Key) bool {
		return k.State != Removed && (k.State != Made || !s.in.Now.Before(inBackups(s, k)))
	}
	used := func(k *Key) bool { return old(k) && (k.State != Made || s.whole(k, old)) }
	var unsure []*Key
	for _, k := range s.keys {
		if used(k) {
			unsure = append(unsure, k)
		}
	}
	for _, k := range unsure {
		s.enter(k, Unsure)
	}
}

// whole reports whether, with keys of its algorithm for which f holds, a key makes a set that can sign a zone.
func (s *step) whole(k *Key, f func(*Key) bool) bool {
	signs := k.Role
	for _, o := range s.keys {
		if o.ID.Algorithm == k.ID.Algorithm && f(o) {
			signs |= o.Role
		}
	}
	return signs == CSK
}

// judge says what keys that nobody knows about shall be once every cache has all of them: the newest that
// the parent names everywhere is in use, newer ones may be asked for, and older ones leave. A ZSK follows
// the newest KSK of its algorithm, and the newest such ZSK is in use.
func (s *step) judge() {
	served := func(k *Key) bool { return s.m.meanings[k.State].published }
	unsure := func(k *Key) bool { return k.State == Unsure && k.Role.has(KSK) && s.whole(k, served) }
	anchor := s.last(func(k *Key) bool { return unsure(k) && dsEverywhere(s, k) })
	switch {
	case s.next.Insecure:
		s.judgeAll(func(*Key) State { return Yielding })
		return
	case anchor != nil:
	case s.parent.everywhere(func(o *Observation) bool { return !o.secure() }):
		anchor = s.last(unsure)
	}
	if anchor == nil && s.any(func(k *Key) bool { return k.State == Unsure && k.Role.has(KSK) }) {
		return
	}
	newer := false
	s.judgeAll(func(k *Key) State {
		switch {
		case k.Role == ZSK:
			return Unsure
		case k == anchor:
			newer = true
			return Ready
		case newer && unsure(k):
			return Ready
		case anchor == nil:
			return Yielding
		case k.ID.Algorithm != anchor.ID.Algorithm:
			return Yielding
		}
		return Retiring
	})
	s.judgeAll(func(k *Key) State {
		ksk := func(o *Key) bool { return o.Role.has(KSK) && o.ID.Algorithm == k.ID.Algorithm }
		switch {
		case k.Role != ZSK:
			return s.verdicts[k]
		case s.any(func(o *Key) bool { return ksk(o) && coming(o) && o.State != Unsure && !inUse(o) }):
			return Unsure
		case !s.any(func(o *Key) bool { return ksk(o) && (s.verdicts[o] == Ready || inUse(o)) }):
			return Yielding
		case s.last(func(o *Key) bool { return o.Role == ZSK && o.State == Unsure && o.ID.Algorithm == k.ID.Algorithm }) == k:
			return Active
		}
		return Retiring
	})
}

// judgeAll sets the verdict of each key that nobody knows about, the oldest first.
func (s *step) judgeAll(verdict func(*Key) State) {
	for _, k := range s.keys {
		if k.State == Unsure {
			s.verdicts[k] = verdict(k)
		}
	}
}

// settles reports whether keys that nobody knows about become a state.
func settles(state State) func(*step, *Key) bool {
	return func(s *step, k *Key) bool {
		verdict, known := s.verdicts[k]
		return known && verdict == state || !known && state == Unsure
	}
}
