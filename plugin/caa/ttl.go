package caa

import (
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// defaultTTL is that of what the policy language does not name: an hour, as for CAA, so that a change of
// keys or servers never waits longer than a change of policy.
const defaultTTL = time.Hour

// shortTTL bounds the TTLs of what has to follow a change soon.
const shortTTL = 5 * time.Minute

// ttls are those of what the policy language does not name, in seconds.
type ttls struct {
	// apex is that of DNSKEY, CDS, CDNSKEY, NS, the addresses of name servers, and DS of zones below.
	apex uint32
	// negative bounds how long a denial outlives its cause (RFC 2308 5, RFC 9077 3); a resolver with
	// aggressive NSEC answers from it (RFC 8198), so it is short.
	negative uint32
	// alias is that of the _acme-challenge aliases: short, since they are asked once a renewal and must
	// follow a change of the policy at once.
	alias uint32
	// data is the least that the largest TTL of data is taken to be that another plugin holds, and of which
	// we see what is asked for.
	data uint32
}

func newTTLs(cfg *config) ttls {
	short := uint32(min(cfg.ttl, shortTTL) / time.Second)
	return ttls{apex: uint32(cfg.ttl / time.Second), negative: short, alias: short, data: uint32(cfg.roll.data / time.Second)}
}

// largest is the largest TTL of all that a zone is known to hold, in seconds.
func (t ttls) largest(z *policy.Zone) uint32 {
	largest := t.apex
	if !z.PolicyOnly() {
		largest = max(largest, t.data)
	}
	for node := range z.Nodes() {
		largest = max(largest, node.TTL)
	}
	return largest
}
