// Package outside holds the checker against unbound and the evaluator: generated zones, right and wrong
// in the ways that zones are, served by real name servers, are asked through both. What the one finds
// secure, insecure or bogus the other must, the data must be the same, and so must the decisions.
package outside

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/test/world"
)

var (
	worlds = flag.Int("worlds", 2, "generated worlds to compare in; these are what CI has")
	size   = flag.Int("zones", 100, "zones of a world")
	seed   = flag.Uint64("seed", 1, "of the first world")
	every  = flag.Uint("delv", 100, "delv is asked for one of so many questions")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(world.Main(m))
}

// authorities are the servers that the zones are spread over.
var authorities = []world.Authority{world.NSD, world.Knot, world.NamedAt}

// nsd and bind are places among them.
const nsd, bind = 0, 2

// sampled reports whether delv is asked, too: it takes a process for each question.
func sampled(name string, rrtype uint16) bool {
	h := fnv.New32a()
	fmt.Fprint(h, name, rrtype)
	return h.Sum32()%uint32(*every) == 0
}

// bareOf are the zones that one address has without signatures.
func bareOf(specimens []specimen) map[string]string {
	out := map[string]string{}
	for _, s := range specimens {
		for _, z := range []*zone{s.zone, s.child} {
			if s.bare && z != nil {
				out[z.name] = z.bare().text()
			}
		}
	}
	return out
}

// free reports whether a server can have an address: a machine may have no IPv6.
func free(addr netip.AddrPort) bool {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

func TestCheckerAgainstUnbound(t *testing.T) {
	t.Parallel()
	for i := range *worlds {
		t.Run(fmt.Sprint(*seed+uint64(i)), func(t *testing.T) { compare(t, *seed+uint64(i), *size) })
	}
}

func compare(t *testing.T, seed uint64, zones int) {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), keys: ring{}, now: time.Now()}
	addrs := world.FreeSubnet(t, 4+len(authorities))
	addrs[1+bind] = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addrs[0].Port()) // it takes no address that no interface has
	g.also.bare, g.also.dead = addrs[2+len(authorities)], addrs[3+len(authorities)]
	six := netip.AddrPortFrom(netip.IPv6Loopback(), addrs[0].Port())
	hasSix := free(six)
	var specimens []specimen
	for n := range zones {
		k := n % len(authorities)
		g.few = k == bind
		g.also.six = netip.AddrPort{}
		if k == nsd && hasSix {
			g.also.six = six
		}
		specimens = append(specimens, g.specimen(n, addrs[1+k]))
	}
	specimens = append(specimens, ours(t, addrs[1+len(authorities)])...)
	by := slices.Clone(authorities)
	by[nsd] = func(t testing.TB, addr netip.AddrPort, zones map[string]string) *world.Process {
		at := []netip.AddrPort{addr}
		if hasSix {
			at = append(at, six)
		}
		return world.NSDAt(t, at, zones)
	}
	world.NSD(t, g.also.bare, bareOf(specimens))
	running := serve(t, g, addrs, specimens, by...)
	unbound, r := running.unbound(t), running.resolver(t)
	bind := running.delv(t, unbound)
	types := []uint16{dns.TypeCAA, dns.TypeA, dns.TypeDS}
	counts := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	work := make(chan specimen)
	for range 4 {
		wg.Go(func() {
			for s := range work {
				for _, name := range s.ask {
					for _, rrtype := range types {
						answer := r.Lookup(t.Context(), name, rrtype)
						want, got := fromUnbound(t, unbound, name, rrtype), fromChecker(answer)
						mu.Lock()
						counts[want.status]++
						mu.Unlock()
						if sampled(name, rrtype) {
							if status := bind.status(t, name, rrtype); !agrees(status, answer) && !lucky(answer) {
								t.Errorf("%s %s\n  in %s\n  delv: %s\n  checker: %v", name, dns.TypeToString[rrtype], s.what, status, got)
							}
						}
						if want != got && !lucky(answer) {
							t.Errorf("%s %s\n  in %s\n  unbound: %v\n  checker: %v", name, dns.TypeToString[rrtype], s.what, want, got)
						}
					}
					decide(t, unbound, r, name, s.what)
				}
				switch {
				case s.whole && s.wrong == nil:
					findNothing(t, r, s)
				case s.whole:
					findWrong(t, r, s)
				}
			}
		})
	}
	for _, s := range specimens {
		work <- s
	}
	close(work)
	wg.Wait()
	t.Logf("answers compared, by unbound's status: %v", counts)
	for _, status := range []string{"secure", "insecure", "bogus"} {
		if counts[status] < zones/2 {
			t.Errorf("only %d answers are %s: the worlds are too much alike", counts[status], status)
		}
	}
}

