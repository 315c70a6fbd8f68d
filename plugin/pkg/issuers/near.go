package issuers

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/coredns-caa/caa/plugin/pkg/spelling"
)

// Misspelt returns the name to propose for one that the directory does not know, and whose author surely meant a CA's:
//
//   - the host of a CA's ACME directory, or another name that people write for the CA;
//   - a CA's name with www, api or acme before it;
//   - a name that differs from a CA's by few letters for its length (see slips);
//   - a CA's name under another top-level domain, or without one.
//
// A subdomain of a CA's name, or a name that only contains it, may be a private CA's, and is not misspelt. Misspelt
// returns "" where nothing is near. domain is as in Lookup.
func Misspelt(domain string) string {
	if Lookup(domain).Status != Unknown || len(domain) > longestName {
		return ""
	}
	if name := confused()[domain]; name != "" {
		return name
	}
	if label, rest, dotted := strings.Cut(domain, "."); dotted && isHost(label) {
		if e := Lookup(rest); e.Status != Unknown {
			return e.offered(rest)
		}
		return Misspelt(rest)
	}
	return nearest(domain, func(string) bool { return true })
}

// longestName is the longest that a domain name can be in text, without its last dot (RFC 1035 2.3.4).
const longestName = 253

// nearest returns the name to propose, among some, from which another one differs by few letters or by its top-level
// domain.
func nearest(domain string, among func(name string) bool) string {
	near := spelling.Nearest(domain, names(), func(name string) int {
		if !among(name) {
			return -1
		}
		return slips(longestLabel(name), domain)
	})
	label, rest, dotted := strings.Cut(domain, ".")
	if near != "" || dotted && !isSuffix(rest) {
		return near
	}
	return byLabel()[spelling.Nearest(label, labels(), func(known string) int {
		if len(known) < ownLabel || !among(byLabel()[known]) {
			return -1
		}
		return max(slips(known, label)-2, 0) // another top-level domain is a slip of its own
	})]
}

// slips returns how many letters may be wrong, missing, too many or swapped in a misspelt name with such a label: about a
// quarter. Short labels have neighbours that other owners have (visa and vista). A mistyped word has the right first letter
// where several others are wrong.
func slips(label, another string) int {
	n := len(label)
	switch {
	case n < ownLabel:
		return 0
	case another == "" || another[0] != label[0] && n < 8: // disco is not a misspelt cisco
		return 0
	case n < 8 || another[0] != label[0]:
		return 1
	case n < 11:
		return 2
	}
	return 3
}

// ownLabel is the length from which on a label is a CA's own under every top-level domain: others have shorter ones (ssl,
// web, visa), too.
const ownLabel = 5

func longestLabel(name string) string {
	return slices.MaxFunc(strings.Split(name, "."), func(a, b string) int { return len(a) - len(b) })
}

// offered returns the name to propose for one that the directory knows.
func (e Entry) offered(name string) string {
	if e.Status == Listed {
		return name
	}
	return e.CAs[0].Preferred
}

// isHost reports whether a label before a CA's name makes it that of its website or of its ACME directory.
func isHost(label string) bool {
	return label == "www" || label == "api" || label == "acme" || strings.HasPrefix(label, "acme-")
}

// privateTLDs are those under which no public CA has its name (RFC 2606, RFC 6762 G, ICANN's .internal).
var privateTLDs = []string{"test", "example", "invalid", "localhost", "local", "internal", "intranet", "private", "corp", "home", "lan", "arpa"}

// secondLevels are labels that are used like a top-level domain under that of a country.
var secondLevels = []string{"co", "com", "net", "org", "ne", "or", "ac", "gov"}

// isSuffix reports whether what is after a name's first label is a top-level domain, or one such as co.uk.
func isSuffix(rest string) bool {
	second, tld, two := strings.Cut(rest, ".")
	if !two {
		return !slices.Contains(privateTLDs, rest)
	}
	return slices.Contains(secondLevels, second) && len(tld) == len("uk")
}

// confused are the names that people write for a CA's, each with the one to propose.
var confused = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	for _, ca := range directory().cas {
		for _, name := range slices.Concat(ca.ACMEHosts, ca.Mistaken) {
			out[name] = ca.Preferred
		}
	}
	return out
})

// byLabel are the names to propose, by the only label before the top-level domain.
var byLabel = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	for _, name := range slices.Backward(names()) { // of several, the first stays
		if label, tld, _ := strings.Cut(name, "."); !strings.Contains(tld, ".") {
			out[label] = name
		}
	}
	return out
})

var labels = sync.OnceValue(func() []string { return slices.Sorted(maps.Keys(byLabel())) })

// OfLabel returns the name to propose for one label that people write for a public CA, such as digicert; "" where the text
// is not one label, or may be a private CA's.
func OfLabel(text string) string {
	if strings.Contains(text, ".") {
		return ""
	}
	return Misspelt(strings.ToLower(text))
}

// Meant returns the name to propose for what somebody wrote for a CA, more loosely than Misspelt: for a subdomain of a
// CA's name, for its name without the top-level domain, or for its name with characters that a domain name cannot have; ""
// where there is none.
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

// inName drops characters that no Issuer Domain Name has.
func inName(c rune) rune {
	if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' {
		return c
	}
	return -1
}

// stem returns a name without its top-level domain.
func stem(name string) string {
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		return name[:dot]
	}
	return name
}
