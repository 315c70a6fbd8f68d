package keyfolder

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

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// Errand is what people ask of a server whose folder may have no state into which a request could be written. It
// is a file of its own: a server replaces it by the same with an answer, and whoever asked removes that.
type Errand struct {
	Version  int               `json:"version"`
	Verb     Task              `json:"verb"`
	Zone     string            `json:"zone,omitempty"` // "": all that the server holds
	Asked    time.Time         `json:"asked"`
	Progress *Progress         `json:"progress,omitempty"` // nil until a server picks it up
	Answered time.Time         `json:"answered,omitzero"`
	Refused  *keyroll.Refusal  `json:"refused,omitempty"`
	Zones    []string          `json:"zones,omitempty"`  // for which it was done
	Aside    []string          `json:"aside,omitempty"`  // files that were there and differed, under the names that they have now
	Failed   map[string]string `json:"failed,omitempty"` // by zone
}

// Progress is how far a server is that picked up an errand.
type Progress struct {
	At    time.Time `json:"at"` // when it wrote that
	Done  int       `json:"done"`
	Total int       `json:"total"` // zones
}

// Task is what an errand is for.
type Task string

// The tasks.
const (
	Restore  Task = "restore" // write the keys that are held in memory into the folder
	StartNew Task = "new"     // forget the keys that the zone had, and go on with those of the folder or new ones
)

const (
	errandSuffix = "keyrequest"
	allZones     = "all." + errandSuffix
	// errandLife is how old a request may be and still be done: after that the command has given up waiting.
	errandLife = time.Hour
)

// ErrStanding is an errand of somebody else's that is not over.
var ErrStanding = errors.New("another request of the same kind is pending: wait until it is done")

// errandStem begins the names of requests that are still being written: the holder of the lock leaves those alone.
const errandStem = "request-"

func (f *Folder) errandPath(zone string) (path string, err error) {
	if zone == "" {
		return filepath.Join(f.dir, allZones), nil
	}
	stem, err := zonesign.KeyFileStem(zone)
	return filepath.Join(f.dir, strings.TrimSuffix(stem, "+")+errandSuffix), err
}

// Send writes an errand into the folder, which has to be there. One that is there and that a server works on is returned
// in its place.
func (f *Folder) Send(e Errand, now time.Time) (Errand, error) {
	path, err := f.errandPath(e.Zone)
	if err != nil {
		return e, err
	}
	if _, err := os.Stat(f.dir); err != nil {
		return e, err
	}
	if old, err := readErrand(path); err == nil && old.pending(now) {
		if old.Progress != nil && old.Verb == e.Verb {
			return old, nil
		}
		return e, fmt.Errorf("%s: %w", path, ErrStanding)
	}
	e.Version, e.Asked, e.Progress = stateVersion, now, nil
	return e, f.writeErrand(path, e)
}

// pending reports whether an errand is not over, and whoever sent it or works on it is there by its times.
func (e *Errand) pending(now time.Time) bool {
	last := e.Asked
	if e.Progress != nil {
		last = e.Progress.At
	}
	return e.Answered.IsZero() && now.Sub(last).Abs() < time.Minute
}

// Answer returns an errand as it is now. One whose file is gone, or another's, is an error.
func (f *Folder) Answer(e Errand) (Errand, error) {
	path, err := f.errandPath(e.Zone)
	if err != nil {
		return e, err
	}
	is, err := readErrand(path)
	if err == nil && !is.Asked.Equal(e.Asked) {
		err = fmt.Errorf("%s: another request has replaced it", path)
	}
	return is, err
}

// Remove takes an errand out of the folder.
func (f *Folder) Remove(e Errand) error {
	path, err := f.errandPath(e.Zone)
	if err != nil {
		return err
	}
	return f.disk.remove(path)
}

