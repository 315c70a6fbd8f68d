package keyring

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

const (
	// askAgain is when a parent that could not be asked is asked again, where that is sooner than the poll.
	askAgain = 5 * time.Minute
	// idlePoll is how often a parent is asked that no key waits for, or that has not done for long what it is
	// waited for: that of a zone inside a company, say, whose parent is the root.
	idlePoll = 24 * time.Hour
	// tryAgain is when a folder that could not be read is read again.
	tryAgain = time.Minute
	// zonesAtOnce is how many zones are stepped under one lock of the folder: other servers, and a zone that has
	// just appeared, wait for no more than these. More of them take so long at the start that it is said before.
	zonesAtOnce = 500
)

// rolling is `key auto`: the keys in a folder live by the state machine of package keyroll. Each step of a
// zone asks its parent, decides, writes, and only then is served.
type rolling struct {
	folder   *keyfolder.Folder
	dir      string
	settings keyroll.Settings
	watcher  *keyfolder.Watcher
	ttl      uint32                    // of DNSKEY, CDS and CDNSKEY, in seconds
	largest  func(*policy.Zone) uint32 // the largest TTL of all that a zone is known to hold
	parents  *parents
	now      func() time.Time
	pending  []keyfolder.Errand // those of which this server has done its part, and others may do theirs

	record  record
	started bool // Prepare has been called: zones that come later are refused with the policy that lists them

	stepping sync.Mutex // held from reading the folder until what came of it is taken over
	others   *cosigners
	mu       sync.Mutex
	zones    map[string]*rollingZone
}

// rollingZone is a zone that is served, or about to be.
type rollingZone struct {
	keys     *Keys           // nil until the first step
	others   []*zonesign.Key // those of other signers among them
	served   *servedTTL
	last     keyroll.Decision
	said     []keyroll.Observation // when the parent was asked last
	asked    time.Time             // when that was
	answered []keyroll.Observation // what each server of the parent said when it answered last
	wake     time.Time
	notify   time.Time       // when the parent is to be told of new CDS; zero: it need not be
	told     map[string]bool // what is wrong, as it was logged last
	bogus    string          // what of it makes the zone bogus, which is logged again and again
	alarm    string          // what of it is an error, likewise
	reminded time.Time       // when that was
	unfit    lasting         // why new keys of other signers are not published
	theirs   []string        // what is wrong with files of other signers' keys
	held     *keyfolder.Held // what the last step came to, with all keys; after a start what the record says
	lost     keyroll.Code    // why what is held is served rather than what the folder has; "": it is not
	refused  error           // why the zone is not served; nil: it is, or was not stepped yet
	since    time.Time       // when the parent of a new zone was asked first; zero: it is no new zone
	fresh    bool            // people want new keys whatever the record says
	unasked  bool            // it is new and may get a key though the parent is silent
	// notServed says that the zone was refused at the start as the parent's DS names none of its keys.
	notServed bool
	unlisted  bool // Retain did not name it the last time
}

// silent reports whether one of the parent's servers did not answer when it was asked last.
func (z *rollingZone) silent() bool {
	return slices.ContainsFunc(z.said, func(o keyroll.Observation) bool { return o.Err != nil })
}

func newRolling(cfg *Config, above *parents, others *cosigners) *rolling {
	folder := keyfolder.New(cfg.Folder)
	return &rolling{record: openRecord(cfg.Record, cfg.Folder), folder: folder, watcher: folder.Watch(), dir: cfg.Folder, settings: cfg.Roll, ttl: cfg.TTL, largest: cfg.Largest,
		parents: above, others: others, now: cfg.Now, zones: map[string]*rollingZone{}}
}

// Of implements Keyring.
func (r *rolling) Of(zone *policy.Zone) (*Keys, error) {
	if keys := r.meet(zone); keys != nil {
		return keys, nil
	}
	// A question waits for this, so the parent is asked a moment later.
	if _, err := r.step([]string{zone.Name}, nil); err != nil {
		return nil, err
	}
	keys := r.meet(zone)
	if keys == nil {
		return nil, fmt.Errorf("%w %s", ErrNoKey, zone.Name)
	}
	return keys, nil
}

