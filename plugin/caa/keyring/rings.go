package keyring

import (
	"sync"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
)

// rings are the keyrings of folders at work in this process. When CoreDNS loads its Corefile again, the new
// instance takes over what the old one holds: the folder may have lost it.
type rings struct {
	mu  sync.Mutex
	all map[*rolling]bool
}

var running = rings{all: map[*rolling]bool{}}

// add has a keyring found by others until remove is called.
func (s *rings) add(k Keyring) (remove func()) {
	r, ok := k.(*rolling)
	if !ok {
		return func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[r] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.all, r)
	}
}

// allOnFolder are the keyring and all others at work on its folder.
func (s *rings) allOnFolder(r *rolling) []*rolling {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []*rolling{r}
	for other := range s.all {
		if other != r && sameFolder(other.dir, r.dir) {
			all = append(all, other)
		}
	}
	return all
}

// refusedOf are the zones that the keyring, or another one at work on its folder, has refused: a reload neither serves
// them nor ends their being served.
func (s *rings) refusedOf(r *rolling) map[string]bool {
	all := map[string]bool{}
	for _, ring := range s.allOnFolder(r) {
		ring.mu.Lock()
		for name, z := range ring.zones {
			if z.refused != nil {
				all[name] = true
			}
		}
		ring.mu.Unlock()
	}
	return all
}

// onFolder are the other keyrings at work on its folder.
func (s *rings) onFolder(r *rolling) others { return s.allOnFolder(r)[1:] }

type others []*rolling

// inMemory is what one of them holds of a zone.
func (o others) inMemory(zone string) *keyfolder.Held {
	for _, ring := range o {
		if h := ring.inMemory(zone); h.HasKeys() {
			return h
		}
	}
	return nil
}

// inMemory is what is held of a zone, nil for nothing.
func (r *rolling) inMemory(zone string) *keyfolder.Held {
	r.mu.Lock()
	defer r.mu.Unlock()
	if z := r.zones[zone]; z != nil {
		return z.held
	}
	return nil
}

// allHeld are the keys that are held in memory, by zone.
func (r *rolling) allHeld() map[string]*keyfolder.Held {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]*keyfolder.Held{}
	for name, z := range r.zones {
		if z.held.HasKeys() {
			all[name] = z.held
		}
	}
	return all
}
