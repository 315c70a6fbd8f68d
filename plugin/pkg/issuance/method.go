package issuance

import (
	"regexp"
	"slices"
	"strings"

	"github.com/coredns-caa/caa/plugin/pkg/spelling"
)

// methods are ACME's validation methods: those of IANA's registry that a CA may use, of November 2026, and
// three that CAs and clients use before they are there. Reserved ones are left out. section is the last number
// of the Baseline Requirements' section that a CA validates by, after 3.2.2.4; 0 where there is none.
var methods = []struct {
	label   string
	section string
}{
	{"http-01", "19"},        // RFC 8555 8.3, RFC 8738
	{"dns-01", "7"},          // RFC 8555 8.4
	{"tls-alpn-01", "20"},    // RFC 8737, RFC 8738
	{"email-reply-00", ""},   // RFC 8823
	{"tkauth-01", ""},        // RFC 9447
	{"onion-csr-01", ""},     // RFC 9799
	{"bp-nodeid-00", ""},     // RFC 9891
	{"dns-account-01", "21"}, // draft-ietf-acme-dns-account-label
	{"dns-persist-01", "22"}, // draft-ietf-acme-dns-persist
	{"device-attest-01", ""}, // draft-ietf-acme-device-attest
}

// Methods are the labels of the validation methods that no CA has for itself.
func Methods() []string {
	out := make([]string, len(methods))
	for i, m := range methods {
		out[i] = m.label
	}
	return out
}

// sectionPrefix begins the labels of the Baseline Requirements: `ca-tbr-7` is section 3.2.2.4.7 (BR 4.2.2.1.2).
const sectionPrefix = "ca-tbr-"

var sectionNumber = regexp.MustCompile(`^[1-9][0-9]?$`)

// section is that of the Baseline Requirements which a label stands for, "" for none.
func section(label string) string {
	if number, ok := strings.CutPrefix(label, sectionPrefix); ok && sectionNumber.MatchString(number) {
		return number
	}
	for _, m := range methods {
		if m.label == label {
			return m.section
		}
	}
	return ""
}

// alike reports whether two labels stand for one section of the Baseline Requirements.
func alike(a, b string) bool { return section(a) != "" && section(a) == section(b) }

// KnownMethod reports whether some CA may validate by a method of that label: ACME's, one of the Baseline
// Requirements', such as `ca-tbr-7`, or another that begins with `ca-` and means what its CA says (RFC 8657 4).
// Labels are in lower case; some CAs ignore the case, and others do not.
func KnownMethod(label string) bool {
	if strings.HasPrefix(label, sectionPrefix) {
		return section(label) != ""
	}
	own, ok := strings.CutPrefix(label, "ca-")
	return slices.Contains(Methods(), label) || ok && isLabel(own) && own == lower(own)
}

// OfRequirements reports whether a label is one of the Baseline Requirements', which every public CA has to
// understand once the parameters bind it (BR 4.2.2.1.2), and no CA before.
func OfRequirements(label string) bool {
	return strings.HasPrefix(label, sectionPrefix) && section(label) != ""
}

// slips is how many letters of a method's label may be wrong for it to be taken for another one.
const slips = 2

// MeantMethod is the known label that somebody meant who wrote another one, "" when none is near.
func MeantMethod(label string) string {
	if KnownMethod(label) {
		return ""
	}
	for _, meant := range []string{lower(label), lower(label) + "-01"} {
		if KnownMethod(meant) {
			return meant
		}
	}
	return spelling.Nearest(label, Methods(), func(string) int { return slips })
}

// noWildcards are the sections by which no CA may validate a Wildcard Domain Name: those that look at one host, by its
// website (BR 3.2.2.4.18 and 19), its TLS (20) or its address (8).
var noWildcards = []string{"8", "18", "19", "20"}

// ForWildcards reports whether a CA may validate a Wildcard Domain Name by a method of that label.
func ForWildcards(label string) bool { return !slices.Contains(noWildcards, section(label)) }
