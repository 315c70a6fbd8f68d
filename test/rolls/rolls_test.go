// Package rolls lets the keys of a zone roll in real time, in a folder, while unbound asks: with a parent of
// two servers, one of which lags, whose DS follow CDS by BIND's dnssec-cds. TTLs are of a second.
package rolls

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/parent"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
	"github.com/coredns-caa/caa/test/world"
)

const (
	child, above = "example.org.", "org."
	ttl          = 1 // of everything, in seconds
	hosts        = 20

	lag   = 2 * time.Second        // of the parent's second server
	pace  = 300 * time.Millisecond // of the keeper's steps
	limit = 2 * time.Minute        // for one roll, on a loaded machine

	// againAtMost is of how many answers one may be asked for again. A machine at ten times its load needs it for one of
	// a thousand or two.
	againAtMost = 200
)

// settings are as short as a resolver allows that counts whole seconds, with room for a loaded machine.
var settings = keyroll.Settings{
	Propagation: time.Second, ParentPropagation: time.Second, ParentTTL: ttl * time.Second, Safety: 2 * time.Second,
	Algorithm: dns.ECDSAP256SHA256, Keep: time.Hour, Heartbeat: time.Minute, Poll: time.Second, Patience: time.Hour,
}

// registry is the parent: two servers, and BIND's dnssec-cds.
type registry struct {
	t      *testing.T
	fast   *authority
	slow   *authority
	addr   netip.AddrPort
	anchor string
	keys   *zonesign.KeySet
	dir    string
	ds     []*dns.DS
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	key, err := zonesign.NewKey(above, dns.ECDSAP256SHA256, true, func(uint16) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	keys, err := zonesign.NewKeySet(above, ttl, key)
	if err != nil {
		t.Fatal(err)
	}
	r := &registry{t: t, fast: newAuthority(), slow: newAuthority(), addr: world.FreeAddr(t), anchor: keys.DS()[0].String(), keys: keys, dir: t.TempDir()}
	r.publish(r.fast, nil)
	r.publish(r.slow, nil)
	r.fast.listen(t, r.addr)
	r.slow.listen(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), r.addr.Port()))
	return r
}

// publish serves the parent zone with these DS.
func (r *registry) publish(on *authority, ds []*dns.DS) {
	all := append(sets(r.t,
		fmt.Sprintf("org. %d IN SOA a.nic.org. h.org. 1 2 3 4 %d", ttl, ttl),
		fmt.Sprintf("a.nic.org. %d IN A 127.0.0.1", ttl), fmt.Sprintf("b.nic.org. %d IN A 127.0.0.2", ttl),
		fmt.Sprintf("example.org. %d IN NS ns.example.org.", ttl)),
		r.keys.DNSKEYs(), oneSet(r.t, fmt.Sprintf("org. %d IN NS a.nic.org.", ttl), fmt.Sprintf("org. %d IN NS b.nic.org.", ttl)))
	if len(ds) > 0 {
		var rrs []dns.RR
		for _, one := range ds {
			rrs = append(rrs, one)
		}
		made, err := zonesign.NewRRset(rrs...)
		if err != nil {
			r.t.Error(err)
			return
		}
		all = append(all, made)
	}
	on.zone.Store(&served{above, r.keys, all})
}

func oneSet(t *testing.T, lines ...string) zonesign.RRset {
	t.Helper()
	var rrs []dns.RR
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	made, err := zonesign.NewRRset(rrs...)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// look follows the CDS of the child: at first as an operator does, with all that CDS name, and then as BIND
// does. The second server follows later.
func (r *registry) look(zone *authority, named []*dns.DS) {
	ds := named
	if len(r.ds) > 0 {
		var err error
		if ds, err = dnssecCDS(r.t, r.dir, child, zone.text(), r.ds); err != nil {
			r.t.Error(err)
		}
	}
	same := slices.EqualFunc(ds, r.ds, func(a, b *dns.DS) bool { return a.String() == b.String() })
	if same || len(ds) == 0 {
		return
	}
	r.ds = ds
	r.publish(r.fast, ds)
	time.AfterFunc(lag, func() { r.publish(r.slow, ds) })
}

// dnssecCDS is what BIND's dnssec-cds makes of what a child serves (text, with signatures) and what its parent
// has; in dir it has its files.
func dnssecCDS(t *testing.T, dir, zone, text string, has []*dns.DS) ([]*dns.DS, error) {
	t.Helper()
	var have strings.Builder
	for _, ds := range has {
		have.WriteString(ds.String() + "\n")
	}
	childFile, dsset := filepath.Join(dir, "child"), filepath.Join(dir, "dsset")
	for path, text := range map[string]string{childFile: text, dsset: have.String()} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	run := exec.Command(world.Program(t, "dnssec-cds"), "-s", time.Now().Add(-24*time.Hour).UTC().Format("20060102150405"), "-f", childFile, "-d", dsset, zone)
	out, err := run.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("dnssec-cds: %w\n%s\nof\n%s", err, out, text)
	}
	var ds []*dns.DS
	for zp := dns.NewZoneParser(strings.NewReader(string(out)), "", ""); ; {
		rr, ok := zp.Next()
		if !ok {
			return ds, nil
		}
		if one, ok := rr.(*dns.DS); ok {
			one.Hdr.Ttl = ttl
			ds = append(ds, one)
		}
	}
}

