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

	"github.com/coredns-caa/caa/plugin/pkg/atomicfile"
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
	// Observed returns what the parent's servers answer for a zone whose folder has these keys; nil: nothing.
	Observed func(zone string, keys []*dns.DNSKEY) []keyroll.Observation
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
var ErrKeyLost = errors.New("the key is in use but its files are missing: restore them from a backup")

// workers is how many zones are worked on at once: some wait for the disk meanwhile.
const workers = 16

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
		if _, missing := os.Stat(f.dir); missing != nil {
			return nil, fmt.Errorf("%w: create the folder, and give it to the user that runs the server", err)
		}
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
	updates := make([]*update, len(zones))
	for i, zone := range zones {
		updates[i] = &update{folder: f, work: work, held: work.Held[zone], names: names, now: now, readOnly: readOnly, zone: dns.CanonicalName(zone)}
	}
	each(updates, (*update).decide)
	jobs := make([]*job, len(zones))
	for i, u := range updates {
		jobs[i] = &u.job
	}
	write(f.disk, f.dir, jobs)
	results := make(map[string]*Result, len(zones))
	for i, zone := range zones {
		results[zone] = updates[i].finish()
	}
	return results, nil
}

// list returns the names of all files of keys by their stem, those that a crash left half-written included.
func (f *Folder) list() (map[string][]string, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	names := map[string][]string{}
	for _, entry := range entries {
		if stem, _, ok := strings.Cut(strings.TrimPrefix(entry.Name(), atomicfile.Temporary), "+"); ok {
			names[stem+"+"] = append(names[stem+"+"], entry.Name())
		}
	}
	return names, nil
}

// update is one zone's Update under way: decide reads and says what is to be written, and finish what is served when
// that is written or could not be.
type update struct {
	folder   *Folder
	work     *Work
	held     *Held // nil for none
	zone     string
	now      time.Time
	readOnly bool
	path     string              // of the state
	names    map[string][]string // of the folder's files, by stem
	state    keyroll.Zone
	report   *Report // as it is written
	// fromMemory says that the state is the one that is held, and that its file is missing.
	fromMemory bool
	files      map[keyroll.ID]*keyFiles
	unserved   map[keyroll.ID]bool // those of a state that a crash kept from its place

	decided *decided // nil where there is nothing to decide
	job     job      // what is to be written
	err     error    // why nothing is
	result  Result
}

// decided is what a zone's keys are to be.
type decided struct {
	state    keyroll.Zone     // as it is written now
	before   keyroll.Decision // without the keys that were made
	after    keyroll.Decision
	optional bool // nothing that is served depends on what is written
}

func (u *update) decide() {
	var err error
	u.job.failed = stages
	if u.path, u.job.stem, err = u.folder.statePath(u.zone); err == nil {
		err = u.decideKeys()
	}
	u.err = err
}

func (u *update) decideKeys() error {
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
	if u.result.New = u.isNew() && !u.work.begins(u.zone); u.result.New {
		return nil
	}
	d := u.work.Decide(u.zone, u.state, u.found(nil), u.dnskeys())
	u.decided = &decided{state: u.state, before: d, after: d}
	return u.plan(d.Write || dropped || u.fromMemory)
}

