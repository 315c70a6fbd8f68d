// Package parent asks every server of a zone's parent for the zone's DS RRset, as a roll of keys wants to
// know before a key is withdrawn (RFC 7583 3.3.1), and tells the parent of new CDS (RFC 9859).
//
// Zones go in, a few or some thousands; what each address of each server of their parents has comes out, or
// why it could not be asked. The servers' names and addresses come from a resolver, which is trusted with
// them, or are given. DS are asked for over TCP: an answer that somebody forges would have a key withdrawn
// too early, and nobody waits for these.
//
// The way through: find.go finds the servers, ask.go asks one of them about many zones, answer.go says what
// counts as an answer; dsync.go and notify.go are RFC 9859.
package parent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

const (
	// connecting is how long a server may take to accept a connection: one lost packet is sent again after a
	// second (RFC 6298 2).
	connecting = 2 * time.Second
	// patience is how long one answer may take: long for a server, and enough for a resolver that has to
	// find what it says.
	patience = 5 * time.Second
	// serversAtOnce is how many servers are asked at once, over one connection each; the root zone and the
	// largest TLDs have 26 addresses.
	serversAtOnce = 64
	// maxServers bounds what a hostile parent can have us ask.
	maxServers = 32
	// dnsPort is DNS's.
	dnsPort = 53
)

// Asker asks parents. It is safe for use by several goroutines, and does not change.
type Asker struct {
	Resolvers []netip.AddrPort // asked in turn, until one answers
	Servers   []netip.AddrPort // those of the parent of every zone, where they are given; none: the resolvers find them
	Port      uint16           // of the servers that are found; 0: that of DNS
}

// DS says what each server of the parent of each zone has, by zone as it was given. The DS records are all
// among Others, since no keys are known here (keyroll.Observe). What could not be asked, by the end of ctx too,
// is an observation with the reason. The root zone has no parent, and no observations.
//
// Each server is asked over one connection, and the resolvers once for each thing, however many the zones are.
func (a *Asker) DS(ctx context.Context, zones []string) map[string][]keyroll.Observation {
	servers := newRound(a).serversOf(ctx, zones)
	replies := askAll(ctx, servers)
	out := map[string][]keyroll.Observation{}
	for zone, of := range servers {
		out[zone] = observe(zone, of, replies)
	}
	return out
}

// server is one address of a name server. One without an address could not be found.
type server struct {
	name string // "" where only the address was given
	addr netip.AddrPort
	err  error // why there is no address
}

func (s server) String() string {
	switch {
	case !s.addr.IsValid():
		return s.name
	case s.name == "":
		return s.addr.String()
	}
	return fmt.Sprintf("%s (%s)", s.name, s.addr.Addr())
}

// answers are the answers of one address, by zone.
type answers map[string]answer

// askAll asks each address about all zones that it is a server of.
func askAll(ctx context.Context, servers map[string][]server) map[netip.AddrPort]answers {
	zones := map[netip.AddrPort]map[string]bool{} // some servers have one address under several names
	for zone, of := range servers {
		for _, s := range of {
			if s.addr.IsValid() {
				if zones[s.addr] == nil {
					zones[s.addr] = map[string]bool{}
				}
				zones[s.addr][zone] = true
			}
		}
	}
	var group errgroup.Group
	group.SetLimit(serversAtOnce)
	var mu sync.Mutex
	replies := map[netip.AddrPort]answers{}
	for addr, of := range zones {
		group.Go(func() error {
			reply := ask(ctx, addr, of)
			mu.Lock()
			defer mu.Unlock()
			replies[addr] = reply
			return nil
		})
	}
	group.Wait() // what failed is in the answers
	return replies
}

// observe is what the servers of one zone's parent say.
func observe(zone string, servers []server, replies map[netip.AddrPort]answers) (out []keyroll.Observation) {
	answer := func(s server) answer {
		if !s.addr.IsValid() {
			return answer{err: s.err}
		}
		return replies[s.addr][zone]
	}
	answered := map[string]bool{} // servers by name
	for _, s := range servers {
		if answer(s).err == nil {
			answered[s.name] = true
		}
	}
	for _, s := range servers {
		reply := answer(s)
		if s.name != "" && answered[s.name] && elsewhere(reply.err) {
			continue
		}
		o := keyroll.Observe(s.String(), reply.ds, nil)
		o.Err = reply.err
		out = append(out, o)
	}
	return out
}

// elsewhere reports whether an address is in a network that this machine has no way to, such as IPv6. It
// need not be asked where another address of the same server answers.
func elsewhere(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
}
