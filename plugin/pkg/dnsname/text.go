package dnsname

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/miekg/dns"
	"golang.org/x/net/idna"
)

var (
	errLength  = errors.New("is not a domain name: labels have 1 to 63 octets, names at most 253")
	errLetters = errors.New("is not a domain name: labels have letters, digits, hyphens and underscores only")
)

// maxText is more octets than a domain name has in any script. The time to turn a text into A-labels grows with the
// square of its length.
const maxText = 4 * maxOctets

// mapping turns U-labels into A-labels (RFC 5891, UTS 46) and accepts underscores.
var mapping = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// hostPattern is what hosts and zones are named by: letters, digits and hyphens (RFC 1123 2.1), and the underscore of
// service names.
var hostPattern = regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`)

// Parse returns the canonical form of a name that somebody wrote, with or without its final dot, in any script; U-labels
// become A-labels. Names of hosts, zones and services only: it has no escapes and no wildcards, which [Canonical]
// accepts. The error begins with a verb, and its text follows the name's.
func Parse(text string) (string, error) {
	if len(text) > maxText {
		return "", errLength
	}
	ascii := text
	if strings.ContainsFunc(text, beyondASCII) {
		var err error
		if ascii, err = mapping.ToASCII(text); err != nil {
			return "", fmt.Errorf("is not an internationalised domain name: %w", err)
		}
	}
	if !hostPattern.MatchString(ascii) {
		return "", errLetters
	}
	name := dns.CanonicalName(ascii)
	if !Valid(name) {
		return "", errLength
	}
	return name, nil
}

func beyondASCII(c rune) bool { return c > unicode.MaxASCII }

// ACEPrefix is how A-labels begin (RFC 5890 2.3.2.5).
const ACEPrefix = "xn--"

// reading turns A-labels into U-labels, and refuses code points that no U-label has.
var reading = idna.New(idna.ValidateLabels(true), idna.StrictDomainName(false))

// IsALabel reports whether a label in lower case is the A-label of some U-label (RFC 5890 2.3.2.1).
func IsALabel(label string) bool {
	text, err := reading.ToUnicode(label)
	if err != nil || text == "" {
		return false
	}
	back, err := idna.Punycode.ToASCII(text)
	return err == nil && back == label
}

// Bare returns a name for people: without its final dot, which the root keeps, and with every octet that is not
// printable ASCII as \DDD (RFC 1035 5.1).
func Bare(name string) string {
	if name = escape(name); name != root && dns.IsFqdn(name) {
		return name[:len(name)-1]
	}
	return name
}

// escape writes what is not printable as \DDD. miekg/dns misreads a backslash after such a character ([dns.IsFqdn]).
func escape(name string) string {
	if !strings.ContainsFunc(name, func(c rune) bool { return !printable(c) }) {
		return name
	}
	var out strings.Builder
	for i := 0; i < len(name); i++ {
		escaped := name[i] == '\\' && i+1 < len(name)
		if escaped {
			i++
		}
		switch {
		case !printable(rune(name[i])):
			fmt.Fprintf(&out, `\%03d`, name[i])
		case escaped:
			out.WriteString(name[i-1 : i+1])
		default:
			out.WriteByte(name[i])
		}
	}
	return out.String()
}

func printable(c rune) bool { return ' ' <= c && c <= '~' }
