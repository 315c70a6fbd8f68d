// Package parent asks every server of a zone's parent for the zone's DS RRset, as a roll of keys wants to
// know before a key is withdrawn (RFC 7583 3.3.1).
//
// A zone and its keys go in; what each address of each server of the parent says comes out, or why it could
// not be asked. The servers' names and addresses come from a resolver, which is trusted with them. Everything
// is asked over TCP: an answer that somebody forges would have a key withdrawn too early, and nobody waits
// for these.
package parent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

const (
	// patience is how long one answer may take: long for a server, short beside the hour until it is asked
	// again.
	patience = 10 * time.Second
	// atOnce is how many servers are asked at once; the root zone and the largest TLDs have 26 addresses.
	atOnce = 8
	// maxServers bounds what a hostile parent can have us ask.
	maxServers = 32
	// dnsPort is DNS's.
	dnsPort = 53
)

// Asker asks parents. Its zero value lacks a resolver.
type Asker struct {
	Resolvers []netip.AddrPort // asked in turn, until one answers
	Port      uint16           // of the parents' servers; 0: that of DNS
}

// DS says what each server of the parent has. The error is why its servers are not known; a zone that has no
// parent has no servers.
func (a *Asker) DS(ctx context.Context, zone string, keys []*dns.DNSKEY) ([]keyroll.Observation, error) {
	zone = dns.CanonicalName(zone)
	if zone == "." {
		return nil, nil
	}
	servers, err := a.servers(ctx, zone)
	if err != nil {
		return nil, fmt.Errorf("find the servers of the parent of %s: %w", zone, err)
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	var mu sync.Mutex
	said := map[server]keyroll.Observation{}
	for _, s := range servers {
		group.Go(func() error {
			o := ask(ctx, s, zone, keys)
			mu.Lock()
			defer mu.Unlock()
			said[s] = o
			return nil
		})
	}
	group.Wait() // what failed is in the observations
	var out []keyroll.Observation
	for _, s := range servers {
		if !elsewhere(s, said) {
			out = append(out, said[s])
		}
	}
	return out, nil
}

// server is one address of a name server. One without an address could not be found.
type server struct {
	name string
	addr netip.AddrPort
	err  error
}

func (s server) String() string {
	if !s.addr.IsValid() {
		return s.name
	}
	return fmt.Sprintf("%s (%s)", s.name, s.addr.Addr())
}

// elsewhere reports whether a server's address lies in an Internet that this machine has no way to, such as
// IPv6, while another address of the same server answered.
func elsewhere(s server, said map[server]keyroll.Observation) bool {
	err := said[s].Err
	if !errors.Is(err, syscall.ENETUNREACH) && !errors.Is(err, syscall.EADDRNOTAVAIL) && !errors.Is(err, syscall.EAFNOSUPPORT) {
		return false
	}
	for other, o := range said {
		if other.name == s.name && o.Err == nil {
			return true
		}
	}
	return false
}

// servers are those of the zone above a zone's cut.
func (a *Asker) servers(ctx context.Context, zone string) ([]server, error) {
	off, _ := dns.NextLabel(zone, 0)
	above := "."
	if off < len(zone) {
		above = zone[off:]
	}
	apex, err := a.apex(ctx, above)
	if err != nil {
		return nil, err
	}
	names, err := a.nameservers(ctx, apex)
	if err != nil {
		return nil, err
	}
	var servers []server
	for _, name := range names {
		servers = append(servers, a.addresses(ctx, name)...)
	}
	if len(servers) > maxServers {
		return nil, fmt.Errorf("%s has %d servers, and no more than %d are asked", apex, len(servers), maxServers)
	}
	return servers, nil
}

// apex is that of the zone which holds a name: the owner of the SOA, which stands in the answer or proves that
// the name has none.
func (a *Asker) apex(ctx context.Context, name string) (string, error) {
	m, err := a.resolve(ctx, name, dns.TypeSOA)
	if err != nil {
		return "", err
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		if owner := dns.CanonicalName(rr.Header().Name); rr.Header().Rrtype == dns.TypeSOA && dns.IsSubDomain(owner, name) {
			return owner, nil
		}
	}
	return "", fmt.Errorf("the resolver does not say which zone %s is in", name)
}

// nameservers are the names of a zone's servers, in order.
func (a *Asker) nameservers(ctx context.Context, apex string) ([]string, error) {
	m, err := a.resolve(ctx, apex, dns.TypeNS)
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
		return nil, fmt.Errorf("the resolver knows no NS of %s", apex)
	}
	return names, nil
}