// lucky reports whether a denial that came along with an alias has a wrong signature, or none. Unbound finds that
// out only where it does not happen to have the alias's target in its cache; the checker always does.
func lucky(a resolve.Answer) bool {
	if slices.ContainsFunc(a.Chain, func(l resolve.Link) bool { return l.LeftOut.Status == dnssec.Bogus }) {
		return a.Result.Status == dnssec.Bogus
	}
	if a.Kind != resolve.Alias || a.Result.Status != dnssec.Bogus {
		return false
	}
	return slices.ContainsFunc(a.Result.Evidence, func(rr dns.RR) bool {
		return slices.Contains([]uint16{dns.TypeNSEC, dns.TypeNSEC3, dns.TypeSOA}, rr.Header().Rrtype)
	})
}

// decide compares what becomes of requests by what unbound sees and by what the checker sees.
func decide(t *testing.T, unbound netip.AddrPort, r *resolve.Resolver, name, what string) {
	name = dns.CanonicalName(name)
	theirs, ours := climb.Up(t.Context(), asLooker{t, unbound}, name), climb.Up(t.Context(), r, name)
	if lucky(ours.Last().Answer) {
		return
	}
	for _, wildcard := range []bool{false, true} {
		req := guard.Requirement{Name: name, Wildcard: wildcard, Domain: "ca.example", Method: "dns-01"}
		at := time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC)
		want, got := verdict.Decide(theirs, req, at), verdict.Decide(ours, req, at)
		if theirs.Last().Failed() {
			want.Outcome, want.Reason = got.Outcome, got.Reason // why it fails, SERVFAIL does not say
			if got.Outcome == verdict.MayIssue || !ours.Last().Failed() {
				t.Errorf("%s\n  in %s\n  fails for unbound; the checker: %v (%s)", name, what, got.Outcome, got.Reason)
			}
		}
		if got.Reason == verdict.ValidatorsDiffer && want.Outcome == verdict.MayIssue && slices.ContainsFunc(ours.Steps, func(s climb.Step) bool { return leansOnSHA1(s.Answer) }) {
			continue // unbound takes a DS record with SHA-1 beside another, and others do not (RFC 4509 3)
		}
		if want.Outcome != got.Outcome || want.Reason != got.Reason || theirs.Last().Name != ours.Last().Name {
			t.Errorf("%s wildcard %v\n  in %s\n  by unbound's data: %v (%s) at %s\n  the checker: %v (%s) at %s: %s", name, wildcard, what, want.Outcome, want.Reason, theirs.Last().Name, got.Outcome, got.Reason, ours.Last().Name, got.Detail)
		}
	}
}

// owned are names to look for faults at.
var owned = []string{"", "www.", "host.", "b.c.", "x.wild.", "x.y.missing."}

// findNothing looks for faults where there are none.
func findNothing(t *testing.T, r *resolve.Resolver, s specimen) {
	collector := finding.NewCollector(r)
	for _, owner := range owned {
		for _, f := range faults(t, r, collector, owner+s.apex) {
			t.Errorf("%s\n  in %s\n  found: %+v", owner+s.apex, s.what, f)
		}
	}
}

