package zones

import (
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// Denial makes the records that prove what a zone does not have.
type Denial interface {
	// NSEC returns the records that prove that a name has no types but those of a bitmap; with NXNAME in it, that
	// there is no such name (RFC 9824 3). TTL is in seconds.
	NSEC(name string, types zonesign.Bitmap, ttl uint32) ([]zonesign.RRset, error)
}

// compact is compact denial of existence (RFC 9824): one NSEC record at the name itself, which denies nothing else.
type compact struct{}

// NSEC implements Denial.
func (compact) NSEC(name string, types zonesign.Bitmap, ttl uint32) ([]zonesign.RRset, error) {
	set, err := zonesign.NSEC(name, ttl, types)
	return []zonesign.RRset{set}, err
}
