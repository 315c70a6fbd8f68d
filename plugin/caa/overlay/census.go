package overlay

import (
	"maps"
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// count has the zone list the unassigned types of its data, and notes the owners of DNAME. It reads the whole zone, so
// that is done once for each serial. A plugin that shows no data is believed as its answers come: a type is
// listed once it was seen.
func (o *Overlay) count(z *zones.Zone) {
	var dnames map[string]bool
	l := o.of(z)
	for _, store := range o.backend.stores {
		records, err := store.Transfer(z.Name(), 0)
		if err != nil {
			continue // it does not hold the zone
		}
		unassigned := map[uint16]bool{}
		if dnames == nil {
			dnames = map[string]bool{}
		}
		for rrs := range records {
			for _, rr := range rrs {
				switch h := rr.Header(); {
				case h.Class != dns.ClassINET:
				case isUnassigned(h.Rrtype):
					unassigned[h.Rrtype] = true
				case h.Rrtype == dns.TypeDNAME:
					dnames[lower(h.Name)] = true
				}
			}
		}
		l.addUnassigned(slices.Collect(maps.Keys(unassigned))...)
	}
	if dnames != nil && !o.backend.byType && !o.backend.shared {
		l.dnames.Store(&dnames)
	}
}

// packSOA is dataSet of the SOA of a zone's data. Each denial has it, so the last one is remembered; and since
// each denial has it, a new serial is when to count again what denials may say.
func (o *Overlay) packSOA(z *zones.Zone, soa *dns.SOA) (zonesign.RRset, error) {
	l := o.of(z)
	if last := l.soa.Load(); last != nil && last.soa == *soa {
		return last.set, nil
	}
	l.counting.Lock()
	defer l.counting.Unlock()
	if last := l.soa.Load(); last == nil || last.soa.Serial != soa.Serial {
		o.count(z)
	}
	set, err := dataSet([]dns.RR{soa})
	if err == nil {
		l.soa.Store(&packedSOA{*soa, set})
	}
	return set, err
}
