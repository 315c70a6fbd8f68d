package keyfolder

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// Folder is a folder of keys. Several servers may work on one at once.
type Folder struct {
	dir  string
	disk disk
}

// New names a folder, which is made when the first key is.
func New(dir string) *Folder { return &Folder{dir, files{}} }

// Result is what an Update of a zone came to. Where something could not be written, Sets and Keys are those of
// the state that is written, so that a server starts on a full disk, and Err says so; where something could
// not be read there are none, and what was served before may be served on.
type Result struct {
	keyroll.Decision
	Keys     map[keyroll.ID]*zonesign.Key // those that Sets names
	Warnings []string                     // what is dangerous about the files, for people
	Err      error
	Lost     *keyroll.Refusal // why what is held is served and nothing was written; Err says the same for people
	Held     *Held            // to hand to the next Update; nil where nothing was read
	New      bool             // nothing is known of the zone, and no key was made, as Work.Begin wanted it
}

// Work is what an Update is to do.
type Work struct {
	Decide Decide
	// Held is what is held of zones, in memory or in a record.
	Held map[string]*Held
	// Said is what the parent says of a zone whose folder has these keys; nil: nothing.
	Said func(zone string, keys []*dns.DNSKEY) []keyroll.Observation
	// Begin reports whether keys may be made for a zone that has none and of which nothing is known; nil: for
	// every zone. A folder that is missing is made for such a zone alone.
	Begin func(zone string) bool
}

// begins reports whether keys may be made for a new zone.
func (w *Work) begins(zone string) bool {
	return w.Held[zone] == nil && (w.Begin == nil || w.Begin(zone))
}

// Decide makes a step of a zone. Found are keys in the folder that the zone does not have; keys are those
// of all files, to match with DS records. It is called concurrently for several zones.
type Decide func(zone string, state keyroll.Zone, found []keyroll.Key, keys []*dns.DNSKEY) keyroll.Decision

// ErrKeyLost is a key in use without its files.
var ErrKeyLost = errors.New("the key is in use and its files are gone: put them back from a backup")

// writers is how many zones are worked on at once: a disk syncs many files in the time of one.
const writers = 16

// Update is Do for zones of which nothing is held.
func (f *Folder) Update(now time.Time, decide Decide, zones ...string) (map[string]*Result, error) {
	return f.Do(now, &Work{Decide: decide}, zones...)
}

// Do runs a step of each zone and writes what comes of it. The folder is read once for all, of which there
// may be ten thousand. One that cannot be written is served as its state says. The error is that of the folder;
// each zone has one of its own.
func (f *Folder) Do(now time.Time, work *Work, zones ...string) (map[string]*Result, error) {
	if !slices.ContainsFunc(zones, work.begins) {
		// Or an empty folder would be where one is to be mounted or moved back.
		if _, err := os.Stat(f.dir); err != nil {
			return nil, err
		}
	}
	unlock, err := f.disk.lock(f.dir)
	readOnly := false
	switch {
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		// The folder is somebody else's to write, such as a mounted secret: it is read as it is.
		readOnly = true
	case err != nil:
		return nil, err
	default:
		defer unlock()
	}
	names, err := f.list()
	if err != nil {
		return nil, err
	}
	results := make([]*Result, len(zones))
	var group errgroup.Group
	group.SetLimit(writers)
	for i, zone := range zones {
		group.Go(func() error {
			results[i] = f.update(&update{work: work, held: work.Held[zone], names: names, now: now, readOnly: readOnly, zone: dns.CanonicalName(zone)})
			return nil
		})
	}
	group.Wait() // each zone has its own error
	byZone := make(map[string]*Result, len(zones))
	for i, zone := range zones {
		byZone[zone] = results[i]
	}
	return byZone, nil
}

