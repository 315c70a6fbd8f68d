package zonesign

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// What follows is for who keeps keys in a folder over time, as package keyfolder does.

// Temporary begins the names of files that are being written, and the stem of a zone's keys follows.
// Whoever holds the lock may remove them.
const Temporary = tempPrefix

// Lock takes the lock of a folder of keys, which it makes if need be. AutoKeys makes keys under the same
// lock. Nobody else holds it until unlock is called, on this machine or on another that shares the folder
// by a file system with locks.
func Lock(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return lockFile(filepath.Join(dir, lockName))
}

// maxTags is how many keys are made at most until one has a tag of its own.
const maxTags = 100

// NewKeyFiles makes a key and its files in dir, and returns their path without a suffix. The private half is
// written first and the public half last, each whole or not at all, and nothing is overwritten. It is a KSK
// or CSK with sep, or else a ZSK, and its files say no more than
// when it was made; taken says which key tags are not to be had. The lock of the folder is held.
func NewKeyFiles(dir, zone string, algorithm uint8, sep bool, taken func(tag uint16) bool, now time.Time) (base string, err error) {
	stem, err := KeyFileStem(zone)
	if err != nil {
		return "", err
	}
	if _, ok := algorithms[algorithm]; !ok {
		return "", fmt.Errorf("algorithm %s is not supported: choose %s", algorithmName(algorithm), supported)
	}
	flags := uint16(flagZone)
	if sep {
		flags |= flagSEP
	}
	z := stemmed{dns.CanonicalName(zone), stem}
	for range maxTags {
		key, err := generateKey(dir, z, flags, algorithm, now, []string{"Created"})
		if err != nil {
			return "", err
		}
		if taken(tagOf(key.base)) {
			continue
		}
		err = writeNew(key.base+".private", stem, key.private, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue // a crash left it
		}
		if err != nil {
			return "", err
		}
		// The private half must not be lost once somebody may see the public one.
		if err := errors.Join(syncDir(dir), writeNew(key.base+".key", stem, key.public, 0o644), syncDir(dir)); err != nil {
			return "", err
		}
		return key.base, nil
	}
	return "", fmt.Errorf("%d keys had tags that are taken: remove old keys of %s from %s", maxTags, zone, dir)
}

// tagOf is the key tag in the name of a key's files.
func tagOf(base string) (tag uint16) {
	fmt.Sscan(strings.TrimLeft(base[strings.LastIndexByte(base, '+')+1:], "0"), &tag)
	return tag
}

// ReplaceFile puts a file in the place of another, or where there was none: written beside it, synced,
// renamed, the folder synced. Whenever the machine stops, the old or the new one is there, whole. What a
// crash leaves beside it, or beside a key, begins with Temporary and stem.
func ReplaceFile(path, stem, text string, mode os.FileMode) error {
	if err := writeBeside(path, stem, text, mode, os.Rename); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
