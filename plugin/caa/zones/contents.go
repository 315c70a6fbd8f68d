package zones

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// acmeLabel starts the names of RFC 8555 8.4 (dns-01).
const acmeLabel = "_acme-challenge."

// Zone is one served zone with its contents: what policy, keys and cuts put into it. In a policy-only zone that is all
// there is; in an overlay it is a layer over the data of the next plugin. Immutable except for the prepared answers.
type Zone struct {
	Policy *policy.Zone
	Keys   *keyring.Keys
	TTL    TTLs
	Serial uint32 // of the zone's own SOA
	Found  bool   // in the next plugin's answers, and not in the policy
	Denial Denial

	cuts     map[string]cut            // by the apex of the zone under the cut
	caa      map[*policy.Node][][]byte // each node's CAA RDATA in canonical order (RFC 4034 6.3)
	known    map[string]*known         // the names that policy, keys and cuts name
	existing map[string]bool           // only of overlays: the names that the contents give existence, with those above
	ownSOA   *dns.SOA                  // for where no data have one
	soa      zonesign.RRset            // the same
}

// known is a name that the contents name. Its answers are kept with it.
type known struct {
	sets    []zonesign.RRset // besides CAA
	cut     bool
	answers answerList
}

// Name is the zone's canonical name.
func (z *Zone) Name() string { return z.Policy.Name }

// PolicyOnly reports whether the contents are all of the zone.
func (z *Zone) PolicyOnly() bool { return z.Policy.PolicyOnly() }

// Signed reports whether the zone's answers are signed.
func (z *Zone) Signed() bool { return z.Keys.Set != nil }

// newZone makes a zone and all its contents. The error is for records that cannot be packed.
func newZone(p *plan) (*Zone, error) {
	z := &Zone{Policy: p.policy, Keys: p.keys, TTL: p.ttl, Found: p.found, Serial: p.serial, cuts: p.cuts, ownSOA: ownSOA(p), Denial: denialOf(p),
		caa: map[*policy.Node][][]byte{}, known: map[string]*known{}}
	interned := map[string][][]byte{}
	for node := range p.policy.Nodes() {
		z.caa[node] = caaRDATA(node, interned)
		z.name(node.Name)
	}
	for i := range kinds {
		if z.PolicyOnly() || kinds[i].overData {
			sets, err := kinds[i].rrsets(p)
			if err != nil {
				return nil, err
			}
			for _, set := range sets {
				n := z.name(set.Owner)
				n.sets = append(n.sets, set)
			}
		}
	}
	for apex := range p.cuts {
		z.name(apex).cut = true
	}
	var err error
	if z.soa, err = zonesign.NewRRset(z.ownSOA); err != nil {
		return nil, fmt.Errorf("SOA of %s: %w", z.Name(), err)
	}
	if !z.PolicyOnly() {
		z.existing = existing(z)
	}
	for _, name := range p.kept {
		z.name(name)
	}
	return z, nil
}

// denialOf chooses how a zone denies. There is one way today.
func denialOf(*plan) Denial { return compact{} }

// name is a name of the zone that the contents name from now on. For newZone alone.
func (z *Zone) name(name string) *known {
	n := z.known[name]
	if n == nil {
		n = &known{}
		z.known[name] = n
	}
	return n
}

// existing are the names that the contents name, and those above them (RFC 8020 2). The apex of a zone that was found
// exists only as long as the data say so.
func existing(z *Zone) map[string]bool {
	names := map[string]bool{}
	for name := range z.known {
		for up := range dnsname.UpTo(name, z.Name()) {
			names[up] = true
		}
	}
	if z.Found {
		delete(names, z.Name())
	}
	return names
}

// Exists reports whether the contents give a name of an overlay existence: they name it, or a name under it.
func (z *Zone) Exists(name string) bool { return z.existing[name] }

// SOA is the zone's own SOA, for where no data have one.
func (z *Zone) SOA() zonesign.RRset { return z.soa }

// OwnSOA is a copy of the same record.
func (z *Zone) OwnSOA() *dns.SOA {
	soa := *z.ownSOA
	return &soa
}

// View is what the contents of a zone have at a name.
type View struct {
	Zone  *Zone
	Name  string // canonical
	known *known // nil for a name that the contents do not name
	alias string // the target of a challenge alias, or ""
}

// At returns what is at a canonical name of the zone.
func (z *Zone) At(name string) View {
	v := View{Zone: z, Name: name, known: z.known[name]}
	if z.PolicyOnly() && strings.HasPrefix(name, acmeLabel) && z.Policy.Node(name) == nil {
		v.alias, _ = z.Policy.Alias(name)
	}
	return v
}

