package keyring

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/caa/parent"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
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

var errNoFolder = errors.New("the key folder is missing, and it had keys of other zones: no key is created until the folder is back")

// heldOf is what is held of zones, and why no keys may be made for those that are new.
func (r *rolling) heldOf(zones []string, observed map[string][]keyroll.Observation) (held map[string]*keyfolder.Held, begin map[string]error) {
	before := running.onFolder(r)
	moved := r.movedZones(zones, before)
	held, begin = map[string]*keyfolder.Held{}, map[string]error{}
	for _, name := range zones {
		h := before.inMemory(name)
		if from := moved[name]; h == nil && from != nil {
			h = running.on(from.Folder).inMemory(name)
		}
		if h != nil {
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
		if from := moved[name]; z != nil && from != nil {
			z.movedFrom = from.Folder
			if held[name] == nil {
				held[name] = keyfolder.Recorded(*from.state())
			}
		}
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
			begin[name] = r.mayBegin(name, z, observed, now)
			if begin[name] == nil && r.record.broken != nil {
				begin[name] = fmt.Errorf("%s is not served: the record of which zones had keys cannot be read, so the zone may have had some: %w. Restore the record, or delete it if the zone is new", dnsname.Bare(name), r.record.broken)
			}
			if begin[name] == nil && gone {
				begin[name] = fmt.Errorf("%s is not served: %w", dnsname.Bare(name), errNoFolder)
			}
		}
	}
	return held, begin
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
func (r *rolling) mayBegin(name string, z *rollingZone, observed map[string][]keyroll.Observation, now time.Time) error {
	z.unasked = false
	replies, asked := observed[name]
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
		return fmt.Errorf("%s: %w", dnsname.Bare(name), errAwaits)
	}
	z.unasked = true
	return nil
}

// waysOut adds to why a zone is refused what to do about it.
func (r *rolling) waysOut(name string, err error) error {
	zone := dnsname.Bare(name)
	begin := fmt.Sprintf("create new keys: caacheck keys new %s %s", r.dir, zone)
	if o := (*orphaned)(nil); errors.As(err, &o) {
		return fmt.Errorf("%s is not served: %s. Once the DS is gone, or with orphan, %s", zone, o.cause(), begin)
	}
	return fmt.Errorf("%s is not served: %w. Restore its key files to %s. If they are lost for good, %s", zone, err, r.dir, begin)
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
		ids := strings.Join(heldIDs(result.Held), ", ")
		if z.movedFrom != "" {
			r.refuse(name, z, r.movedRefusal(name, z, ids, result.Err))
			break
		}
		r.refuse(name, z, r.waysOut(name, fmt.Errorf("the record %s shows that it had the keys %s (%w)", r.record.path, ids, result.Err)))
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
	z.log(name, r.now(), nil, string(terminal.Text(why)))
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
	if z.lost == "" {
		z.movedFrom = ""
	}
	if z.unasked && len(result.Changes) > 0 {
		log.Warningf("%s: created its first key although the parent could not be queried for a DS for %v. If the parent has a DS, copy the zone's old keys to %s and restart", dnsname.Bare(name), patienceForNew, r.dir)
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

// heldIDs are the keys of what is held, for people.
func heldIDs(h *keyfolder.Held) (ids []string) {
	for _, k := range h.Zone().Keys {
		ids = append(ids, k.ID.String())
	}
	return ids
}

// lostText is why what is held is served, for people.
func (r *rolling) lostText(name string, z *rollingZone, result *keyfolder.Result) string {
	if z.movedFrom != "" {
		return r.movedText(name, z, result)
	}
	of := result.Lost.Entry()
	return fmt.Sprintf("%s: %s (%v): %s", dnsname.Bare(name), of.Text, result.Err, of.Fix)
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
