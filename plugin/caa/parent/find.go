package parent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// lookupsAtOnce is how many questions the resolvers have at once.
const lookupsAtOnce = 16

// systemResolvers is where a system names its resolvers.
const systemResolvers = "/etc/resolv.conf"

// SystemResolvers are the resolvers that this system is configured with.
func SystemResolvers() ([]netip.AddrPort, error) { return resolversIn(systemResolvers) }

func resolversIn(path string) (resolvers []netip.AddrPort, err error) {
	conf, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil, err
	}
	for _, text := range conf.Servers {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("%s lists the resolver %q, which is not an address", path, text)
		}
		resolvers = append(resolvers, netip.AddrPortFrom(addr, dnsPort))
	}
	if len(resolvers) == 0 {
		return nil, fmt.Errorf("%s lists no resolver", path)
	}
	return resolvers, nil
}

// round is one look at the parents, in which the resolvers are asked once for each thing.
type round struct {
	asker *Asker
	mu    sync.Mutex
	asked map[dns.Question]func() (*dns.Msg, error)
	slots chan struct{} // one for each question that is under way
	first atomic.Int32  // the resolver that is asked first: the last one that answered
}

func newRound(a *Asker) *round {
	return &round{asker: a, asked: map[dns.Question]func() (*dns.Msg, error){}, slots: make(chan struct{}, lookupsAtOnce)}
}

// serversOf finds the servers of each zone's parent. One that is not known is a server that cannot be asked.
func (r *round) serversOf(ctx context.Context, zones []string) map[string][]server {
	servers := map[string][]server{}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(lookupsAtOnce)
	for _, zone := range zones {
		name := dns.CanonicalName(zone)
		if name == "." {
			continue
		}
		group.Go(func() error {
			of := r.find(ctx, dnsname.Parent(name))
			mu.Lock()
			defer mu.Unlock()
			servers[zone] = of
			return nil
		})
	}
	group.Wait() // what failed is a server
	return servers
}

// find finds the servers of the zone that a name is in.
func (r *round) find(ctx context.Context, above string) []server {
	if given := r.asker.Servers; len(given) > 0 {
		servers := make([]server, len(given))
		for i, addr := range given {
			servers[i] = server{addr: addr}
		}
		return servers
	}
	servers, err := r.findThroughResolvers(ctx, above)
	if err != nil {
		return []server{{name: "parent of names below " + above, err: fmt.Errorf("its servers cannot be found: %w", err)}}
	}
	return servers
}

func (r *round) findThroughResolvers(ctx context.Context, above string) ([]server, error) {
	apex, err := r.apex(ctx, above)
	if err != nil {
		return nil, err
	}
	names, err := r.nameservers(ctx, apex)
	if err != nil {
		return nil, err
	}
	port := r.asker.Port
	if port == 0 {
		port = dnsPort
	}
	byName := make([][]server, len(names))
	var group errgroup.Group
	for i, name := range names {
		group.Go(func() error {
			byName[i] = r.addresses(ctx, name, port)
			return nil
		})
	}
	group.Wait() // what failed is a server
	servers := slices.Concat(byName...)
	if len(servers) > maxServers {
		return nil, fmt.Errorf("%s has %d servers, and at most %d are queried", apex, len(servers), maxServers)
	}
	return servers, nil
}

// apex is that of the zone which holds a name: the owner of the SOA, which is in the answer or proves that
// the name has none.
func (r *round) apex(ctx context.Context, name string) (string, error) {
	m, err := r.resolve(ctx, name, dns.TypeSOA)
	if err != nil {
		return "", err
	}
	apex, ok := soaOwner(m, name)
	if !ok {
		return "", fmt.Errorf("the resolver's answer does not show which zone %s is in", name)
	}
	return apex, nil
}

// soaOwner is the owner of a message's SOA at or above a name.
func soaOwner(m *dns.Msg, name string) (string, bool) {
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		if owner := dns.CanonicalName(rr.Header().Name); rr.Header().Rrtype == dns.TypeSOA && dns.IsSubDomain(owner, name) {
			return owner, true
		}
	}
	return "", false
}

// nameservers are the names of a zone's servers, in order.
func (r *round) nameservers(ctx context.Context, apex string) ([]string, error) {
	m, err := r.resolve(ctx, apex, dns.TypeNS)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, rr := range m.Answer {
		if ns, ok := rr.(*dns.NS); ok && dns.CanonicalName(ns.Hdr.Name) == apex {
			names = append(names, dns.CanonicalName(ns.Ns))
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		return nil, fmt.Errorf("the resolver found no NS of %s", apex)
	}
	return names, nil
}

// addresses are those of one host. What cannot be found is a server that cannot be asked.
func (r *round) addresses(ctx context.Context, name string, port uint16) (servers []server) {
	var errs []error
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		m, err := r.resolve(ctx, name, qtype)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, rr := range m.Answer {
			if addr, ok := address(rr); ok {
				servers = append(servers, server{name: name, addr: netip.AddrPortFrom(addr, port)})
			}
		}
	}
	err := errors.Join(errs...)
	if err == nil && len(servers) == 0 {
		err = errors.New("it has no address")
	}
	if err != nil {
		servers = append(servers, server{name: name, err: err})
	}
	return servers
}

func address(rr dns.RR) (netip.Addr, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		addr, ok := netip.AddrFromSlice(rr.A)
		return addr.Unmap(), ok
	case *dns.AAAA:
		return netip.AddrFromSlice(rr.AAAA)
	}
	return netip.Addr{}, false
}

// resolve asks the resolvers, once in a round.
func (r *round) resolve(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	q := dns.Question{Name: name, Qtype: qtype, Qclass: dns.ClassINET}
	r.mu.Lock()
	result := r.asked[q]
	if result == nil {
		result = sync.OnceValues(func() (*dns.Msg, error) {
			r.slots <- struct{}{}
			defer func() { <-r.slots }()
			return r.askResolvers(ctx, q)
		})
		r.asked[q] = result
	}
	r.mu.Unlock()
	return result()
}

// askResolvers asks one resolver after the other until one answers.
func (r *round) askResolvers(ctx context.Context, q dns.Question) (*dns.Msg, error) {
	errs := []error{errors.New("no resolver answered")}
	first := int(r.first.Load())
	for i := range r.asker.Resolvers {
		n := (first + i) % len(r.asker.Resolvers)
		resolver := r.asker.Resolvers[n]
		m, err := askOnce(ctx, resolver, q)
		if err == nil && (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError) {
			r.first.Store(int32(n))
			return m, nil
		}
		if err == nil {
			err = fmt.Errorf("%s answered %s for %s %s", resolver, dns.RcodeToString[m.Rcode], q.Name, dns.Type(q.Qtype))
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// askOnce asks a resolver one question.
func askOnce(ctx context.Context, resolver netip.AddrPort, q dns.Question) (*dns.Msg, error) {
	c, err := connect(ctx, "tcp", resolver)
	if err != nil {
		return nil, err
	}
	defer c.close()
	m := new(dns.Msg).SetQuestion(q.Name, q.Qtype)
	m.SetEdns0(dns.DefaultMsgSize, false)
	answer, err := c.exchange(m, patience)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", resolver, err)
	case !answersQuestion(answer, m):
		return nil, fmt.Errorf("%s answered another question", resolver)
	}
	return answer, nil
}

// answersQuestion reports whether a message answers the question of another.
func answersQuestion(answer, q *dns.Msg) bool {
	return len(answer.Question) == 1 && strings.EqualFold(answer.Question[0].Name, q.Question[0].Name) && answer.Question[0].Qtype == q.Question[0].Qtype
}