// addresses are those of one server. What cannot be found is a server that cannot be asked.
func (a *Asker) addresses(ctx context.Context, name string) (servers []server) {
	var errs []error
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		m, err := a.resolve(ctx, name, qtype)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, rr := range m.Answer {
			if addr, ok := address(rr); ok {
				servers = append(servers, server{name: name, addr: netip.AddrPortFrom(addr, a.port())})
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

func (a *Asker) port() uint16 {
	if a.Port == 0 {
		return dnsPort
	}
	return a.Port
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

// resolve asks the resolvers in turn.
func (a *Asker) resolve(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	errs := []error{errors.New("no resolver answered")}
	for _, resolver := range a.Resolvers {
		q := new(dns.Msg).SetQuestion(name, qtype)
		m, err := exchange(ctx, resolver, q)
		if err == nil && (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError) {
			return m, nil
		}
		if err == nil {
			err = fmt.Errorf("%s says %s to %s %s", resolver, dns.RcodeToString[m.Rcode], name, dns.Type(qtype))
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// ask asks one server of the parent.
func ask(ctx context.Context, s server, zone string, keys []*dns.DNSKEY) keyroll.Observation {
	if s.err != nil {
		return keyroll.Observation{Server: s.String(), Err: s.err}
	}
	q := new(dns.Msg).SetQuestion(zone, dns.TypeDS)
	q.RecursionDesired = false
	q.SetEdns0(dns.DefaultMsgSize, false)
	m, err := exchange(ctx, s.addr, q)
	if err == nil {
		err = answers(m, zone)
	}
	if err != nil {
		return keyroll.Observation{Server: s.String(), Err: err}
	}
	var set []*dns.DS
	for _, rr := range m.Answer {
		if ds, ok := rr.(*dns.DS); ok && dns.CanonicalName(ds.Hdr.Name) == zone {
			set = append(set, ds)
		}
	}
	return keyroll.Observe(s.String(), set, keys)
}

// answers says why a message is no answer of a server of the parent. One of the child's, which says with
// authority that there is no DS (RFC 4035 3.1.4.1), must not be taken for the parent's.
func answers(m *dns.Msg, zone string) error {
	switch {
	case m.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("it says %s", dns.RcodeToString[m.Rcode])
	case !m.Authoritative:
		return errors.New("it has no authority for the parent")
	}
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == dns.TypeDS && dns.CanonicalName(rr.Header().Name) == zone {
			return nil
		}
	}
	for _, rr := range m.Ns {
		if owner := dns.CanonicalName(rr.Header().Name); rr.Header().Rrtype == dns.TypeSOA && owner != zone && dns.IsSubDomain(owner, zone) {
			return nil
		}
	}
	return errors.New("it has no DS, and does not deny it as the parent")
}

// exchange asks over TCP.
func exchange(ctx context.Context, addr netip.AddrPort, q *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client := dns.Client{Net: "tcp", Timeout: patience, Dialer: &net.Dialer{Timeout: patience}}
	m, _, err := client.ExchangeContext(ctx, q, addr.String())
	switch {
	case err != nil:
		return nil, err
	case len(m.Question) != 1 || !strings.EqualFold(m.Question[0].Name, q.Question[0].Name) || m.Question[0].Qtype != q.Question[0].Qtype:
		return nil, fmt.Errorf("%s answers another question", addr)
	}
	return m, nil
}