// list returns the names of all files of keys by their stem, those that a crash left half-written included.
func (f *Folder) list() (map[string][]string, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	names := map[string][]string{}
	for _, entry := range entries {
		if stem, _, ok := strings.Cut(strings.TrimPrefix(entry.Name(), zonesign.Temporary), "+"); ok {
			names[stem+"+"] = append(names[stem+"+"], entry.Name())
		}
	}
	return names, nil
}

func (f *Folder) update(u *update) *Result {
	var err error
	u.folder = f
	if u.path, u.stem, err = f.statePath(u.zone); err == nil {
		err = u.run()
	}
	if err != nil {
		u.result.Err = fmt.Errorf("keys of %s in %s: %w", u.zone, f.dir, err)
	}
	return &u.result
}

// update is one zone's Update under way.
type update struct {
	folder   *Folder
	work     *Work
	held     *Held // nil for none
	zone     string
	now      time.Time
	readOnly bool
	path     string // of the state
	stem     string
	names    map[string][]string // of the folder's files, by stem
	state    keyroll.Zone
	report   *Report // as it is written
	// fromMemory says that the state is the one that is held, and that its file is missing.
	fromMemory bool
	files      map[keyroll.ID]*keyFiles
	result     Result
}

func (u *update) run() (err error) {
	if err := u.read(); err != nil {
		u.holdOn(keyroll.Refusal{Code: keyroll.KeysUnreadable})
		return err
	}
	if lost := u.reconcile(); lost != nil {
		u.holdOn(*lost)
		return &LostError{*lost}
	}
	dropped, err := u.dropUnused()
	if err != nil {
		return err
	}
	written := u.state
	if u.result.New = u.isNew() && !u.work.begins(u.zone); u.result.New {
		return nil
	}
	d := u.work.Decide(u.zone, written, u.found(nil), u.dnskeys())
	if err := u.write(&d, d.Write || dropped || u.fromMemory); err != nil {
		u.serve(asWritten(written, d, u.now))
		return err
	}
	u.serve(d)
	u.writeTimes()
	return nil
}

// read reads the state and all keys of the zone.
func (u *update) read() error {
	file, err := readStateFile(u.path, u.zone)
	if err != nil {
		return err
	}
	u.state, u.report = file.State, file.Report
	return u.readKeys()
}

// isNew reports whether the folder has nothing of the zone: neither a key nor that it is to have none.
func (u *update) isNew() bool {
	return len(u.state.Keys) == 0 && len(u.files) == 0 && !u.state.Insecure
}

// retryAfter is when to try again what could not be written.
const retryAfter = time.Minute

// asWritten is the decision to serve what is written while nothing can be. Of keys that nobody knows about more
// is served than is written: all of them, which is what caches need however old the state is.
func asWritten(written keyroll.Zone, d keyroll.Decision, now time.Time) keyroll.Decision {
	held := keyroll.Decision{Zone: written, Sets: written.Sets(), Wake: now.Add(retryAfter), Refusals: d.Refusals, Warnings: d.Warnings}
	if slices.ContainsFunc(d.Zone.Keys, func(k keyroll.Key) bool { return k.State == keyroll.Unsure }) {
		held.Sets = d.Sets
	}
	return held
}

// write makes the keys that a decision asks for and decides again, deletes those that may go, and writes the
// state, and the report with it.
func (u *update) write(d *keyroll.Decision, write bool) error {
	if len(d.Make) > 0 {
		made, err := u.make(*d)
		if err != nil {
			return err
		}
		again := u.work.Decide(u.zone, d.Zone, u.found(made), u.dnskeys())
		again.Changes = append(d.Changes, again.Changes...)
		again.Refusals = append(d.Refusals, again.Refusals...)
		*d, write = again, true
	}
	gone, err := u.delete(d)
	if err != nil {
		return err
	}
	file := stateFile{Zone: u.zone, State: d.Zone, Report: newReport(u.now, d, u.result.Warnings, u.report)}
	switch {
	case write || gone:
		return writeState(u.folder.disk, u.path, u.stem, file)
	case !u.readOnly && !file.Report.saysTheSame(u.report):
		// It is for people, and nothing that is served depends on it: it may fail.
		_ = writeState(u.folder.disk, u.path, u.stem, file)
	}
	return nil
}

