package issuance

import (
	"regexp"
	"slices"
	"strings"

	"github.com/coredns-caa/caa/plugin/pkg/spelling"
)

// methods are ACME's validation methods: those of IANA's registry that a CA may use, of November 2026, and
// three that CAs and clients use before the registry has them. Reserved ones are left out. section is the last number of
// the Baseline Requirements' section that describes it, after 3.2.2.4; "" where none does.
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

// Methods returns the labels of the validation methods that are not one CA's own.
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

// section returns the number of the Baseline Requirements' section of a label's method; "" where there is none.
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

// alike reports whether two labels are of the methods of one section of the Baseline Requirements.
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

// slips is how many letters may be wrong in a near label.
const slips = 2

// MeantMethod returns the known label that is near to an unknown one; "" where none is.
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

// Validation is what a CA may validate by a method, for a name that somebody asks a certificate for (BR 3.2.2.4; by
// each method since ballot SC-101, see [AuthorizationDomainNames]).
type Validation struct {
	Section   string // of the Baseline Requirements, such as "3.2.2.4.7"; "" for a method that has none
	Wildcards bool   // a Wildcard Domain Name
	Parents   bool   // a name above, in the place of the name
	Aliases   bool   // the target of the name's CNAME, in the place of the name
}

// restricted are the rows of the sections that do not validate all.
var restricted = map[string]Validation{
	"8":  {Aliases: true}, // the address of one host
	"18": {},              // its website
	"19": {},
	"20": {}, // its TLS
	"21": {Wildcards: true, Parents: true},
	"22": {Wildcards: true, Parents: true},
}

// ValidationBy returns what a CA may validate by a method of that label.
func ValidationBy(label string) Validation {
	number := section(label)
	v, ok := restricted[number]
	if !ok {
		v = Validation{Wildcards: true, Parents: true, Aliases: true}
	}
	if number != "" {
		v.Section = methodSections + number
	}
	return v
}

// methodSections is the section of the Baseline Requirements whose parts are the methods, with a dot.
const methodSections = "3.2.2.4."

// ForWildcards reports whether a CA may validate a Wildcard Domain Name by a method of that label.
func ForWildcards(label string) bool { return ValidationBy(label).Wildcards }
