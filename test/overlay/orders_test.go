package overlay

import (
	"flag"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/wire"
	"github.com/coredns-caa/caa/test/world"
)

// CI asks each resolver about a few names of each backend, and any two questions about them come in both orders.
const (
	defaultOrders = 2
	defaultNames  = 3
)

var (
	orders    = flag.Int("overlay.orders", defaultOrders, "in how many orders each resolver is asked about each backend that answers by type")
	someNames = flag.Int("overlay.names", defaultNames, "about how many names of each backend, chosen at random; 0 for all")
	orderSeed = flag.Uint64("overlay.orderseed", 0, "the seed of their random part; 0 for one that is new each time")
)

// ordersAtOnce are those that share servers. Each is about a zone of its own, which nobody has met before.
const ordersAtOnce = 4

// The order of questions changes nothing that a resolver believes, and nothing is bogus, whether a backend that answers
// by type is the next plugin or is behind forward or grpc.
func TestOrderOfQuestions(t *testing.T) {
	t.Parallel()
	seed := *orderSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano() % 1e9)
	}
	var asked atomic.Int64
	for from := 0; from < *orders; from += ordersAtOnce {
		n := min(ordersAtOnce, *orders-from)
		t.Run(fmt.Sprintf("orders %d to %d", from, from+n-1), func(t *testing.T) {
			s := newTypeScene(t, n)
			for j, w := range s.worlds {
				own := seed + uint64(j*(len(s.askers)+1)) // other names and orders for each
				for i, a := range s.askers {
					t.Run(w.name()+", through "+a.name, func(t *testing.T) {
						t.Parallel()
						for k, z := range w.zones[i*n : (i+1)*n] {
							asked.Add(a.inOrder(t, z.truth, z.truth.order(own+uint64(i), from+k, *someNames)))
						}
					})
				}
				t.Run(w.name()+", directly", func(t *testing.T) {
					t.Parallel()
					z := w.zones[len(w.zones)-1].truth
					asked.Add(directlyAsked(t, s.ours[w.onFull()], z, z.order(own+uint64(len(s.askers)), from, *someNames)))
				})
			}
		})
	}
	t.Logf("%d orders, %d questions, -overlay.orderseed %d", *orders, asked.Load(), seed)
}

// inOrder asks for everything in an order, and once more: by then the resolver keeps what it has learned.
func (a *asker) inOrder(t *testing.T, z *truth, order []question) (asked int64) {
	t.Helper()
	for round := range 2 {
		for i, q := range order {
			if q.qtype == dns.TypeANY && a.name == "knot-resolver" {
				continue // it does not answer that (RFC 8482)
			}
			asked++
			m := world.Ask(t, a.addr, z.absolute(q.name), q.qtype)
			got, want := believed(m, q.qtype), z.want(q.name, q.qtype)
			if !q.fits(got, want) {
				t.Errorf("%s of %s, round %d, after %v:\n   got %v\n  want %v\n%v", q, z.apex, round, about(q.name, order[:i]), got, want, m)
				return asked
			}
		}
	}
	return asked
}

// fits reports whether a resolver believes what it must.
func (q question) fits(got, want belief) bool {
	switch {
	case q.qtype == dns.TypeANY: // each resolver has its own answer
		return got.rcode != dns.RcodeServerFailure
	case q.name == "@" && (q.qtype == dns.TypeSOA || q.qtype == dns.TypeNS) && len(got.records) > 0 && len(want.records) > 0:
		want.records = got.records // some backends make them up
	}
	return got.equal(want)
}

// about are the questions about a name, those above and those below it.
func about(name string, questions []question) (out []question) {
	for _, q := range questions {
		if dns.IsSubDomain(dns.Fqdn(q.name), dns.Fqdn(name)) || dns.IsSubDomain(dns.Fqdn(name), dns.Fqdn(q.name)) {
			out = append(out, q)
		}
	}
	return out
}

// directlyAsked asks our server, and has its answers checked on the wire. None denies a name, for nobody can know.
func directlyAsked(t *testing.T, ours netip.AddrPort, z *truth, order []question) (asked int64) {
	t.Helper()
	zones := wire.Zones{{Apex: z.apex, Cuts: z.children, Keys: dnskeys(t, ours, z.apex)}}
	for _, q := range order {
		name := z.absolute(q.name)
		if child := z.child(name); child != "" && q.qtype != dns.TypeDS {
			continue // the zone below answers
		}
		if q.name == "@" && q.qtype == dns.TypeNS && len(z.at(name, dns.TypeNS)) == 0 {
			continue // no apex is without NS, but where hosts or kubernetes has none
		}
		asked++
		r := new(dns.Msg).SetQuestion(name, q.qtype)
		r.SetEdns0(1232, true)
		answer := world.ExchangeWire(t, ours, r)
		meaning, faults := zones.Check(r, answer, time.Now())
		for _, f := range faults {
			t.Errorf("%s: %v", q, f)
		}
		if meaning.Kind == wire.NoName || meaning.Kind == wire.Failure {
			t.Errorf("%s: %v", q, meaning.Kind)
		}
	}
	return asked
}