// statePath is where a zone's state is, beside its keys, whose names begin with stem.
func (f *Folder) statePath(zone string) (path, stem string, err error) {
	stem, err = zonesign.KeyFileStem(zone)
	return filepath.Join(f.dir, strings.TrimSuffix(stem, "+")+stateSuffix), stem, err
}

// readKeys reads the files of all keys of the zone. Those of which only one half is there are not looked at: a
// crash left them before anybody knew of the key, or it was deleted. What is half-written goes.
func (u *update) readKeys() error {
	u.files = map[keyroll.ID]*keyFiles{}
	for _, file := range u.names[u.stem] {
		if strings.HasPrefix(file, zonesign.Temporary) && !u.readOnly { // else its keeper may be writing it
			if err := u.folder.disk.remove(filepath.Join(u.folder.dir, file)); err != nil {
				return err
			}
		}
		name, public := strings.CutSuffix(file, ".key")
		if !public || !strings.HasPrefix(file, u.stem) {
			continue
		}
		base := filepath.Join(u.folder.dir, name)
		if _, err := os.Stat(base + ".private"); errors.Is(err, fs.ErrNotExist) {
			u.warn("%s.key has no .private beside it and is not used: remove it, unless that is to come back", base)
			continue
		}
		k, err := readKeyFiles(base)
		if err != nil && u.stray(name) {
			u.warn("%v; it is no key that the zone has had, and is not used: remove it", err)
			continue
		}
		if err != nil {
			return err
		}
		if owner := k.key.DNSKEY.Hdr.Name; owner != u.zone {
			return fmt.Errorf("%s.key is a key of %s", base, owner)
		}
		if other := u.files[k.id()]; other != nil {
			return fmt.Errorf("%s and %s are two keys with one tag: remove the one that the parent's DS does not name", base, other.base)
		}
		u.files[k.id()] = k
		u.result.Warnings = append(u.result.Warnings, k.key.Warnings...)
	}
	return nil
}

// stray reports whether a key file is not one of the zone's: neither its state nor what is held names it. Of a zone
// without a state nobody knows.
func (u *update) stray(name string) bool {
	var id keyroll.ID
	known := slices.Clone(u.state.Keys)
	if u.held != nil {
		known = append(known, u.held.Zone().Keys...)
	}
	err := id.UnmarshalText([]byte(strings.TrimPrefix(name, u.stem)))
	return err == nil && len(known) > 0 && !slices.ContainsFunc(known, func(k keyroll.Key) bool { return k.ID == id })
}

func (u *update) warn(format string, args ...any) {
	u.result.Warnings = append(u.result.Warnings, fmt.Sprintf(format, args...))
}

// dropUnused forgets keys without files: those that have left, and those that nobody has seen. A key in use
// is lost.
func (u *update) dropUnused() (dropped bool, err error) {
	keys := slices.Clone(u.state.Keys)
	u.state.Keys = slices.DeleteFunc(keys, func(k keyroll.Key) bool {
		if u.files[k.ID] != nil {
			return false
		}
		if k.State == keyroll.Removed || k.State == keyroll.Made {
			dropped = true
			return true
		}
		err = errors.Join(err, fmt.Errorf("%s%s: %w", u.stem, k.ID, ErrKeyLost))
		return false
	})
	return dropped, err
}

// found are the keys that the state does not have, the oldest first; made says what those are for that were
// just made.
func (u *update) found(made map[keyroll.ID]keyroll.Role) []keyroll.Key {
	var found []keyroll.Key
	for id, k := range u.files {
		if slices.ContainsFunc(u.state.Keys, func(known keyroll.Key) bool { return known.ID == id }) {
			continue
		}
		role, ok := made[id]
		if !ok {
			if made != nil {
				continue // it was found before
			}
			role = u.role(k)
		}
		found = append(found, keyroll.Key{ID: id, Role: role, Times: k.times})
	}
	sortFound(found)
	return found
}