// findWrong looks for faults where one address is wrong: that one is to be found at each name, and no other; the
// zone without signatures over UDP and TCP.
func findWrong(t *testing.T, r *resolve.Resolver, s specimen) {
	collector := finding.NewCollector(r)
	at := fmt.Sprintf("ns.%s (%s)", strings.TrimSuffix(s.apex, "."), s.wrong.addr.Addr())
	for _, owner := range owned {
		seen := map[string]bool{}
		for _, f := range faults(t, r, collector, owner+s.apex) {
			if !slices.Contains(s.wrong.codes, f.Code) {
				t.Errorf("%s\n  in %s\n  found: %+v", owner+s.apex, s.what, f)
			}
			where := f.Evidence
			if len(where) == 0 || f.Subject == at { // of an address, the evidence is what it says itself
				where = append(slices.Clone(where), f.Subject)
			}
			for _, where := range where {
				seen[where] = true
				if !strings.Contains(where, at) {
					t.Errorf("%s\n  in %s\n  %s blames %s; only %s is wrong", owner+s.apex, s.what, f.Code, where, at)
				}
			}
		}
		expected := []string{at}
		if s.bare {
			apex := strings.TrimSuffix(s.apex, ".")
			expected = []string{apex + " SOA at " + at + " over UDP", apex + " SOA at " + at + " over TCP"}
		}
		for _, where := range expected {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(seen)), func(text string) bool { return strings.HasPrefix(text, where) }) {
				t.Errorf("%s\n  in %s\n  not found: %s; found are %v", owner+s.apex, s.what, where, seen)
			}
		}
	}
}

// faults are those of the servers and of the signatures. What the generator wrote into the records and chose for NSEC3 is
// not looked at.
func faults(t *testing.T, r *resolve.Resolver, collector *finding.Collector, name string) []finding.Finding {
	c := collector.Collect(t.Context(), climb.Up(t.Context(), r, name))
	for i := range c.Climb.Steps {
		c.Climb.Steps[i].RRset = nil
	}
	return slices.DeleteFunc(finding.All(c), func(f finding.Finding) bool {
		return f.Severity <= catalog.Info || f.Code == "caa-missing" || f.Code == "nsec3-iterations-high" || f.Code == "ds-sha1" // a quarter of the zones have such a DS alone
	})
}

// seen is what a resolver makes of a question, to be compared.
type seen struct {
	status string // secure, insecure, bogus (SERVFAIL, for whatever reason)
	data   string
}

func fromChecker(a resolve.Answer) seen {
	if a.Err != nil || a.Result.Status == dnssec.Bogus {
		return seen{status: "bogus"}
	}
	return seen{a.Result.Status.String(), content(a.RRset.RRs, a.Type)}
}

func fromUnbound(t *testing.T, unbound netip.AddrPort, name string, rrtype uint16) seen {
	m := ask(t, unbound, name, rrtype)
	status := "insecure"
	switch {
	case m.Rcode == dns.RcodeServerFailure:
		return seen{status: "bogus"}
	case m.AuthenticatedData:
		status = "secure"
	}
	return seen{status, content(m.Answer, rrtype)}
}

// ask asks unbound, again if need be: on a busy machine a datagram may be lost, and unbound itself leaves a first
// question now and then without an answer where an address is dead.
func ask(t *testing.T, unbound netip.AddrPort, name string, rrtype uint16) *dns.Msg {
	m := new(dns.Msg).SetQuestion(name, rrtype)
	m.SetEdns0(1232, true)
	m.AuthenticatedData = true
	var err error
	for i, patience := range []time.Duration{1, 2, 4, 8, 16, 20} {
		client := dns.Client{Net: "udp", Timeout: patience * time.Second}
		if i > 3 {
			client.Net = "tcp"
		}
		var answer *dns.Msg
		if answer, _, err = client.Exchange(m, unbound.String()); err == nil && !answer.Truncated {
			return answer
		}
	}
	t.Errorf("%s %s at unbound: %v", name, dns.TypeToString[rrtype], err)
	return m
}

func content(rrs []dns.RR, rrtype uint16) string {
	texts := world.Texts(rrs, rrtype)
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}

