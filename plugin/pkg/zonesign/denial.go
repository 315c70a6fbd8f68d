package zonesign

import (
	"slices"

	"github.com/miekg/dns"
)

const (
	maxNameLen  = 255
	maxLabelLen = 63
)

// NSEC is the compact denial at a name (RFC 9824 3): it covers nothing but owner itself, and its
// bitmap lists the types given, RRSIG and NSEC.
//
// The types must be all that exist at the name: a type left out is denied, and a resolver may deny
// it to others for the TTL (RFC 8198). CNAME, DNAME and NS say more than that the type exists (NS
// without SOA is an insecure delegation, RFC 6840 4.4), so they belong in the list only where they
// stand. For a name that does not exist the only type is dns.TypeNXNAME (RFC 9824 2).
func NSEC(owner string, ttl uint32, types ...uint16) (RRset, error) {
	wire, err := OwnerWire(owner)
	if err != nil {
		return RRset{}, err
	}
	bitmap := append(slices.Clone(types), dns.TypeRRSIG, dns.TypeNSEC)
	slices.Sort(bitmap)
	next := successor(wire)
	rdata := appendBitmap(next, slices.Compact(bitmap))
	return RRset{Owner: owner, Type: dns.TypeNSEC, TTL: ttl, RDATA: [][]byte{rdata}}, nil
}

// appendBitmap appends the type bitmap of sorted types (RFC 4034 4.1.2).
func appendBitmap(wire []byte, types []uint16) []byte {
	for len(types) > 0 {
		window := types[0] >> 8
		var bits [32]byte
		last := 0
		for len(types) > 0 && types[0]>>8 == window {
			low := types[0] & 0xFF
			bits[low/8] |= 0x80 >> (low % 8)
			last = int(low / 8)
			types = types[1:]
		}
		wire = append(wire, byte(window), byte(last+1))
		wire = append(wire, bits[:last+1]...)
	}
	return wire
}

// successor is the first name after a canonical name in canonical order (RFC 4034 6.1): the name
// with the label \000 before it or, where that would be too long, the name with its first label
// increased (RFC 4471 3.1.1), without regard to the zone's apex, which is never that long.
func successor(name []byte) []byte {
	if len(name)+2 <= maxNameLen {
		return append([]byte{1, 0}, name...)
	}
	for len(name) > 1 {
		label, rest := name[1:1+name[0]], name[1+name[0]:]
		if longer := len(label) < maxLabelLen && len(name)+1 <= maxNameLen; longer {
			return joinLabel(append(slices.Clone(label), 0), rest)
		}
		if larger, ok := increased(label); ok {
			return joinLabel(larger, rest)
		}
		name = rest
	}
	return []byte{0}
}

// increased is the smallest label after all that begin with the given one, without its own length
// growing: trailing octets of the highest value go, the last one left is increased. Upper-case
// letters do not occur in canonical names, so they are passed over.
func increased(label []byte) ([]byte, bool) {
	label = slices.Clone(label)
	for len(label) > 0 && label[len(label)-1] == 0xFF {
		label = label[:len(label)-1]
	}
	if len(label) == 0 {
		return nil, false
	}
	end := &label[len(label)-1]
	if *end++; *end == 'A' {
		*end = 'Z' + 1
	}
	return label, true
}

func joinLabel(label, rest []byte) []byte {
	return append(append([]byte{byte(len(label))}, label...), rest...)
}
