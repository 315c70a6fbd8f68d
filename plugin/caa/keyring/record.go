package keyring

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/atomicfile"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile"
)

// maxRecord bounds what is read of a record, in octets: those of 10,000 zones take four million.
const maxRecord = 64 << 20

// recordSuffix ends the names of records: in one folder each block has one.
const recordSuffix = ".keys.json"

// record says which keys zones had, in a folder other than that of the keys, which may be lost. What is in it is
// public. A restart refuses a zone whose keys are missing then, rather than make new ones.
type record struct {
	path   string // "": none is kept
	zones  map[string]recordedZone
	older  map[string]recordedZone   // of other blocks on the folder, or of this one when it had other zones
	others map[string][]recordedThat // of other folders
	broken error                     // why the record itself cannot be read; it is not replaced then
	dirty  bool
	logged string // the last error
}

// recordedThat is what the record of another folder says of a zone.
type recordedThat struct {
	recordedZone
	path string // of that record
}

type recordedZone struct {
	Folder string        `json:"folder"`
	Seen   time.Time     `json:"seen"` // when that was first so
	Keys   []recordedKey `json:"keys"`
}

type recordedKey struct {
	Key   keyroll.ID    `json:"key"`
	Role  keyroll.Role  `json:"role"`
	State keyroll.State `json:"state"`
}

// recordFile is a record as it is written.
type recordFile struct {
	Version int                     `json:"version"`
	Zones   map[string]recordedZone `json:"zones"`
}

// openRecord reads the record of a folder of keys, and those next to it, which may be of other folders (moved.go). While
// the record itself cannot be read, no zone is new.
func openRecord(path, folder string) record {
	r := record{path: path, zones: map[string]recordedZone{}, older: map[string]recordedZone{}, others: map[string][]recordedThat{}}
	if path == "" {
		return r
	}
	switch zones, err := readRecord(path); {
	case err == nil:
		maps.Copy(r.zones, zones)
	case !errors.Is(err, fs.ErrNotExist):
		r.broken = err
		log.Errorf("The record of which zones had keys cannot be read: %v", err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Errorf("The folder %s cannot be read, so it is not known which zones had keys in other folders: %v", filepath.Dir(path), err)
	}
	for _, entry := range entries {
		other := filepath.Join(filepath.Dir(path), entry.Name())
		if entry.Name() == filepath.Base(path) || !strings.HasSuffix(entry.Name(), recordSuffix) {
			continue
		}
		zones, err := readRecord(other)
		if err != nil {
			log.Errorf("A record of which zones had keys in other folders cannot be read: %v", err)
			continue
		}
		for name, z := range zones {
			switch was, ok := r.older[name]; {
			case !SameFolder(z.Folder, folder):
				r.others[name] = append(r.others[name], recordedThat{z, other})
			case !ok || z.Seen.After(was.Seen):
				r.older[name] = z
			}
		}
	}
	return r
}

// again reads a record again that could not be read: people have put it back, or taken it away.
func (r *record) again() {
	if r.broken == nil {
		return
	}
	switch zones, err := readRecord(r.path); {
	case err == nil:
		r.zones, r.broken = zones, nil
	case errors.Is(err, fs.ErrNotExist):
		r.broken = nil
	}
}

func readRecord(path string) (map[string]recordedZone, error) {
	text, _, err := regularfile.Read(path, maxRecord)
	if err != nil {
		return nil, err
	}
	var file recordFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if file.Version != 1 {
		return nil, fmt.Errorf("%s has version %d, but this program reads version 1", path, file.Version)
	}
	return file.Zones, nil
}

// of is the zone as it was recorded, nil where it is in no record.
func (r *record) of(zone string) *keyroll.Zone {
	z, ok := r.zones[zone]
	if !ok {
		if z, ok = r.older[zone]; !ok {
			return nil
		}
	}
	return z.state()
}

// state is the zone as it was recorded.
func (z *recordedZone) state() *keyroll.Zone {
	out := &keyroll.Zone{Seen: z.Seen}
	for _, k := range z.Keys {
		out.Keys = append(out.Keys, keyroll.Key{ID: k.Key, Role: k.Role, State: k.State})
	}
	return out
}

// recordedKeys are a zone's keys on which somebody may depend. One that is published alone is left out: another server on
// the folder may have put an older state in its place before it saw it, and then nobody has it any more.
func recordedKeys(state *keyroll.Zone) (keys []recordedKey) {
	for _, k := range state.Keys {
		if k.Cached() && k.State != keyroll.Published {
			keys = append(keys, recordedKey{k.ID, k.Role, k.State})
		}
	}
	return keys
}

// note records a zone's keys on which somebody may depend.
func (r *record) note(zone, folder string, state *keyroll.Zone) {
	keys := recordedKeys(state)
	if len(keys) == 0 {
		r.forget(zone)
		return
	}
	if was := r.zones[zone]; was.Folder != folder || !slices.Equal(was.Keys, keys) {
		r.zones[zone], r.dirty = recordedZone{folder, state.Seen, keys}, true
	}
}

// forget takes a zone out.
func (r *record) forget(zone string) {
	delete(r.older, zone)
	if _, ok := r.zones[zone]; ok {
		delete(r.zones, zone)
		r.dirty = true
	}
}

// save writes what has changed. An error is logged once while it lasts.
func (r *record) save() {
	if r.path == "" || !r.dirty || r.broken != nil {
		return
	}
	err := writeRecord(r.path, r.zones)
	logged := ""
	if r.dirty = err != nil; err != nil {
		logged = err.Error()
	}
	if logged != "" && logged != r.logged {
		log.Errorf("The record of which zones have keys could not be written: %v. A restart without the key folder would take these zones for new", err)
	}
	r.logged = logged
}

func writeRecord(path string, zones map[string]recordedZone) error {
	text, err := json.MarshalIndent(recordFile{1, zones}, "", "\t")
	if err != nil {
		return err
	}
	return atomicfile.Replace(path, strings.TrimSuffix(filepath.Base(path), recordSuffix), append(text, '\n'), 0o600)
}

func missing(dir string) bool {
	_, err := os.Stat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// SameFolder reports whether two paths name one folder, as far as that can be seen without the disk.
func SameFolder(a, b string) bool {
	a, errA := filepath.Abs(a)
	b, errB := filepath.Abs(b)
	return errA == nil && errB == nil && a == b
}