// keeper keeps the child's keys and serves them.
type keeper struct {
	t       *testing.T
	folder  *keyfolder.Folder
	set     keyroll.Settings
	zone    *authority
	asker   parent.Asker
	last    *keyfolder.Result
	changes []string
}

func (k *keeper) step() {
	k.t.Helper()
	observations := k.asker.DS(k.t.Context(), []string{child})[child]
	now := time.Now()
	decide := func(_ string, z keyroll.Zone, found []keyroll.Key, keys []*dns.DNSKEY) keyroll.Decision {
		var observed []keyroll.Observation
		for _, o := range observations {
			if o.Err != nil {
				k.t.Errorf("the parent: %v", o)
			}
			observed = append(observed, keyroll.Observe(o.Server, o.Others, keys))
		}
		return keyroll.Step(z, keyroll.Input{Now: now, Settings: k.set, DataTTL: ttl * time.Second, KeyTTL: ttl * time.Second, Parent: observed, Found: found})
	}
	results, err := k.folder.Update(now, decide, child)
	if err != nil {
		k.t.Fatal(err)
	}
	k.last = results[child]
	if k.last.Err != nil {
		k.t.Fatal(k.last.Err)
	}
	for _, c := range k.last.Changes {
		k.changes = append(k.changes, fmt.Sprintf("%s %s", c.Role, c.To))
		k.t.Logf("%s %s %s: %s", now.Format("05.0"), c.Role, c.Key, c.To)
	}
	for _, refusal := range k.last.Refusals {
		k.t.Errorf("%v", refusal)
	}
	if len(k.last.Changes) > 0 || k.zone.zone.Load() == nil {
		k.serve()
	}
}

// roll asks for an urgent roll, as people do.
func (k *keeper) roll(role keyroll.Role) {
	k.t.Helper()
	if _, refused, err := k.folder.Ask(child, time.Now(), keyroll.Request{Verb: keyroll.RollKey, Role: role, Urgent: true}); err != nil || refused != nil {
		k.t.Fatal(err, refused)
	}
}

// serve swaps what is served.
func (k *keeper) serve() {
	of := func(ids []keyroll.ID) (keys []*zonesign.Key) {
		for _, id := range ids {
			keys = append(keys, k.last.Keys[id])
		}
		return keys
	}
	s := k.last.Sets
	keys, err := zonesign.NewRollingKeySet(child, ttl, zonesign.Roles{Published: of(s.DNSKEY), Apex: of(s.Apex), Data: of(s.Data), Named: of(s.CDS), Delete: s.Delete})
	if err != nil {
		k.t.Fatal(err)
	}
	all := append(sets(k.t, fmt.Sprintf("example.org. %d IN SOA ns.example.org. h.example.org. 1 2 3 4 %d", ttl, ttl),
		fmt.Sprintf("example.org. %d IN NS ns.example.org.", ttl), fmt.Sprintf("ns.example.org. %d IN A 127.0.0.1", ttl)), keys.DNSKEYs())
	all = append(all, sets(k.t, lines("n%d.example.org. 1 IN CAA 0 issue \"ca.example\"", hosts)...)...)
	if cds, cdnskey, exist := keys.CDS(); exist {
		all = append(all, cds, cdnskey)
	}
	k.zone.zone.Store(&served{child, keys, all})
}

// until steps until keys have gone through these changes, in this order, and none is on its way.
func (k *keeper) until(r *registry, changes ...string) {
	k.t.Helper()
	k.changes = nil
	for end := time.Now().Add(limit); ; {
		k.step()
		if k.zone.zone.Load().keys != nil {
			r.look(k.zone, k.zone.zone.Load().keys.DS())
		}
		if slices.Equal(k.changes, changes) {
			return
		}
		if len(k.changes) > len(changes) || time.Now().After(end) {
			k.t.Fatalf("keys went through %q, want %q; they wait: %+v", k.changes, changes, k.last.Waits)
		}
		time.Sleep(pace) // real time is what this is about
	}
}

// asking asks resolvers until it is stopped, and counts.
type asking struct {
	t     *testing.T
	zones []world.Zone
	stop  chan struct{}
	wg    sync.WaitGroup
	// insecure says that the zones may be insecure.
	insecure atomic.Bool
	mu       sync.Mutex
	answers  int
	again    int // how often a question was put again, as a resolver gave no answer of its own
	failed   map[string]int
	cache    *anyCache
}