// Cancel takes an errand out of the folder unless a server has picked it up, and returns it as it is then.
func (f *Folder) Cancel(e Errand) (Errand, error) {
	// A server that picks it up holds the lock; the caller makes no lock, since the server might not be able to write it.
	if zonesign.Locked(f.dir) {
		unlock, err := f.disk.lock(f.dir)
		if err != nil {
			return e, err
		}
		defer unlock()
	}
	is, err := f.Answer(e)
	if err != nil || is.Progress != nil {
		return is, err
	}
	return is, f.Remove(is)
}

// PickUp notes in an errand that a server works on it, for so many zones. One that is gone or replaced is an error.
func (f *Folder) PickUp(e *Errand, now time.Time, zones int) error {
	e.Progress = &Progress{Total: zones}
	return f.rewrite(*e, now, func(*Errand) {})
}

// Reply adds to an errand what a server did, and with last answers it. Several servers may add to one at once.
func (f *Folder) Reply(e Errand, now time.Time, last bool) error {
	return f.rewrite(e, now, func(is *Errand) { is.add(e, now, last) })
}

// rewrite has a file of an errand changed, with how far the server is.
func (f *Folder) rewrite(e Errand, now time.Time, change func(is *Errand)) error {
	path, err := f.errandPath(e.Zone)
	if err != nil {
		return err
	}
	unlock, err := f.disk.lock(f.dir)
	if err != nil {
		return err
	}
	defer unlock()
	is, err := f.Answer(e)
	if err != nil {
		return err // the command that asked is gone
	}
	p := Progress{At: now}
	for _, of := range []*Progress{is.Progress, e.Progress} {
		if of != nil { // several servers on a folder hold the same zones
			p.Done, p.Total = max(p.Done, of.Done), max(p.Total, of.Total)
		}
	}
	is.Progress = &p
	change(&is)
	return f.writeErrand(path, is)
}

// add adds what a server did.
func (e *Errand) add(did Errand, now time.Time, last bool) {
	e.Refused = did.Refused
	e.Zones, e.Aside = union(e.Zones, did.Zones), union(e.Aside, did.Aside)
	if e.Failed == nil {
		e.Failed = map[string]string{}
	}
	maps.Copy(e.Failed, did.Failed)
	if last {
		e.Answered = now
	}
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// Errands are those that wait for a server, as a look found them.
func (f *Folder) Errands(list *Listing, now time.Time) (errands []Errand) {
	for name := range list.names {
		if !strings.HasSuffix(name, "."+errandSuffix) {
			continue
		}
		e, err := readErrand(filepath.Join(f.dir, name))
		if err == nil && e.Answered.IsZero() && now.Sub(e.Asked).Abs() < errandLife {
			errands = append(errands, e)
		}
	}
	slices.SortFunc(errands, func(a, b Errand) int { return a.Asked.Compare(b.Asked) })
	return errands
}

// maxErrand bounds what is read, in octets: an answer names each of ten thousand zones.
const maxErrand = 16 << 20

func readErrand(path string) (e Errand, err error) {
	text, _, err := regularfile.Read(path, maxErrand)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("%s: %w", path, err)
	}
	if e.Version != stateVersion {
		return e, fmt.Errorf("%s has version %d, but this program reads version %d", path, e.Version, stateVersion)
	}
	if e.Zone != "" {
		e.Zone = dns.CanonicalName(e.Zone)
	}
	return e, nil
}

// writeErrand leaves a file that others may read: there is no secret in it, and it may be root's.
func (f *Folder) writeErrand(path string, e Errand) error {
	text, err := json.MarshalIndent(e, "", "\t")
	if err != nil {
		return err
	}
	return f.disk.replace(path, errandStem, string(text)+"\n", 0o644)
}

// Restored is what a Restore did for one zone.
type Restored struct {
	Wrote bool     // something was missing
	Aside []string // files that were in the way, under the names that they have now
	Err   error
}

