package keyfolder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile"
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
	text, _, err := regularfile.Read(path, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return stateFile{}, nil
	}
	if err != nil {
		return stateFile{}, err
	}
	var file stateFile
	if err := json.Unmarshal(text, &file); err != nil {
		return stateFile{}, fmt.Errorf("%s: %w; restore it from a backup, or delete it: then every key signs, except those marked unused or deleted in their files, until all caches have expired", path, err)
	}
	switch {
	case file.Version != stateVersion:
		return stateFile{}, fmt.Errorf("%s has version %d, but this program reads version %d: use the version that wrote it", path, file.Version, stateVersion)
	case !sameName(file.Zone, zone):
		return stateFile{}, fmt.Errorf("%s is the state of %s, not of %s: delete it", path, file.Zone, zone)
	case file.State.Seen.IsZero():
		return stateFile{}, fmt.Errorf("%s has no time of writing: restore it from a backup, or delete it", path)
	}
	return file, nil
}

// text is what the file holds.
func (f stateFile) text() (string, error) {
	f.Version = stateVersion
	text, err := json.MarshalIndent(f, "", "\t")
	return string(text) + "\n", err
}

// stateMode is the mode of state files.
const stateMode = 0o600

// writeState replaces a zone's state file.
func writeState(disk disk, path, stem string, file stateFile) error {
	text, err := file.text()
	if err != nil {
		return err
	}
	return disk.replace(path, stem, text, stateMode)
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
