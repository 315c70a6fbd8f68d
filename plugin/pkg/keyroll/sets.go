package keyroll

import "slices"

// Sets are what a zone serves, and who signs.
type Sets struct {
	DNSKEY []ID // the DNSKEY RRset; none: the zone is not signed
	Apex   []ID // those that sign DNSKEY, CDS and CDNSKEY
	Data   []ID // those that sign the rest; some may not be in DNSKEY (RFC 6781 4.1.4)
	CDS    []ID // what CDS and CDNSKEY name; none: they do not exist
	Delete bool // CDS and CDNSKEY ask the parent to remove its DS (RFC 8078 4)
}

// Sets returns what is to be served of a zone, once it has been written.
func (z *Zone) Sets() Sets { return standard.sets(z) }

func (m *machine) sets(z *Zone) Sets {
	var sets Sets
	for i := range z.Keys {
		k := &z.Keys[i]
		is := m.meanings[k.State]
		add := func(to *[]ID, condition bool) {
			if condition {
				*to = append(*to, k.ID)
			}
		}
		add(&sets.DNSKEY, is.published)
		add(&sets.Apex, is.published && k.Role.has(KSK))
		add(&sets.Data, is.signs && k.Role.has(ZSK))
		add(&sets.CDS, is.named && k.Role.has(KSK))
	}
	// While nobody knows which CDS the parent used last, none are published.
	unsure := slices.ContainsFunc(z.Keys, func(k Key) bool { return k.State == Unsure })
	if z.Insecure || unsure {
		sets.CDS = nil
	}
	sets.Delete = z.Insecure && !unsure && len(sets.Apex) > 0
	return sets
}
