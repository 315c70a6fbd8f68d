// Package zonecaa reads the CAA that a zone's data have: which RRset decides at each of its names (RFC 8659 3), as far as
// the zone itself decides that.
//
// Records go in, in any order, and a Zone comes out. Nothing here asks a server.
package zonecaa

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// Zone is the CAA of a zone's data. Immutable.
type Zone struct {
	apex    string
	sets    map[string]issuance.RRset // by owner
	exists  map[string]bool           // the owners of all records, and the names above them in the zone
	aliases map[string]bool           // the owners of CNAME, at which another name's CAA decides
	hidden  map[string]bool           // zone cuts: at them and below them another zone decides
	dnames  map[string]bool           // the owners of DNAME, below which another name's CAA decides
}

// Read reads the records of a zone. Those of other classes, and of names outside the zone, are left out.
func Read(apex string, records iter.Seq[dns.RR]) *Zone {
	z := &Zone{apex: dns.CanonicalName(apex), sets: map[string]issuance.RRset{}, exists: map[string]bool{}, aliases: map[string]bool{}, hidden: map[string]bool{}, dnames: map[string]bool{}}
	seen := map[string]map[issuance.Property]bool{} // a record that is there twice is one (RFC 2181 5)
	for rr := range records {
		h := rr.Header()
		owner := dns.CanonicalName(h.Name)
		if h.Class != dns.ClassINET || !dns.IsSubDomain(z.apex, owner) {
			continue
		}
		for up := range dnsname.UpTo(owner, z.apex) {
			if z.exists[up] {
				break
			}
			z.exists[up] = true
		}
		switch rr := rr.(type) {
		case *dns.CAA:
			p := issuance.Property{Flags: rr.Flag, Tag: strings.ToLower(rr.Tag), Value: rr.Value}
			if seen[owner] == nil {
				seen[owner] = map[issuance.Property]bool{}
			}
			if !seen[owner][p] {
				seen[owner][p] = true
				z.sets[owner] = append(z.sets[owner], p)
			}
		case *dns.CNAME:
			z.aliases[owner] = true
		case *dns.NS:
			if owner != z.apex {
				z.hidden[owner] = true
			}
		case *dns.DNAME:
			z.dnames[owner] = true
		}
	}
	return z
}

// Apex is the zone's canonical name.
func (z *Zone) Apex() string { return z.apex }

// Owners returns the names with CAA that decides somewhere, sorted. A wildcard's is for the names that it covers.
func (z *Zone) Owners() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(z.sets)) {
		if z.Decides(name) {
			out = append(out, name)
		}
	}
	return out
}

// Decides reports whether the zone has the CAA of a name: it is in the zone, neither at or below a zone cut, nor an alias,
// nor below a DNAME.
func (z *Zone) Decides(name string) bool {
	if !dns.IsSubDomain(z.apex, name) || z.aliases[name] {
		return false
	}
	for up := range dnsname.UpTo(name, z.apex) {
		if z.hidden[up] || up != name && z.dnames[up] {
			return false
		}
	}
	return true
}

// At returns the RRset that decides at a canonical name, and its owner: the closest one at or above it, nil where the zone
// has none. Where the name, or one above it, does not exist, a wildcard's may be the one (RFC 4592 3.3.1).
func (z *Zone) At(name string) (rrset issuance.RRset, owner string) {
	for up := range dnsname.UpTo(name, z.apex) {
		owner := up
		if !z.exists[up] {
			owner = z.wildcard(up)
		}
		if rrset := z.sets[owner]; len(rrset) > 0 {
			return rrset, owner
		}
	}
	return nil, ""
}

// wildcard is the wildcard that covers a name that does not exist: that of its closest encloser.
func (z *Zone) wildcard(name string) string {
	for up := range dnsname.UpTo(name, z.apex) {
		if z.exists[up] {
			return dnsname.Wildcard(up)
		}
	}
	return ""
}