// meet notes what a zone holds, and returns its keys, nil before its first step.
func (r *rolling) meet(zone *policy.Zone) *Keys {
	r.mu.Lock()
	defer r.mu.Unlock()
	z := r.zones[zone.Name]
	if z == nil {
		z = &rollingZone{served: new(servedTTL)}
		r.zones[zone.Name] = z
	}
	z.served.expect(r.largest(zone))
	if z.refused != nil {
		return &Keys{Refused: z.refused, served: z.served}
	}
	return z.keys
}

// Prepare implements Keyring.
func (r *rolling) Prepare(ctx context.Context, served []*policy.Zone) error {
	var zones []string
	for _, z := range served {
		if r.meet(z) == nil {
			zones = append(zones, z.Name)
		}
	}
	if len(zones) == 0 {
		return nil
	}
	if len(zones) > zonesAtOnce {
		log.Infof("Looking after the keys of %d zones in %s; where they are to be made, that takes a while", len(zones), r.dir)
	}
	refused := running.refusedOf(r)
	if _, err := r.step(zones, r.parents.ask(ctx, patienceAtStart, zones)); err != nil {
		return err
	}
	if info, err := os.Stat(r.dir); err == nil && info.Mode().Perm()&0o022 != 0 {
		log.Warningf("%s has mode %04o: others can put their own keys there; chmod 0700 it", r.dir, info.Mode().Perm())
	}
	var errs []error
	r.saveRecord()
	reload := r.started || len(running.onFolder(r)) > 0
	r.started = true
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range zones {
		z := r.zones[name]
		if err := r.orphaned(name, z, z.last.Refusals); err != nil && z.refused == nil && !r.parents.orphans[name] && !followed(z.last.Zone.Keys) {
			z.notServed = true
			r.refuse(name, z, r.waysOut(name, err))
		}
		if reload && z.refused != nil && !z.awaitsParent() && !refused[name] {
			errs = append(errs, z.refused) // what is served stays served
			delete(r.zones, name)
		}
	}
	return errors.Join(errs...)
}

// followed reports whether the parent is known to have named a key that is served: then it is the parent that
// has changed, and to serve none of our zones would not mend this one.
func followed(keys []keyroll.Key) bool {
	return slices.ContainsFunc(keys, func(k keyroll.Key) bool { return k.Role != keyroll.ZSK && k.State == keyroll.Active })
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

// Retain implements Keyring.
func (r *rolling) Retain(zones []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	served := setOf(zones)
	maps.DeleteFunc(r.zones, func(name string, z *rollingZone) bool {
		was := z.unlisted
		z.unlisted = !served[name] // one that has just been found may not be listed yet
		return was && z.unlisted
	})
}

// Look steps each zone whose time has come, or whose state somebody else wrote.
func (r *rolling) Look(ctx context.Context) (changed bool, next time.Time) {
	list := r.watcher.Look()
	changed = r.doErrands(ctx, r.folder.Errands(list, r.now()))
	for zones := range slices.Chunk(r.due(list), zonesAtOnce) {
		news, err := r.step(zones, r.parents.ask(ctx, r.patience(zones), r.toAsk(zones)))
		if err != nil {
			log.Errorf("The keys are served as they are: %v", err)
		}
		changed = changed || len(news) > 0
	}
	r.saveRecord()
	r.tellParents(ctx)
	r.remind()
	return changed, r.next()
}

// tellParents tells those parents of new CDS whose turn it is, and does not wait for them.
func (r *rolling) tellParents(ctx context.Context) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, z := range r.zones {
		if z.notify.IsZero() || now.Before(z.notify) {
			continue
		}
		z.notify = time.Time{}
		go func() {
			switch told, err := r.parents.notify(ctx, name); {
			case err != nil:
				log.Warningf("The parent of %s was not told of new CDS, and will see them when it looks: %v", name, err)
			case told != "":
				log.Infof("%s: %s was told of new CDS (RFC 9859)", terminal.Bare(name), told)
			}
		}()
	}
}

