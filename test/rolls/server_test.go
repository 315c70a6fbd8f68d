package rolls

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/test/world"
)

var (
	kills = flag.Int("rolls.kills", 10, "how often a server is killed while keys roll")
	seed  = flag.Uint64("rolls.seed", 0, "of when and which server is killed; 0: another each time")
)

// children are the zones of the test, both below org.: one that the policy holds, and one over the plugin file.
var children = []string{child, "over.org."}

const overData = `$ORIGIN over.org.
$TTL 1
@ SOA ns h 1 2 3 4 1
@ NS ns
ns A 127.0.0.1
%s`

const rollPolicy = `version: 1
ttl: 1s
issuers: {le: {domain: letsencrypt.org}}
zones:
  example.org: {nameservers: [{name: ns.example.org, addresses: [127.0.0.1]}], issue: [le]}
  over.org: {issue: [le]}
`

// shortest are the settings of a roll that is over in a minute. Two servers on a folder look at it every two
// seconds, which propagation has to stand.
var shortest = map[string]string{"propagation": "4s", "safety": "2s", "heartbeat": "3s", "parent-propagation": "1s", "parent-ttl": "1s",
	"data-ttl": "1s", "poll": "1s", "backup-age": "0s"}

// forgets is when no cache holds any more that there is no DS.
const forgets = (ttl + 2) * time.Second

// bind is the parent zone on BIND, whose DS follow CDS by dnssec-cds.
type bind struct {
	t    *testing.T
	addr netip.AddrPort
	dir  string
	ds   map[string][]*dns.DS
}

func newBIND(t *testing.T) *bind {
	t.Helper()
	text := "$TTL 1\n@ SOA a.nic.org. h.org. 1 2 3 4 1\n@ NS a.nic.org.\na.nic A 127.0.0.1\n"
	for _, zone := range children {
		text += fmt.Sprintf("%s NS ns.%s\nns.%s A 127.0.0.1\n", zone, zone, zone)
	}
	named := world.SigningNamed(t, above, text)
	return &bind{t: t, addr: named.Addr, dir: t.TempDir(), ds: map[string][]*dns.DS{}}
}

// anchor is the DS of the parent zone itself, once it is signed.
func (b *bind) anchor() string {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(pace) {
		for _, rr := range exchange(b.addr, above, dns.TypeDNSKEY) {
			if key, ok := rr.(*dns.DNSKEY); ok {
				return key.ToDS(dns.SHA256).String()
			}
		}
	}
	b.t.Fatal("named does not sign")
	return ""
}

// exchange asks over TCP, and returns no answer where there is none.
func exchange(addr netip.AddrPort, name string, qtype uint16) []dns.RR {
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.SetEdns0(4096, true)
	m, _, err := (&dns.Client{Net: "tcp", Timeout: 5 * time.Second}).Exchange(q, addr.String())
	if err != nil {
		return nil // a server that has been killed
	}
	return m.Answer
}

// follow looks at the children's CDS as one of their servers has them: at first as an operator does, who
// believes them, and then by dnssec-cds.
func (b *bind) follow(server netip.AddrPort) {
	for _, zone := range children {
		dnskeys, cds, cdnskeys := exchange(server, zone, dns.TypeDNSKEY), exchange(server, zone, dns.TypeCDS), exchange(server, zone, dns.TypeCDNSKEY)
		if len(dnskeys) == 0 || len(cds) == 0 || len(cdnskeys) == 0 {
			continue
		}
		ds := namedBy(cds)
		if len(b.ds[zone]) > 0 {
			// The answers of the child's servers one after another may not fit together: then it is tried again.
			var text strings.Builder
			for _, rr := range slices.Concat(dnskeys, cds, cdnskeys) {
				text.WriteString(rr.String() + "\n")
			}
			ds, _ = dnssecCDS(b.t, b.dir, zone, text.String(), b.ds[zone])
		}
		if slices.ContainsFunc(ds, func(ds *dns.DS) bool { return ds.Algorithm == 0 }) {
			// RFC 8078 4: the DS is to go. dnssec-cds says so by a DS of no algorithm, and a registry takes all away.
			b.ds[zone] = nil
			b.publish(zone, nil)
			continue
		}
		if len(ds) == 0 || slices.EqualFunc(ds, b.ds[zone], func(a, b *dns.DS) bool { return a.String() == b.String() }) {
			continue
		}
		b.ds[zone] = ds
		b.publish(zone, ds)
	}
}

func namedBy(cds []dns.RR) (ds []*dns.DS) {
	for _, rr := range cds {
		if cds, ok := rr.(*dns.CDS); ok {
			one := cds.DS
			one.Hdr.Rrtype = dns.TypeDS
			ds = append(ds, &one)
		}
	}
	return ds
}

