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
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// Errand is what people ask of a server whose folder may have no state into which a request could be written. It
// is a file of its own: a server replaces it by the same with an answer, and whoever asked removes that.
type Errand struct {
	Version  int               `json:"version"`
	Verb     Task              `json:"verb"`
	Zone     string            `json:"zone,omitempty"` // "": all that the server holds
	Asked    time.Time         `json:"asked"`
	Answered time.Time         `json:"answered,omitzero"`
	Refused  *keyroll.Refusal  `json:"refused,omitempty"`
	Zones    []string          `json:"zones,omitempty"`  // for which it was done
	Aside    []string          `json:"aside,omitempty"`  // files that were there and differed, under the names that they have now
	Failed   map[string]string `json:"failed,omitempty"` // by zone
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
var ErrStanding = errors.New("somebody else has just asked for the same: wait until that is over")

// errandStem begins the names of requests that are still being written: the holder of the lock leaves those alone.
const errandStem = "request-"

func (f *Folder) errandPath(zone string) (path string, err error) {
	if zone == "" {
		return filepath.Join(f.dir, allZones), nil
	}
	stem, err := zonesign.KeyFileStem(zone)
	return filepath.Join(f.dir, strings.TrimSuffix(stem, "+")+errandSuffix), err
}

// Send writes an errand into the folder, which has to be there.
func (f *Folder) Send(e Errand, now time.Time) (Errand, error) {
	path, err := f.errandPath(e.Zone)
	if err != nil {
		return e, err
	}
	if _, err := os.Stat(f.dir); err != nil {
		return e, err
	}
	if old, err := readErrand(path); err == nil && old.Answered.IsZero() && now.Sub(old.Asked).Abs() < time.Minute {
		return e, fmt.Errorf("%s: %w", path, ErrStanding)
	}
	e.Version, e.Asked = stateVersion, now
	return e, f.writeErrand(path, e)
}

// Answer returns an errand as it is now. One whose file is gone, or another's, is an error.
func (f *Folder) Answer(e Errand) (Errand, error) {
	path, err := f.errandPath(e.Zone)
	if err != nil {
		return e, err
	}
	is, err := readErrand(path)
	if err == nil && !is.Asked.Equal(e.Asked) {
		err = fmt.Errorf("%s: somebody else has asked in its place", path)
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

// Reply adds to an errand what a server did, and with last answers it. Several servers may add to one at once.
func (f *Folder) Reply(e Errand, now time.Time, last bool) error {
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
	is.Refused = e.Refused
	is.Zones, is.Aside = union(is.Zones, e.Zones), union(is.Aside, e.Aside)
	if is.Failed == nil {
		is.Failed = map[string]string{}
	}
	maps.Copy(is.Failed, e.Failed)
	if last {
		is.Answered = now
	}
	return f.writeErrand(path, is)
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
	info, err := os.Stat(path)
	if err != nil {
		return e, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxErrand {
		return e, fmt.Errorf("%s is no request", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("%s: %w", path, err)
	}
	if e.Version != stateVersion {
		return e, fmt.Errorf("%s has version %d and this program reads %d", path, e.Version, stateVersion)
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
	done := map[string]Restored{}
	for zone, h := range held {
		u := &update{folder: f, work: &Work{}, held: h, names: names, now: now, zone: dns.CanonicalName(zone)}
		done[zone] = u.restore()
	}
	return done, nil
}

func (u *update) restore() (r Restored) {
	if u.path, u.stem, r.Err = u.folder.statePath(u.zone); r.Err != nil {
		return r
	}
	if u.read() == nil && u.reconcile() == nil && !u.fromMemory {
		return r // all that is in use is there
	}
	r.Wrote = true
	for _, k := range u.held.Zone().Keys {
		if h := u.held.keys[k.ID]; h != nil && r.Err == nil {
			r.Err = u.restoreKey(h, &r)
		}
	}
	if r.Err == nil {
		r.Err = u.asideUnknown(&r)
	}
	if r.Err != nil {
		return r // without the state, nothing that is in use could be taken for unused
	}
	if state, err := readState(u.path, u.zone); err != nil || !state.Seen.IsZero() {
		if r.Err = u.aside(u.path, &r); r.Err != nil {
			return r
		}
	}
	d := &u.held.decision
	r.Err = writeState(u.folder.disk, u.path, u.stem, stateFile{Zone: u.zone, State: d.Zone, Report: newReport(u.now, d, nil, nil)})
	return r
}

// restoreKey writes both files of a key where they are not there as they should be, the private half first.
func (u *update) restoreKey(h *keyFiles, r *Restored) error {
	base := filepath.Join(u.folder.dir, filepath.Base(h.base))
	if is, err := readKeyFiles(base); err == nil && samePublic(is.key.DNSKEY, h.key.DNSKEY) {
		return nil
	}
	private, public := h.key.Files()
	for _, half := range []struct {
		suffix, text string
		mode         fs.FileMode
	}{
		{".private", withTimes(private, "", privateLine, h.times), 0o600},
		{".key", withTimes(public, "; ", publicLine, h.times), 0o644},
	} {
		path := base + half.suffix
		if text, err := os.ReadFile(path); err == nil && string(text) == half.text {
			continue
		}
		if err := u.aside(path, r); err != nil {
			return err
		}
		if err := u.folder.disk.replace(path, u.stem, half.text, half.mode); err != nil {
			return err
		}
	}
	return nil
}

// asideUnknown puts the keys of the zone aside that are not held: those of another server, which would be taken for
// unused ones of this zone.
func (u *update) asideUnknown(r *Restored) error {
	for _, file := range u.names[u.stem] {
		base := strings.TrimSuffix(strings.TrimSuffix(file, ".key"), ".private")
		known := slices.ContainsFunc(u.held.Zone().Keys, func(k keyroll.Key) bool { return base == u.stem+k.ID.String() })
		if !strings.HasPrefix(file, u.stem) || base == file || known {
			continue
		}
		if err := u.aside(filepath.Join(u.folder.dir, file), r); err != nil {
			return err
		}
	}
	return nil
}

// aside gives a file another name, by which nobody takes it for a key or a state; one that is not there has none.
func (u *update) aside(path string, r *Restored) error {
	to := fmt.Sprintf("%s.aside-%s", path, u.now.UTC().Format(bindTime))
	for n := 1; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		}
		to = fmt.Sprintf("%s.aside-%s-%d", path, u.now.UTC().Format(bindTime), n)
	}
	err := os.Rename(path, to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		r.Aside = append(r.Aside, to)
	}
	return err
}
