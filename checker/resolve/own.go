package resolve

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// Faults of this machine say nothing about a name: no IPv6, no network, a wrong trust anchor or clock.

// probed is how many of the root's addresses are asked whether the network is still there, and stillLost for how
// long it is not asked again when it is not.
const (
	probed    = 4
	stillLost = 5 * time.Second
)

// network knows whether replies arrive at all.
type network struct {
	mu        sync.Mutex
	lastReply time.Time // of any server
	lullEnded time.Time // when the first reply after a lull came
	lostAt    time.Time // when even the root was silent

	probing sync.Mutex
}

func (n *network) replied(lull time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	if now.Sub(n.lastReply) > lull {
		n.lullEnded = now
	}
	n.lastReply = now
}

// alive reports whether a reply came since a time, and no lull ended since another.
func (n *network) alive(since, lulls time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lastReply.After(since) && !n.lullEnded.After(lulls)
}

func (n *network) state() (lastReply, lostAt time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lastReply, n.lostAt
}

// WasOffline reports whether the network has been lost at any time.
func (r *Resolver) WasOffline() bool {
	_, lostAt := r.network.state()
	return !lostAt.IsZero()
}

// reachable reports whether a reply came since a time or, failing that, the root answers now.
func (r *Resolver) reachable(ctx context.Context, since time.Time) bool {
	r.network.probing.Lock()
	defer r.network.probing.Unlock()
	lastReply, lostAt := r.network.state()
	switch {
	case lastReply.After(since):
		return true
	case time.Since(lostAt) < stillLost:
		return false
	}
	for _, addr := range r.probes() {
		if r.probe(ctx, addr) {
			return true
		}
	}
	if ctx.Err() != nil {
		return true
	}
	r.network.mu.Lock()
	r.network.lostAt = time.Now()
	r.network.mu.Unlock()
	return false
}

// probe reports whether anything comes from an address. It asks over the first transport, and once.
func (r *Resolver) probe(ctx context.Context, addr netip.AddrPort) bool {
	release, err := r.limits.enter(ctx, addr)
	if err != nil {
		return false
	}
	defer release()
	o := Observation{Addr: addr, Transport: r.first()}
	_ = r.once(ctx, &o, question{name: ".", rrtype: dns.TypeNS, buffer: r.cfg.Buffer, recurse: r.cfg.Recursive})
	if len(o.Raw) == 0 {
		return false
	}
	r.network.replied(r.lull())
	return true
}

// lull is for how long no reply may come before the network is in doubt.
func (r *Resolver) lull() time.Duration { return r.cfg.Timeout / 2 }

// lately is when a query that was sent at a time may have been lost at the latest for a reply since then to show
// that the network was up: at once for one that the system refused, a lull ago for one that timed out.
func (r *Resolver) lately(at time.Time) time.Time {
	if ago := time.Now().Add(-r.lull()); ago.After(at) {
		return ago
	}
	return at
}

// probes are addresses of the root, or the only one that is asked.
func (r *Resolver) probes() []netip.AddrPort {
	if r.cfg.Only.IsValid() {
		return []netip.AddrPort{r.cfg.Only}
	}
	var out []netip.AddrPort
	for _, a := range r.ordered(r.start.known()) {
		out = append(out, a.Addr)
	}
	return out[:min(probed, len(out))]
}

// stopped are failures after which it is unknown what another server would have answered.
var stopped = []Failure{Offline, Cancelled, TooMany}

// stop is the first of those among questions, "" for none.
func stop(seen []Observation) Failure {
	if i := slices.IndexFunc(seen, func(o Observation) bool { return slices.Contains(stopped, o.Failure) }); i >= 0 {
		return seen[i].Failure
	}
	return ""
}

// blame is the failure of a lookup that found no answer: Offline if one of a zone's servers was asked while the network
// was down, or none has an address because theirs were looked up then.
func (r *Resolver) blame(ctx context.Context, seen []Observation, failure Failure) Failure {
	switch why := stop(seen); {
	case why != "":
		return why
	case failure == NoServer && !r.cameThrough(ctx):
		return Offline
	}
	return failure
}

// offline reports whether a lookup failed because the network was down; nil has not failed.
func (e *LookupError) offline() bool { return e != nil && e.Failure == Offline }

// cameThrough reports whether the network is there, and was when addresses were looked up just now.
func (r *Resolver) cameThrough(ctx context.Context) bool {
	_, lostAt := r.network.state()
	return time.Since(lostAt) > stillLost && r.reachable(ctx, r.lately(time.Time{}))
}

// withoutTrust is the failure of a zone that would be Bogus because no server gave a valid answer for its DS or DNSKEY
// before the network went down or the caller gave up; nil for any other. A zone is remembered, and a failure
// is not.
func (r *Resolver) withoutTrust(ctx context.Context, z *Zone) *LookupError {
	if z.Trust.Status != dnssec.Bogus || z.Inherits || len(z.Seen) == 0 {
		return nil
	}
	last := z.Seen[len(z.Seen)-1]
	asked := slices.DeleteFunc(slices.Clone(z.Seen), func(o Observation) bool { return o.Type != last.Type })
	failure := r.blame(ctx, asked, last.Failure)
	if !slices.Contains(stopped, failure) {
		return nil
	}
	return &LookupError{Failure: failure, Name: z.Name, Type: last.Type, Zone: z, Seen: asked}
}

// Origin is the zone that a zone has its Trust from: itself, or one above it that is Bogus or Insecure.
func (z *Zone) Origin() *Zone {
	for z.Inherits {
		z = z.Parent
	}
	return z
}

// AnchorFault returns what is wrong where a zone is Bogus because the zone of the trust anchor above it does not
// validate: a fault of the anchor, of this machine's clock or of the network. It returns "" for anything else.
func (z *Zone) AnchorFault() string {
	if z == nil || z.Trust.Status != dnssec.Bogus {
		return ""
	}
	origin := z.Origin()
	if !origin.Anchored {
		return ""
	}
	return "the trust anchor of " + origin.Name + " does not validate: " + origin.Trust.Detail
}

// WorksIPv6 reports whether IPv6 leads anywhere: whether one of the root's IPv6 addresses answers. Without such an
// address nothing is known against it.
func (r *Resolver) WorksIPv6(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var asked int
	answered := make(chan bool)
	for _, a := range r.Roots() {
		if !a.Is6() {
			continue
		}
		asked++
		addr := netip.AddrPortFrom(a, r.cfg.Port)
		go func() {
			ok := r.probe(ctx, addr)
			select {
			case answered <- ok:
			case <-ctx.Done():
			}
		}()
	}
	for range asked {
		select {
		case ok := <-answered:
			if ok {
				return true
			}
		case <-ctx.Done():
			return true
		}
	}
	return asked == 0
}