// finish is what the update came to.
func (u *update) finish() *Result {
	d := u.decided
	if u.err == nil && u.job.failed < newTimes && !d.optional {
		u.err = u.job.err
	}
	switch {
	case d == nil:
	case u.err != nil:
		u.serve(asWritten(d.state, d.before, u.now))
	default:
		u.serve(d.after)
		if u.job.failed == newTimes {
			u.warn("cannot write the times of keys: %v", u.job.err)
		}
	}
	if u.err != nil {
		u.result.Err = fmt.Errorf("keys of %s in %s: %w", u.zone, u.folder.dir, u.err)
	}
	return &u.result
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

// plan makes the keys that the decision asks for and decides again, and says what is to be written: the keys, the
// state with the report, and the times of keys that there were before. Keys that may go are deleted.
func (u *update) plan(write bool) error {
	d := &u.decided.after
	if len(d.Make) > 0 {
		made, err := u.make(*d)
		if err != nil {
			return err
		}
		again := u.work.Decide(u.zone, d.Zone, u.found(made), u.dnskeys())
		again.Changes = append(d.Changes, again.Changes...)
		again.Refusals = append(d.Refusals, again.Refusals...)
		*d, write = again, true
		u.putKeys(made)
	}
	gone := u.delete(d)
	file := stateFile{Zone: u.zone, State: d.Zone, Report: newReport(u.now, d, u.result.Warnings, u.report)}
	// A report that has changed alone is for people: it may fail.
	u.decided.optional = !write && !gone
	if write || gone || !u.readOnly && !file.Report.saysTheSame(u.report) {
		text, err := file.text()
		if err != nil {
			return err
		}
		u.job.put(newState, u.path, text, stateMode)
	}
	u.planTimes()
	return nil
}

// statePath is where a zone's state is, beside its keys, whose names begin with stem.
func (f *Folder) statePath(zone string) (path, stem string, err error) {
	stem, err = zonesign.KeyFileStem(zone)
	return filepath.Join(f.dir, strings.TrimSuffix(stem, "+")+stateSuffix), stem, err
}

// HasKey reports whether both files of a zone's key are in the folder.
func (f *Folder) HasKey(zone string, id keyroll.ID) bool {
	_, stem, err := f.statePath(zone)
	for _, half := range halves {
		if err == nil {
			_, err = os.Stat(filepath.Join(f.dir, stem+id.String()+half.suffix))
		}
	}
	return err == nil
}

// readKeys reads the files of all keys of the zone. Those of which only one half is there are not looked at: a
// crash left them before anybody knew of the key, or it was deleted. What is half-written goes.
func (u *update) readKeys() error {
	u.files, u.unserved = map[keyroll.ID]*keyFiles{}, map[keyroll.ID]bool{}
	for _, file := range u.names[u.job.stem] {
		if strings.HasPrefix(file, atomicfile.Temporary) {
			if err := u.readLeft(filepath.Join(u.folder.dir, file)); err != nil {
				return err
			}
		}
		name, public := strings.CutSuffix(file, ".key")
		if !public || !strings.HasPrefix(file, u.job.stem) {
			continue
		}
		base := filepath.Join(u.folder.dir, name)
		k, err := readKeyFiles(base)
		if err != nil {
			if _, missing := os.Stat(base + ".private"); errors.Is(missing, fs.ErrNotExist) {
				u.warn("%s.key has no .private file and is not used: restore the .private file, or delete the .key file", base)
				continue
			}
			if u.stray(name) {
				u.warn("%v; it is not a key that the zone has had, and is not used: delete it", err)
				continue
			}
			return err
		}
		if owner := k.key.DNSKEY.Hdr.Name; owner != u.zone {
			return fmt.Errorf("%s.key is a key of %s", base, owner)
		}
		if other := u.files[k.id()]; other != nil {
			return fmt.Errorf("%s and %s are different keys with the same tag: delete the one that the parent's DS does not match", base, other.base)
		}
		u.files[k.id()] = k
		u.result.Warnings = append(u.result.Warnings, k.key.Warnings...)
	}
	return nil
}

// readLeft reads and removes a file that a crash left under its temporary name. Keys that only such a state has were
// never served.
func (u *update) readLeft(path string) error {
	if strings.HasSuffix(path, "."+stateSuffix) {
		left, _ := readState(path, u.zone) // of one that is half-written no key was put in place
		for _, k := range left.Keys {
			u.unserved[k.ID] = true
		}
	}
	if u.readOnly { // its keeper may be writing it
		return nil
	}
	return u.folder.disk.remove(path)
}

// stray reports whether a key file is not one of the zone's: neither its state nor what is held names it. Of a zone
// without a state nobody knows.
func (u *update) stray(name string) bool {
	var id keyroll.ID
	known := slices.Clone(u.state.Keys)
	if u.held != nil {
		known = append(known, u.held.Zone().Keys...)
	}
	err := id.UnmarshalText([]byte(strings.TrimPrefix(name, u.job.stem)))
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
		err = errors.Join(err, fmt.Errorf("%s%s: %w", u.job.stem, k.ID, ErrKeyLost))
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
		times := k.times
		if u.unserved[id] {
			times = keyroll.Times{Created: times.Created} // else it would be taken for one in use
		}
		found = append(found, keyroll.Key{ID: id, Role: role, Times: times})
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

// make makes keys, which are in memory before their files are written.
func (u *update) make(d keyroll.Decision) (made map[keyroll.ID]keyroll.Role, err error) {
	made = map[keyroll.ID]keyroll.Role{}
	// Found keys are known to d.Zone from now on.
	u.state = d.Zone
	for _, spec := range d.Make {
		key, err := zonesign.NewKey(u.zone, spec.Algorithm, spec.Role != keyroll.ZSK, func(tag uint16) bool {
			return u.taken(keyroll.ID{Algorithm: spec.Algorithm, Tag: tag})
		})
		if err != nil {
			return nil, err
		}
		k := &keyFiles{key: key, times: keyroll.Times{Created: u.now.UTC().Truncate(time.Second)}}
		k.base = filepath.Join(u.folder.dir, u.job.stem+k.id().String())
		u.files[k.id()], made[k.id()] = k, spec.Role
	}
	return made, nil
}

// putKeys has new keys written, with the times that the state gives them.
func (u *update) putKeys(made map[keyroll.ID]keyroll.Role) {
	for _, k := range u.decided.after.Zone.Keys {
		role, isNew := made[k.ID]
		if !isNew {
			continue
		}
		s, file := newSEPs, u.files[k.ID]
		if role == keyroll.ZSK {
			s = newZSKs
		}
		file.times = k.Times
		for i, text := range file.texts(k.Times) {
			u.job.put(s, file.base+halves[i].suffix, text, halves[i].mode)
		}
	}
}

// taken reports whether a new key must not be called so: the zone has or had such a key, or a crash left half of one.
func (u *update) taken(id keyroll.ID) bool {
	name := u.job.stem + id.String()
	return u.files[id] != nil || slices.ContainsFunc(u.state.Keys, func(k keyroll.Key) bool { return k.ID == id }) ||
		slices.ContainsFunc(u.names[u.job.stem], func(file string) bool { return strings.HasPrefix(file, name) })
}

// delete has the files of keys removed that were kept long enough, the private half first, and forgets them.
func (u *update) delete(d *keyroll.Decision) (gone bool) {
	for _, id := range d.Delete {
		for _, suffix := range []string{".private", ".key"} {
			u.job.removes = append(u.job.removes, u.files[id].base+suffix)
		}
		d.Zone.Keys = slices.DeleteFunc(slices.Clone(d.Zone.Keys), func(k keyroll.Key) bool { return k.ID == id })
		gone = true
	}
	return gone
}

// planTimes brings the times in key files up to date. What fails is but a warning; the next Update tries again.
func (u *update) planTimes() {
	for _, k := range u.decided.after.Zone.Keys {
		file := u.files[k.ID]
		if file.hasTimes(k.Times) {
			continue
		}
		if err := file.putTimes(&u.job, k.Times); err != nil {
			u.warn("cannot write the times of %s: %v", file.base, err)
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
