package keyring

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

const (
	// idlePoll is how often a parent is asked that no key waits for, or that has not done for long what it is
	// waited for: that of a zone inside a company, say, whose parent is the root.
	idlePoll = 24 * time.Hour
	// zonesAtOnce is how many zones are stepped under one lock of the folder: other servers, and a zone that has
	// just appeared, wait for no more than these. More of them take so long at the start that it is logged before.
	zonesAtOnce = 500
)

func newRolling(cfg *Config, above *parents, others *cosigners) *rolling {
	folder, ownedElsewhere := keyfolder.New(cfg.Folder), cfg.OwnedElsewhere
	if ownedElsewhere == nil {
		ownedElsewhere = func(string, string) bool { return false }
	}
	return &rolling{record: openRecord(cfg.Record, cfg.Folder), ownedElsewhere: ownedElsewhere, folder: folder, watcher: folder.Watch(), requests: folder.Watch(), dir: cfg.Folder, settings: cfg.Roll, ttl: cfg.TTL, largest: cfg.Largest,
		parents: above, others: others, now: cfg.Now, stepping: semaphore.NewWeighted(1), zones: map[string]*rollingZone{}}
}

// Of implements Keyring.
func (r *rolling) Of(name string) (*Keys, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if keys := r.zones[name].current(); keys != nil {
		return keys, nil
	}
	return nil, fmt.Errorf("%w %s", ErrNoKey, name)
}

// Ensure implements Keyring.
func (r *rolling) Ensure(ctx context.Context, zone *policy.Zone) (*Keys, error) {
	if keys := r.meet(zone); keys != nil {
		return keys, nil
	}
	// A question waits for this, so the parent is asked a moment later.
	if _, err := r.step(ctx, []string{zone.Name}, nil); err != nil {
		return nil, err
	}
	return r.Of(zone.Name)
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
	return z.current()
}

// Prepare implements Keyring. Blocks that share keys prepare them at the same time: one waits for the other, which may
// refuse a zone that both have.
func (r *rolling) Prepare(ctx context.Context, served []*policy.Zone) error {
	r.preparing.Lock()
	defer r.preparing.Unlock()
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
		log.Infof("Reading the keys of %d zones in %s, and creating those that are missing; this may take a while", len(zones), r.dir)
	}
	refused := running.refusedOf(r)
	if _, err := r.step(ctx, zones, r.parents.ask(ctx, patienceAtStart, zones)); err != nil {
		return err
	}
	if info, err := os.Stat(r.dir); err == nil && info.Mode().Perm()&0o022 != 0 {
		log.Warningf("%s has mode %04o, so other users can add keys to it: run chmod 0700 on it", r.dir, info.Mode().Perm())
	}
	var errs []error
	r.saveRecord()
	takesOver := len(running.onFolder(r)) > 0
	r.mu.Lock()
	defer r.mu.Unlock()
	reload := r.started || takesOver
	for _, name := range zones {
		z := r.zones[name]
		if z == nil {
			continue // nobody serves it any more
		}
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

// Retain implements Keyring.
func (r *rolling) Retain(zones []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = true
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
	for zones := range slices.Chunk(r.due(ctx, list), zonesAtOnce) {
		observed, restored := r.attending(ctx, func() map[string][]keyroll.Observation {
			return r.parents.ask(ctx, r.patience(zones), r.toAsk(zones))
		})
		changed = changed || restored
		news, err := r.step(ctx, zones, observed)
		if ctx.Err() != nil {
			return changed, r.now() // this instance ends
		}
		if err != nil {
			log.Errorf("Key maintenance failed, and the zones keep their current keys: %v", err)
		}
		changed = changed || len(news) > 0
	}
	r.saveRecord()
	r.dropMoved()
	r.notifyParents(ctx)
	r.remind()
	return changed, r.next()
}

// notifyParents tells those parents of new CDS whose turn it is, and does not wait for them.
func (r *rolling) notifyParents(ctx context.Context) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, z := range r.zones {
		if z.notify.IsZero() || now.Before(z.notify) {
			continue
		}
		z.notify = time.Time{}
		go func() {
			switch notified, err := r.parents.notify(ctx, name); {
			case err != nil:
				log.Warningf("%s: the parent could not be notified of the new CDS, and will find it at its next scan: %v", dnsname.Bare(name), err)
			case notified != "":
				log.Infof("%s: notified %s of the new CDS (RFC 9859)", dnsname.Bare(name), notified)
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
func (r *rolling) due(ctx context.Context, list *keyfolder.Listing) (zones []string) {
	rekeyed := r.readCosigners(ctx)
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
func (r *rolling) readCosigners(ctx context.Context) bool {
	if r.stepping.Acquire(ctx, 1) != nil {
		return false
	}
	defer r.stepping.Release(1)
	changed := r.others.look(r.now())
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, z := range r.zones {
		z.theirs = r.others.troubles(name)
	}
	return changed
}
