package keyring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coredns-caa/caa/plugin/caa/parent"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// This file is about keys that the folder has lost. Keys in use are never replaced because files are missing: a
// running server serves on with what it holds in memory, and after a start a zone that had keys, by its parent's DS
// or the record, is refused until they are back or people want new ones.

const (
	// patienceForNew is for how long the parent of a zone of which nothing is known is asked before the zone gets
	// its first key without the parent's word. A network that comes up after the server does so in less.
	patienceForNew = time.Minute
	// askNew is how often it is asked.
	askNew = 2 * time.Second
	// lookForKeys is how often the keys of a zone that is not served are looked for: nobody waits for anything else, and
	// a file that is overwritten in place changes nothing of its folder.
	lookForKeys = 10 * time.Second
)

var (
	errAwaits   = errors.New("its parent cannot be asked yet whether it has a DS, and so whether the zone had keys: it is asked for up to a minute before keys are made")
	errNoFolder = errors.New("the folder is missing, and it had keys of other zones: no key is made before it is back")
)

// awaitsParent reports whether a new zone waits for its parent's word.
func (z *rollingZone) awaitsParent() bool { return errors.Is(z.refused, errAwaits) }

// heldOf is what is held of zones, and why no keys may be made for those that are new.
func (r *rolling) heldOf(zones []string, said map[string][]keyroll.Observation) (held map[string]*keyfolder.Held, begin map[string]error) {
	before := running.onFolder(r)
	held, begin = map[string]*keyfolder.Held{}, map[string]error{}
	for _, name := range zones {
		if h := before.inMemory(name); h != nil {
			held[name] = h
		}
	}
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record.again()
	gone := r.holdsAny() && missing(r.dir)
	for _, name := range zones {
		z := r.zones[name]
		switch {
		case z == nil:
		case z.held != nil:
			held[name] = z.held
		case z.fresh:
			delete(held, name)
		case held[name] == nil:
			if was := r.record.of(name); was != nil {
				held[name] = keyfolder.Recorded(*was)
				break
			}
			begin[name] = r.mayBegin(name, z, said, now)
			if begin[name] == nil && r.record.broken != nil {
				begin[name] = fmt.Errorf("%s is not served: the record of which zones had keys cannot be read, so that it may have had some: %w. Put it back, or remove it if the zone is new", terminal.Bare(name), r.record.broken)
			}
			if begin[name] == nil && gone {
				begin[name] = fmt.Errorf("%s is not served: %w", terminal.Bare(name), errNoFolder)
			}
		}
	}
	return held, begin
}

