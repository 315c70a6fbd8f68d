package zonesign

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// What follows is for who keeps keys in a folder over time, as package keyfolder does.

// Temporary begins the names of files that are being written, and the stem of a zone's keys follows.
// Whoever holds the lock may remove them.
const Temporary = ".new-"

const lockName = ".lock"

// Lock takes the lock of a folder of keys, which it makes if need be. Nobody else holds it until unlock is
// called, on this machine or on another that shares the folder by a file system with locks.
func Lock(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return lockFile(filepath.Join(dir, lockName))
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

// writeNew makes a file that is whole or absent, whenever the machine stops, and overwrites none. Its
// name is safe once the folder is synced.
func writeNew(path, stem, text string, mode fs.FileMode) error {
	return writeBeside(path, stem, text, mode, os.Link) // unlike a rename it fails where a file stands
}

// writeBeside writes a whole file beside path, synced, and puts it there by put.
func writeBeside(path, stem, text string, mode fs.FileMode, put func(from, to string) error) error {
	temp, err := os.CreateTemp(filepath.Dir(path), Temporary+stem+"*") // mode 0600 from its first octet on
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(text)
	if err := errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return put(temp.Name(), path)
}

func syncDir(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