// toAsk are those of the zones whose parent is to be asked.
func (r *rolling) toAsk(zones []string) []string {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(zones), func(name string) bool {
		z := r.zones[name]
		return z == nil || !z.silent() && now.Sub(z.asked) < idlePoll && z.idle(now, r.settings.Patience)
	})
}

// idle reports whether nothing about the parent is amiss, and no key waits for it that may hope.
func (z *rollingZone) idle(now time.Time, patience time.Duration) bool {
	waits := func(k keyroll.Key) bool {
		return k.State == keyroll.Unsure || k.NeedsParent() && now.Sub(k.Since) < patience
	}
	amiss := func(r keyroll.Refusal) bool { return r.Code != keyroll.ParentSlow }
	return z.lost == "" && z.refused == nil && !slices.ContainsFunc(z.last.Zone.Keys, waits) && !slices.ContainsFunc(z.last.Refusals, amiss) && !slices.ContainsFunc(z.last.Warnings, amiss)
}

// next is when there may be something to do.
func (r *rolling) next() time.Time {
	next := r.now().Add(r.settings.Heartbeat)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, z := range r.zones {
		if z.wake.Before(next) {
			next = z.wake
		}
		if !z.notify.IsZero() && z.notify.Before(next) {
			next = z.notify
		}
	}
	return next
}

// due lists the zones that are to be stepped.
func (r *rolling) due(list *keyfolder.Listing) (zones []string) {
	rekeyed := r.readCosigners()
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, z := range r.zones {
		if !now.Before(z.wake) || rekeyed || list.Written(name) && r.folder.Differs(name, z.last.Zone) ||
			list.Changed && (z.lost != "" || z.refused != nil || z.held.Missing(list)) {
			zones = append(zones, name)
		}
	}
	return zones
}

// readCosigners reports whether other signers have other keys.
func (r *rolling) readCosigners() bool {
	r.stepping.Lock()
	defer r.stepping.Unlock()
	changed := r.others.look(r.now())
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, z := range r.zones {
		z.theirs = r.others.troubles(name)
	}
	return changed
}

// step brings zones to where they are now, and names those whose keys are others. Its error is that of the
// folder where nothing is held of the zones, or of zones that cannot be served with other signers. Of one whose files
// fail it is logged, and it is served as it was, or refused.
func (r *rolling) step(zones []string, said map[string][]keyroll.Observation) (news []string, err error) {
	r.stepping.Lock()
	defer r.stepping.Unlock()
	now := r.now()
	ttls, answered := r.takeTTLs(zones), r.recall(zones, said)
	held, begin := r.heldOf(zones, said)
	results, err := r.folder.Do(now, &keyfolder.Work{
		Held: held, Begin: func(zone string) bool { return begin[zone] == nil },
		Said: func(zone string, keys []*dns.DNSKEY) []keyroll.Observation {
			return r.observe(zone, held[zone].Zone(), said[zone], keys)
		},
		Decide: func(zone string, state keyroll.Zone, found []keyroll.Key, keys []*dns.DNSKEY) keyroll.Decision {
			d := keyroll.Step(state, keyroll.Input{Now: now, Settings: r.settings, DataTTL: ttls[zone],
				KeyTTL: time.Duration(r.ttl) * time.Second, Parent: r.observe(zone, &state, said[zone], keys), Found: found})
			r.showParent(&d, said[zone], answered[zone], keys)
			return d
		},
	}, zones...)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if results = r.withoutFolder(held, begin, zones, err); results == nil {
			r.drop(zones)
			return nil, fmt.Errorf("key auto %s: %w", r.dir, err)
		}
	}
	var changes changeLog
	var failures []error
	for name, result := range results {
		z := r.zones[name]
		if z == nil {
			continue // it is no longer served
		}
		if heard, asked := said[name]; asked {
			z.said, z.asked, z.answered = heard, now, answered[name]
		}
		was := z.refused
		if r.refusedStep(name, z, result, begin[name]) {
			z.served.see(uint32(ttls[name] / time.Second))
			continue
		}
		changed, failed := r.take(name, z, result, ttls[name])
		if failed != nil && z.keys == nil {
			delete(r.zones, name) // the files are fine, and what they are published with is not
			failures = append(failures, fmt.Errorf("key auto: %w", failed))
			continue
		}
		r.hold(name, z, result, failed)
		if z.refused != nil {
			continue
		}
		if changed || was != nil {
			news = append(news, name)
		}
		changes.add(name, result, z.keys)
		z.tell(name, now, r.complaints(name, z, result, failed), severe(name, result)...)
		z.bogus = ""
		if err := r.orphaned(name, z, slices.Concat(z.last.Refusals, z.last.Warnings)); err != nil {
			z.bogus = err.Error()
		}
	}
	changes.flush(r.dir)
	return news, errors.Join(failures...)
}

