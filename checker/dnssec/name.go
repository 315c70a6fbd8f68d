package dnssec

import (
	"bytes"
	"strings"

	"github.com/miekg/dns"
)

// Compare orders two names canonically, -1, 0 or 1 (RFC 4034 6.1). Names are fully qualified, in the
// presentation format that miekg/dns reads off the wire; case does not matter.
func Compare(a, b string) int {
	left, right := labels(a), labels(b)
	for i := 1; i <= len(left) && i <= len(right); i++ {
		if c := bytes.Compare(left[len(left)-i], right[len(right)-i]); c != 0 {
			return c
		}
	}
	return len(left) - len(right)
}

// labels are a name's, in lower case and without escapes, the root's not included.
func labels(name string) [][]byte {
	wire := make([]byte, 256)
	end, err := dns.PackDomainName(dns.CanonicalName(name), wire, 0, nil, false)
	if err != nil {
		return nil
	}
	var out [][]byte
	for off := 0; off < end && wire[off] != 0; off += 1 + int(wire[off]) {
		out = append(out, bytes.ToLower(wire[off+1:off+1+int(wire[off])]))
	}
	return out
}

// Parent cuts the first label off a name; the root is its own parent.
func Parent(name string) string {
	if next, end := dns.NextLabel(name, 0); !end {
		return name[next:]
	}
	return "."
}

// Below reports whether a name lies below another, and is not that one itself.
func Below(name, ancestor string) bool {
	return dns.IsSubDomain(ancestor, name) && dns.CountLabel(name) > dns.CountLabel(ancestor)
}

// suffix is the last n labels of a name.
func suffix(name string, n int) string {
	if n == 0 {
		return "."
	}
	starts := dns.Split(name)
	if n >= len(starts) {
		return name
	}
	return name[starts[len(starts)-n]:]
}

// wildcardOf is the source of synthesis at a closest encloser (RFC 4592 3.3.1).
func wildcardOf(encloser string) string {
	if encloser == "." {
		return "*."
	}
	return "*." + encloser
}

func isWildcard(name string) bool { return strings.HasPrefix(name, "*.") }

// sharedAncestor is the closest common ancestor of two names.
func sharedAncestor(a, b string) string { return suffix(a, dns.CompareDomainName(a, b)) }
