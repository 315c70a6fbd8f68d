package keyroll

import (
	"slices"
	"time"
)

// This file says when each wait ends: functions of a key, the settings and the TTLs, named for the moment
// they compute. The zero time is one that nobody knows yet.

// keysEverywhere is when every cache has learned of a DNSKEY RRset served since the key's state began
// (RFC 7583 3.2.1, Ipub = Dprp + TTLkey).
func keysEverywhere(s *step, k *Key) time.Time {
	return s.after(k.Since, s.in.Settings.Propagation, s.next.KeyTTL.Largest)
}

// signaturesEverywhere is when data in every cache has the signatures that are made since then (RFC 7583
// 3.2.1, Iret = Dsgn + Dprp + TTLsig; we sign at once, so there is no Dsgn).
func signaturesEverywhere(s *step, k *Key) time.Time {
	return s.after(k.Since, s.in.Settings.Propagation, s.next.DataTTL.Largest)
}

// zoneEverywhere is when every cache has learned of all that is served since then. Unsigned data count as
// well, for the first key of a zone.
func zoneEverywhere(s *step, k *Key) time.Time {
	return later(keysEverywhere(s, k), signaturesEverywhere(s, k))
}

// dsGone is when no cache has a DS RRset any more that names the key, or none that stays (RFC 7583 3.3.1,
// Iret = DprpP + TTLds). The parent must say so again at that time.
func dsGone(s *step, k *Key) time.Time {
	if k.Gone.IsZero() {
		return time.Time{}
	}
	return s.after(k.Gone, s.in.Settings.ParentPropagation, s.dsTTL())
}

// dsAndSignaturesGone is when no cache needs a CSK any more, in either role.
func dsAndSignaturesGone(s *step, k *Key) time.Time {
	return later(dsGone(s, k), signaturesEverywhere(s, k))
}

// lifeOver is when an active key is to be rolled.
func lifeOver(s *step, k *Key) time.Time {
	if life := s.in.Settings.Lifetime.of(k.Role); life > 0 {
		return k.Since.Add(life)
	}
	return time.Time{}
}

// inBackups is when every backup that may come back has the key.
func inBackups(s *step, k *Key) time.Time { return k.Times.Created.Add(s.in.Settings.BackupAge) }

// oldEnough is inBackups by every clock: no key comes into use earlier, unless it is urgent.
func oldEnough(s *step, k *Key) time.Time { return inBackups(s, k).Add(s.in.Settings.Safety) }

// keptLongEnough is when the files of a removed key may go.
func keptLongEnough(s *step, k *Key) time.Time { return k.Since.Add(s.in.Settings.Keep) }

// stale is when a state that was written last at some time may be that of a backup.
func stale(s *step, written time.Time) time.Time {
	return written.Add(missedHeartbeats * s.in.Settings.Heartbeat)
}

// after is a moment by every clock.
func (s *step) after(since time.Time, propagation, ttl time.Duration) time.Time {
	return since.Add(propagation + ttl + s.in.Settings.Safety)
}

// dsTTL is the largest TTL that a DS RRset in a cache may have.
func (s *step) dsTTL() time.Duration { return max(s.next.DSTTL.Largest, s.in.Settings.ParentTTL) }

// later is the later of two moments, and unknown where one of them is.
func later(a, b time.Time) time.Time {
	if a.IsZero() || b.IsZero() {
		return time.Time{}
	}
	if a.After(b) {
		return a
	}
	return b
}

// What follows says whether a wait concerns a key: functions of the keys and of the parent.

// ages reports whether a key is rolled by its age.
func ages(s *step, k *Key) bool { return s.in.Settings.Lifetime.of(k.Role) > 0 }

func goesInsecure(s *step, _ *Key) bool { return s.next.Insecure }

// dsEverywhere reports whether a DS at each server of the parent names the key.
func dsEverywhere(s *step, k *Key) bool {
	return s.parent.everywhere(func(o *Observation) bool { return slices.Contains(o.Named, k.ID) })
}

// dsSeen reports whether any server of the parent names the key.
func dsSeen(s *step, k *Key) bool { return s.parent.names(k.ID) }

// foreignDS is dsSeen of a key by whose algorithm no key in use signs.
func foreignDS(s *step, k *Key) bool { return dsSeen(s, k) && !s.signsBy(k.ID.Algorithm) }

// succeeded reports whether newer keys are in use for all that the key does, by the same algorithm.
func succeeded(s *step, k *Key) bool {
	return s.successor(k, KSK, true) && s.successor(k, ZSK, true)
}

// outdone is succeeded, where a successor has another algorithm.
func outdone(s *step, k *Key) bool {
	return s.successor(k, KSK, false) && s.successor(k, ZSK, false) && !succeeded(s, k)
}

// successor reports whether a newer key is in use for one half of what a key does, or it does not do that.
func (s *step) successor(k *Key, half Role, sameAlgorithm bool) bool {
	if !k.Role.has(half) {
		return true
	}
	newer := false
	for _, other := range s.keys {
		if other == k {
			newer = true
			continue
		}
		if newer && other.Role.has(half) && inUse(other) && (!sameAlgorithm || other.ID.Algorithm == k.ID.Algorithm) {
			return true
		}
	}
	return false
}

// inUse reports whether everybody can rely on a key from now on.
func inUse(k *Key) bool { return k.State == Ready || k.State == Active }

// signsBy reports whether a key in use signs data by an algorithm.
func (s *step) signsBy(algorithm uint8) bool {
	return s.any(func(k *Key) bool { return inUse(k) && k.Role.has(ZSK) && k.ID.Algorithm == algorithm })
}

// recalled reports whether a key on its way out of a zone that is to be secure after all is the one to stay.
func recalled(s *step, k *Key) bool {
	rival := func(o *Key) bool { return o.Role.has(half(k)) && coming(o) }
	leaves := func(o *Key) bool { return o.Role.has(half(k)) && o.State == Yielding && s.fits(o) }
	return !s.next.Insecure && !s.any(rival) && s.last(leaves) == k
}

// half returns the part of a role that distinguishes a key from other keys.
func half(k *Key) Role {
	if k.Role.has(KSK) {
		return KSK
	}
	return ZSK
}

// fits reports whether a ZSK has the algorithm of the newest KSK or CSK that is served.
func (s *step) fits(k *Key) bool {
	sep := s.last(func(o *Key) bool { return o.Role.has(KSK) && s.m.meanings[o.State].published })
	return k.Role.has(KSK) || sep != nil && sep.ID.Algorithm == k.ID.Algorithm
}

// coming reports whether a key is in use or on its way there.
func coming(k *Key) bool {
	switch k.State {
	case Presigned, Introduced, Published, Ready, Active, Unsure:
		return true
	}
	return false
}

// itsKSKLeft reports whether no KSK or CSK of a ZSK's algorithm is served.
func itsKSKLeft(s *step, k *Key) bool {
	return !s.any(func(o *Key) bool {
		return o.Role.has(KSK) && o.ID.Algorithm == k.ID.Algorithm && s.m.meanings[o.State].published
	})
}

// any reports whether f holds for a key.
func (s *step) any(f func(*Key) bool) bool { return slices.ContainsFunc(s.keys, f) }

// last returns the newest key for which f holds, or nil.
func (s *step) last(f func(*Key) bool) *Key {
	for _, k := range slices.Backward(s.keys) {
		if f(k) {
			return k
		}
	}
	return nil
}