// takeTTLs are the largest TTLs of zones since their last step. A step that is not written gives them back.
func (r *rolling) takeTTLs(zones []string) map[string]time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	ttls := make(map[string]time.Duration, len(zones))
	for _, name := range zones {
		if z := r.zones[name]; z != nil {
			ttls[name] = z.served.take()
		}
	}
	return ttls
}

// drop forgets zones of which nothing is known, and whose folder cannot be read. It is called with the lock.
func (r *rolling) drop(zones []string) {
	for _, name := range zones {
		delete(r.zones, name)
	}
}

// observe is what the parent of a zone says. Where it names none of the keys of a zone for which that was
// said to be right, nobody was asked: its keys live as if it had no DS yet.
func (r *rolling) observe(zone string, state *keyroll.Zone, said []keyroll.Observation, keys []*dns.DNSKEY) []keyroll.Observation {
	matched := match(said, keys)
	apex := state.Sets().Apex
	// A key that is in the folder and not served yet comes back when its DS is seen.
	comesBack := slices.ContainsFunc(matched, func(o keyroll.Observation) bool {
		return slices.ContainsFunc(o.Named, func(id keyroll.ID) bool { return !slices.Contains(apex, id) })
	})
	if r.parents.orphans[zone] && !comesBack && len(keyroll.Check(apex, matched)) > 0 {
		return nil
	}
	for i, o := range matched {
		if len(o.Named) > 0 { // else it would look like a parent without DS
			matched[i].Others = slices.DeleteFunc(o.Others, func(ds *dns.DS) bool { return r.others.owns(zone, ds) })
		}
	}
	return matched
}

// showParent adds to a decision, for people, what the step was not to see: that the parent names no key that is
// served, where that was said to be right, or where it cannot be asked any more and said so before.
func (r *rolling) showParent(d *keyroll.Decision, said, answered []keyroll.Observation, keys []*dns.DNSKEY) {
	if len(d.Parent) == 0 {
		d.Parent = match(said, keys)
	}
	if !slices.ContainsFunc(d.Refusals, func(refusal keyroll.Refusal) bool { return refusal.Code == keyroll.Orphaned }) {
		d.Warnings = append(d.Warnings, keyroll.Check(d.Sets.Apex, match(answered, keys))...)
	}
}

// recall returns what the parents' servers of zones said when they answered last, which may be now.
func (r *rolling) recall(zones []string, said map[string][]keyroll.Observation) map[string][]keyroll.Observation {
	r.mu.Lock()
	defer r.mu.Unlock()
	answered := make(map[string][]keyroll.Observation, len(zones))
	for _, name := range zones {
		if z := r.zones[name]; z != nil {
			answered[name] = recall(z.answered, said[name])
		}
	}
	return answered
}

