package caa

import (
	"errors"
	"fmt"
	"sync"

	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// keyring finds the keys of the zones that a block serves.
type keyring interface {
	// of returns the keys that sign a zone, nil where it is unsigned by wish.
	of(zone string) (*zonesign.KeySet, error)
}

// newKeyring opens the keys that the block names.
func newKeyring(cfg *config) (keyring, error) {
	switch {
	case cfg.unsigned:
		return noKeys{}, nil
	case cfg.keyDir != "":
		return &autoKeys{dir: cfg.keyDir, sets: map[string]*zonesign.KeySet{}}, nil
	}
	return readKeys(cfg.keyFiles)
}

// noKeys is `unsigned`.
type noKeys struct{}

func (noKeys) of(string) (*zonesign.KeySet, error) { return nil, nil }

// autoKeys is `key auto`: a zone's key is made when the zone is first served, and kept.
type autoKeys struct {
	dir  string
	mu   sync.Mutex
	sets map[string]*zonesign.KeySet
}

func (a *autoKeys) of(zone string) (*zonesign.KeySet, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if set := a.sets[zone]; set != nil {
		return set, nil
	}
	key, made, err := zonesign.AutoKey(a.dir, zone)
	if err != nil {
		return nil, fmt.Errorf("key auto %s: %w", a.dir, err)
	}
	for _, warning := range key.Warnings {
		log.Warning(warning)
	}
	if made {
		log.Infof("Made a key for %s in %s: publish its DS at the parent when the zone answers from everywhere", zone, a.dir)
	}
	set, err := zonesign.NewKeySet(zone, apexTTL, key)
	if err != nil {
		return nil, fmt.Errorf("key auto %s: %w", a.dir, err)
	}
	a.sets[zone] = set
	return set, nil
}

// fileKeys is `key file`: what was given is all there is.
type fileKeys map[string]*zonesign.KeySet

func readKeys(files []string) (keyring, error) {
	byZone := map[string][]*zonesign.Key{}
	for _, file := range files {
		key, err := zonesign.LoadKey(file)
		if err != nil {
			return nil, fmt.Errorf("key file %s: %w", file, err)
		}
		for _, warning := range key.Warnings {
			log.Warning(warning)
		}
		zone := lower(key.DNSKEY.Hdr.Name)
		byZone[zone] = append(byZone[zone], key)
	}
	sets := fileKeys{}
	for zone, keys := range byZone {
		set, err := zonesign.NewKeySet(zone, apexTTL, keys...)
		if err != nil {
			return nil, fmt.Errorf("key file: %w", err)
		}
		sets[zone] = set
	}
	return sets, nil
}

func (f fileKeys) of(zone string) (*zonesign.KeySet, error) {
	if set := f[zone]; set != nil {
		return set, nil
	}
	return nil, fmt.Errorf("%w %s: add its files to key file, use key auto DIRECTORY, or serve it from an unsigned block", errNoKey, zone)
}

var errNoKey = errors.New("no key for the zone")
