package dnsname

import "bytes"

// Compare returns how two names compare in canonical order, negative, 0 or positive (RFC 4034 6.1). Case does not matter.
func Compare(a, b string) int {
	var left, right labels
	left.read(a)
	right.read(b)
	for i := 1; i <= left.n && i <= right.n; i++ {
		if c := bytes.Compare(left.fromEnd(i), right.fromEnd(i)); c != 0 {
			return c
		}
	}
	return left.n - right.n
}

// labels are the labels of a name on the wire, in lower case.
type labels struct {
	wire   [maxOctets + 1]byte
	starts [maxOctets/2 + 1]uint8 // offsets of their length octets
	n      int                    // without the root; 0 for what is not a name
}

func (l *labels) read(name string) {
	if !pack(&l.wire, name) {
		return
	}
	for off := 0; l.wire[off] != 0; l.n++ {
		l.starts[l.n] = uint8(off)
		label := l.wire[off+1 : off+1+int(l.wire[off])]
		for i, octet := range label {
			if 'A' <= octet && octet <= 'Z' {
				label[i] = octet + 'a' - 'A'
			}
		}
		off += 1 + len(label)
	}
}

// fromEnd is the ith label, counted from the end.
func (l *labels) fromEnd(i int) []byte {
	off := l.starts[l.n-i]
	return l.wire[int(off)+1 : int(off)+1+int(l.wire[off])]
}
