package caa

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// keyring finds the keys of the zones that a block serves.
type keyring interface {
	// of returns the keys that sign a zone, nil where it is unsigned by wish.
	of(zone string) (*zonesign.KeySet, error)
	// prepare gets ready for many zones at once.
	prepare(zones []string) error
}

// newKeyring opens the keys that the block names.
func newKeyring(cfg *config) (keyring, error) {
	switch {
	case cfg.unsigned:
		return noKeys{}, nil
	case cfg.keyDir != "":
		return &autoKeys{dir: cfg.keyDir, sets: map[string]*zonesign.KeySet{}}, nil
	}
	return readKeys(cfg)
}

// noKeys is `unsigned`.
type noKeys struct{}

func (noKeys) of(string) (*zonesign.KeySet, error) { return nil, nil }
func (noKeys) prepare([]string) error              { return nil }

// autoKeys is `key auto`: a zone's key is made when the zone is first served, and kept.
type autoKeys struct {
	dir  string
	mu   sync.Mutex
	sets map[string]*zonesign.KeySet
}

func (a *autoKeys) of(zone string) (*zonesign.KeySet, error) {
	if err := a.prepare([]string{zone}); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sets[zone], nil
}

// shownKeys is how many new keys are logged one by one.
const shownKeys = 20

func (a *autoKeys) prepare(zones []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	zones = slices.DeleteFunc(slices.Clone(zones), func(zone string) bool { return a.sets[zone] != nil })
	if len(zones) == 0 {
		return nil
	}
	keys, made, err := zonesign.AutoKeys(a.dir, zones...)
	if err != nil {
		return fmt.Errorf("key auto %s: %w", a.dir, err)
	}
	for zone, key := range keys {
		for _, warning := range key.Warnings {
			log.Warning(warning)
		}
		if a.sets[zone], err = zonesign.NewKeySet(zone, apexTTL, key); err != nil {
			return fmt.Errorf("key auto %s: %w", a.dir, err)
		}
	}
	for i, zone := range made {
		if i == shownKeys {
			log.Infof("And keys for %d zones more", len(made)-i)
			break
		}
		log.Infof("Made a key for %s in %s: publish its DS at the parent when the zone answers from everywhere", zone, a.dir)
	}
	return nil
}

// fileKeys is `key file`: what was given is all there is.
type fileKeys map[string]*zonesign.KeySet

func readKeys(cfg *config) (keyring, error) {
	byZone := map[string][]*zonesign.Key{}
	for _, file := range cfg.keyFiles {
		key, err := zonesign.LoadKey(file)
		if err != nil {
			return nil, fmt.Errorf("key file %s: %w", file, err)
		}
		for _, warning := range key.Warnings {
			log.Warning(warning)
		}
		zone := lower(key.DNSKEY.Hdr.Name)
		if !cfg.covers(zone) {
			return nil, fmt.Errorf("key file %s: it is a key of %s, which this block does not serve; name the keys of its own zones (%s)", file, zone, strings.Join(cfg.zones, " "))
		}
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

func (fileKeys) prepare([]string) error { return nil }

var errNoKey = errors.New("no key for the zone")
