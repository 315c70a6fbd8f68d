// Package subject reads what people write when they mean a name that a certificate is for, and says
// what is wrong when it is something else: a URL, an address, an empty label.
package subject

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/net/idna"
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

// Parse reads a name: of a host, in any script, or `*.` and one. A mail address stands for its domain,
// which is what CAA for S/MIME is about (RFC 9495 4).
func Parse(text string) (Subject, error) {
	rest := strings.TrimSpace(text)
	if _, domain, mail := strings.Cut(rest, "@"); mail {
		rest = domain
	}
	rest, wildcard := strings.CutPrefix(rest, "*.")
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
	return Subject{name, wildcard}, nil
}

// notAName recognises what people paste instead of a name.
func notAName(text string) error {
	host := strings.Trim(text, "[]")
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

// List reads names, one a line; what follows a # is a remark. The error names the line.
func List(r io.Reader, file string) ([]Subject, error) {
	var out []Subject
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		s, err := Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		out = append(out, s)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no names", file)
	}
	return out, nil
}
