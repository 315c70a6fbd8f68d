package keyring

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// FileError is an error of a file or folder that an option of the block names.
type FileError struct {
	Option string // such as "key file"
	Path   string // "" where several files together are wrong
	Err    error
}

// Error implements error.
func (e *FileError) Error() string {
	if strings.Contains(e.Err.Error(), e.Path) {
		return fmt.Sprintf("%s: %v", e.Option, e.Err)
	}
	return fmt.Sprintf("%s %s: %v", e.Option, e.Path, e.Err)
}

// Unwrap returns the error itself.
func (e *FileError) Unwrap() error { return e.Err }

const (
	keyFileOption  = "key file"
	keyAutoOption  = "key auto"
	cosignerOption = "cosigner"
)

// Open opens the keys that a block names. An error of a file is a FileError.
func Open(cfg Config) (Keyring, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	above := newParents(&cfg)
	others := newCosigners(cfg.Cosigners, cfg.Covers)
	if err := others.open(); err != nil {
		return nil, err
	}
	switch {
	case cfg.Folder != "":
		return newRolling(&cfg, above, others), nil
	case len(cfg.Files) == 0:
		return newFixed(&cfg, nil, above), nil
	}
	sets, err := readKeys(&cfg, others)
	return newFixed(&cfg, sets, above), err
}

// readKeys reads the keys of `key file`: what was given is all there is.
func readKeys(cfg *Config, others *cosigners) (map[string]*zonesign.KeySet, error) {
	byZone := map[string][]*zonesign.Key{}
	for _, file := range cfg.Files {
		key, err := zonesign.LoadKey(file)
		if err != nil {
			return nil, &FileError{keyFileOption, file, err}
		}
		for _, warning := range key.Warnings {
			log.Warning(warning)
		}
		zone := dns.CanonicalName(key.DNSKEY.Hdr.Name)
		if !cfg.Covers(zone) {
			return nil, &FileError{keyFileOption, file, fmt.Errorf("this is a key of %s, which this block does not serve: list keys of this block's zones (%s)", zone, strings.Join(cfg.Zones, " "))}
		}
		byZone[zone] = append(byZone[zone], key)
	}
	sets := map[string]*zonesign.KeySet{}
	for zone, keys := range byZone {
		keys = append(keys, others.of(zone, func(id keyroll.ID) bool {
			return slices.ContainsFunc(keys, func(k *zonesign.Key) bool { return k.Tag() == id.Tag && k.DNSKEY.Algorithm == id.Algorithm })
		})...)
		set, err := zonesign.NewKeySet(zone, cfg.TTL, keys...)
		if err != nil {
			return nil, &FileError{keyFileOption, "", err}
		}
		sets[zone] = set
	}
	return sets, nil
}

// Watch looks after keys until stop is closed, and calls changed when zones have other keys.
func Watch(k Keyring, stop <-chan struct{}, changed func()) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer running.add(k)()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		other, next := k.Look(ctx)
		if other {
			changed()
		}
		pause.Reset(min(max(time.Until(next), 0), lookAtFiles))
	}
}
