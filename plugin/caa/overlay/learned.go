package overlay

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// learned is what is known of one zone's data from the answers so far and, where a plugin shows all of them, from the
// data. It is safe for use by several goroutines.
type learned struct {
	conflict   sync.Once                       // logs that the data have CAA
	soa        atomic.Pointer[packedSOA]       // the last SOA
	unassigned atomic.Pointer[unassigned]      // nil while the data are not known to have unassigned types
	dnames     atomic.Pointer[map[string]bool] // the owners of DNAME; nil where no plugin shows all of its data
	sawDNAME   atomic.Bool                     // whether an answer had one
	counting   sync.Mutex                      // held while a new SOA is taken in
}

// unassigned are the bitmaps of a zone whose data have unassigned types: those outside the ranges that every denial
// lists. All ranges there are would take 8 kB. Immutable.
type unassigned struct {
	types   []uint16 // sorted
	bitmaps [existences]zonesign.Bitmap
}

// bitmap is the bitmap of a denial at a name. What the contents of the zone have there, it lists, too.
func (l *learned) bitmap(v zones.View, e existence) zonesign.Bitmap {
	all, further := &bitmaps, []uint16(nil)
	if c := l.unassigned.Load(); c != nil {
		all, further = &c.bitmaps, c.types
	}
	own := v.Types()
	if len(own) == 1 || e == atAlias || e == atCut || e == missing {
		return all[e]
	}
	own = slices.DeleteFunc(own, func(t uint16) bool { return all[e].Has(t) })
	if len(own) == 0 {
		return all[e]
	}
	bitmap, err := zonesign.NewBitmap(append(typesWith(further)[e], own...)...)
	if err != nil {
		return all[e] // for pseudo-types, which no contents have
	}
	return bitmap
}

// addUnassigned has all denials of the zone list more unassigned types, from now on.
func (l *learned) addUnassigned(types ...uint16) {
	for {
		was := l.unassigned.Load()
		all := slices.Clone(types)
		if was != nil {
			all = append(all, was.types...)
		}
		slices.Sort(all)
		all = slices.Compact(all)
		if was == nil && len(all) == 0 || was != nil && len(all) == len(was.types) {
			return
		}
		if l.unassigned.CompareAndSwap(was, &unassigned{all, bitmapsWith(all)}) {
			return
		}
	}
}

// packedSOA is an SOA of the data and its wire form.
type packedSOA struct {
	soa dns.SOA
	set zonesign.RRset
}

// isUnassigned reports whether a type of data is outside the ranges that every denial lists.
func isUnassigned(rrtype uint16) bool {
	return rrtype > 255 && !slices.ContainsFunc(windows, func(w window) bool { return w.first <= rrtype && rrtype <= w.last })
}

// nature is what was learned of a name: an alias or none. Immutable.
type nature struct {
	name  string
	alias *dns.CNAME // nil: the name is no alias
	until time.Time
}
