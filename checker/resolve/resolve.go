// Package resolve looks names up as a CA's resolver does, and records every query to every address, with the reply.
//
// A [Resolver] starts at the root, finds the zones on the way to a name with their name servers and
// keys, and validates each answer to the trust anchor. [Resolver.Lookup] asks as a resolver would, until
// one server gives an answer that will do; [Resolver.Survey] asks every address of every server of a
// zone, over UDP and TCP. An answer that fails is an [Observation] with a [Failure], never an absence
// of data: nothing that a server sends, and no silence, becomes "no CAA here". Everything has a limit:
// each query by time, each lookup by the number of queries, each address by their rate.
//
// RFC 1034 5.3.3, RFC 4035 4 and 5, RFC 6891, RFC 7766, RFC 9156.
package resolve

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// Defaults, each with its reason.
const (
	DefaultPort        = 53
	DefaultTimeout     = 2 * time.Second // of one try: a server on the other side of the world answers in 0.4 s
	DefaultTries       = 2               // over UDP: the Baseline Requirements require one retry (4.2.2.1)
	DefaultBuffer      = 1232            // octets over UDP: what fits every path unfragmented (RFC 9715)
	DefaultConcurrency = 4               // questions to one address at a time: fewer than a CA's own climb
	DefaultRate        = 50              // queries to one address a second: less than any rate limit in use

	// A resolver is there to be asked much: Google's public one takes 1,500 a second of one client.
	DefaultResolverConcurrency = 32
	DefaultResolverRate        = 1000

	maxQueries = 400 // in one lookup, those for name servers' addresses included (NXNSAttack)
	maxAliases = 11  // a chain that unbound still follows
	maxDepth   = 4   // of nested lookups for name servers' addresses
)

// Config is where a Resolver starts and how it asks.
type Config struct {
	// Hints are the root's NS records and their addresses; nil for those of the Internet.
	Hints []dns.RR
	// Anchors are DS or DNSKEY records, of the root or any other zone; nil for those of the Internet.
	// With an empty list that is not nil everything is Indeterminate.
	Anchors []dns.RR
	// Only, if valid, is the one server that is asked, whatever delegations say. Recursive says that
	// it is a resolver rather than an authoritative server.
	Only      netip.AddrPort
	Recursive bool
	// Carry, if set, takes a message to Only by a way of its own, such as TLS, and brings the answer.
	Carry func(ctx context.Context, query []byte) ([]byte, error)

	Port        uint16        // of name servers; 0 for 53
	Timeout     time.Duration // of one try; 0 for DefaultTimeout
	Tries       int           // over UDP; 0 for DefaultTries
	Buffer      uint16        // EDNS UDP size; 0 for DefaultBuffer
	Concurrency int           // for each address; 0 for DefaultConcurrency, of a resolver DefaultResolverConcurrency
	Rate        float64       // for each address and second; 0 for DefaultRate or DefaultResolverRate, negative for no limit
	NoIPv6      bool          // leaves IPv6 addresses out: this machine has none

	// Observe, if set, is called with every query and its reply, as it comes; from several goroutines at once.
	Observe func(Observation)

	Now func() time.Time // for signatures; nil for the machine's clock

	// Memory is of signatures that have verified; nil for one of the Resolver's own. Resolvers that are to
	// see independently of each other may share one: no answer is kept there.
	Memory *dnssec.Memory
}

// Resolver looks names up. It remembers zones, keys and addresses for as long as it lives, and is safe
// for concurrent use.
type Resolver struct {
	cfg     Config
	start   *Zone
	anchors map[string][]*dns.DS
	limits  *limiter
	network *network
	known   *reputation

	mu        sync.Mutex
	locations map[string]*location
	answers   map[Question]*found
	addresses map[string][]netip.Addr
	glueless  map[string]bool // name servers of which the servers of the zone above have no address
	surveyed  map[*Zone]surveyed
}

