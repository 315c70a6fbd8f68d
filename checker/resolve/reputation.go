package resolve

import (
	"net/netip"
	"sync"
	"time"
)

// An address that has never answered, and left so many questions without an answer, is left alone for a while:
// thousands of names are not to wait for it one by one. Each was waited for, by one transport or the other.
//
// That holds for an address, and for one transport of it, which a firewall may drop.
//
// One that has answered may have been too slow for a moment, or pass no questions for CAA. It is left alone after more
// of them in a row, which take some half a minute: then it is down, or a firewall has enough of us.
const (
	giveUpAfter  = 4
	fallenSilent = 64
	giveUpFor    = 30 * time.Second
)

// reputation is what the addresses are known for, from the questions so far. The zero value knows none.
type reputation struct {
	mu sync.Mutex
	of map[way]*conduct
}

// way is one to an address, by whichever transport if none is said.
type way struct {
	addr      netip.AddrPort
	transport Transport
}

// conduct is that of one way.
type conduct struct {
	failed   int // questions of look-ups; those that have failed least are asked first
	silent   int // questions in a row that it left without an answer, while the network was there
	answered bool
	until    time.Time // when it may be asked again, if it is left alone
}

// change alters what ways are known for.
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

// conduct is what a way is known for.
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

// leftAlone reports whether it is not to be asked for now.
func (c conduct) leftAlone() bool {
	patience := giveUpAfter
	if c.answered {
		patience = fallenSilent
	}
	return c.silent >= patience && time.Now().Before(c.until)
}