// publish replaces a DS RRset by a dynamic update (RFC 2136).
func (b *bind) publish(zone string, ds []*dns.DS) {
	m := new(dns.Msg).SetUpdate(above)
	m.RemoveRRset([]dns.RR{&dns.DS{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeDS, Class: dns.ClassINET}}})
	for _, one := range ds {
		m.Insert([]dns.RR{one})
	}
	answer, _, err := (&dns.Client{Net: "tcp", Timeout: limit}).Exchange(m, b.addr.String())
	if err != nil || answer.Rcode != dns.RcodeSuccess {
		b.t.Errorf("update of DS at named: %v, %v", err, answer)
	}
}

// site is two CoreDNS on one folder.
type site struct {
	t      *testing.T
	dir    string
	parent netip.AddrPort
	addrs  [2]netip.AddrPort
	mu     sync.Mutex // while a server is down
	procs  [2]*world.Process
	extra  map[string]string // settings beside the shortest
	// state is whether each server has a folder for its state.
	state bool
}

func newSite(t *testing.T, parent netip.AddrPort) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), parent: parent, addrs: [2]netip.AddrPort{world.FreeAddr(t), world.FreeAddr(t)}, extra: map[string]string{}}
	return s.begin()
}

// begin starts the servers.
func (s *site) begin() *site {
	t := s.t
	t.Helper()
	world.WriteFile(t, filepath.Join(s.dir, "policy.yaml"), rollPolicy)
	world.WriteFile(t, filepath.Join(s.dir, "over.org"), fmt.Sprintf(overData, strings.Join(lines("n%d A 192.0.2.1", hosts), "\n")+"\n"))
	for i := range s.procs {
		s.start(i)
	}
	return s
}

func (s *site) start(i int) {
	s.t.Helper()
	var rolls strings.Builder
	if s.state {
		fmt.Fprintf(&rolls, "        state %s/state%d\n", s.dir, i)
	}
	settings := maps.Clone(shortest)
	maps.Copy(settings, s.extra)
	for name, value := range settings {
		fmt.Fprintf(&rolls, "        roll %s %s\n", name, value)
	}
	s.procs[i] = world.CoreDNS(s.t, fmt.Sprintf(`.:%d {
    bind %s
    errors
    caa %s/policy.yaml example.org over.org {
        key auto %s/keys
        ttl 1s
        parent at %s
%s    }
    file %s/over.org over.org
}
`, s.addrs[i].Port(), s.addrs[i].Addr(), s.dir, s.dir, s.parent, rolls.String(), s.dir), nil)
}

// set changes settings and restarts one server after the other.
func (s *site) set(settings map[string]string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.extra, settings)
	for i := range s.procs {
		s.procs[i].Stop(s.t)
		s.start(i)
	}
}

// kill ends a server without a word, and starts it again.
func (s *site) kill(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.procs[i].Signal(s.t, syscall.SIGKILL)
	s.procs[i].Stop(s.t)
	s.start(i)
}

// roll asks for an urgent roll of the zones' keys of a role.
func (s *site) roll(role keyroll.Role) {
	s.t.Helper()
	s.ask(keyroll.Request{Verb: keyroll.RollKey, Role: role, Urgent: true})
}

// ask asks for something for each zone, as caacheck keys does.
func (s *site) ask(r keyroll.Request) {
	s.t.Helper()
	for _, zone := range children {
		if _, refused, err := keyfolder.New(filepath.Join(s.dir, "keys")).Ask(zone, time.Now(), r); err != nil || refused != nil {
			s.t.Fatal(refused, err)
		}
	}
}

// keys are those of a zone that are not out of use, such as "CSK active".
func (s *site) keys(zone string) (ids, keys []string) {
	state, err := keyfolder.New(filepath.Join(s.dir, "keys")).State(zone)
	if err != nil {
		s.t.Error(err)
	}
	for _, k := range state.Keys {
		if k.State != keyroll.Removed {
			ids, keys = append(ids, k.ID.String()), append(keys, fmt.Sprintf("%s %s %d", k.Role, k.State, k.ID.Algorithm))
		}
	}
	slices.Sort(keys)
	return ids, keys
}