// Restore writes what is held of zones into the folder, under its lock, where keys in use are missing there. It
// makes the folder if need be. Nothing is overwritten: what differs is put aside under another name, and so are keys
// of such a zone that are not held.
func (f *Folder) Restore(now time.Time, held map[string]*Held) (map[string]Restored, error) {
	unlock, err := f.disk.lock(f.dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	names, err := f.list()
	if err != nil {
		return nil, err
	}
	zones := slices.Collect(maps.Keys(held))
	updates, jobs := make([]*update, len(zones)), make([]*job, len(zones))
	for i, zone := range zones {
		updates[i] = &update{folder: f, work: &Work{}, held: held[zone], names: names, now: now, zone: dns.CanonicalName(zone),
			job: job{failed: stages, restores: true, asides: map[string]string{}}}
		jobs[i] = &updates[i].job
	}
	each(updates, func(u *update) { u.err = u.planRestore() })
	write(f.disk, f.dir, jobs)
	done := map[string]Restored{}
	for i, zone := range zones {
		u := updates[i]
		done[zone] = Restored{Wrote: len(u.job.puts) > 0, Aside: u.job.aside, Err: errors.Join(u.err, u.job.err)}
	}
	return done, nil
}

// planRestore says what is to be written of a zone whose folder lacks keys in use: the state last, for without the keys
// nothing that is in use could be taken for unused.
func (u *update) planRestore() (err error) {
	if u.path, u.job.stem, err = u.folder.statePath(u.zone); err != nil {
		return err
	}
	if u.read() == nil && u.reconcile() == nil && !u.fromMemory {
		return nil // all that is in use is there
	}
	for _, k := range u.held.Zone().Keys {
		if h := u.held.keys[k.ID]; h != nil {
			u.restoreKey(h, k.Role)
		}
	}
	u.asideUnknown()
	if state, err := readState(u.path, u.zone); err != nil || !state.Seen.IsZero() {
		u.aside(u.path)
	}
	d := &u.held.decision
	file := stateFile{Zone: u.zone, State: d.Zone, Report: newReport(u.now, d, nil, nil)}
	text, err := file.text()
	if err != nil {
		u.job.puts, u.job.asides = nil, nil
		return err
	}
	u.job.put(newState, u.path, text, stateMode)
	return nil
}

// restoreKey has both files of a key written where they are not there as they should be.
func (u *update) restoreKey(h *keyFiles, role keyroll.Role) {
	base := filepath.Join(u.folder.dir, filepath.Base(h.base))
	if is, err := readKeyFiles(base); err == nil && samePublic(is.key.DNSKEY, h.key.DNSKEY) {
		return
	}
	texts, s := h.texts(h.times), newSEPs
	if role == keyroll.ZSK {
		s = newZSKs
	}
	for i, half := range halves {
		path := base + half.suffix
		if text, _, err := regularfile.Read(path, zonesign.MaxKeyFile); err == nil && string(text) == texts[i] {
			continue
		}
		u.aside(path)
		u.job.put(s, path, texts[i], half.mode)
	}
}

// asideUnknown puts the keys of the zone aside that are not held: those of another server, which would be taken for
// unused ones of this zone.
func (u *update) asideUnknown() {
	for _, file := range u.names[u.job.stem] {
		base := strings.TrimSuffix(strings.TrimSuffix(file, ".key"), ".private")
		known := slices.ContainsFunc(u.held.Zone().Keys, func(k keyroll.Key) bool { return base == u.job.stem+k.ID.String() })
		if strings.HasPrefix(file, u.job.stem) && base != file && !known {
			u.aside(filepath.Join(u.folder.dir, file))
		}
	}
}

// aside has a file given another name, by which nobody takes it for a key or a state; one that is not there needs none.
func (u *update) aside(path string) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return
	}
	to := fmt.Sprintf("%s.aside-%s", path, u.now.UTC().Format(bindTime))
	for n := 1; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		}
		to = fmt.Sprintf("%s.aside-%s-%d", path, u.now.UTC().Format(bindTime), n)
	}
	u.job.asides[path] = to
}
