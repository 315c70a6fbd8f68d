package keyring

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

// fixed are those of `key file`, which are what they are, and of `unsigned`, of which there are none. The
// parents are asked all the same: a DS that matches no key is a lock-out.
type fixed struct {
	sets    map[string]*zonesign.KeySet // nil: all zones are unsigned
	parents *parents
	now     func() time.Time

	mu    sync.Mutex
	zones map[string]*fixedZone // those that are served or about to be
	next  time.Time             // when the parents are asked again
}

type fixedZone struct {
	keys *Keys
	seps []*dns.DNSKEY
	said []keyroll.Observation // when the parent was asked last
	told lasting               // about the parent
	// answered is what each server of the parent said when it answered last.
	answered []keyroll.Observation
}

func newFixed(cfg *Config, sets map[string]*zonesign.KeySet, above *parents) *fixed {
	return &fixed{sets: sets, parents: above, now: cfg.Now, zones: map[string]*fixedZone{}}
}

// zone is what is known of a zone. It is called with the lock.
func (f *fixed) zone(name string) (*fixedZone, error) {
	if z := f.zones[name]; z != nil {
		return z, nil
	}
	z := &fixedZone{keys: Unsigned()}
	if f.sets != nil {
		set := f.sets[name]
		if set == nil {
			return nil, fmt.Errorf("%w %s: add its files to key file, use key auto DIRECTORY, or serve it from an unsigned block", ErrNoKey, name)
		}
		z.keys.Set, z.keys.DS, z.seps = set, set.DS(), set.SEPs()
		z.keys.publish = publishing("", z.keys.DS)
	}
	f.zones[name] = z
	return z, nil
}

// Of implements Keyring.
func (f *fixed) Of(zone *policy.Zone) (*Keys, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	z, err := f.zone(zone.Name)
	if err != nil {
		return nil, err
	}
	return z.keys, nil
}

// Prepare implements Keyring.
func (f *fixed) Prepare(ctx context.Context, served []*policy.Zone) error {
	f.mu.Lock()
	var zones []string
	for _, z := range served {
		if f.zones[z.Name] == nil {
			zones = append(zones, z.Name)
		}
	}
	f.mu.Unlock()
	said := f.parents.ask(ctx, patienceAtStart, zones)

	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = f.now().Add(keyroll.DefaultPoll)
	var errs []error
	for _, name := range zones {
		z, err := f.zone(name)
		if err != nil {
			return err
		}
		z.hear(said[name])
		if err := f.parents.check(name, z.seps, z.said); err != nil && !f.parents.orphans[name] {
			errs = append(errs, err)
			delete(f.zones, name)
			continue
		}
		f.tell(name, z)
	}
	return errors.Join(errs...)
}

// Retain implements Keyring.
func (f *fixed) Retain(zones []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	served := setOf(zones)
	maps.DeleteFunc(f.zones, func(zone string, _ *fixedZone) bool { return !served[zone] })
}

// Look asks the parents now and then: nothing can be refused any more, but people are told.
func (f *fixed) Look(ctx context.Context) (changed bool, next time.Time) {
	now := f.now()
	f.mu.Lock()
	if now.Before(f.next) {
		defer f.mu.Unlock()
		for name, z := range f.zones {
			if z.told.text != "" {
				f.tell(name, z)
			}
		}
		return false, f.next
	}
	zones := slices.Collect(maps.Keys(f.zones))
	f.next = now.Add(keyroll.DefaultPoll)
	f.mu.Unlock()
	said := f.parents.ask(ctx, patienceForParents, zones)
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, s := range said {
		if z := f.zones[name]; z != nil {
			z.hear(s)
			f.tell(name, z)
		}
	}
	return false, f.next
}

// hear notes what the parent of a zone says.
func (z *fixedZone) hear(said []keyroll.Observation) {
	z.said, z.answered = said, recall(z.answered, said)
}

// tell logs what is wrong with a zone's parent, now and then while it lasts.
func (f *fixed) tell(name string, z *fixedZone) {
	text, logged := "", log.Error
	if err := f.parents.check(name, z.seps, z.answered); err != nil {
		text = err.Error()
	}
	if f.parents.orphans[name] {
		logged = log.Warning
	}
	z.told.tell(f.now(), text, logged, name+": the parent's DS are right again")
}

// Status implements Keyring.
func (f *fixed) Status() map[string]Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[string]Status, len(f.zones))
	for name, z := range f.zones {
		s := Status{Amiss: map[string]bool{}, Said: z.said}
		if z.told.text != "" {
			s.Amiss[string(keyroll.Orphaned)], s.Told = true, []string{z.told.text}
		}
		out[name] = s
	}
	return out
}