// rest waits until both zones have these keys and no others, none of a role in renewed that they had before.
func (s *site) rest(change func(), renewed string, want ...string) {
	s.t.Helper()
	before := map[string][]string{}
	for _, zone := range children {
		before[zone] = s.ofRole(zone, renewed)
	}
	change()
	last := ""
	for end := time.Now().Add(limit); ; time.Sleep(pace) {
		done, now := true, ""
		for _, zone := range children {
			_, keys := s.keys(zone)
			old := slices.ContainsFunc(s.ofRole(zone, renewed), func(id string) bool { return slices.Contains(before[zone], id) })
			done = done && slices.Equal(keys, want) && !old
			now += fmt.Sprintf("%s %q ", zone, keys)
		}
		if now != last {
			s.t.Logf("%s %s", time.Now().Format("04:05.0"), now)
			last = now
		}
		if done {
			return
		}
		if time.Now().After(end) || s.t.Failed() {
			s.t.Fatalf("keys do not come to %q: %s", want, now)
		}
	}
}

func (s *site) ofRole(zone, role string) (of []string) {
	state, err := keyfolder.New(filepath.Join(s.dir, "keys")).State(zone)
	if err != nil {
		s.t.Error(err)
	}
	for _, k := range state.Keys {
		if k.Role.String() == role && k.State != keyroll.Removed {
			of = append(of, k.ID.String())
		}
	}
	return of
}

// Two servers of two zones, one of them an overlay, on one folder of keys, roll CSK, KSK, ZSK and the algorithm,
// go insecure and come back, and are restarted with other settings and killed while they do. The parent is BIND, and follows CDS by its
// dnssec-cds. unbound and knot-resolver, each with a cache that lives and with new ones, never get an answer
// that does not validate, or is not secure.
func TestServersRoll(t *testing.T) {
	t.Parallel()
	b := newBIND(t)
	anchor := b.anchor()
	s := newSite(t, b.addr)
	stop := make(chan struct{})
	var following sync.WaitGroup
	following.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(pace):
				b.follow(s.addrs[n%2])
			}
		}
	})
	defer following.Wait()
	defer close(stop)
	s.rest(func() {}, "", "CSK active 13")
	time.Sleep(forgets)

	zones := []world.Zone{{Name: above, Server: b.addr, Anchor: anchor}}
	for _, zone := range children {
		zones = append(zones, world.Zone{Name: zone, Server: s.addrs[0], Others: s.addrs[1:]})
	}
	a := &asking{t: t, zones: zones, stop: make(chan struct{}), failed: map[string]int{}}
	a.begin("unbound", func() *world.Process { return world.Unbound(t, zones...) })
	relay := world.Relay(t, zones...) // knot-resolver takes a port only of a server that it asks for all
	a.begin("knot-resolver", func() *world.Process {
		return world.ExactKnotResolver(t, world.Zone{Name: above, Server: relay.Addr, Anchor: anchor})
	})
	killed := a.killing(s)
	defer func() {
		close(a.stop)
		a.wg.Wait()
		t.Logf("%d answers, %d asked for again, %d times a server was killed", a.answers, a.again, killed.Load())
		if a.answers < 2000 || len(a.failed) > 0 || a.again > a.answers/againAtMost {
			t.Errorf("of %d answers: %v", a.answers, a.failed)
		}
	}()
	s.rest(func() { s.roll(keyroll.CSK) }, "CSK", "CSK active 13")
	s.rest(func() { s.set(map[string]string{"keys": "split"}) }, "CSK", "KSK active 13", "ZSK active 13")
	s.rest(func() { s.roll(keyroll.ZSK) }, "ZSK", "KSK active 13", "ZSK active 13")
	s.rest(func() { s.roll(keyroll.KSK) }, "KSK", "KSK active 13", "ZSK active 13")
	s.rest(func() { s.set(map[string]string{"keys": "csk", "algorithm": "ed25519"}) }, "KSK", "CSK active 15")
	a.insecure.Store(true) // from here on it may be, and must not be bogus
	s.rest(func() { s.ask(keyroll.Request{Verb: keyroll.GoInsecure}) }, "CSK")
	s.rest(func() { s.ask(keyroll.Request{Verb: keyroll.ComeBack}) }, "", "CSK active 15")
	time.Sleep(forgets)
	a.insecure.Store(false)
	for first := true; first || int(killed.Load()) < *kills; first = false {
		s.rest(func() { s.roll(keyroll.CSK) }, "CSK", "CSK active 15")
	}
}

// killing kills one server after another at random moments, as often as was asked for.
func (a *asking) killing(s *site) *atomic.Int32 {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	a.t.Logf("-rolls.seed %d", *seed)
	random := rand.New(rand.NewPCG(*seed, 0))
	killed := new(atomic.Int32)
	a.wg.Go(func() {
		for ; int(killed.Load()) < *kills; killed.Add(1) {
			select {
			case <-a.stop:
				return
			case <-time.After(time.Duration(1000+random.IntN(3000)) * time.Millisecond):
				s.kill(random.IntN(2))
			}
		}
	})
	return killed
}
