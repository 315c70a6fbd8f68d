package caa

import (
	"maps"
	"slices"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/transfer"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// claims are the bitmaps of a zone whose data have odd types: those outside the ranges that every denial
// claims. All ranges there are would take 8 kB. Immutable.
type claims struct {
	odd     []uint16 // sorted
	bitmaps [existences]zonesign.Bitmap
}

// nsec is the NSEC record of a denial of qtype at a name of the zone; type 0 denies none.
func (z *zone) nsec(e existence, owner string, ttl uint32, qtype uint16) (zonesign.RRset, error) {
	all := &bitmaps
	if c := z.claims.Load(); c != nil {
		all = &c.bitmaps
	}
	return zonesign.NSECWith(owner, ttl, all[e].Without(qtype))
}

// claim has all denials of the zone claim more odd types, from now on.
func (z *zone) claim(odd ...uint16) {
	for {
		was := z.claims.Load()
		all := slices.Clone(odd)
		if was != nil {
			all = append(all, was.odd...)
		}
		slices.Sort(all)
		all = slices.Compact(all)
		if was == nil && len(all) == 0 || was != nil && len(all) == len(was.odd) {
			return
		}
		if z.claims.CompareAndSwap(was, &claims{all, bitmapsWith(all)}) {
			return
		}
	}
}

// isOdd reports whether a type of data is one that no denial claims unless the zone has it.
func isOdd(rrtype uint16) bool {
	return rrtype > 255 && !slices.ContainsFunc(windows, func(w window) bool { return w.first <= rrtype && rrtype <= w.last })
}

// stores are the plugins whose data may have any type, and that can show all of them.
var stores = []string{"auto", "dynupdate", "file", "secondary"}

func storesOf(under []plugin.Handler) []transfer.Transferer {
	var out []transfer.Transferer
	for _, h := range under {
		if store, ok := h.(transfer.Transferer); ok && slices.Contains(stores, h.Name()) {
			out = append(out, store)
		}
	}
	return out
}

// census has the zone claim the odd types of its data, and notes the owners of DNAME. It reads the whole zone, so
// it is taken once for each serial. A plugin that shows no data is believed as its answers come: a type is
// claimed once it was seen.
func (q *inquiry) census(z *zone) {
	var dnames map[string]bool
	for _, store := range q.stores {
		records, err := store.Transfer(z.Name, 0)
		if err != nil {
			continue // it does not hold the zone
		}
		odd := map[uint16]bool{}
		if dnames == nil {
			dnames = map[string]bool{}
		}
		for rrs := range records {
			for _, rr := range rrs {
				switch h := rr.Header(); {
				case h.Class != dns.ClassINET:
				case isOdd(h.Rrtype):
					odd[h.Rrtype] = true
				case h.Rrtype == dns.TypeDNAME:
					dnames[lower(h.Name)] = true
				}
			}
		}
		z.claim(slices.Collect(maps.Keys(odd))...)
	}
	if dnames != nil && !q.byType && !q.partial {
		z.dnames.Store(&dnames)
	}
}

// soaSet is dataSet of the zone's SOA. Each denial has it, so the last one is remembered; and since
// each denial has it, a new serial is when to count again what denials may say.
func (q *inquiry) soaSet(z *zone, soa *dns.SOA) (zonesign.RRset, error) {
	if last := z.dataSOA.Load(); last != nil && last.soa == *soa {
		return last.set, nil
	}
	z.counting.Lock()
	defer z.counting.Unlock()
	if last := z.dataSOA.Load(); last == nil || last.soa.Serial != soa.Serial {
		q.census(z)
	}
	set, err := dataSet([]dns.RR{soa})
	if err == nil {
		z.dataSOA.Store(&packedSOA{*soa, set})
	}
	return set, err
}

// packedSOA is an SOA of the data and its wire form.
type packedSOA struct {
	soa dns.SOA
	set zonesign.RRset
}
