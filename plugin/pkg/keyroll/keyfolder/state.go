package keyfolder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

const (
	// stateSuffix ends the name of a zone's state file, such as Kexample.org.keyroll.
	stateSuffix = "keyroll"
	// stateVersion is the form of state files that this version reads and writes.
	stateVersion = 1
	// maxState bounds what is read, in octets: a key takes five hundred.
	maxState = 1 << 20
)

// stateFile is a state file.
type stateFile struct {
	Version int          `json:"version"`
	Zone    string       `json:"zone"`
	State   keyroll.Zone `json:"state"`
	Report  *Report      `json:"report,omitempty"`
}

// readState reads a zone's state; that of a zone without a file is the zero value.
func readState(path, zone string) (keyroll.Zone, error) {
	file, err := readStateFile(path, zone)
	return file.State, err
}

// readStateFile is readState with all that the file holds.
func readStateFile(path, zone string) (stateFile, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return stateFile{}, nil
	}
	if err != nil {
		return stateFile{}, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxState {
		return stateFile{}, fmt.Errorf("%s is no state of keys", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return stateFile{}, err
	}
	var file stateFile
	if err := json.Unmarshal(text, &file); err != nil {
		return stateFile{}, fmt.Errorf("%s: %w; put it back from a backup, or remove it: then all keys that the times in their files do not say are unused or deleted sign until caches have run out", path, err)
	}
	switch {
	case file.Version != stateVersion:
		return stateFile{}, fmt.Errorf("%s has version %d and this program reads %d: use the one that wrote it", path, file.Version, stateVersion)
	case !sameName(file.Zone, zone):
		return stateFile{}, fmt.Errorf("%s is the state of %s and not of %s: remove it", path, file.Zone, zone)
	case file.State.Seen.IsZero():
		return stateFile{}, fmt.Errorf("%s does not say when it was written: put it back from a backup, or remove it", path)
	}
	return file, nil
}

// writeState replaces a zone's state file.
func writeState(disk disk, path, stem string, file stateFile) error {
	file.Version = stateVersion
	text, err := json.MarshalIndent(file, "", "\t")
	if err != nil {
		return err
	}
	return disk.replace(path, stem, string(text)+"\n", 0o600)
}

// sameName reports whether two names are one, however they are written.
func sameName(a, b string) bool {
	if a == b {
		return true
	}
	stemA, errA := zonesign.KeyFileStem(a)
	stemB, errB := zonesign.KeyFileStem(b)
	return errA == nil && errB == nil && stemA == stemB
}