func missing(dir string) bool {
	_, err := os.Stat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// holdsAny reports whether the folder is known to have had keys. It is called with the lock.
func (r *rolling) holdsAny() bool {
	if len(r.record.zones) > 0 {
		return true
	}
	for _, z := range r.zones {
		if z.held != nil {
			return true
		}
	}
	return false
}

// mayBegin says why a zone of which nothing is known may have no key made yet. It is called with the lock.
func (r *rolling) mayBegin(name string, z *rollingZone, said map[string][]keyroll.Observation, now time.Time) error {
	z.unasked = false
	replies, asked := said[name]
	if r.parents.source == nil || r.parents.orphans[name] || !asked || len(replies) == 0 {
		return nil
	}
	silent := 0
	for _, o := range replies {
		if o.Err != nil && !errors.Is(o.Err, parent.ErrNoName) {
			silent++
		}
	}
	if refusals := keyroll.Check(nil, match(replies, nil)); len(refusals) > 0 {
		return r.waysOut(name, r.parents.orphaned(name, refusals[0], replies))
	}
	if silent < len(replies) {
		return nil
	}
	if z.since.IsZero() {
		z.since = now
	}
	if now.Sub(z.since) < patienceForNew {
		return fmt.Errorf("%s: %w", terminal.Bare(name), errAwaits)
	}
	z.unasked = true
	return nil
}

// waysOut adds to why a zone is refused what to do about it.
func (r *rolling) waysOut(name string, err error) error {
	zone := terminal.Bare(name)
	begin := fmt.Sprintf("start with new keys: caacheck keys new %s %s", r.dir, zone)
	if errors.As(err, new(*orphaned)) {
		return fmt.Errorf("%s is not served: %w. Without the DS, or with orphan, %s", zone, err, begin)
	}
	return fmt.Errorf("%s is not served: %w. Put the files of its keys back into %s; or, where they are lost for good, %s", zone, err, r.dir, begin)
}

// withoutFolder are the results of a step whose folder could not be read: what is held, of each zone. They are nil
// where no keys are held, as at a first start, except where the folder must not be made yet.
func (r *rolling) withoutFolder(held map[string]*keyfolder.Held, begin map[string]error, zones []string, err error) map[string]*keyfolder.Result {
	waits := func(name string) bool { return begin[name] != nil }
	notYet := errors.Is(err, fs.ErrNotExist) && slices.ContainsFunc(zones, waits)
	if !notYet && len(held) == 0 && !r.holdsAny() {
		return nil
	}
	results := map[string]*keyfolder.Result{}
	for _, name := range zones {
		if h := held[name]; h != nil {
			results[name] = h.Result(r.now(), keyroll.Refusal{Code: keyroll.FolderLost}, err)
		} else {
			results[name] = &keyfolder.Result{New: waits(name), Err: err}
		}
	}
	return results
}

// refusedStep refuses a zone of which there is nothing to serve after a step, and reports whether that is so. It is
// called with the lock.
func (r *rolling) refusedStep(name string, z *rollingZone, result *keyfolder.Result, begin error) bool {
	switch {
	case result.New:
		r.refuse(name, z, begin)
	case z.keys != nil || result.Keys != nil || result.Err == nil:
		return false
	case result.Lost != nil && result.Lost.Code != keyroll.KeysUnreadable && !result.Held.HasKeys() && result.Held != nil:
		var ids []string
		for _, k := range result.Held.Zone().Keys {
			ids = append(ids, k.ID.String())
		}
		r.refuse(name, z, r.waysOut(name, fmt.Errorf("by the record in %s it had the keys %s (%w)", r.record.path, strings.Join(ids, ", "), result.Err)))
	default:
		r.refuse(name, z, r.waysOut(name, fmt.Errorf("key auto: %w", result.Err)))
	}
	return true
}

// refuse has a zone not served. It is called with the lock.
func (r *rolling) refuse(name string, z *rollingZone, why error) {
	z.refused, z.wake = why, r.now().Add(lookForKeys)
	if z.awaitsParent() {
		z.wake = r.now().Add(askNew)
	}
	z.tell(name, r.now(), nil, string(terminal.Text(why)))
}

// hold keeps what a step came to. It is called with the lock.
func (r *rolling) hold(name string, z *rollingZone, result *keyfolder.Result, failed error) {
	z.lost = ""
	switch {
	case result.Lost != nil:
		z.lost = result.Lost.Code
	case errors.Is(failed, keyfolder.ErrKeyLost):
		z.lost = keyroll.KeysLost
	case failed != nil && result.Held == nil:
		z.lost = keyroll.KeysUnreadable
	}
	if z.lost == "" && result.Held != nil {
		if z.held = result.Held; z.held.Empty() {
			z.held = nil // its first key could not be written
		}
		r.record.note(name, r.dir, result.Held.Zone())
	} else if z.held == nil || !z.held.HasKeys() {
		z.held = result.Held // of an instance that this one takes over from
	}
	if was := r.record.moved[name]; was != "" && len(result.Changes) > 0 {
		log.Warningf("%s gets its first key in %s, and by a record in %s it had keys in %s, which is missing: if that folder has moved, stop, and put the zone's old keys into %[2]s", terminal.Bare(name), r.dir, filepath.Dir(r.record.path), was)
	}
	delete(r.record.moved, name)
	if z.unasked && len(result.Changes) > 0 {
		log.Warningf("%s gets its first key though its parent could not be asked for %v whether it has a DS; if it has one, put the zone's old keys into %s and restart", terminal.Bare(name), patienceForNew, r.dir)
	}
	z.refused, z.since, z.fresh, z.unasked = nil, time.Time{}, false, false
	if err := r.orphaned(name, z, z.last.Refusals); z.notServed && err != nil && !r.parents.orphans[name] && !followed(z.last.Zone.Keys) {
		r.refuse(name, z, r.waysOut(name, err))
	} else {
		z.notServed = false
	}
}

// saveRecord writes the record where it has changed. It is not done in each step: a zone that appears has one of its
// own, and there may be ten thousand.
func (r *rolling) saveRecord() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record.save()
}

