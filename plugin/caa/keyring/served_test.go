package keyring

import (
	"sync"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// RFC 7583 3.2.1 (TTLsig): no TTL that went out is forgotten before it is taken, by whatever number of
// goroutines, and one known before counts once more when less becomes known.
func TestServedTTL(t *testing.T) {
	t.Parallel()
	s := new(servedTTL)
	for _, c := range []struct {
		name string
		do   func()
		want time.Duration
	}{
		{"nothing went out", func() {}, 0},
		{"what is known", func() { s.expect(3600) }, time.Hour},
		{"known still", func() {}, time.Hour},
		{"more was seen", func() { s.see(7200); s.see(60) }, 2 * time.Hour},
		{"and not again", func() {}, time.Hour},
		{"less is known from now on, and more was until now", func() { s.expect(300) }, time.Hour},
		{"less is known", func() {}, 5 * time.Minute},
		{"more than signatures outlive is served as that", func() { s.see(1 << 31) }, zonesign.MaxTTL * time.Second},
		{"seen by many", func() {
			var group sync.WaitGroup
			for ttl := range uint32(1000) {
				group.Go(func() { s.see(ttl) })
			}
			group.Wait()
		}, 999 * time.Second},
	} {
		c.do()
		if got := s.take(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
