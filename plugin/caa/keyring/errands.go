package keyring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/coredns-caa/caa/plugin/caa/parent"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
)

// This file does what people ask of a running server by files in its folder of keys.

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
				done, other = r.restore(ctx, &e)
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
		r.reply(e, last)
	}
	return changed
}

// pickUp has whoever asked know that this server works on an errand, for so many zones. It reports false for one that was
// taken back meanwhile.
func (r *rolling) pickUp(e *keyfolder.Errand, zones int) bool {
	err := r.folder.PickUp(e, r.now(), zones)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Errorf("A request made with caacheck keys in %s was not carried out: %v", r.dir, err)
	}
	return err == nil
}

// reply adds to an errand what was done.
func (r *rolling) reply(e keyfolder.Errand, last bool) {
	switch err := r.folder.Reply(e, r.now(), last); {
	case errors.Is(err, fs.ErrNotExist):
		log.Warningf("A request made with caacheck keys in %s was carried out, and its file was removed meanwhile: there is no reply", r.dir)
	case err != nil:
		log.Errorf("A request made with caacheck keys in %s was carried out, but the reply could not be written: %v", r.dir, err)
	}
}

// attending asks the parents, which may take long, and does what people ask meanwhile.
func (r *rolling) attending(ctx context.Context, ask func() map[string][]keyroll.Observation) (observed map[string][]keyroll.Observation, changed bool) {
	answered := make(chan map[string][]keyroll.Observation, 1)
	go func() { answered <- ask() }()
	tick := time.NewTicker(lookAtFiles)
	defer tick.Stop()
	for {
		select {
		case observed = <-answered:
			return observed, changed
		case <-tick.C:
			changed = r.doErrands(ctx, r.folder.Errands(r.requests.Look(), r.now())) || changed
		}
	}
}

// restore writes what is held in memory, by this block and others on the folder.
func (r *rolling) restore(ctx context.Context, e *keyfolder.Errand) (done, changed bool) {
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
	if !r.pickUp(e, len(held)) {
		return false, false
	}
	e.Failed = map[string]string{}
	for names := range slices.Chunk(slices.Sorted(maps.Keys(held)), zonesAtOnce) {
		if e.Progress.Done > 0 {
			r.reply(*e, false)
		}
		changed = r.restoreZones(ctx, e, held, names) || changed
		e.Progress.Done += len(names)
	}
	for i, name := range e.Zones {
		if i == shownKeys {
			log.Infof("%d more zones: wrote the keys held in memory to %s", len(e.Zones)-i, r.dir)
			break
		}
		log.Infof("%s: wrote the keys held in memory to %s", dnsname.Bare(name), r.dir)
	}
	return true, changed
}

// restoreZones writes what is held of some zones, and has them go on from the folder.
func (r *rolling) restoreZones(ctx context.Context, e *keyfolder.Errand, held map[string]*keyfolder.Held, names []string) (changed bool) {
	some := make(map[string]*keyfolder.Held, len(names))
	for _, name := range names {
		some[name] = held[name]
	}
	restored, err := r.restoreHeld(ctx, some)
	var mine []string
	for _, name := range names {
		did := restored[name]
		switch failed := errors.Join(err, did.Err); {
		case failed != nil:
			e.Failed[name] = failed.Error()
		case did.Wrote:
			e.Zones = append(e.Zones, name)
			mine = append(mine, name)
		}
		e.Aside = append(e.Aside, did.Aside...)
	}
	r.mu.Lock()
	mine = slices.DeleteFunc(mine, func(name string) bool { return r.zones[name] == nil })
	r.mu.Unlock()
	if len(mine) == 0 {
		return false
	}
	news, err := r.step(ctx, mine, nil)
	if err != nil {
		log.Errorf("The keys held in memory were written to %s, but could not be served from there: %v", r.dir, err)
	}
	return len(news) > 0
}

func (r *rolling) restoreHeld(ctx context.Context, held map[string]*keyfolder.Held) (map[string]keyfolder.Restored, error) {
	if err := r.stepping.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer r.stepping.Release(1)
	return r.folder.Restore(r.now(), held)
}

// startNew forgets what keys a zone had, where no DS names one.
func (r *rolling) startNew(ctx context.Context, e *keyfolder.Errand) (done, changed bool) {
	failed := func(why string) { e.Failed = map[string]string{e.Zone: why} }
	r.mu.Lock()
	z := r.zones[e.Zone]
	only := z.onlyInMemory()
	r.mu.Unlock()
	switch {
	case z == nil || !r.pickUp(e, 1):
		return false, false
	case only:
		failed(r.onlyInMemoryText())
		return true, false
	}
	observed := r.parents.ask(ctx, patienceAtStart, []string{e.Zone})
	if e.Refused = r.refusesNew(e.Zone, observed[e.Zone]); e.Refused != nil {
		return true, false
	}
	// Another policy may have come while the parent was asked.
	r.mu.Lock()
	z = r.zones[e.Zone]
	if only = z.onlyInMemory(); z != nil && !only {
		z.fresh, z.held = true, nil
		r.record.forget(e.Zone)
	}
	r.mu.Unlock()
	switch {
	case z == nil:
		failed(noLongerServed)
		return true, false
	case only:
		failed(r.onlyInMemoryText())
		return true, false
	}
	log.Warningf("%s: starting with the keys in %s, or new ones, as caacheck keys new requested", dnsname.Bare(e.Zone), r.dir)
	news, err := r.step(ctx, []string{e.Zone}, observed)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch z := r.zones[e.Zone]; {
	case z != nil && z.refused != nil:
		failed(z.refused.Error())
	case err != nil:
		failed(err.Error())
	case z == nil:
		failed(noLongerServed)
	default:
		e.Zones = []string{e.Zone}
	}
	return true, len(news) > 0
}

// noLongerServed is why a request comes to nothing.
const noLongerServed = "the server no longer serves the zone"

// onlyInMemory reports whether nobody else may have the zone's keys. It is called with the lock.
func (z *rollingZone) onlyInMemory() bool { return z != nil && z.lost != "" && z.held.HasKeys() }

func (r *rolling) onlyInMemoryText() string {
	return fmt.Sprintf("the server still serves the zone with keys that it holds in memory and that %s lacks: run caacheck keys restore %[1]s to write them there. To discard them, stop the server first", r.dir)
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