// lostText is why what is held is served, for people.
func lostText(name string, result *keyfolder.Result) string {
	return fmt.Sprintf("%s: %s (%v): %s", terminal.Bare(name), result.Lost.Cause(), result.Err, result.Lost.Remedy())
}

// patience is how long the parents of zones may take: not long where one waits for that before it is served.
func (r *rolling) patience(zones []string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(zones, func(name string) bool { z := r.zones[name]; return z != nil && z.awaitsParent() }) {
		return patienceAtStart
	}
	return patienceForParents
}

// errandGrace is for how long other servers on the folder may add what they hold of all zones: each looks every two
// seconds.
const errandGrace = 5 * time.Second

// doErrands does what people ask of servers whose folder may have no state, and reports whether zones have other
// keys.
func (r *rolling) doErrands(ctx context.Context, found []keyfolder.Errand) (changed bool) {
	for _, e := range r.pending {
		if is, err := r.folder.Answer(e); err == nil && is.Answered.IsZero() && !slices.ContainsFunc(found, func(o keyfolder.Errand) bool { return o.Zone == e.Zone }) {
			found = append(found, is)
		}
	}
	before := r.pending
	r.pending = nil
	for _, e := range found {
		done := slices.ContainsFunc(before, func(o keyfolder.Errand) bool { return o.Verb == e.Verb && o.Asked.Equal(e.Asked) })
		other := false
		if !done {
			switch e.Verb {
			case keyfolder.Restore:
				done, other = r.restore(&e)
			case keyfolder.StartNew:
				done, other = r.startNew(ctx, &e)
			}
		}
		changed = changed || other
		if !done {
			continue // it is for another server
		}
		last := e.Zone != "" || r.now().Sub(e.Asked) >= errandGrace
		if !last {
			r.pending = append(r.pending, e)
		}
		if err := r.folder.Reply(e, r.now(), last); err != nil {
			log.Errorf("A request through %s is done, and could not be answered: %v", r.dir, err)
		}
	}
	return changed
}

// restore writes what is held in memory, by this block and others on the folder.
func (r *rolling) restore(e *keyfolder.Errand) (done, changed bool) {
	held := map[string]*keyfolder.Held{}
	for _, ring := range running.allOnFolder(r) {
		for name, h := range ring.allHeld() {
			if e.Zone == "" || e.Zone == name {
				held[name] = h
			}
		}
	}
	if len(held) == 0 {
		return false, false
	}
	r.stepping.Lock()
	restored, err := r.folder.Restore(r.now(), held)
	r.stepping.Unlock()
	e.Failed = map[string]string{}
	for name := range held {
		did := restored[name]
		switch failed := errors.Join(err, did.Err); {
		case failed != nil:
			e.Failed[name] = failed.Error()
		case did.Wrote:
			e.Zones = append(e.Zones, name)
			log.Infof("%s: the keys held in memory are written into %s", terminal.Bare(name), r.dir)
		}
		e.Aside = append(e.Aside, did.Aside...)
	}
	r.mu.Lock()
	mine := slices.DeleteFunc(slices.Clone(e.Zones), func(name string) bool { return r.zones[name] == nil })
	r.mu.Unlock()
	if len(mine) == 0 {
		return true, false
	}
	news, err := r.step(mine, nil)
	if err != nil {
		log.Errorf("After the keys were written: %v", err)
	}
	return true, len(news) > 0
}

