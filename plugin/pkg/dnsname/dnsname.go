// Package dnsname has what is done with domain names as text: names above a name, names below it, wildcards, what a
// DNAME makes of a name, canonical order, and names as people write and read them.
//
// A name is fully qualified and in the presentation format of miekg/dns (RFC 1035 5.1), with \. and \DDD for octets that
// are not plain characters. What compares names without case says so; elsewhere a name is canonical, in lower case (RFC
// 4034 6.2). miekg/dns has the rest: [dns.IsSubDomain] for "at or below", [dns.CanonicalName] for the case,
// [dns.SplitDomainName] for labels. The wire form is in the package zonesign.
package dnsname

import (
	"iter"
	"strings"

	"github.com/miekg/dns"
)

const root = "."

// maxOctets is the most octets of a name on the wire, the root's included (RFC 1035 2.3.4).
const maxOctets = 255

// Valid reports whether a text is a fully qualified domain name: labels of 1 to 63 octets, at most 255 octets in all
// (RFC 1035 2.3.4). [dns.IsDomainName] lets names of 256 and 257 octets pass.
func Valid(name string) bool {
	var wire [maxOctets + 1]byte
	return pack(&wire, name)
}

// Canonical returns the canonical form of a name in presentation format, with or without its final dot. Its escapes are
// those that miekg/dns writes, so that it equals the same name read off the wire. ok reports whether it is a domain name.
func Canonical(text string) (name string, ok bool) {
	var wire [maxOctets + 1]byte
	if text = escape(text); text == "" || !pack(&wire, dns.Fqdn(text)) {
		return "", false
	}
	name, _, err := dns.UnpackDomainName(wire[:], 0)
	return dns.CanonicalName(name), err == nil
}

// pack puts a name on the wire, and reports whether it is one.
func pack(wire *[maxOctets + 1]byte, name string) bool {
	end, err := dns.PackDomainName(escape(name), wire[:], 0, nil, false)
	return err == nil && name != "" && end <= maxOctets
}

// Up yields a name and all names above it, the closest first and the root last.
func Up(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for off, end := 0, name == root; !end; off, end = dns.NextLabel(name, off) {
			if !yield(name[off:]) {
				return
			}
		}
		yield(root)
	}
}

// UpTo yields a name and the names above it, the closest first and the apex last; nothing for a name that is not at or
// below the apex. Both are canonical.
func UpTo(name, apex string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !within(name, apex) {
			return
		}
		for above := range Up(name) {
			if !yield(above) || above == apex {
				return
			}
		}
	}
}

// within is dns.IsSubDomain for canonical names, without its allocations.
func within(name, apex string) bool {
	for above := range Up(name) {
		if len(above) <= len(apex) {
			return above == apex
		}
	}
	return false
}

// Parent returns a name without its first label. The root is its own parent.
func Parent(name string) string {
	if off, end := dns.NextLabel(name, 0); !end {
		return name[off:]
	}
	return root
}

// Below reports whether a name is below another one, and not that name itself. Case does not matter.
func Below(name, ancestor string) bool {
	return dns.IsSubDomain(ancestor, name) && dns.CountLabel(name) > dns.CountLabel(ancestor)
}

// Suffix returns the last labels of a name, as many as n or all that it has; the root for none.
func Suffix(name string, n int) string {
	if n == 0 {
		return root
	}
	off, _ := dns.PrevLabel(name, n)
	return name[off:]
}

// Join returns the name whose labels are those of a name, then those of another one: www. and example.org. are
// www.example.org. It may be too long ([Valid]).
func Join(first, rest string) string {
	if first == root {
		return rest
	}
	return first + strings.TrimPrefix(rest, root)
}

const asterisk = "*."

// Wildcard returns the wildcard at a name, the source of synthesis where the name is the closest encloser (RFC 4592
// 3.3.1).
func Wildcard(encloser string) string { return Join(asterisk, encloser) }

// IsWildcard reports whether a name begins with an asterisk label (RFC 4592 2.1.1).
func IsWildcard(name string) bool { return strings.HasPrefix(name, asterisk) }
