package overlay

import (
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// existence is a kind of name in an overlay, as the type bitmap of a denial describes it.
//
// Nobody can list the types that a name of the next plugin's data has: a plugin answers questions, one
// type at a time. A bitmap that leaves out a type that exists denies it for everyone behind a
// resolver that keeps denials (RFC 8198), which is the fault of CoreDNS's own dnssec plugin; one that
// lists a type too many merely makes a resolver ask. So the denial of a type lists all others: every
// data type that is assigned, with room for those that will be, and all of private use. The assigned
// ones are in the windows 0, 1 and 128 of the registry (RFC 6895 3.1), those of private use in window
// 255. Together they take 127 octets.
//
// Five types must not be listed, for they change what the others mean. CNAME sends a resolver
// elsewhere for all types, DNAME for all names below; NS without SOA is a zone cut, SOA an apex (RFC
// 6840 4.1, 4.4); and DS belongs to a cut. Whether they are at the name is known: an alias, a cut and
// the apex are other kinds of names, and DNAME is asked for. The types that DNSSEC adds are ours to know.
type existence uint8

const (
	ordinary  existence = iota // an existing name below the apex
	atApex                     // the zone's own name
	withDNAME                  // an ordinary name with DNAME
	apexDNAME                  // the apex with DNAME
	atAlias                    // CNAME and nothing else
	atCut                      // NS and, without DS, nothing that is the zone's to sign (RFC 4035 2.3)
	missing                    // no name at all (RFC 9824 3.2)
	existences
)

// bitmaps are those of each existence, in zones whose data have no unassigned types.
var bitmaps = bitmapsWith(nil)

// typesWith are the types of each existence, with further ones at each name that may have data.
func typesWith(further []uint16) [existences][]uint16 {
	any := append(listable(), further...)
	return [existences][]uint16{
		ordinary:  any,
		atApex:    slices.Concat(apexTypes, any),
		withDNAME: append([]uint16{dns.TypeDNAME}, any...),
		apexDNAME: slices.Concat([]uint16{dns.TypeDNAME}, apexTypes, any),
		atAlias:   {dns.TypeCNAME},
		atCut:     {dns.TypeNS},
		missing:   {dns.TypeNXNAME},
	}
}

// bitmapsWith are the bitmaps of each existence.
func bitmapsWith(further []uint16) (b [existences]zonesign.Bitmap) {
	for e, types := range typesWith(further) {
		bitmap, err := zonesign.NewBitmap(types...)
		if err != nil {
			panic("caa: cannot make a type bitmap: " + err.Error()) // for pseudo-types, of which none is here
		}
		b[e] = bitmap
	}
	return b
}

// apexTypes are at every apex, or may: whether CDS and CDNSKEY exist changes while keys roll.
var apexTypes = []uint16{dns.TypeNS, dns.TypeSOA, dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY}

// window is a range of types of data.
type window struct{ first, last uint16 }

// windows are the ranges that a denial lists at any name.
var windows = []window{{1, 127}, {256, 511}, {32768, 33023}, {65280, 65534}}

// listable are the types that a denial may list at any name.
func listable() []uint16 {
	telling := map[uint16]bool{dns.TypeCNAME: true, dns.TypeDNAME: true, dns.TypeNS: true, dns.TypeSOA: true, dns.TypeDS: true, dns.TypeOPT: true}
	var types []uint16
	for _, w := range windows {
		for t := w.first; t <= w.last; t++ {
			if !telling[t] && !replaced[t] {
				types = append(types, t)
			}
		}
	}
	return types
}