// startNew forgets what keys a zone had, where no DS names one.
func (r *rolling) startNew(ctx context.Context, e *keyfolder.Errand) (done, changed bool) {
	r.mu.Lock()
	z := r.zones[e.Zone]
	only := z != nil && z.lost != "" && z.held.HasKeys()
	r.mu.Unlock()
	switch {
	case z == nil:
		return false, false
	case only: // nobody else may have them
		e.Failed = map[string]string{e.Zone: fmt.Sprintf("the server still holds the zone's keys, which %s lacks, and the zone is served with them: caacheck keys restore %[1]s writes them there. To give them up, stop the server first", r.dir)}
		return true, false
	}
	said := r.parents.ask(ctx, patienceAtStart, []string{e.Zone})
	if e.Refused = r.refusesNew(e.Zone, said[e.Zone]); e.Refused != nil {
		return true, false
	}
	r.mu.Lock()
	z.fresh, z.held = true, nil
	r.record.forget(e.Zone)
	r.mu.Unlock()
	log.Warningf("%s starts with the keys that %s has, or new ones: people asked for it", terminal.Bare(e.Zone), r.dir)
	news, err := r.step([]string{e.Zone}, said)
	r.mu.Lock()
	defer r.mu.Unlock()
	if z.refused != nil {
		err = z.refused
	}
	if err != nil {
		e.Failed = map[string]string{e.Zone: err.Error()}
	} else {
		e.Zones = []string{e.Zone}
	}
	return true, len(news) > 0
}

// refusesNew says why a zone must not start with new keys, by what its parent says.
func (r *rolling) refusesNew(zone string, replies []keyroll.Observation) *keyroll.Refusal {
	if r.parents.source == nil || r.parents.orphans[zone] {
		return nil
	}
	var with, silent []string
	for _, o := range replies {
		switch {
		case o.Err != nil && !errors.Is(o.Err, parent.ErrNoName):
			silent = append(silent, o.Server)
		case len(o.Others) > 0:
			with = append(with, o.Server)
		}
	}
	switch {
	case len(with) > 0:
		return &keyroll.Refusal{Code: keyroll.DSAtParent, Servers: with}
	case len(silent) > 0:
		return &keyroll.Refusal{Code: keyroll.ParentUnknown, Servers: silent}
	}
	return nil
}

// rings are the keyrings of folders at work in this process. When CoreDNS loads its Corefile again, the new
// instance takes over what the old one holds: the folder may have lost it.
type rings struct {
	mu  sync.Mutex
	all map[*rolling]bool
}

var running = rings{all: map[*rolling]bool{}}

// add has a keyring found by others until remove is called.
func (s *rings) add(k Keyring) (remove func()) {
	r, ok := k.(*rolling)
	if !ok {
		return func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[r] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.all, r)
	}
}

// allOnFolder are the keyring and all others at work on its folder.
func (s *rings) allOnFolder(r *rolling) []*rolling {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []*rolling{r}
	for other := range s.all {
		if other != r && sameFolder(other.dir, r.dir) {
			all = append(all, other)
		}
	}
	return all
}

// refusedOf are the zones that the keyring, or another one at work on its folder, has refused: a reload neither serves
// them nor ends their being served.
func (s *rings) refusedOf(r *rolling) map[string]bool {
	all := map[string]bool{}
	for _, ring := range s.allOnFolder(r) {
		ring.mu.Lock()
		for name, z := range ring.zones {
			if z.refused != nil {
				all[name] = true
			}
		}
		ring.mu.Unlock()
	}
	return all
}

// onFolder are the other keyrings at work on its folder.
func (s *rings) onFolder(r *rolling) others { return s.allOnFolder(r)[1:] }

type others []*rolling

// inMemory is what one of them holds of a zone.
func (o others) inMemory(zone string) *keyfolder.Held {
	for _, ring := range o {
		if h := ring.inMemory(zone); h.HasKeys() {
			return h
		}
	}
	return nil
}

// inMemory is what is held of a zone, nil for nothing.
func (r *rolling) inMemory(zone string) *keyfolder.Held {
	r.mu.Lock()
	defer r.mu.Unlock()
	if z := r.zones[zone]; z != nil {
		return z.held
	}
	return nil
}

// allHeld are the keys that are held in memory, by zone.
func (r *rolling) allHeld() map[string]*keyfolder.Held {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]*keyfolder.Held{}
	for name, z := range r.zones {
		if z.held.HasKeys() {
			all[name] = z.held
		}
	}
	return all
}

func sameFolder(a, b string) bool {
	a, errA := filepath.Abs(a)
	b, errB := filepath.Abs(b)
	return errA == nil && errB == nil && a == b
}
