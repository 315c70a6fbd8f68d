package keyroll

import "slices"

// This file is about a zone whose keys a server holds in memory, or has a record of, while its folder may have
// lost them: unmounted, emptied, an older copy, another server's.

// Reconcile returns the state to go on from: the one that was read from a folder, or the one that is held. It
// returns a refusal where the folder lacks keys that caches may need; then nothing may be written, and what is
// held stays served. has reports whether both files of that very key are in the folder.
//
// Neither times nor counters say which of two states is the newer one: the clocks of servers on one folder differ
// by up to an hour, copies of a folder lag, and an older copy that a server has stepped looks new. The keys say
// it. A state that has every key of which caches may have something is safe to go on from, however old it is:
// doubt sees to that, as after a restored backup. A state without such a key is a later one only where the key
// was about to leave and the key that took its place is there. Else it is an older copy or another server's, and
// only the parent can say that it is right after all: where each of its servers names a key of that state, and
// none a key that is held.
//
// A zone that is served unsigned has no key that could be missed: there a state with keys is a later one only where
// these are on their way in, or were in the zone before.
//
// A folder that has all keys and no state at all has lost the state alone, and the one that is held is written
// again.
func Reconcile(held, read *Zone, has func(ID) bool, observed []Observation) (*Zone, *Refusal) {
	lost := held.lostIn(read, has)
	if held.unsigned() {
		lost = read.strangerTo(held)
	}
	p := newParent(observed)
	switch {
	case len(lost) == 0 && held.known() && !read.known():
		return held, nil
	case len(lost) == 0, p.prefers(read, held, has):
		return read, nil
	}
	return held, &Refusal{Code: KeysLost, Keys: lost}
}

// known reports whether there is a state.
func (z *Zone) known() bool { return !z.Seen.IsZero() || len(z.Keys) > 0 }

// key returns a key of the zone, or nil.
func (z *Zone) key(id ID) *Key {
	i := slices.IndexFunc(z.Keys, func(k Key) bool { return k.ID == id })
	if i < 0 {
		return nil
	}
	return &z.Keys[i]
}

// Cached reports whether caches may have or need something of a key.
func (k *Key) Cached() bool { return k.State != Made && k.State != Removed }

// lostIn lists the keys that a folder should have and does not, or whose state it does not have.
func (z *Zone) lostIn(read *Zone, has func(ID) bool) (lost []ID) {
	later := read.known() && (z.Insecure && read.Insecure || slices.ContainsFunc(z.Keys, func(k Key) bool {
		there := read.key(k.ID)
		return inUse(&k) && there != nil && there.State != Made
	}))
	for i := range z.Keys {
		k := &z.Keys[i]
		there := read.key(k.ID)
		left := there == nil || there.State == Removed
		switch leaves := k.State == Yielding || k.State == Retiring || k.State == Postsigned; {
		case !k.Cached():
		case has(k.ID) && (there != nil || !read.known()):
		case later && leaves && left:
		default:
			lost = append(lost, k.ID)
		}
	}
	return lost
}

// unsigned reports whether a zone that was served has no key that caches may have.
func (z *Zone) unsigned() bool {
	return z.known() && !slices.ContainsFunc(z.Keys, func(k Key) bool { return k.Cached() })
}

// strangerTo lists the keys in use that a zone served unsigned cannot have come to by itself.
func (z *Zone) strangerTo(was *Zone) (keys []ID) {
	for i := range z.Keys {
		if k := &z.Keys[i]; k.Cached() && k.State != Presigned && k.State != Introduced && was.key(k.ID) == nil {
			keys = append(keys, k.ID)
		}
	}
	return keys
}

// prefers reports whether each server of the parent names a key that one state serves and the folder has, and
// none a key that another state serves.
func (p *parent) prefers(is, was *Zone, has func(ID) bool) bool {
	apex, before := is.Sets().Apex, was.Sets().Apex
	return p.everywhere(func(o *Observation) bool {
		names := func(id ID) bool { return slices.Contains(o.Named, id) }
		for _, ds := range o.Others {
			if slices.Contains(before, ID{ds.Algorithm, ds.KeyTag}) {
				return false // of a key that the folder does not have
			}
		}
		return !slices.ContainsFunc(before, names) && slices.ContainsFunc(apex, func(id ID) bool { return names(id) && has(id) })
	})
}