// role is what a key is for by its files.
func (u *update) role(k *keyFiles) keyroll.Role {
	return roleOf(k.key.DNSKEY, u.now, func(yield func(*dns.DNSKEY, keyroll.Times) bool) {
		for _, other := range u.files {
			if !yield(other.key.DNSKEY, other.times) {
				return
			}
		}
	})
}

// roleOf is what a key is for: with the SEP flag a KSK where its algorithm has a ZSK, and else a CSK.
func roleOf(key *dns.DNSKEY, now time.Time, all iter.Seq2[*dns.DNSKEY, keyroll.Times]) keyroll.Role {
	if key.Flags&dns.SEP == 0 {
		return keyroll.ZSK
	}
	for other, times := range all {
		deleted := !times.Delete.IsZero() && !times.Delete.After(now)
		if other.Algorithm == key.Algorithm && other.Flags&dns.SEP == 0 && !deleted {
			return keyroll.KSK
		}
	}
	return keyroll.CSK
}

func (u *update) dnskeys() []*dns.DNSKEY {
	var keys []*dns.DNSKEY
	for _, k := range u.files {
		keys = append(keys, k.key.DNSKEY)
	}
	return keys
}

// make makes the files of keys, ZSKs first: a KSK that is found alone would be taken for a CSK.
func (u *update) make(d keyroll.Decision) (made map[keyroll.ID]keyroll.Role, err error) {
	made = map[keyroll.ID]keyroll.Role{}
	// Found keys are known to d.Zone from now on.
	u.state = d.Zone
	specs := slices.Clone(d.Make)
	slices.SortFunc(specs, func(a, b keyroll.Spec) int { return int(b.Role&keyroll.ZSK) - int(a.Role&keyroll.ZSK) })
	for _, spec := range specs {
		taken := func(tag uint16) bool {
			id := keyroll.ID{Algorithm: spec.Algorithm, Tag: tag}
			return u.files[id] != nil || slices.ContainsFunc(u.state.Keys, func(k keyroll.Key) bool { return k.ID == id })
		}
		base, err := u.folder.disk.makeKey(u.folder.dir, u.zone, spec.Algorithm, spec.Role != keyroll.ZSK, taken, u.now)
		if err != nil {
			return nil, err
		}
		k, err := readKeyFiles(base)
		if err != nil {
			return nil, err
		}
		u.files[k.id()], made[k.id()] = k, spec.Role
	}
	return made, nil
}

// delete removes the files of keys that were kept long enough, the private half first, and then forgets them.
func (u *update) delete(d *keyroll.Decision) (gone bool, err error) {
	for _, id := range d.Delete {
		k := u.files[id]
		for _, suffix := range []string{".private", ".key"} {
			if err := u.folder.disk.remove(k.base + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return gone, err
			}
		}
		d.Zone.Keys = slices.DeleteFunc(slices.Clone(d.Zone.Keys), func(k keyroll.Key) bool { return k.ID == id })
		gone = true
	}
	return gone, nil
}

// writeTimes brings the times in key files up to date. The state is written already, so an error is but a
// warning; the next Update tries again.
func (u *update) writeTimes() {
	for _, k := range u.result.Zone.Keys {
		if err := u.files[k.ID].setTimes(u.folder.disk, u.stem, k.Times); err != nil {
			u.warn("times of %s: %v", u.files[k.ID].base, err)
		}
	}
}

// serve finds the keys that are to be served.
func (u *update) serve(d keyroll.Decision) {
	u.result.Decision, u.result.Keys = d, map[keyroll.ID]*zonesign.Key{}
	for _, id := range slices.Concat(d.Sets.DNSKEY, d.Sets.Data) {
		u.result.Keys[id] = u.files[id].key
	}
	u.result.Held = newHeld(d, u.files)
}
