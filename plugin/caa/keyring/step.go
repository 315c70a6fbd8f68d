package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// This file is a step of zones of key auto: from what is in the folder and what the parents say to what is served.

const (
	// askAgain is when a parent that could not be asked is asked again, where that is sooner than the poll.
	askAgain = 5 * time.Minute
	// tryAgain is when a folder that could not be read is read again.
	tryAgain = time.Minute
)

// step brings zones to where they are now, and names those whose keys are others. Its error is that of the
// folder where nothing is held of the zones, or of zones that cannot be served with other signers. Of one whose files
// fail it is logged, and it is served as it was, or refused. Where ctx ends while another step is under way, nothing is
// done.
func (r *rolling) step(ctx context.Context, zones []string, observed map[string][]keyroll.Observation) (news []string, err error) {
	if err := r.stepping.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer r.stepping.Release(1)
	now := r.now()
	ttls, answered := r.takeTTLs(zones), r.recall(zones, observed)
	held, begin := r.heldOf(zones, observed)
	results, err := r.folder.Do(now, &keyfolder.Work{
		Held: held, Begin: func(zone string) bool { return begin[zone] == nil },
		Observed: func(zone string, keys []*dns.DNSKEY) []keyroll.Observation {
			return r.observe(zone, held[zone].Zone(), observed[zone], keys)
		},
		Decide: func(zone string, state keyroll.Zone, found []keyroll.Key, keys []*dns.DNSKEY) keyroll.Decision {
			d := keyroll.Step(state, keyroll.Input{Now: now, Settings: r.settings, DataTTL: ttls[zone],
				KeyTTL: time.Duration(r.ttl) * time.Second, Parent: r.observe(zone, &state, observed[zone], keys), Found: found})
			r.showParent(&d, observed[zone], answered[zone], keys)
			return d
		},
	}, zones...)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if results = r.withoutFolder(held, begin, zones, err); results == nil {
			r.drop(zones)
			return nil, &FileError{keyAutoOption, r.dir, err}
		}
	}
	var changes changeLog
	var failures []error
	for name, result := range results {
		z := r.zones[name]
		if z == nil {
			continue // it is no longer served
		}
		if observation, asked := observed[name]; asked {
			z.observed, z.asked, z.answered = observation, now, answered[name]
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
		refusedRequests(name, result)
		z.log(name, now, r.complaints(name, z, result, failed), r.severe(name, z, result)...)
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

// recall returns the last answers of the servers of zones' parents, which may be those of now.
func (r *rolling) recall(zones []string, observed map[string][]keyroll.Observation) map[string][]keyroll.Observation {
	r.mu.Lock()
	defer r.mu.Unlock()
	answered := make(map[string][]keyroll.Observation, len(zones))
	for _, name := range zones {
		if z := r.zones[name]; z != nil {
			answered[name] = recall(z.answered, observed[name])
		}
	}
	return answered
}

// drop forgets zones of which nothing is known, and whose folder cannot be read. It is called with the lock.
func (r *rolling) drop(zones []string) {
	for _, name := range zones {
		delete(r.zones, name)
	}
}

// observe is what the parent of a zone says. Where it names none of the keys of a zone for which that was
// configured to be right (orphan), nobody was asked: its keys live as if it had no DS yet.
func (r *rolling) observe(zone string, state *keyroll.Zone, observed []keyroll.Observation, keys []*dns.DNSKEY) []keyroll.Observation {
	matched := match(observed, keys)
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
// served, where orphan permits that, or where it cannot be queried any more and answered so before.
func (r *rolling) showParent(d *keyroll.Decision, observed, answered []keyroll.Observation, keys []*dns.DNSKEY) {
	if len(d.Parent) == 0 {
		d.Parent = match(observed, keys)
	}
	if !slices.ContainsFunc(d.Refusals, func(refusal keyroll.Refusal) bool { return refusal.Code == keyroll.Orphaned }) {
		d.Warnings = append(d.Warnings, keyroll.Check(d.Sets.Apex, match(answered, keys))...)
	}
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
				err = fmt.Errorf("cosigner: %s: the other signers' keys for %s cannot be published with ours: %w", r.others.from(name), name, err)
				if z.keys == nil {
					return false, err
				}
				// Ours go on with those of theirs that did fit, for what is written of ours must be served.
				unfit, keys, others, err = err.Error()+". The keys read earlier are still published", before, z.others, nil
			}
		}
		if err != nil {
			z.wake = r.now().Add(tryAgain)
			return false, fmt.Errorf("keys of %s in %s: %w", name, r.dir, err)
		}
		if !sameKeys(z.others, others) {
			log.Infof("%s: publishing %d keys of other signers with ours", dnsname.Bare(name), len(others))
		}
		if unfit == "" || !equalSets(z.last.Sets, result.Sets) {
			changed, z.keys, z.others = z.keys != nil, keys, others
		}
	}
	z.unfit.log(r.now(), unfit, log.Error, dnsname.Bare(name)+": the other signers' keys are published as in their files again")
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
