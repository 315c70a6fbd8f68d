package zonesign

import (
	"bytes"
	"errors"
	"fmt"
)

// Limits of a domain name (RFC 1035 2.3.4).
const (
	maxName  = 255 // octets on the wire, the root's included
	maxLabel = 63  // octets of a label, its length octet not counted
)

var (
	errNotQualified = errors.New("does not end in a dot: write a fully qualified name")
	errEmptyLabel   = errors.New("has an empty label")
	errLongLabel    = errors.New("has a label of more than 63 octets (RFC 1035 2.3.4)")
	errLongName     = errors.New("is longer than 255 octets (RFC 1035 2.3.4)")
	errBadEscape    = errors.New(`has a bad escape: write \DDD with a value up to 255, or \ and one character (RFC 1035 5.1)`)
)

// OwnerWire returns the canonical wire form of a name, as AppendName appends it.
func OwnerWire(name string) ([]byte, error) {
	return AppendName(make([]byte, 0, len(name)+1), name)
}

// AppendName appends the canonical wire form of a fully qualified domain name to dst: uncompressed
// and in lower case (RFC 4034 6.2). The name is in presentation format (RFC 1035 5.1), with \. and
// \DDD for octets that are not plain characters. On an error dst is returned as it was.
func AppendName(dst []byte, name string) ([]byte, error) {
	start := len(dst)
	for rest := name; rest != "." || name != "."; {
		var err error
		if dst, rest, err = appendLabel(dst, rest); err != nil {
			return dst[:start], fmt.Errorf("the name %q %w", name, err)
		}
		if rest == "" {
			break
		}
	}
	if dst = append(dst, 0); len(dst)-start > maxName {
		return dst[:start], fmt.Errorf("the name %q %w", name, errLongName)
	}
	return dst, nil
}

// appendLabel appends the first label of name and returns what follows the dot that ends it.
func appendLabel(dst []byte, name string) (_ []byte, rest string, err error) {
	length := len(dst)
	dst = append(dst, 0)
	for i := 0; i < len(name); i++ {
		octet := name[i]
		switch octet {
		case '.':
			n := len(dst) - length - 1
			if n == 0 {
				return dst, "", errEmptyLabel
			}
			if n > maxLabel {
				return dst, "", errLongLabel
			}
			dst[length] = byte(n)
			return dst, name[i+1:], nil
		case '\\':
			var width int
			if octet, width = unescape(name[i+1:]); width == 0 {
				return dst, "", errBadEscape
			}
			i += width
		}
		dst = append(dst, lower(octet))
	}
	return dst, "", errNotQualified
}

// unescape reads what follows a backslash: three digits or one other character. Width is the number
// of characters read, 0 for a bad escape.
func unescape(s string) (octet byte, width int) {
	if s == "" {
		return 0, 0
	}
	if !isDigit(s[0]) {
		return s[0], 1
	}
	if len(s) < 3 || !isDigit(s[1]) || !isDigit(s[2]) {
		return 0, 0
	}
	value := int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	if value > 255 {
		return 0, 0
	}
	return byte(value), 3
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// atOrBelow reports whether a canonical wire name is zone or below it.
func atOrBelow(name, zone []byte) bool {
	if !bytes.HasSuffix(name, zone) {
		return false
	}
	apex := len(name) - len(zone)
	off := 0
	for off < apex {
		off += 1 + int(name[off])
	}
	return off == apex // else the suffix begins inside a label
}

// rrsigLabels counts the labels of a wire name as RRSIG does: without the root, and without a leading
// asterisk label (RFC 4034 3.1.3).
func rrsigLabels(name []byte) uint8 {
	var n uint8
	for off := 0; name[off] != 0; off += 1 + int(name[off]) {
		n++
	}
	if name[0] == 1 && name[1] == '*' {
		n--
	}
	return n
}

// nameEnd is where the uncompressed name ends that wire begins with, or -1.
func nameEnd(wire []byte) int {
	for off := 0; off < len(wire) && off < maxName && wire[off] <= maxLabel; off += 1 + int(wire[off]) {
		if wire[off] == 0 {
			return off + 1
		}
	}
	return -1
}