// asLooker answers a climb by what unbound says.
type asLooker struct {
	t       *testing.T
	unbound netip.AddrPort
}

func (l asLooker) Lookup(_ context.Context, name string, rrtype uint16) resolve.Answer {
	m := ask(l.t, l.unbound, name, rrtype)
	a := resolve.Answer{Name: name, Type: rrtype, Owner: name, Kind: resolve.NoData, Result: dnssec.Result{Status: dnssec.Insecure}}
	if m.Rcode == dns.RcodeServerFailure {
		a.Err = &resolve.LookupError{Failure: resolve.ServFail, Name: name, Type: rrtype}
		return a
	}
	for _, set := range dnssec.RRsets(m.Answer) {
		if set.Type == rrtype && len(set.RRs) > 0 {
			a.Kind, a.RRset = resolve.Data, set
		}
	}
	return a
}

// served is a DNS that runs.
type served struct {
	anchor *dns.DS
	where  map[string][]netip.AddrPort // each zone's servers
	hints  []dns.RR
	port   uint16
}

// serve serves zones below a root and a TLD of their own, by the authorities in turn; those without a
// zone are served already.
func serve(t testing.TB, g *generator, addrs []netip.AddrPort, specimens []specimen, by ...world.Authority) served {
	t.Helper()
	root, tld := newZone("."), newZone("test.")
	for _, z := range []*zone{root, tld} {
		z.add("@ SOA ns.test. hostmaster.test. 1 7200 3600 1209600 60")
		z.add("@ NS ns.test.")
		z.ksk = g.keys.key(z.name, dns.ECDSAP256SHA256, 257, 0)
		z.zsk = z.ksk
	}
	tld.denial = denial{nsec3: true, optOut: true}
	tld.add("ns A %s", addrs[0].Addr())
	root.add("test. NS ns.test.\nns.test. A %s", addrs[0].Addr())
	out := served{where: map[string][]netip.AddrPort{".": addrs[:1], "test.": addrs[:1]}, port: addrs[0].Port()}
	texts := make([]map[string]string, len(by))
	for i, s := range specimens {
		at := append([]netip.AddrPort{s.server}, s.more...)
		tld.add("%s NS ns.%s", s.apex, s.apex)
		for _, addr := range at {
			tld.add("ns.%s %s", s.apex, addressOf(addr))
		}
		for _, ds := range s.ds {
			ds.Hdr.Name, ds.Hdr.Ttl = s.apex, 300
			tld.put(ds)
		}
		out.where[s.apex] = at
		for _, z := range []*zone{s.zone, s.child} {
			if z == nil {
				continue
			}
			if texts[i%len(by)] == nil {
				texts[i%len(by)] = map[string]string{}
			}
			texts[i%len(by)][z.name] = z.text()
			out.where[z.name] = at
		}
	}
	tld.sign(g.period())
	ds := tld.ksk.ToDS(dns.SHA256)
	ds.Hdr.Ttl = 300
	root.put(ds)
	root.sign(g.period())
	world.NSD(t, addrs[0], map[string]string{".": root.text(), "test.": tld.text()})
	for k, start := range by {
		start(t, addrs[1+k], texts[k])
	}
	out.anchor = root.ksk.ToDS(dns.SHA256)
	var err error
	if out.hints, err = resolve.Records(fmt.Sprintf(". NS ns.test.\nns.test. A %s\n", addrs[0].Addr()), "hints"); err != nil {
		t.Fatal(err)
	}
	return out
}

// unbound is a resolver in front of it.
func (s served) unbound(t testing.TB) netip.AddrPort {
	t.Helper()
	return world.Recursor(t, strings.Join(strings.Fields(s.anchor.String()), " "), s.where).Addr
}

// resolver is the checker's.
func (s served) resolver(t testing.TB) *resolve.Resolver {
	t.Helper()
	r, err := resolve.New(resolve.Config{Hints: s.hints, Anchors: []dns.RR{s.anchor}, Port: s.port, Rate: -1, Timeout: 5 * time.Second, Concurrency: 16})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
