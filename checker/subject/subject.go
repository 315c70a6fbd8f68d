// Package subject reads what people write when they mean a name that a certificate is for, and says
// what is wrong when it is something else: a URL, an address, an empty label. Whom and how they ask for
// it, the CA, the account and the method, is read likewise.
package subject

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/net/idna"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// Subject is a name that a certificate is for.
type Subject struct {
	Name     string // canonical, without the `*.`
	Wildcard bool
}

// String is the name as it stands in a certificate.
func (s Subject) String() string {
	name := strings.TrimSuffix(s.Name, ".")
	if s.Wildcard {
		return "*." + name
	}
	return name
}

// profile turns internationalised labels into A-labels (RFC 5891) and leaves underscores alone.
var profile = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

var hostPattern = regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`)

// Parse reads a name: of a host, in any script, or `*.` and one. It may have underscores, as names in DNS
// do, and in a policy.
func Parse(text string) (Subject, error) {
	rest, wildcard := strings.CutPrefix(strings.TrimSpace(text), "*.")
	if err := notAName(rest); err != nil {
		return Subject{}, fmt.Errorf("%q %w", text, err)
	}
	ascii := rest
	if strings.ContainsFunc(rest, func(c rune) bool { return c > 127 }) {
		var err error
		if ascii, err = profile.ToASCII(rest); err != nil {
			return Subject{}, fmt.Errorf("%q is no internationalised domain name: %w", text, err)
		}
	}
	if !hostPattern.MatchString(ascii) {
		return Subject{}, fmt.Errorf("%q is not a domain name: labels are of letters, digits, hyphens and underscores", text)
	}
	name := dns.CanonicalName(ascii)
	if _, ok := dns.IsDomainName(name); !ok || len(name) > 254 || name == "." {
		return Subject{}, fmt.Errorf("%q is not a domain name: labels have 1 to 63 octets, names at most 253", text)
	}
	if err := checkLabels(labels(name), labelRules); err != nil {
		return Subject{}, fmt.Errorf("%q %w", text, err)
	}
	if last := labels(name)[dns.CountLabel(name)-1]; numeric.MatchString(last) {
		return Subject{}, fmt.Errorf("%q ends in a number, as an IP address does and no domain name (RFC 3696 2); CAA is about domain names: write the host's name", text)
	}
	return Subject{name, wildcard}, nil
}

// ParseFor reads what a certificate of a kind is for. For S/MIME a mail address stands for its domain,
// which is what CAA is about there (RFC 9495 4).
func ParseFor(text string, kind issuance.CertificateType) (Subject, error) {
	name := text
	if at := strings.LastIndexByte(text, '@'); kind == issuance.SMIME && at > 0 {
		name = text[at+1:]
	}
	s, err := Parse(name)
	switch {
	case err != nil:
		return s, err
	case kind == issuance.TLS:
		for _, label := range labels(s.Name) {
			if err := issuance.CertificateLabel(label); err != nil {
				return Subject{}, fmt.Errorf("%q %w", text, err)
			}
		}
	case s.Wildcard:
		return Subject{}, fmt.Errorf("%q is a wildcard, which TLS certificates alone have", text)
	}
	return s, nil
}

// TopLevel reports whether the name is a top-level domain's own, or its wildcard.
func (s Subject) TopLevel() bool { return dns.CountLabel(s.Name) == 1 }

func labels(name string) []string { return strings.Split(strings.TrimSuffix(name, "."), ".") }

// labelRule is what a label, in lower case, may not be.
type labelRule struct {
	broken func(label string) bool
	why    string // of the label
}

// labelRules are those of every name.
var labelRules = []labelRule{
	{func(label string) bool { return strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") }, "is not a domain name: the label %q begins or ends with a hyphen (RFC 1123 2.1)"},
	{func(label string) bool { return strings.HasPrefix(label, acePrefix) && !isALabel(label) }, "is no internationalised domain name: nothing is written %q (RFC 5890 2.3.2.1)"},
}

func checkLabels(labels []string, rules []labelRule) error {
	for _, label := range labels {
		for _, rule := range rules {
			if rule.broken(label) {
				return fmt.Errorf(rule.why, label)
			}
		}
	}
	return nil
}

// numeric is what no top-level domain is: a number, as the last part of an IPv4 address is to whoever reads
// it leniently.
var numeric = regexp.MustCompile(`^([0-9]+|0x[0-9a-f]*)$`)

const acePrefix = "xn--"

// valid reads A-labels, and refuses code points that no U-label has.
var valid = idna.New(idna.ValidateLabels(true), idna.StrictDomainName(false))

// isALabel reports whether a label that begins like an A-label is what some U-label is written as.
func isALabel(label string) bool {
	text, err := valid.ToUnicode(label)
	if err != nil || text == "" {
		return false
	}
	back, err := idna.Punycode.ToASCII(text)
	return err == nil && back == label
}

// notAName recognises what people paste instead of a name.
func notAName(text string) error {
	host := strings.TrimSuffix(strings.Trim(text, "[]"), ".")
	if _, err := netip.ParseAddr(host); err == nil {
		return fmt.Errorf("is an IP address, and CAA is about domain names: write the host's name")
	}
	if _, err := netip.ParseAddrPort(text); err == nil {
		return fmt.Errorf("is an IP address with a port, and CAA is about domain names: write the host's name")
	}
	if scheme, rest, ok := strings.Cut(text, "://"); ok && scheme != "" {
		host, _, _ := strings.Cut(rest, "/")
		host, _, _ = strings.Cut(host, ":")
		return fmt.Errorf("is a URL: write the host alone, %s", host)
	}
	if _, domain, ok := strings.Cut(text, "@"); ok {
		return fmt.Errorf("is a mail address, as only certificates of the type smime have: write its domain, %s", domain)
	}
	if host, _, ok := strings.Cut(text, "/"); ok {
		return fmt.Errorf("has a path: write the host alone, %s", host)
	}
	if host, _, ok := strings.Cut(text, ":"); ok {
		return fmt.Errorf("has a port: write the host alone, %s", host)
	}
	if text == "" {
		return fmt.Errorf("is empty")
	}
	return nil
}

// List reads names, one a line, as parse does; what follows a # is a remark. The error names the line.
func List(r io.Reader, file string, parse func(string) (Subject, error)) ([]Subject, error) {
	var out []Subject
	lines := bufio.NewScanner(r)
	n := 1
	for ; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		s, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		out = append(out, s)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("%s:%d: the line is longer than %d octets, and has one name", file, n, bufio.MaxScanTokenSize)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	case len(out) == 0:
		return nil, fmt.Errorf("%s has no names", file)
	}
	return out, nil
}

// Unique leaves out what comes again.
func Unique(subjects []Subject) []Subject {
	seen := make(map[Subject]bool, len(subjects))
	return slices.DeleteFunc(slices.Clone(subjects), func(s Subject) bool {
		again := seen[s]
		seen[s] = true
		return again
	})
}
