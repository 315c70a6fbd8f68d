package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coredns-caa/caa/plugin/caa/parent"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
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
