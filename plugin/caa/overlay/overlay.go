// Package overlay answers for zones whose data a next plugin holds. It works in two phases. Gather (gather.go) puts
// questions to the next plugin, the only I/O here, and returns what there is at each name on the way: whether it exists,
// is an alias, is at or under a zone cut or a DNAME, and the RRset asked for, with the zone's own contents (package
// zones) laid over the data. Compose (compose.go) makes the message from that alone, signed.
//
// A name is an alias for all types or for none, and exists for all types or for none (RFC 1034 3.6.2, 4.3.2; RFC 8020),
// whatever one answer of the next plugin says; where existence stays uncertain, nothing can be concluded from the
// denial. What the next plugin says is never handed on as it is where a zone is signed: every RRset is signed again, and a
// message that is no answer to the question is an error and proves nothing.
package overlay

import (
	"hash/maphash"
	"sync"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/cache"

	"github.com/coredns-caa/caa/plugin/caa/linelog"
	"github.com/coredns-caa/caa/plugin/caa/zones"
)

var log = linelog.New("caa")

// MaxChain is how many aliases are followed inside the zones that are served here; beyond it a resolver
// asks on by itself.
const MaxChain = 16

// Overlay lays the zones of a set over the data of the next plugin. It is safe for use by several goroutines.
type Overlay struct {
	zones   *zones.Set
	next    plugin.Handler
	backend Backend
	owned   func(*zones.Zone) bool // whether the zone is this block's to answer for
	adopted func(*zones.Zone)      // called with a zone that was found
	natures *cache.Cache[*nature]  // of names in the data of plugins that answer by type
	seed    maphash.Seed
	learned sync.Map // *zones.Zone to *learned
}

// New returns the overlay of a set of zones over a next plugin. owned reports whether a zone of the set is for this
// block to answer for; adopted is called once with each zone that is found in the next plugin's answers.
func New(set *zones.Set, next plugin.Handler, backend Backend, owned func(*zones.Zone) bool, adopted func(*zones.Zone)) *Overlay {
	return &Overlay{zones: set, next: next, backend: backend, owned: owned, adopted: adopted,
		natures: cache.New[*nature](zones.TransientAnswers), seed: maphash.MakeSeed()}
}

// Forget drops what was learned of the data of a zone.
func (o *Overlay) Forget(z *zones.Zone) { o.learned.Delete(z) }

// Adopt is that of the set, and reports a new zone.
func (o *Overlay) Adopt(apex string) (*zones.Zone, error) {
	z, isNew, err := o.zones.Adopt(apex)
	if isNew {
		o.adopted(z)
	}
	return z, err
}

// of is what is learned of a zone's data.
func (o *Overlay) of(z *zones.Zone) *learned {
	if l, ok := o.learned.Load(z); ok {
		return l.(*learned)
	}
	l, _ := o.learned.LoadOrStore(z, &learned{})
	return l.(*learned)
}

func (o *Overlay) natureKey(name string) uint64 { return maphash.String(o.seed, name) }
