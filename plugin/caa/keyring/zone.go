package keyring

import (
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// This file is what key auto knows: of its folder, and of each zone.

// rolling is `key auto`: the keys in a folder live by the state machine of package keyroll. Each step of a
// zone asks its parent, decides, writes, and only then is served.
type rolling struct {
	folder   *keyfolder.Folder
	dir      string
	settings keyroll.Settings
	watcher  *keyfolder.Watcher
	requests *keyfolder.Watcher        // sees what people ask while the parents are asked
	ttl      uint32                    // of DNSKEY, CDS and CDNSKEY, in seconds
	largest  func(*policy.Zone) uint32 // the largest TTL of all that a zone is known to hold
	parents  *parents
	now      func() time.Time
	pending  []keyfolder.Errand // those of which this server has done its part, and others may do theirs

	record record
	// ownedElsewhere reports whether another block of the server answers for a zone with keys of that folder.
	ownedElsewhere func(zone, folder string) bool
	preparing      sync.Mutex // held by Prepare

	stepping *semaphore.Weighted // 1; held from reading the folder until what came of it is taken over
	others   *cosigners
	mu       sync.Mutex
	started  bool // Retain has been called, so zones are served: those that come later are refused with the policy that lists them
	zones    map[string]*rollingZone
}

// rollingZone is a zone that is served, or about to be.
type rollingZone struct {
	keys     *Keys           // nil until the first step
	others   []*zonesign.Key // those of other signers among them
	served   *servedTTL
	last     keyroll.Decision
	observed []keyroll.Observation // the last query of the parent
	asked    time.Time             // when that was
	answered []keyroll.Observation // the last answer of each server of the parent
	wake     time.Time
	notify   time.Time       // when the parent is to be notified of new CDS; zero: it need not be
	logged   map[string]bool // what is wrong, as it was logged last
	bogus    string          // what of it makes the zone bogus, which is logged again and again
	alarm    string          // what of it is an error, likewise
	reminded time.Time       // when that was
	unfit    lasting         // why new keys of other signers are not published
	theirs   []string        // what is wrong with files of other signers' keys
	held     *keyfolder.Held // what the last step came to, with all keys; after a start what the record says
	lost     keyroll.Code    // why what is held is served rather than what the folder has; "": it is not
	// movedFrom is the folder in which the zone had its keys by that folder's record, while this one lacks them.
	movedFrom string
	refused   error     // why the zone is not served; nil: it is, or was not stepped yet
	since     time.Time // when the parent of a new zone was asked first; zero: it is no new zone
	fresh     bool      // people want new keys whatever the record says
	unasked   bool      // it is new and may get a key though the parent is silent
	// notServed says that the zone was refused at the start as the parent's DS names none of its keys.
	notServed bool
	unlisted  bool // Retain did not name it the last time
}

// current are the zone's keys, nil before its first step.
func (z *rollingZone) current() *Keys {
	switch {
	case z == nil:
		return nil
	case z.refused != nil:
		return &Keys{Refused: z.refused, served: z.served}
	}
	return z.keys
}

// silent reports whether one of the parent's servers did not answer when it was asked last.
func (z *rollingZone) silent() bool {
	return slices.ContainsFunc(z.observed, func(o keyroll.Observation) bool { return o.Err != nil })
}

// idle reports whether the parent has no problem, and no key waits for it that may hope.
func (z *rollingZone) idle(now time.Time, patience time.Duration) bool {
	waits := func(k keyroll.Key) bool {
		return k.State == keyroll.Unsure || k.NeedsParent() && now.Sub(k.Since) < patience
	}
	problem := func(r keyroll.Refusal) bool { return r.Code != keyroll.ParentSlow }
	return z.lost == "" && z.refused == nil && !slices.ContainsFunc(z.last.Zone.Keys, waits) && !slices.ContainsFunc(z.last.Problems(), problem)
}

// followed reports whether the parent is known to have named a key that is served: then it is the parent that
// has changed, and to serve none of our zones would not make this one valid.
func followed(keys []keyroll.Key) bool {
	return slices.ContainsFunc(keys, func(k keyroll.Key) bool { return k.Role != keyroll.ZSK && k.State == keyroll.Active })
}

var errAwaits = errors.New("its parent does not answer yet whether it has a DS, so the zone may have had keys: the parent is queried for up to a minute before keys are created")

// awaitsParent reports whether a new zone waits for its parent's word.
func (z *rollingZone) awaitsParent() bool { return errors.Is(z.refused, errAwaits) }

// log logs what is wrong, and what is an error, once while it lasts. The first error is logged again now and then.
func (z *rollingZone) log(name string, now time.Time, complaints []string, errors ...string) {
	lines := setOf(slices.Concat(complaints, errors))
	z.alarm = ""
	if len(errors) > 0 {
		z.alarm = errors[0]
	}
	for _, line := range errors {
		if !z.logged[line] {
			log.Error(terminal.Lines(line))
			z.reminded = now
		}
	}
	for _, line := range complaints {
		if !z.logged[line] {
			log.Warning(terminal.Lines(line))
			z.reminded = now
		}
	}
	if len(lines) == 0 && len(z.logged) > 0 {
		log.Infof("%s: all problems with its keys are resolved", dnsname.Bare(name))
	}
	z.logged = lines
}

// orphaned says that a zone's parent names none of its keys, if that is among what is wrong with it.
func (r *rolling) orphaned(name string, z *rollingZone, wrong []keyroll.Refusal) error {
	for _, refusal := range wrong {
		if refusal.Code == keyroll.Orphaned {
			return r.parents.orphaned(name, refusal, z.answered)
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
