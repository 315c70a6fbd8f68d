package keyring

import (
	"sync/atomic"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// servedTTL is the largest TTL of a zone's data that went out since somebody took note of it: for so long a
// cache may hold a signature (RFC 7583 3.2.1, TTLsig). It is safe for use by several goroutines.
type servedTTL struct {
	known atomic.Uint32 // the least that it is taken to be, in seconds
	seen  atomic.Uint32 // the largest that was seen beyond that
}

// see notes a TTL that goes out, in seconds.
func (s *servedTTL) see(ttl uint32) {
	ttl = min(ttl, zonesign.MaxTTL)
	for was := s.seen.Load(); ttl > was && !s.seen.CompareAndSwap(was, ttl); was = s.seen.Load() {
	}
}

// expect sets what is known without seeing it. Until now the TTL known before may have gone out.
func (s *servedTTL) expect(ttl uint32) { s.see(s.known.Swap(ttl)) }

// take returns the largest TTL since it was taken last.
func (s *servedTTL) take() time.Duration {
	return time.Duration(max(s.seen.Swap(0), s.known.Load())) * time.Second
}