// New returns a Resolver that has asked nothing yet. An error is about hints or anchors.
func New(cfg Config) (*Resolver, error) {
	cfg = cfg.withDefaults()
	anchors, err := anchorsOf(cfg.Anchors)
	if err != nil {
		return nil, err
	}
	var servers []Server
	if !cfg.Only.IsValid() {
		if servers, err = serversOf(cfg.Hints); err != nil {
			return nil, err
		}
	}
	return unasked(cfg, anchors, servers), nil
}

// Unused returns a Resolver that starts and asks as r does, and has asked nothing yet.
func (r *Resolver) Unused() *Resolver { return unasked(r.cfg, r.anchors, r.start.Servers) }

// unasked returns a Resolver that starts at the root's servers and has asked nothing yet.
func unasked(cfg Config, anchors map[string][]*dns.DS, servers []Server) *Resolver {
	r := &Resolver{
		cfg: cfg, anchors: anchors, limits: newLimiter(cfg.Concurrency, cfg.Rate), network: new(network), known: new(reputation),
		locations: map[string]*location{}, answers: map[Question]*found{}, addresses: map[string][]netip.Addr{}, glueless: map[string]bool{},
		surveyed: map[*Zone]surveyed{},
	}
	r.start = &Zone{Name: ".", Servers: servers, resolver: r}
	return r
}

func (c Config) withDefaults() Config {
	if c.Hints == nil {
		c.Hints = internetHints()
	}
	if c.Anchors == nil {
		c.Anchors = internetAnchors()
	}
	if c.Port == 0 {
		c.Port = DefaultPort
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Tries == 0 {
		c.Tries = DefaultTries
	}
	if c.Buffer == 0 {
		c.Buffer = DefaultBuffer
	}
	concurrency, rate := DefaultConcurrency, float64(DefaultRate)
	if c.Recursive {
		concurrency, rate = DefaultResolverConcurrency, DefaultResolverRate
	}
	c.Concurrency, c.Rate = cmp.Or(c.Concurrency, concurrency), cmp.Or(c.Rate, rate)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Memory == nil {
		c.Memory = dnssec.NewMemory(dnssec.MemorySize)
	}
	return c
}

// anchorsOf sorts trust anchors by zone. A DNSKEY is used as its DS.
func anchorsOf(rrs []dns.RR) (map[string][]*dns.DS, error) {
	anchors := map[string][]*dns.DS{}
	for _, rr := range rrs {
		zone := dns.CanonicalName(rr.Header().Name)
		switch rr := rr.(type) {
		case *dns.DS:
			anchors[zone] = append(anchors[zone], rr)
		case *dns.DNSKEY:
			ds := rr.ToDS(dns.SHA256)
			if ds == nil {
				return nil, fmt.Errorf("the trust anchor %q is no usable key", rr.String())
			}
			anchors[zone] = append(anchors[zone], ds)
		default:
			return nil, fmt.Errorf("a trust anchor is a DS or a DNSKEY record, not %q", rr.String())
		}
	}
	return anchors, nil
}

// serversOf reads the root's name servers with their addresses.
func serversOf(rrs []dns.RR) ([]Server, error) {
	sets := dnssec.RRsets(rrs)
	ns, ok := dnssec.Find(sets, ".", dns.TypeNS)
	if !ok {
		return nil, fmt.Errorf("the root hints have no NS record of the root")
	}
	servers := serversIn(ns, sets)
	for _, s := range servers {
		if len(s.Addrs) > 0 {
			return servers, nil
		}
	}
	return nil, fmt.Errorf("the root hints have no address of any name server")
}

// Now is the time that signatures are held against.
func (r *Resolver) Now() time.Time { return r.cfg.Now() }

// Roots returns the addresses where lookups start.
func (r *Resolver) Roots() []netip.Addr {
	if r.cfg.Only.IsValid() {
		return []netip.Addr{r.cfg.Only.Addr()}
	}
	var out []netip.Addr
	for _, s := range r.start.Servers {
		out = append(out, s.Addrs...)
	}
	return out
}