// All yields what is at every name that the contents name, the names in the order of their text. What is at names
// without end is At's alone to say: CAA is at every name, and challenge aliases are at names that nobody has listed.
func (z *Zone) All() iter.Seq[View] {
	return func(yield func(View) bool) {
		for _, name := range slices.Sorted(maps.Keys(z.known)) {
			if !yield(z.At(name)) {
				return
			}
		}
	}
}

// Cut reports whether the name is the apex of another zone that is served here, too: of its types only DS is this
// zone's to answer.
func (v View) Cut() bool { return v.known != nil && v.known.cut }

// Types that exist at a kind of name.
var (
	caaOnly   = []uint16{dns.TypeCAA}
	aliasOnly = []uint16{dns.TypeCNAME}
)

// Types are those that exist at the name, without the ones that signing adds; the first one answers ANY (RFC 8482 4.1).
func (v View) Types() []uint16 {
	switch {
	case v.alias != "":
		return aliasOnly // and nothing else (RFC 1034 3.6.2)
	case v.known == nil || len(v.known.sets) == 0 && !v.known.cut:
		return caaOnly
	}
	var types []uint16
	if !v.known.cut {
		types = append(types, dns.TypeCAA)
	}
	for i := range v.known.sets {
		types = append(types, v.known.sets[i].Type)
	}
	if v.known.cut && !slices.Contains(types, dns.TypeNS) {
		types = append(types, dns.TypeNS) // it is known to the next plugin alone
	}
	return types
}

// first is the first of Types.
func (v View) first() uint16 {
	switch {
	case v.alias != "":
		return dns.TypeCNAME
	case v.Cut():
		return v.Types()[0]
	}
	return dns.TypeCAA
}

// has reports whether a type is one of Types.
func (v View) has(rrtype uint16) bool {
	switch {
	case v.alias != "":
		return rrtype == dns.TypeCNAME
	case rrtype == dns.TypeCAA:
		return !v.Cut()
	}
	return v.Owns(rrtype)
}

// Owns reports whether the contents have an RRset of a type at the name that is there for the name alone: not CAA, which
// is at every name, and no challenge alias.
func (v View) Owns(rrtype uint16) bool { return v.own(rrtype) != nil }

// own is an RRset at a name of its own, nil for none.
func (v View) own(rrtype uint16) *zonesign.RRset {
	if v.known == nil {
		return nil
	}
	for i := range v.known.sets {
		if v.known.sets[i].Type == rrtype {
			return &v.known.sets[i]
		}
	}
	return nil
}

// Set is the RRset of one of Types. ok is false for any other type.
func (v View) Set(rrtype uint16) (set zonesign.RRset, ok bool) {
	if v.alias != "" {
		if rrtype != dns.TypeCNAME {
			return set, false
		}
		set, err := zonesign.NewRRset(&dns.CNAME{Hdr: header(v.Name, dns.TypeCNAME, v.Zone.TTL.Alias), Target: v.alias})
		return set, err == nil // a target that cannot be packed makes no alias
	}
	if rrtype == dns.TypeCAA && !v.Cut() {
		node := v.Zone.Policy.Closest(v.Name)
		return zonesign.RRset{Owner: v.Name, Type: dns.TypeCAA, TTL: node.TTL, RDATA: v.Zone.caa[node]}, true
	}
	if own := v.own(rrtype); own != nil {
		return *own, true
	}
	return set, false
}

// Kept reports whether answers and signatures about the name are kept: the contents name it, so that there is an end
// to such names.
func (v View) Kept() bool { return v.known != nil }

// caaRDATA is a node's RRset on the wire (RFC 8659 4.1), in canonical order without duplicates
// (RFC 4034 6.3). Nodes with equal content share it.
func caaRDATA(node *policy.Node, interned map[string][][]byte) [][]byte {
	rdata := make([][]byte, len(node.RRset))
	for i, p := range node.RRset {
		octets := append([]byte{p.Flags, byte(len(p.Tag))}, p.Tag...)
		rdata[i] = append(octets, p.Value...)
	}
	slices.SortFunc(rdata, bytes.Compare)
	rdata = slices.CompactFunc(rdata, bytes.Equal)

	key := fmt.Sprintf("%q", rdata)
	if shared, ok := interned[key]; ok {
		return shared
	}
	interned[key] = rdata
	return rdata
}
