package finding

import (
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// registry reports whether a zone is a registry's: the root, or a public suffix such as org. or co.uk. Whoever holds a
// name in it can report a fault there, and not fix it. The zone of the case's own name is not a registry's.
func (c *Case) registry(zone string) bool {
	zone = strings.TrimSuffix(zone, ".")
	if zone == "" {
		return true
	}
	suffix, icann := publicsuffix.PublicSuffix(zone)
	return suffix == zone && (icann || !strings.Contains(zone, ".")) && dnsname.Bare(c.Climb.Name) != zone
}
