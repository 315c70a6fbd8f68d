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

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
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
	keys     *Keys
	seps     []*dns.DNSKEY
	observed []keyroll.Observation // the last query of the parent
	problem  lasting               // about the parent
	// answered has the last answer of each server of the parent.
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
			return nil, fmt.Errorf("%w %s: add its key files to key file, use key auto DIRECTORY, or serve the zone from a block with unsigned", ErrNoKey, name)
		}
		z.keys.Set, z.keys.DS, z.seps = set, set.DS(), set.SEPs()
		z.keys.publish = publishing("", z.keys.DS)
	}
	f.zones[name] = z
	return z, nil
}

// Of implements Keyring.
func (f *fixed) Of(name string) (*Keys, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if z := f.zones[name]; z != nil {
		return z.keys, nil
	}
	return nil, fmt.Errorf("%w %s", ErrNoKey, name)
}

// Ensure implements Keyring.
func (f *fixed) Ensure(_ context.Context, zone *policy.Zone) (*Keys, error) {
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
	observed := f.parents.ask(ctx, patienceAtStart, zones)

	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = f.now().Add(keyroll.DefaultPoll)
	var errs []error
	for _, name := range zones {
		z, err := f.zone(name)
		if err != nil {
			return err
		}
		z.observe(observed[name])
		if err := f.parents.check(name, z.seps, z.observed); err != nil && !f.parents.orphans[name] {
			errs = append(errs, err)
			delete(f.zones, name)
			continue
		}
		f.log(name, z)
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

// Look asks the parents now and then: nothing can be refused any more, but it is reported.
func (f *fixed) Look(ctx context.Context) (changed bool, next time.Time) {
	now := f.now()
	f.mu.Lock()
	if now.Before(f.next) {
		defer f.mu.Unlock()
		for name, z := range f.zones {
			if z.problem.text != "" {
				f.log(name, z)
			}
		}
		return false, f.next
	}
	zones := slices.Collect(maps.Keys(f.zones))
	f.next = now.Add(keyroll.DefaultPoll)
	f.mu.Unlock()
	observed := f.parents.ask(ctx, patienceForParents, zones)
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, s := range observed {
		if z := f.zones[name]; z != nil {
			z.observe(s)
			f.log(name, z)
		}
	}
	return false, f.next
}

// observe notes what the parent of a zone says.
func (z *fixedZone) observe(observed []keyroll.Observation) {
	z.observed, z.answered = observed, recall(z.answered, observed)
}

// log logs what is wrong with a zone's parent, now and then while it lasts.
func (f *fixed) log(name string, z *fixedZone) {
	text, logged := "", log.Error
	if err := f.parents.check(name, z.seps, z.answered); err != nil {
		text = err.Error()
	}
	if f.parents.orphans[name] {
		logged = log.Warning
	}
	z.problem.log(f.now(), text, logged, dnsname.Bare(name)+": the parent's DS matches a served key again")
}

// Status implements Keyring.
func (f *fixed) Status() map[string]Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[string]Status, len(f.zones))
	for name, z := range f.zones {
		s := Status{Problems: map[string]bool{}, Parent: z.observed}
		if z.problem.text != "" {
			s.Problems[string(keyroll.Orphaned)], s.Messages = true, []string{z.problem.text}
		}
		out[name] = s
	}
	return out
}
