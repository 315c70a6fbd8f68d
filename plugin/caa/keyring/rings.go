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
		if other != r && SameFolder(other.dir, r.dir) {
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
func (s *rings) onFolder(r *rolling) peers { return s.allOnFolder(r)[1:] }

// elsewhere are the keyrings at work on other folders.
func (s *rings) elsewhere(r *rolling) (all peers) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ring := range s.all {
		if !SameFolder(ring.dir, r.dir) {
			all = append(all, ring)
		}
	}
	return all
}

// on are the keyrings at work on a folder.
func (s *rings) on(folder string) (all peers) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ring := range s.all {
		if SameFolder(ring.dir, folder) {
			all = append(all, ring)
		}
	}
	return all
}

// keeping are the keyrings at work whose record that is, and done reports that none of them has the zone.
func (s *rings) keeping(path, zone string) (all []*rolling, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	done = true
	for ring := range s.all {
		if ring.record.path == path {
			all = append(all, ring)
			ring.mu.Lock()
			done = done && ring.zones[zone] == nil
			ring.mu.Unlock()
		}
	}
	return all, done
}

// peers are keyrings at work.
type peers []*rolling

// inMemory is what one of them holds of a zone.
func (p peers) inMemory(zone string) *keyfolder.Held {
	for _, ring := range p {
		if h := ring.inMemory(zone); h.HasKeys() {
			return h
		}
	}
	return nil
}

// holding are the keys that they hold of a zone, as a record would have them.
func (p peers) holding(zone string) (all []recordedThat) {
	for _, ring := range p {
		h := ring.inMemory(zone)
		if !h.HasKeys() {
			continue
		}
		if keys := recordedKeys(h.Zone()); len(keys) > 0 {
			all = append(all, recordedThat{recordedZone: recordedZone{ring.dir, h.Zone().Seen, keys}})
		}
	}
	return all
}
