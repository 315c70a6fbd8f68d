package zones

import (
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// DefaultTTL is that of what the policy language does not name: an hour, as for CAA, so that a change of
// keys or servers never waits longer than a change of policy.
const DefaultTTL = time.Hour

// shortTTL bounds the TTLs of what has to follow a change soon.
const shortTTL = 5 * time.Minute

// TTLs are those of what the policy language does not name, in seconds.
type TTLs struct {
	// Apex is that of DNSKEY, CDS, CDNSKEY, NS, the addresses of name servers, and DS of zones that are served, too.
	Apex uint32
	// Negative bounds how long a denial outlives its cause (RFC 2308 5, RFC 9077 3); a resolver with
	// aggressive NSEC answers from it (RFC 8198), so it is short.
	Negative uint32
	// Alias is that of the _acme-challenge aliases: short, since they are asked once a renewal and must
	// follow a change of the policy at once.
	Alias uint32
	// data is the least that the largest TTL is taken to be of data that a next plugin holds, of which we see only
	// what is asked for.
	data uint32
}

// NewTTLs returns the TTLs of a block: of its own records, and the least that is assumed for a next plugin's data.
func NewTTLs(ttl, data time.Duration) TTLs {
	short := uint32(min(ttl, shortTTL) / time.Second)
	return TTLs{Apex: uint32(ttl / time.Second), Negative: short, Alias: short, data: uint32(data / time.Second)}
}

// Largest is the largest TTL of all that a zone is known to hold, in seconds.
func (t TTLs) Largest(z *policy.Zone) uint32 {
	largest := t.Apex
	if !z.PolicyOnly() {
		largest = max(largest, t.data)
	}
	for node := range z.Nodes() {
		largest = max(largest, node.TTL)
	}
	return largest
}
