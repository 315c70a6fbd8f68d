package caa

import (
	"iter"
	"sync"

	"github.com/coredns/coredns/plugin"

	"github.com/coredns-caa/caa/plugin/caa/overlay"
	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// serving is everything that answers are made from: the zones of one policy with their keys, laid over the next
// plugin. It is built whole, checked, and swapped in by one atomic pointer.
type serving struct {
	policy  *policy.Snapshot
	zones   *zones.Set
	overlay *overlay.Overlay
	owners  map[string]plugin.Handler // by apex: the other block that answers for a zone (routes.go)
	// routed returns the other block that a query about a name is for, nil for this one (routes.go).
	routed func(name string) plugin.Handler
	packed bool     // no plugin above reads or changes a message: a packed answer may go as it is
	meters sync.Map // *zones.Zone to *meter
}

// owner is the other block that answers for a zone, nil for this one.
func (s *serving) owner(z *zones.Zone) plugin.Handler {
	if len(s.owners) == 0 {
		return nil
	}
	return s.owners[z.Name()]
}

// parentBlock returns the block that holds the zone above a name, nil for this one. DS is the parent's (RFC 4035 3.1.4.1),
// and CoreDNS cannot know which block that is: it takes DS to the highest block that is not `.`, which may be the zone's
// own, or its grandparent's.
func (s *serving) parentBlock(name string) plugin.Handler {
	if name == "." {
		return nil
	}
	return s.routed(dnsname.Parent(name))
}

// meter counts the questions about a zone.
func (s *serving) meter(z *zones.Zone) *meter {
	if m, ok := s.meters.Load(z); ok {
		return m.(*meter)
	}
	m, _ := s.meters.LoadOrStore(z, &meter{zone: z.Name()})
	return m.(*meter)
}

// forget drops a zone that was found and is no longer there.
func (s *serving) forget(z *zones.Zone) {
	if s.zones.Forget(z) {
		s.overlay.Forget(z)
		s.meters.Delete(z)
		log.Infof("Zone %s is no longer served by the next plugin: dropping it", dnsname.Bare(z.Name()))
	}
}

// policyNames yields the names that the contents of this block's zones name.
func (s *serving) policyNames() iter.Seq[string] {
	return func(yield func(string) bool) {
		for z := range s.zones.Zones() {
			if s.owner(z) != nil {
				continue
			}
			for at := range z.All() {
				if !yield(at.Name) {
					return
				}
			}
		}
	}
}
