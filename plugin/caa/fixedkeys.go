package caa

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// fixedKeys are those of `key file`, which are what they are, and of `unsigned`, of which there are none. The
// parents are asked all the same: a DS that matches no key is a lock-out.
type fixedKeys struct {
	sets    map[string]*zonesign.KeySet // nil: all zones are unsigned
	parents *parents
	now     func() time.Time

	mu    sync.Mutex
	zones map[string]*fixedZone // those that are served or about to be
}

type fixedZone struct {
	keys *zoneKeys
	seps []*dns.DNSKEY
	said []keyroll.Observation
	told string // what was last said about the parent
}

func newFixedKeys(sets map[string]*zonesign.KeySet, above *parents) *fixedKeys {
	return &fixedKeys{sets: sets, parents: above, now: time.Now, zones: map[string]*fixedZone{}}
}

// zone is what is known of a zone. It is called with the lock.
func (f *fixedKeys) zone(name string) (*fixedZone, error) {
	if z := f.zones[name]; z != nil {
		return z, nil
	}
	z := &fixedZone{keys: unsignedKeys()}
	if f.sets != nil {
		set := f.sets[name]
		if set == nil {
			return nil, fmt.Errorf("%w %s: add its files to key file, use key auto DIRECTORY, or serve it from an unsigned block", errNoKey, name)
		}
		z.keys.keys, z.keys.ds, z.seps = set, set.DS(), set.SEPs()
	}
	f.zones[name] = z
	return z, nil
}

func (f *fixedKeys) of(zone *policy.Zone) (*zoneKeys, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	z, err := f.zone(zone.Name)
	if err != nil {
		return nil, err
	}
	return z.keys, nil
}

func (f *fixedKeys) prepare(ctx context.Context, served []*policy.Zone) error {
	f.mu.Lock()
	zones := slices.DeleteFunc(apexNames(served), func(zone string) bool { return f.zones[zone] != nil })
	f.mu.Unlock()
	said := f.parents.ask(ctx, patienceAtStart, zones)

	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, name := range zones {
		z, err := f.zone(name)
		if err != nil {
			return err
		}
		z.said = said[name]
		if err := f.parents.check(name, z.seps, z.said); err != nil && !f.parents.orphans[name] {
			errs = append(errs, err)
			delete(f.zones, name)
			continue
		}
		f.tell(name, z)
	}
	return errors.Join(errs...)
}

func (f *fixedKeys) retain(zones []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	served := setOf(zones)
	maps.DeleteFunc(f.zones, func(zone string, _ *fixedZone) bool { return !served[zone] })
}

// watch asks the parents now and then: nothing can be refused any more, but people are told.
func (f *fixedKeys) watch(stop <-chan struct{}, _ func()) {
	ctx, cancel := untilClosed(stop)
	defer cancel()
	for rest := restUntil(stop); rest(keyroll.DefaultPoll); {
		f.look(ctx)
	}
}

func (f *fixedKeys) look(ctx context.Context) {
	f.mu.Lock()
	zones := slices.Collect(maps.Keys(f.zones))
	f.mu.Unlock()
	said := f.parents.ask(ctx, patienceForParents, zones)
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, s := range said {
		if z := f.zones[name]; z != nil {
			z.said = s
			f.tell(name, z)
		}
	}
}

// tell tells of what is amiss with a zone's parent, once while it lasts.
func (f *fixedKeys) tell(name string, z *fixedZone) {
	text := ""
	if err := f.parents.check(name, z.seps, z.said); err != nil {
		text = err.Error()
	}
	if text != "" && text != z.told {
		log.Error(text)
	}
	if text == "" && z.told != "" {
		log.Infof("%s: its parent's DS matches again", name)
	}
	z.told = text
}

func (f *fixedKeys) status() map[string]keyStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[string]keyStatus, len(f.zones))
	for name, z := range f.zones {
		s := keyStatus{amiss: map[string]bool{}, said: z.said}
		if z.told != "" {
			s.amiss[string(keyroll.Orphaned)] = true
		}
		out[name] = s
	}
	return out
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// untilClosed is a context that ends when stop is closed.
func untilClosed(stop <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
