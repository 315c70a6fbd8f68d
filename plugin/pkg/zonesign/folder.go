package zonesign

import (
	"os"
	"path/filepath"
)

// What follows is for who keeps keys in a folder over time, as package keyfolder does.

const lockName = ".lock"

// Locked reports whether anybody has ever taken the lock of a folder.
func Locked(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, lockName))
	return err == nil
}

// Lock takes the lock of a folder of keys, which it makes if need be. Nobody else holds it until unlock is
// called, on this machine or on another that shares the folder by a file system with locks.
func Lock(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return lockFile(filepath.Join(dir, lockName))
}
