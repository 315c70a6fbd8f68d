package rolls

import (
	"flag"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/keys"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/test/world"
)

var losses = flag.Int("rolls.losses", 20, "how often the folder of keys is lost while they roll")

// lostFor is how long a folder is lost: longer than servers take to look, so that a wrong one has replaced the keys.
const lostFor = 2600 * time.Millisecond

// loss is a way to lose keys. It leaves at aside what was in the folder.
type loss struct {
	name string
	do   func(t *testing.T, dir, aside string, other folders)
}

// folders are those that may come in the place of the right one.
type folders struct{ older, foreign string }

var allLosses = []loss{
	{"removed", func(t *testing.T, dir, aside string, _ folders) { try(t, os.Rename(dir, aside)) }},
	{"emptied", func(t *testing.T, dir, aside string, _ folders) {
		try(t, os.Rename(dir, aside))
		try(t, os.Mkdir(dir, 0o700))
	}},
	{"unreadable", func(t *testing.T, dir, aside string, _ folders) { // by root, too
		try(t, os.Rename(dir, aside))
		try(t, os.WriteFile(dir, nil, 0o600))
	}},
	{"without one zone's files", func(t *testing.T, dir, aside string, _ folders) {
		try(t, os.Rename(dir, aside))
		copyTo(t, aside, dir, func(name string) bool { return !strings.HasPrefix(name, "Kexample.org.") })
	}},
	{"without private halves", func(t *testing.T, dir, aside string, _ folders) {
		try(t, os.Rename(dir, aside))
		copyTo(t, aside, dir, func(name string) bool { return !strings.HasSuffix(name, ".private") })
	}},
	{"replaced by an older one", func(t *testing.T, dir, aside string, other folders) {
		try(t, os.Rename(dir, aside))
		copyTo(t, other.older, dir, nil)
	}},
	{"replaced by a foreign one", func(t *testing.T, dir, aside string, other folders) {
		try(t, os.Rename(dir, aside))
		copyTo(t, other.foreign, dir, nil)
	}},
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// copyTo copies the files of a folder that keep names; nil is for all. One that is replaced meanwhile is read again.
func copyTo(t *testing.T, from, to string, keep func(name string) bool) {
	t.Helper()
	try(t, os.MkdirAll(to, 0o700))
	entries, err := os.ReadDir(from)
	try(t, err)
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), "K") || keep != nil && !keep(entry.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, entry.Name()))
		if os.IsNotExist(err) {
			continue
		}
		try(t, err)
		try(t, os.WriteFile(filepath.Join(to, entry.Name()), text, 0o600))
	}
}