// begin asks a resolver that keeps its cache, and resolvers that are new.
func (a *asking) begin(name string, start func() *world.Process) {
	a.wg.Go(func() {
		resolver := start()
		for n := 0; a.goesOn(); n++ {
			a.ask(name, resolver.Addr, n)
			time.Sleep(4 * time.Millisecond) // a load for one core of many tests
		}
	})
	a.wg.Go(func() {
		for a.goesOn() {
			resolver := start()
			for n := range 2 * hosts {
				a.ask(name+" without a cache", resolver.Addr, n)
			}
			resolver.Stop(a.t)
			time.Sleep(pace)
		}
	})
}

// mix looks at what caches may hold.
func (a *asking) mix() {
	a.wg.Go(func() {
		for a.goesOn() {
			if err := a.cache.look(); err != nil {
				a.t.Errorf("at %s: %v", time.Now().Format("05.0"), err)
				return
			}
			time.Sleep(ttl * time.Second / 10)
		}
	})
}

func (a *asking) goesOn() bool {
	select {
	case <-a.stop:
		return false
	default:
		return true
	}
}

// ask puts one question: a name that exists, a type or a name that does not, or the keys.
func (a *asking) ask(resolver string, addr netip.AddrPort, n int) {
	apex := a.zones[1+n/5%(len(a.zones)-1)].Name
	name, qtype := fmt.Sprintf("n%d.%s", n%hosts, apex), dns.TypeCAA
	switch n % 5 {
	case 1:
		qtype = dns.TypeTXT
	case 2:
		name = fmt.Sprintf("x%d.%s", n, apex)
	case 3:
		name, qtype = apex, dns.TypeDNSKEY
	}
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.SetEdns0(1232, true)
	insecure := a.insecure.Load()
	answer, again, err := world.Query(addr, m)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers++
	a.again += again
	switch {
	case err != nil:
		a.fail(resolver, name, qtype, "no answer", err)
	case answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError:
		a.fail(resolver, name, qtype, dns.RcodeToString[answer.Rcode], answer)
	case !answer.AuthenticatedData && !insecure:
		a.fail(resolver, name, qtype, "insecure", answer)
	}
}

// fail counts, and reports the first of a kind.
func (a *asking) fail(resolver, name string, qtype uint16, what string, shown any) {
	kind := resolver + ": " + what
	if a.failed[kind]++; a.failed[kind] == 1 {
		a.t.Errorf("%s %s says %s to %s %s: %v", time.Now().Format("04:05.0"), resolver, what, name, dns.Type(qtype), shown)
	}
}

// A zone comes up, rolls its CSK, splits it, rolls ZSK and KSK, changes its algorithm and joins them again.
// No resolver ever gets an answer that does not validate, or is not secure.
func TestRollsInRealTime(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	addr := world.FreeAddr(t)
	zones := []world.Zone{{Name: above, Server: r.addr, Anchor: r.anchor}, {Name: child, Server: addr}}
	k := &keeper{t: t, folder: keyfolder.New(t.TempDir()), set: settings, zone: newAuthority()}
	finder := world.Unbound(t, zones...)
	k.asker = parent.Asker{Resolvers: []netip.AddrPort{finder.Addr}, Port: r.addr.Port()}
	k.step()
	k.zone.listen(t, addr)

	k.until(r, "CSK ready", "CSK active")
	time.Sleep((ttl + 2) * time.Second) // until no cache holds that there is no DS
	a := &asking{t: t, zones: zones, stop: make(chan struct{}), failed: map[string]int{},
		cache: &anyCache{parents: []netip.AddrPort{r.addr, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), r.addr.Port())}, child: addr, checked: map[string]bool{}}}
	a.begin("unbound", func() *world.Process { return world.Unbound(t, zones...) })
	a.mix()
	defer func() {
		close(a.stop)
		a.wg.Wait()
		t.Logf("%d answers, %d asked for again, %d mixtures of RRsets in a cache", a.answers, a.again, a.cache.mixed)
		if a.answers < 1000 || len(a.failed) > 0 || a.again > a.answers/againAtMost || a.cache.mixed < 20 {
			t.Errorf("of %d answers: %v", a.answers, a.failed)
		}
	}()

	k.roll(keyroll.CSK)
	k.until(r, "CSK published", "CSK ready", "CSK retiring", "CSK active", "CSK removed")
	k.set.Split = true
	k.until(r, "KSK published", "ZSK published", "KSK ready", "ZSK active", "CSK retiring", "KSK active", "CSK removed")
	k.roll(keyroll.ZSK)
	k.until(r, "ZSK published", "ZSK active", "ZSK retiring", "ZSK removed")
	k.roll(keyroll.KSK)
	k.until(r, "KSK published", "KSK ready", "KSK retiring", "KSK active", "KSK removed")
	k.set.Algorithm, k.set.Split = dns.ED25519, false
	k.until(r, "CSK presigned", "CSK introduced", "CSK ready", "ZSK yielding", "KSK yielding", "CSK active", "KSK removed", "ZSK postsigned", "ZSK removed")
}

func TestMain(m *testing.M) { os.Exit(world.Main(m)) }
