package zonesign

import (
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// NSEC returns the NSEC record of compact denial (RFC 9824 3): it is at the name itself and says
// which types exist there, while its Next Domain Name is the very next name that could exist, so that
// it denies nothing else.
//
// The bitmap must hold every type that the name has, for a resolver keeps it and answers from it
// (RFC 8198): one type left out is a denial of that type. And some types say more than "this exists":
// CNAME sends the resolver elsewhere for all types, DNAME for all names below, and NS without SOA is
// a zone cut that proves whatever is below to be unsigned when DS is missing (RFC 6840 4.1, 4.4).
// Which of them are at a name is the caller's to know.
//
// The error is an invalid name. The last name that a zone can hold, of 255 octets with all labels at their
// maximum, has its successor outside the zone; Sign refuses to sign that one.
func NSEC(owner string, ttl uint32, bitmap Bitmap) (RRset, error) {
	rdata, err := appendSuccessor(make([]byte, 0, len(owner)+4+len(bitmap)), owner)
	if err != nil {
		return RRset{}, err
	}
	return RRset{Owner: owner, Type: dns.TypeNSEC, TTL: ttl, RDATA: [][]byte{append(rdata, bitmap...)}}, nil
}

// Bitmap is the Type Bit Maps field of an NSEC record on the wire (RFC 4034 4.1.2). Immutable.
type Bitmap []byte

// NewBitmap returns the bitmap of types, with RRSIG and NSEC, which need not be given. The error is a pseudo-type, or
// NXNAME beside another type.
func NewBitmap(types ...uint16) (Bitmap, error) {
	var few [16]uint16
	all := append(few[:0], dns.TypeRRSIG, dns.TypeNSEC)
	for _, t := range types {
		if !isData(t) && t != dns.TypeNXNAME {
			return nil, fmt.Errorf("%s is a pseudo-type, which cannot be in a type bitmap (RFC 4034 4.1.2)", dns.Type(t))
		}
		all = append(all, t)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) > 3 && slices.Contains(all, dns.TypeNXNAME) {
		return nil, errors.New("NXNAME means that the name does not exist, and excludes every other type (RFC 9824 3.2)")
	}
	return appendBitmap(nil, all), nil
}

// Has reports whether a type is in the bitmap.
func (b Bitmap) Has(t uint16) bool {
	for ; len(b) > 0; b = b[2+int(b[1]):] {
		if octet := int(t & 0xFF / 8); b[0] == byte(t>>8) && octet < int(b[1]) {
			return b[2+octet]&(0x80>>(t&7)) != 0
		}
	}
	return false
}

// Without returns the bitmap without a type.
func (b Bitmap) Without(t uint16) Bitmap {
	out := make(Bitmap, 0, len(b))
	for len(b) > 0 {
		end := 2 + int(b[1])
		start := len(out)
		out = append(out, b[:end]...)
		if octet := int(t & 0xFF / 8); b[0] == byte(t>>8) && octet < int(b[1]) {
			out[start+2+octet] &^= 0x80 >> (t & 7)
			out = trimWindow(out, start)
		}
		b = b[end:]
	}
	return out
}

// trimWindow takes trailing zero octets from the last window, which begins at start, and the window
// itself where no type is left in it (RFC 4034 4.1.2).
func trimWindow(b Bitmap, start int) Bitmap {
	for len(b) > start+2 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
		b[start+1]--
	}
	if len(b) == start+2 {
		return b[:start]
	}
	return b
}

// appendSuccessor appends the immediate successor of a name in canonical order (RFC 4034 6.1).
func appendSuccessor(dst []byte, owner string) ([]byte, error) {
	var buf [2 + maxName]byte
	name, err := AppendName(append(buf[:0], 1, 0), owner) // \000.owner
	if err != nil {
		return nil, fmt.Errorf("NSEC: %w", err)
	}
	if len(name) > maxName {
		if name, err = nextSibling(name[2:]); err != nil {
			return nil, fmt.Errorf("NSEC of %s: %w", owner, err)
		}
	}
	return append(dst, name...), nil
}

// nextSibling returns the first name after a name too long to have any below it (RFC 4471 3.1.2,
// steps 2 to 4). It changes name.
func nextSibling(name []byte) ([]byte, error) {
	for name[0] != 0 {
		end := 1 + int(name[0])
		if name[0] < maxLabel && len(name) < maxName {
			return slices.Concat([]byte{name[0] + 1}, name[1:end], []byte{0}, name[end:]), nil
		}
		for last := end - 1; last > 0; last-- {
			if name[last] < 0xFF {
				name[last] = following(name[last])
				return slices.Concat([]byte{byte(last)}, name[1:last+1], name[end:]), nil
			}
		}
		name = name[end:] // nothing sorts after this label: what follows its parent?
	}
	return nil, errors.New("no name sorts after it")
}

// following returns the next octet in canonical order, which has no capitals.
func following(octet byte) byte {
	if octet == 'A'-1 {
		return 'Z' + 1
	}
	return octet + 1
}

// appendBitmap appends the Type Bit Maps of sorted types: a window per 256 types, each as long as its
// highest type needs (RFC 4034 4.1.2).
func appendBitmap(dst []byte, types []uint16) []byte {
	window, length := -1, 0
	for _, t := range types {
		if int(t>>8) != window {
			window, length = int(t>>8), len(dst)+1
			dst = append(dst, byte(t>>8), 0)
		}
		octet := int(t&0xFF) / 8
		for int(dst[length]) <= octet {
			dst = append(dst, 0)
			dst[length]++
		}
		dst[length+1+octet] |= 0x80 >> (t & 7)
	}
	return dst
}