// foreignKeys is the folder of another server of the same zones.
func foreignKeys(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	folder := keyfolder.New(dir)
	for now := time.Now().Add(-time.Hour); now.Before(time.Now()); now = now.Add(time.Minute) {
		if _, err := folder.Update(now, func(_ string, z keyroll.Zone, found []keyroll.Key, _ []*dns.DNSKEY) keyroll.Decision {
			return keyroll.Step(z, keyroll.Input{Now: now, Settings: settings, DataTTL: ttl * time.Second, KeyTTL: ttl * time.Second, Found: found})
		}, children...); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// publicKeys are those of a zone in a folder.
func publicKeys(t *testing.T, dir, zone string) []string {
	t.Helper()
	views, err := keyfolder.New(dir).Look(time.Now(), zone)
	try(t, err)
	var keys []string
	for _, key := range views[0].Public {
		keys = append(keys, key.PublicKey)
	}
	return keys
}

// replacing watches the DNSKEY RRset of a zone at a server: a key of another folder never shows, and of the keys that
// are served one stays until the next look, however the rest changes.
type replacing struct {
	t       *testing.T
	foreign []string
	last    []string

	mu   sync.Mutex
	seen map[string]bool
}

// keys is how many keys have been seen.
func (r *replacing) keys() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

func (r *replacing) look(server netip.AddrPort, zone string) {
	var now []string
	for _, rr := range exchange(server, zone, dns.TypeDNSKEY) {
		if key, ok := rr.(*dns.DNSKEY); ok {
			now = append(now, key.PublicKey)
		}
	}
	r.mu.Lock()
	for _, key := range now {
		r.seen[key] = true
	}
	r.mu.Unlock()
	if len(now) == 0 {
		return // it is down, or refuses the zone
	}
	stays := slices.ContainsFunc(now, func(key string) bool { return slices.Contains(r.last, key) })
	if len(r.last) > 0 && !stays {
		r.t.Errorf("%s %s: the keys %q of %s are replaced by %q", time.Now().Format("04:05.0"), server, r.last, zone, now)
	}
	if slices.ContainsFunc(now, func(key string) bool { return slices.Contains(r.foreign, key) }) {
		r.t.Errorf("%s %s: %s is served with another server's key", time.Now().Format("04:05.0"), server, zone)
	}
	r.last = now
}

// Two servers of two zones on one folder of keys, which is lost at random moments of rolls, in every way there is: it is
// removed, emptied, made unreadable, replaced by an older and by another server's. One of the servers may be restarted
// meanwhile, and has its record alone; the other holds the keys. Then the folder is back as it was, or caacheck keys
// restore has it written. unbound, with a cache that lives and with new ones, never gets an answer that is SERVFAIL or
// not secure; no mixture of answers in a cache is bogus; and no key is replaced.
func TestKeysOutliveTheirFolder(t *testing.T) {
	t.Parallel()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-rolls.seed %d", *seed)
	random := rand.New(rand.NewPCG(*seed, 1))
	b := newBIND(t)
	anchor := b.anchor()
	s := &site{t: t, dir: t.TempDir(), parent: b.addr, addrs: [2]netip.AddrPort{world.FreeAddr(t), world.FreeAddr(t)}, state: true,
		// A server may lag behind another for two heartbeats while the folder is lost, and two seconds until it looks;
		// and a loss should be shorter than two heartbeats, or keys are unsure rather than in a roll.
		extra: map[string]string{"propagation": "6s", "safety": "3s", "heartbeat": "3500ms"}}
	s.begin()
	stop := make(chan struct{})
	var around sync.WaitGroup
	each := func(pause time.Duration, do func(n int)) {
		around.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(pause):
					do(n)
				}
			}
		})
	}
	defer around.Wait()
	defer close(stop)
	each(pace, func(n int) { b.follow(s.addrs[n%2]) })
	s.rest(func() {}, "", "CSK active 13")
	time.Sleep(forgets)

	zones := []world.Zone{{Name: above, Server: b.addr, Anchor: anchor}}
	for _, zone := range children {
		zones = append(zones, world.Zone{Name: zone, Server: s.addrs[0], Others: s.addrs[1:]})
	}
	other := folders{foreign: foreignKeys(t)}
	watching := map[string]*replacing{}
	for i, server := range s.addrs {
		for _, zone := range children {
			r := &replacing{t: t, foreign: publicKeys(t, other.foreign, zone), seen: map[string]bool{}}
			watching[server.String()+zone] = r
			each(200*time.Millisecond, func(int) { r.look(server, zone) })
		}
		cache := &anyCache{parents: []netip.AddrPort{b.addr}, child: s.addrs[i], checked: map[string]bool{}}
		each(300*time.Millisecond, func(int) {
			if err := cache.look(); err != nil {
				t.Errorf("%s: %v", time.Now().Format("04:05.0"), err)
			}
		})
	}
	a := &asking{t: t, zones: zones, stop: make(chan struct{}), failed: map[string]int{}}
	a.begin("unbound", func() *world.Process { return world.Unbound(t, zones...) })
	done, rolls, restarts, restored := map[string]int{}, 0, 0, 0
	defer func() {
		close(a.stop)
		a.wg.Wait()
		t.Logf("%d answers, %d asked for twice; %d losses %v, %d rolls, %d restarts while keys were lost, %d times restored from memory", a.answers, a.again, *losses, done, rolls, restarts, restored)
		if a.answers < 500 || len(a.failed) > 0 || a.again > 1+a.answers/500 {
			t.Errorf("of %d answers: %v", a.answers, a.failed)
		}
	}()

	dir, older := filepath.Join(s.dir, "keys"), ""
	for n := range *losses {
		if t.Failed() {
			return
		}
		if s.atRest() {
			s.roll(keyroll.CSK)
			rolls++
		}
		snapshot := filepath.Join(t.TempDir(), "keys")
		copyTo(t, dir, snapshot, nil)
		if older == "" {
			older = snapshot
		}
		other.older = older
		time.Sleep(time.Duration(random.IntN(1200)) * time.Millisecond)
		how, aside := allLosses[(n+random.IntN(2))%len(allLosses)], filepath.Join(t.TempDir(), "keys")
		t.Logf("%s the folder is %s: %v", time.Now().Format("04:05.0"), how.name, s.states())
		how.do(t, dir, aside, other)
		done[how.name]++
		if random.IntN(3) == 0 {
			restarts++
			s.kill(random.IntN(2))
		}
		time.Sleep(lostFor)
		if how.name == "unreadable" {
			try(t, os.Remove(dir))
		}
		if random.IntN(2) == 0 && !strings.Contains(how.name, "older") {
			try(t, os.RemoveAll(dir))
			try(t, os.Rename(aside, dir))
		} else {
			try(t, os.MkdirAll(dir, 0o700))
			var named []string // none is for all, which every server on the folder has its time to add to
			if n%8 > 0 {
				named = children
			}
			report, err := keys.Restore(t.Context(), dir, limit, nil, named...)
			try(t, err)
			if report.Asked.Result != keys.Done {
				t.Fatalf("restore: %+v", report.Asked)
			}
			restored++
		}
		s.served()
		older = snapshot
	}
	s.rest(func() {}, "", "CSK active 13")
	for at, r := range watching {
		if n := r.keys(); n > 1+rolls {
			t.Errorf("%s: %d keys were served, and %d rolls were asked for", at, n, rolls)
		}
	}
}

// atRest reports whether no key of a zone is on its way.
func (s *site) atRest() bool {
	for _, zone := range children {
		if _, keys := s.keys(zone); len(keys) != 1 || keys[0] != "CSK active 13" {
			return false
		}
	}
	return true
}

func (s *site) states() (all []string) {
	for _, zone := range children {
		_, keys := s.keys(zone)
		all = append(all, strings.Join(keys, ", "))
	}
	return all
}

// served waits until each server answers for each zone: one that was restarted without keys has them again.
func (s *site) served() {
	s.t.Helper()
	for _, server := range s.addrs {
		for _, zone := range children {
			for end := time.Now().Add(limit); len(exchange(server, zone, dns.TypeDNSKEY)) == 0; time.Sleep(pace / 3) {
				if time.Now().After(end) {
					s.t.Fatalf("%s does not serve %s with its keys back", server, zone)
				}
			}
		}
	}
}
