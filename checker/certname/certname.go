// Package certname parses names that certificates are for, and the CA, the account and the method of a request, as
// people write them. Its errors say what was written instead, such as a URL or an IP address, and what to write.
package certname

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

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// Name is a name that a certificate is for.
type Name struct {
	Domain   string // canonical, without the `*.`
	Wildcard bool
}

// String returns the name as in a certificate.
func (s Name) String() string {
	if s.Wildcard {
		return dnsname.Bare(dnsname.Wildcard(s.Domain))
	}
	return dnsname.Bare(s.Domain)
}

// Parse reads a name: of a host, in any script, or `*.` and one. It may have underscores, as names in DNS and in a policy
// may.
func Parse(text string) (Name, error) {
	rest, wildcard := strings.CutPrefix(strings.TrimSpace(text), "*.")
	if err := notAName(rest); err != nil {
		return Name{}, fmt.Errorf("%q %w", text, err)
	}
	name, err := dnsname.Parse(rest)
	if err != nil {
		return Name{}, fmt.Errorf("%q %w", text, err)
	}
	labels := dns.SplitDomainName(name)
	if len(labels) == 0 {
		return Name{}, fmt.Errorf("%q is the root, not a domain name for a certificate", text)
	}
	if err := checkLabels(labels, labelRules); err != nil {
		return Name{}, fmt.Errorf("%q %w", text, err)
	}
	if numeric.MatchString(labels[len(labels)-1]) {
		return Name{}, fmt.Errorf("%q ends in a number, as IP addresses do and domain names do not (RFC 3696 2): write the host's name", text)
	}
	return Name{name, wildcard}, nil
}

// ParseFor reads the name of a certificate of a type. For S/MIME it may be a mail address, whose domain has the CAA records
// (RFC 9495 4).
func ParseFor(text string, kind issuance.CertificateType) (Name, error) {
	name := text
	if at := strings.LastIndexByte(text, '@'); kind == issuance.SMIME && at > 0 {
		name = text[at+1:]
	}
	s, err := Parse(name)
	switch {
	case err != nil:
		return s, err
	case kind == issuance.TLS:
		for _, label := range dns.SplitDomainName(s.Domain) {
			if err := issuance.CertificateLabel(label); err != nil {
				return Name{}, fmt.Errorf("%q %w", text, err)
			}
		}
	case s.Wildcard:
		return Name{}, fmt.Errorf("%q is a wildcard: only TLS certificates have wildcards", text)
	}
	return s, nil
}

// TopLevel reports whether the name is a top-level domain's own, or its wildcard.
func (s Name) TopLevel() bool { return dns.CountLabel(s.Domain) == 1 }

// labelRule is a rule for labels in lower case.
type labelRule struct {
	broken func(label string) bool
	why    string // an error about the label
}

// labelRules are those of every name.
var labelRules = []labelRule{
	{func(label string) bool { return strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") }, "is not a domain name: the label %q begins or ends with a hyphen (RFC 1123 2.1)"},
	{func(label string) bool {
		return strings.HasPrefix(label, dnsname.ACEPrefix) && !dnsname.IsALabel(label)
	}, "is not an internationalized domain name: %q is not a valid A-label (RFC 5890 2.3.2.1)"},
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

// numeric matches numbers, which are the last part of an IPv4 address and never a top-level domain.
var numeric = regexp.MustCompile(`^([0-9]+|0x[0-9a-f]*)$`)

// notAName recognizes what people paste instead of a name.
func notAName(text string) error {
	host := strings.TrimSuffix(strings.Trim(text, "[]"), ".")
	if _, err := netip.ParseAddr(host); err == nil {
		return fmt.Errorf("is an IP address, and CAA records are for domain names: write the host's name")
	}
	if _, err := netip.ParseAddrPort(text); err == nil {
		return fmt.Errorf("is an IP address with a port, and CAA records are for domain names: write the host's name")
	}
	if scheme, rest, ok := strings.Cut(text, "://"); ok && scheme != "" {
		host, _, _ := strings.Cut(rest, "/")
		host, _, _ = strings.Cut(host, ":")
		return fmt.Errorf("is a URL: write only the host, %s", host)
	}
	if _, domain, ok := strings.Cut(text, "@"); ok {
		return fmt.Errorf("is a mail address, for --type smime only: write its domain, %s", domain)
	}
	if host, _, ok := strings.Cut(text, "/"); ok {
		return fmt.Errorf("has a path: write only the host, %s", host)
	}
	if host, _, ok := strings.Cut(text, ":"); ok {
		return fmt.Errorf("has a port: write only the host, %s", host)
	}
	if text == "" {
		return fmt.Errorf("is empty")
	}
	return nil
}

// List reads names, one a line, by parse; the rest of a line after # is a comment. Its errors name the line.
func List(r io.Reader, file string, parse func(string) (Name, error)) ([]Name, error) {
	var out []Name
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
		return nil, fmt.Errorf("%s:%d: the line is longer than %d octets: write one name a line", file, n, bufio.MaxScanTokenSize)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	case len(out) == 0:
		return nil, fmt.Errorf("%s has no names", file)
	}
	return out, nil
}

// Unique returns each name once.
func Unique(subjects []Name) []Name {
	seen := make(map[Name]bool, len(subjects))
	return slices.DeleteFunc(slices.Clone(subjects), func(s Name) bool {
		again := seen[s]
		seen[s] = true
		return again
	})
}
