package finding

import (
	"net/netip"
	"slices"
)

// specialPurpose are the blocks of the IANA special-purpose address registries that are not globally reachable
// (RFC 6890 2.2; iana-ipv4-special-registry and iana-ipv6-special-registry, 2025).
var specialPurpose = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"::1/128", "::/128", "::ffff:0:0/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32",
	"3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10",
)

// reachable are the blocks within those that are, or of which the registries do not say that they are not (Teredo).
var reachable = prefixes(
	"192.0.0.9/32", "192.0.0.10/32",
	"2001::/32", "2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:3::/32", "2001:4:112::/48", "2001:20::/28", "2001:30::/28",
)

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// reserved reports whether an address cannot be reached from the Internet.
func reserved(a netip.Addr) bool {
	in := func(p netip.Prefix) bool { return p.Contains(a) }
	return a.IsMulticast() || slices.ContainsFunc(specialPurpose, in) && !slices.ContainsFunc(reachable, in)
}
