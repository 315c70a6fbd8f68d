package resolve

import (
	"net/netip"
	"sync"
	"time"
)

// An address that has never replied, to so many queries, is skipped for a while, so that thousands of names do not wait
// for it one by one.
//
// That applies to an address, and to one transport of it, which a firewall may drop.
//
// An address that has replied may have been slow for a moment, or drop queries for CAA. It is skipped after more
// silence, of about half a minute: then it is down, or a firewall blocks us.
const (
	giveUpAfter  = 4
	fallenSilent = 64
	giveUpFor    = 30 * time.Second
)

// reputation is how addresses behaved so far. The zero value knows none.
type reputation struct {
	mu sync.Mutex
	of map[way]*conduct
}

// way is an address with a transport, or with "" for any.
type way struct {
	addr      netip.AddrPort
	transport Transport
}

// conduct is that of one way.
type conduct struct {
	failed   int // queries of lookups; addresses that failed least are asked first
	silent   int // queries in a row without a reply, while the network was up
	answered bool
	until    time.Time // when it may be asked again, if it is left alone
}

// change alters the record of some ways.
func (r *reputation) change(by func(*conduct), ways ...way) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[way]*conduct{}
	}
	for _, w := range ways {
		if r.of[w] == nil {
			r.of[w] = new(conduct)
		}
		by(r.of[w])
	}
}

// conduct returns the record of a way.
func (r *reputation) conduct(addr netip.AddrPort, transport Transport) conduct {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.of[way{addr, transport}]; c != nil {
		return *c
	}
	return conduct{}
}

func (r *reputation) fail(addr netip.AddrPort) {
	r.change(func(c *conduct) { c.failed++ }, way{addr: addr})
}

func (r *reputation) answer(addr netip.AddrPort, transport Transport) {
	r.change(func(c *conduct) { c.answered, c.silent = true, 0 }, way{addr: addr}, way{addr, transport})
}

func (r *reputation) mute(addr netip.AddrPort, transport Transport, questions int) {
	until := time.Now().Add(giveUpFor)
	r.change(func(c *conduct) { c.silent, c.until = c.silent+questions, until }, way{addr: addr}, way{addr, transport})
}

// leftAlone reports whether it is skipped now.
func (c conduct) leftAlone() bool {
	patience := giveUpAfter
	if c.answered {
		patience = fallenSilent
	}
	return c.silent >= patience && time.Now().Before(c.until)
}
