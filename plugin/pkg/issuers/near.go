package issuers

import (
	"slices"
	"strings"

	"github.com/coredns-caa/caa/plugin/pkg/spelling"
)

// longName is the length from which on a name may hold two slips and still be taken for a CA's; in a
// shorter one, two are half of what tells names apart.
const longName = 12

// Misspelt is the name to offer for one that the directory does not know and that differs from it by a
// slip: a letter too many, missing, wrong, or two neighbours swapped; in long names by two. Of several
// it is the nearest. "" when there is none. domain is as in Lookup.
func Misspelt(domain string) string {
	if Lookup(domain).Status != Unknown {
		return ""
	}
	return spelling.Nearest(domain, Names(), func(name string) int {
		if len(name) >= longName {
			return 2
		}
		return 1
	})
}

// Meant is the name to offer for what somebody wrote for a CA, in a looser sense than Misspelt: a name
// below a CA's or above it by its top-level domain alone, or the CA's own in other letters than a domain
// name has. "" when there is none.
func Meant(text string) string {
	name := strings.Map(inName, strings.ToLower(text))
	if Lookup(name).Status == Listed {
		return name
	}
	for rest := name; rest != ""; {
		if _, rest, _ = strings.Cut(rest, "."); Lookup(rest).Status == Listed {
			return rest
		}
	}
	names := Names()
	if i := slices.IndexFunc(names, func(other string) bool { return stem(other) == stem(name) || stem(other) == name }); i >= 0 {
		return names[i]
	}
	return Misspelt(name)
}

// inName leaves out what no Issuer Domain Name has.
func inName(c rune) rune {
	if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' {
		return c
	}
	return -1
}

// stem is a name without its top-level domain.
func stem(name string) string {
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		return name[:dot]
	}
	return name
}