// take takes over what came of a zone's step, and reports whether its keys are others. It is called with the lock.
func (r *rolling) take(name string, z *rollingZone, result *keyfolder.Result, ttl time.Duration) (changed bool, err error) {
	if result.Err != nil {
		z.served.see(uint32(ttl / time.Second)) // it did not get into the state
	}
	if result.Err != nil && result.Keys == nil {
		z.wake = r.now().Add(tryAgain)
		return false, result.Err
	}
	others := r.others.of(name, func(id keyroll.ID) bool {
		return slices.ContainsFunc(result.Zone.Keys, func(k keyroll.Key) bool { return k.ID == id })
	})
	unfit := ""
	if z.keys == nil || !equalSets(z.last.Sets, result.Sets) || !sameKeys(z.others, others) {
		keys, err := r.zoneKeys(name, result, others, z.served)
		if err != nil && len(others) > 0 && !sameKeys(z.others, others) {
			if before, alone := r.zoneKeys(name, result, z.others, z.served); alone == nil {
				err = fmt.Errorf("cosigner: %s: the keys of %s cannot be published with ours: %w", r.others.from(name), name, err)
				if z.keys == nil {
					return false, err
				}
				// Ours go on with those of theirs that did fit, for what is written of ours must be served.
				unfit, keys, others, err = err.Error()+". They are published as they were", before, z.others, nil
			}
		}
		if err != nil {
			z.wake = r.now().Add(tryAgain)
			return false, fmt.Errorf("keys of %s in %s: %w", name, r.dir, err)
		}
		if !sameKeys(z.others, others) {
			log.Infof("%s: %d keys of other signers are published with ours", terminal.Bare(name), len(others))
		}
		if unfit == "" || !equalSets(z.last.Sets, result.Sets) {
			changed, z.keys, z.others = z.keys != nil, keys, others
		}
	}
	z.unfit.tell(r.now(), unfit, log.Error, name+": the keys of its other signers are published as their files have them")
	if r.parents.notify != nil && len(result.Changes) > 0 && !sameCDS(z.last.Sets, result.Sets) {
		z.notify = r.now().Add(r.settings.Propagation) // when all servers have them (RFC 9859 4.2)
	}
	z.last, z.wake = result.Decision, result.Wake
	if z.silent() {
		if again := r.now().Add(min(askAgain, r.settings.Poll)); again.Before(z.wake) {
			z.wake = again
		}
	} else if z.asked.IsZero() && r.parents.source != nil {
		z.wake = r.now() // it was not asked, for somebody waited
	}
	return changed, result.Err
}

func equalSets(a, b keyroll.Sets) bool {
	return slices.Equal(a.DNSKEY, b.DNSKEY) && slices.Equal(a.Apex, b.Apex) && slices.Equal(a.Data, b.Data) && sameCDS(a, b)
}

func sameCDS(a, b keyroll.Sets) bool { return a.Delete == b.Delete && slices.Equal(a.CDS, b.CDS) }

// zoneKeys are the keys to serve by a decision; none where it says that the zone is unsigned.
func (r *rolling) zoneKeys(name string, result *keyfolder.Result, others []*zonesign.Key, served *servedTTL) (*Keys, error) {
	sets := result.Sets
	if len(sets.DNSKEY) == 0 {
		return &Keys{served: served}, nil
	}
	all := func(ids []keyroll.ID) (keys []*zonesign.Key) {
		for _, id := range ids {
			keys = append(keys, result.Keys[id])
		}
		return keys
	}
	roles := zonesign.Roles{Published: append(all(sets.DNSKEY), others...), Apex: all(sets.Apex), Data: all(sets.Data), Named: all(sets.CDS), Delete: sets.Delete}
	if len(roles.Named) > 0 {
		roles.Named = append(roles.Named, seps(others)...) // the parent needs a DS of each signer (RFC 8901 4)
	}
	set, err := zonesign.NewRollingKeySet(name, r.ttl, roles)
	if err != nil {
		return nil, err
	}
	keys := &Keys{Set: set, DS: set.DS(), publish: delegating(name, result, others), served: served}
	if unsure(result.Zone.Keys) && !result.Zone.Insecure {
		// Nobody knows which the parent had, so it names all of them: each signs.
		for _, key := range roles.Apex {
			keys.DS = append(keys.DS, key.DNSKEY.ToDS(dns.SHA256))
		}
	}
	return keys, nil
}

func unsure(keys []keyroll.Key) bool {
	return slices.ContainsFunc(keys, func(k keyroll.Key) bool { return k.State == keyroll.Unsure })
}
