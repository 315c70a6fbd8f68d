package caa

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// registry is the parent of zones: two servers, which have the same DS.
type registry struct {
	mu       sync.Mutex
	ds       map[string][]*dns.DS
	dead     error
	notified chan string // zones of each NOTIFY(CDS) that it received; nil: it accepts none
}

func (r *registry) notify(_ context.Context, zone string) (string, error) {
	if r.notified == nil {
		return "", nil
	}
	r.notified <- zone
	return "nic.example", nil
}

func (r *registry) observe(_ context.Context, zones []string) map[string][]keyroll.Observation {
	r.mu.Lock()
	defer r.mu.Unlock()
	observed := map[string][]keyroll.Observation{}
	for _, zone := range zones {
		if zone == "." {
			continue
		}
		for _, server := range []string{"a.nic.example", "b.nic.example"} {
			o := keyroll.Observation{Server: server, Err: r.dead}
			if r.dead == nil {
				o = keyroll.Observe(server, r.ds[zone], nil)
			}
			observed[zone] = append(observed[zone], o)
		}
	}
	return observed
}

func (r *registry) has(zone string, ds ...*dns.DS) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ds == nil {
		r.ds = map[string][]*dns.DS{}
	}
	r.ds[zone] = ds
}

// follow does what CDS say, as RFC 7344 6 has it.
func (r *registry) follow(t *testing.T, h *built, zone string) {
	t.Helper()
	m := ask(t, h, question(zone, dns.TypeCDS), true)
	var ds []*dns.DS
	for _, rr := range m.Answer {
		if cds, ok := rr.(*dns.CDS); ok && cds.Algorithm != 0 {
			ds = append(ds, &cds.DS)
		} else if ok {
			r.has(zone) // RFC 8078 4
			return
		}
	}
	if len(ds) > 0 {
		r.has(zone, ds...)
	}
}

// clocked is a handler whose keys roll by a clock that stands until it is set.
type clocked struct {
	*built
	at time.Time
}

func buildRolling(t *testing.T, policy, options string, next plugin.Handler, parent *registry) *clocked {
	t.Helper()
	cfg, _ := configure(t, policy, "key auto $DIR/keys\n"+options)
	first := &clocked{built: &built{loader: &loader{cfg: cfg}}, at: time.Now()}
	return first.restart(t, next, parent)
}

// restart makes a new server on the same folder.
func (c *clocked) restart(t *testing.T, next plugin.Handler, parent *registry) *clocked {
	t.Helper()
	n, err := c.begin(next, parent)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (c *clocked) begin(next plugin.Handler, parent *registry) (*clocked, error) {
	n := &clocked{at: c.at}
	keys := c.loader.cfg.keyring()
	keys.Now, keys.Ask, keys.Notify, keys.Parent.Off = func() time.Time { return n.at }, parent.observe, parent.notify, false
	b, err := prepare(c.loader.cfg, keys, next)
	if err != nil {
		return nil, err
	}
	n.built = b
	return n, b.start()
}

// run lets time pass until some moment, as the watch of the keys does.
func (c *clocked) run(t *testing.T, d time.Duration, each func()) {
	t.Helper()
	for end := c.at.Add(d); !c.at.After(end); {
		changed, next := c.loader.block.keys.Look(t.Context())
		if changed {
			c.loader.rekey()
		}
		each()
		if !next.After(c.at) {
			next = c.at.Add(time.Second)
		}
		c.at = next
	}
}

func (c *clocked) status(zone string) keyring.Status { return c.loader.block.keys.Status()[zone] }

func (c *clocked) states(zone string) (states []string) {
	for _, key := range c.status(zone).Zone.Keys {
		states = append(states, key.Role.String()+" "+key.State.String())
	}
	return states
}

// A root zone with names and zones below is laid out like any other.
func TestNamesBelowTheRoot(t *testing.T) {
	t.Parallel()
	const policy = `version: 1
issuers: {le: {domain: letsencrypt.org}}
zones:
  .: {nameservers: [{name: ns.example.net, addresses: [192.0.2.1]}], issue: [le], names: {corp: {issue: none}, a.b: {issue: none}}}
  internal: {nameservers: [{name: ns.example.net}], issue: [le]}
`
	h := buildIn(t, ".", policy, keyFiles(t, ".", "internal."), nil)
	for name, want := range map[string]string{"www.corp.": `CAA 0 issue ";"`, "b.": `CAA 0 issue "letsencrypt.org"`} {
		m := ask(t, h, question(name, dns.TypeCAA), true)
		if got := shown(m); !strings.HasSuffix(got, want) {
			t.Errorf("%s: %s", name, got)
		}
		verify(t, h, m)
	}
	if m := ask(t, h, question("internal.", dns.TypeDS), true); types(m.Answer) != "DS RRSIG" {
		t.Errorf("%v", m)
	}
}

// RFC 7583 3.3.1, RFC 7344: a zone's first key, and a roll when its life ends, as the handler answers. Every
// answer on the way validates by the keys served, and the DNSKEY RRset is signed by a key that the DS names.
func TestKeysRoll(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	h := buildRolling(t, testPolicy, "roll csk-lifetime 30d\nroll backup-age 1h", nil, parent)
	const zone = "example.org."
	if m := ask(t, h, question(zone, dns.TypeCDS), true); len(m.Answer) != 0 {
		t.Errorf("CDS while caches may have the zone without its key: %v", m.Answer)
	}
	if got := h.states(zone); !slices.Equal(got, []string{"CSK introduced"}) {
		t.Fatalf("at first: %q", got)
	}
	var seen []string
	each := func() {
		parent.follow(t, h.built, zone)
		if now := fmt.Sprint(h.states(zone)); len(seen) == 0 || seen[len(seen)-1] != now {
			seen = append(seen, now)
		}
		h.wantSecure(t, parent, zone)
	}
	h.run(t, 35*24*time.Hour, each)
	want := []string{"[CSK introduced]", "[CSK ready]", "[CSK active]", "[CSK active CSK made]", "[CSK active CSK published]",
		"[CSK retiring CSK ready]", "[CSK retiring CSK active]", "[CSK removed CSK active]"}
	if !slices.Equal(seen, want) {
		t.Errorf("states\n%q, want\n%q", seen, want)
	}
}

// RFC 9859: the parent is notified of new CDS once, when all servers have them, and of nothing else.
func TestParentIsNotified(t *testing.T) {
	t.Parallel()
	parent := &registry{notified: make(chan string, 100)}
	h := buildRolling(t, testPolicy, "roll backup-age 1h", nil, parent)
	notifications := func() (zones []string) {
		for {
			select {
			case zone := <-parent.notified:
				zones = append(zones, zone)
			case <-time.After(50 * time.Millisecond): // the server does not wait for the answer
				slices.Sort(zones)
				return zones
			}
		}
	}
	both := []string{"example.org.", "sub.example.org."}
	each := func() { parent.follow(t, h.built, "example.org.") }
	for _, c := range []struct {
		name string
		run  time.Duration
		want []string
	}{
		{"no CDS yet", 2 * time.Hour, nil},
		{"the first CDS", time.Hour, both},
		{"nothing new", 3 * time.Hour, nil},
	} {
		h.run(t, c.run, each)
		if got := notifications(); !slices.Equal(got, c.want) {
			t.Errorf("%s: notified of %q, want %q", c.name, got, c.want)
		}
	}
	if _, refused, err := keyfolder.New(h.loader.cfg.keyDir).Ask("example.org.", h.at, keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.CSK}); err != nil || refused != nil {
		t.Fatal(refused, err)
	}
	h.run(t, 4*24*time.Hour, each)
	if got := notifications(); !slices.Equal(got, both[:1]) {
		t.Errorf("a roll: notified of %q, want once of %q", got, both[:1])
	}
}

// What people ask for through the folder is seen at the next look: a planned roll, and to go insecure and come
// back (RFC 8078 4), each without an answer that does not validate.
func TestRequests(t *testing.T) {
	t.Parallel()
	const zone = "example.org."
	parent := &registry{}
	h := buildRolling(t, testPolicy, "roll backup-age 1h", nil, parent)
	each := func() { parent.follow(t, h.built, zone) }
	request := func(r keyroll.Request) {
		t.Helper()
		if _, refused, err := keyfolder.New(h.loader.cfg.keyDir).Ask(zone, h.at, r); err != nil || refused != nil {
			t.Fatal(refused, err)
		}
	}
	h.run(t, 6*time.Hour, each)
	for _, c := range []struct {
		request keyroll.Request
		want    string
	}{
		{keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.CSK}, "[CSK removed CSK active]"},
		{keyroll.Request{Verb: keyroll.GoInsecure}, "[CSK removed CSK removed]"},
		{keyroll.Request{Verb: keyroll.ComeBack}, "[CSK removed CSK removed CSK active]"},
	} {
		request(c.request)
		h.run(t, 4*24*time.Hour, func() {
			each()
			if h.loader.block.serving().zones.Zone(zone).Keys.Set != nil {
				h.wantSecure(t, parent, zone)
			} else if len(parent.ds[zone]) > 0 {
				t.Error("unsigned, and the parent has a DS")
			}
		})
		if got := fmt.Sprint(h.states(zone)); got != c.want {
			t.Errorf("after %v: %s, want %s", c.request.Verb, got, c.want)
		}
		m := ask(t, h, question("www."+zone, dns.TypeCAA), true)
		if signed := len(typesOf(m, dns.TypeRRSIG)) > 0; signed != (c.request.Verb != keyroll.GoInsecure) {
			t.Errorf("after %v: signed is %v", c.request.Verb, signed)
		}
	}
}

// wantSecure asks the zone as a resolver that follows the parent's DS.
func (c *clocked) wantSecure(t *testing.T, parent *registry, zone string) {
	t.Helper()
	m := ask(t, c, question(zone, dns.TypeDNSKEY), true)
	trusted := map[uint16]bool{}
	for _, rr := range m.Answer {
		if sig, ok := rr.(*dns.RRSIG); ok {
			trusted[sig.KeyTag] = true
		}
	}
	if ds := parent.ds[zone]; len(ds) > 0 && !slices.ContainsFunc(ds, func(ds *dns.DS) bool { return trusted[ds.KeyTag] }) {
		t.Errorf("the DS names %d, and DNSKEY is signed by %v", ds[0].KeyTag, trusted)
	}
	for _, q := range []*dns.Msg{question(zone, dns.TypeCAA), question(zone, dns.TypeMX), question("x."+zone, dns.TypeTXT), question(zone, dns.TypeCDS), question(zone, dns.TypeCDNSKEY)} {
		m := ask(t, c, q, true)
		verify(t, c.built, m)
		if nsec := typesOf(m, dns.TypeNSEC); len(nsec) == 0 && len(m.Answer) == 0 {
			t.Errorf("%v has no denial: %v", q.Question, m)
		}
	}
}

func typesOf(m *dns.Msg, rrtype uint16) (found []dns.RR) {
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		if rr.Header().Rrtype == rrtype {
			found = append(found, rr)
		}
	}
	return found
}

// A bitmap of a policy-only zone says what there is: CDS and CDNSKEY come and go (RFC 8198).
func TestCDSInBitmap(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	h := buildRolling(t, testPolicy, "", nil, parent)
	for _, want := range []string{"NS SOA RRSIG NSEC DNSKEY CAA", "NS SOA RRSIG NSEC DNSKEY CDS CDNSKEY CAA"} {
		m := ask(t, h, question("example.org.", dns.TypeMX), true)
		nsec := typesOf(m, dns.TypeNSEC)[0].(*dns.NSEC)
		var got []string
		for _, rrtype := range nsec.TypeBitMap {
			got = append(got, dns.TypeToString[rrtype])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("bitmap %q, want %q", got, want)
		}
		h.run(t, 3*time.Hour, func() {})
	}
}

// DS of a zone whose parent is served here, too: none before caches have the zone's keys, then those of CDS, and
// while nobody knows which it had, all.
func TestDSUnderOurOwnParent(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	h := buildRolling(t, testPolicy, "", nil, parent)
	ds := func(h *clocked) int {
		return len(typesOf(ask(t, h, question("sub.example.org.", dns.TypeDS), true), dns.TypeDS))
	}
	if n := ds(h); n != 0 {
		t.Errorf("%d DS at first", n)
	}
	h.run(t, 3*time.Hour, func() {})
	if n := ds(h); n != 1 {
		t.Errorf("%d DS when caches have the keys", n)
	}
	h.at = h.at.Add(30 * 24 * time.Hour) // the server stood still, or its folder is a backup's
	again := h.restart(t, nil, parent)
	if got, n := again.states("sub.example.org."), ds(again); n != 1 || !slices.Equal(got, []string{"CSK unsure"}) {
		t.Errorf("after a long stop: %d DS, %q", n, got)
	}
}

// DESIGN 1, issue 5.4: a DS at the parent that names no key is a lock-out, and refused like a policy that is
// one, unless the Corefile says that it is meant.
func TestOrphanedDS(t *testing.T) {
	t.Parallel()
	foreign, err := dns.NewRR("example.org. 3600 IN DS 4711 13 2 49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		options string
		dead    error
		want    string // the error of the start, in this order, between dots: first how to serve the zone, last what orphan costs
		refused string // the same of a zone that is refused, while others are served
	}{
		"key auto": {"key auto $DIR/keys", nil, "", "no served key matches the parent's DS (key tag and algorithm 4711 13, at a.nic.example, b.nic.example) ... " +
			"Serve the zone with the key of that DS: copy its files to ... (Kexample.org.+013+04711, .key and .private) ... have the parent remove the DS ... the TTL of the old DS (1h0m0s) has passed ... orphan example.org ... stays bogus until"},
		"key file":               {"$FILES", nil, "no served key matches the parent's DS ... Serve the zone with the key of that DS: list its files in key file (Kexample.org.+013+04711 ... remove the DS ... orphan example.org ... stays bogus until", ""},
		"unsigned":               {"unsigned", nil, "no served key matches the parent's DS ... replace unsigned with key file and its files ... remove the DS ... orphan example.org ... stays bogus until", ""},
		"key auto, meant":        {"key auto $DIR/keys\norphan example.org", nil, "", ""},
		"key file, meant":        {"$FILES\norphan example.org", nil, "", ""},
		"unsigned, meant":        {"unsigned\norphan example.org", nil, "", ""},
		"key auto, none answers": {"key auto $DIR/keys", errors.New("timeout"), "", ""},
		"key file, none answers": {"$FILES", errors.New("timeout"), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := strings.ReplaceAll(c.options, "$FILES", keyFiles(t, "example.org.", "sub.example.org."))
			cfg, _ := configure(t, testPolicy, options)
			parent := &registry{dead: c.dead}
			parent.has("example.org.", foreign.(*dns.DS))
			first := &clocked{built: &built{loader: &loader{cfg: cfg}}, at: time.Now()}
			h, err := first.begin(nil, parent)
			switch {
			case err == nil && c.want != "":
				t.Error("it starts")
			case err != nil && (c.want == "" || !inOrder(err.Error(), c.want)):
				t.Errorf("error %v, want %q", err, c.want)
			}
			if dir := cfg.keyDir; c.refused != "" {
				if keys, _ := filepath.Glob(filepath.Join(dir, "Kexample.org*.private")); len(keys) > 0 {
					t.Errorf("keys were made: %q", keys)
				}
			}
			if c.want != "" {
				return
			}
			if c.dead != nil && cfg.keyDir != "" {
				if m := ask(t, h, question("example.org.", dns.TypeCAA), true); m.Rcode != dns.RcodeServerFailure {
					t.Errorf("answered before its parent is asked: %v", m)
				}
				h.run(t, 2*time.Minute, func() {})
			}
			if c.refused != "" {
				if m := ask(t, h, question("example.org.", dns.TypeCAA), true); m.Rcode != dns.RcodeServerFailure {
					t.Errorf("answered: %v", m)
				}
				if m := ask(t, h, question("sub.example.org.", dns.TypeCAA), true); m.Rcode != dns.RcodeSuccess {
					t.Errorf("another zone: %v", m)
				}
				status := h.status("example.org.")
				if !status.Problems["zone-refused"] || !inOrder(strings.Join(status.Messages, " "), c.refused) {
					t.Errorf("%v", status)
				}
			} else if h.loader.block.serving().zones.Zone("example.org.").Keys.Set == nil != cfg.unsigned {
				t.Error("signed and unsigned are confused")
			}
		})
	}
}

// inOrder reports whether a text has the parts of another, which are between dots.
func inOrder(text, parts string) bool {
	for part := range strings.SplitSeq(parts, " ... ") {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return true
}

// What orphan lets be served is bogus all the same: that shows, however the zone is signed or not, for as long as no
// DS names a key that is served, also while the parent is silent, and until the next time that it is asked.
func TestOrphanLasts(t *testing.T) {
	t.Parallel()
	foreign, err := dns.NewRR("example.org. 3600 IN DS 4711 13 2 49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD")
	if err != nil {
		t.Fatal(err)
	}
	for _, options := range []string{"key auto $DIR/keys", "$FILES", "unsigned"} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			cfg, _ := configure(t, testPolicy, strings.ReplaceAll(options, "$FILES", keyFiles(t, "example.org.", "sub.example.org."))+"\norphan example.org")
			parent := &registry{}
			parent.has("example.org.", foreign.(*dns.DS))
			h, err := (&clocked{built: &built{loader: &loader{cfg: cfg}}, at: time.Now()}).begin(nil, parent)
			if err != nil {
				t.Fatal(err)
			}
			want := func(when string, bogus bool) {
				t.Helper()
				status := h.status("example.org.")
				reported := slices.ContainsFunc(status.Messages, func(text string) bool {
					return inOrder(text, "no served key matches the parent's DS ... served anyway, because of orphan, and stays bogus until ... serve the zone with the key of that DS: ")
				})
				if status.Problems[string(keyroll.Orphaned)] != bogus || reported != bogus {
					t.Errorf("%s: %v, %q", when, status.Problems, status.Messages)
				}
			}
			want("at the start", true)
			h.run(t, 5*time.Hour, func() { want("later", true) })
			parent.dead = errors.New("timeout")
			h.run(t, 5*time.Hour, func() { want("the parent is silent", true) })
			parent.dead = nil
			h.run(t, 5*time.Hour, func() { want("it speaks again", true) })
			parent.has("example.org.")
			if !cfg.unsigned {
				parent.has("example.org.", h.loader.block.serving().zones.Zone("example.org.").Keys.Set.DS()...)
			}
			h.run(t, 2*time.Hour, func() {})
			want("its DS names our key", false)
		})
	}
}

// A key whose DS the parent has is served once its files are in the folder, whether the zone is bogus as orphan has
// it or not: the first advice of the refusal.
func TestKeyOfDSComesBack(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	foreign, _ := dns.NewRR("example.org. 3600 IN DS 4711 13 2 49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD")
	parent.has("example.org.", foreign.(*dns.DS))
	h := buildRolling(t, testPolicy, "orphan example.org", nil, parent)
	old := keyFiles(t, "example.org.")
	base := strings.Fields(old)[2]
	key, err := zonesign.LoadKey(base)
	if err != nil {
		t.Fatal(err)
	}
	parent.has("example.org.", key.DNSKEY.ToDS(dns.SHA256))
	h.run(t, 2*time.Hour, func() {})
	if !h.status("example.org.").Problems[string(keyroll.Orphaned)] {
		t.Error("not bogus without the key")
	}
	for _, suffix := range []string{".private", ".key"} {
		text, err := os.ReadFile(base + suffix)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(h.loader.cfg.keyDir, filepath.Base(base)+suffix), string(text))
	}
	h.run(t, 2*time.Hour, func() {})
	if status := h.status("example.org."); status.Problems[string(keyroll.Orphaned)] {
		t.Errorf("bogus with the key: %q", status.Messages)
	}
	h.wantSecure(t, parent, "example.org.")
}

// A policy with a zone whose parent names another key is refused at the reload, and the old one stays; it is
// served without another edit once the parent is right.
func TestOrphanAtReload(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	h := buildRolling(t, testPolicy, "", nil, parent)
	l := h.loader
	l.layout.now = func() time.Time { return h.at }
	foreign, _ := dns.NewRR("new.example.org. 3600 IN DS 4711 13 2 49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD")
	parent.has("new.example.org.", foreign.(*dns.DS))
	write(t, l.cfg.file, strings.Replace(testPolicy, "certificates:", "  new.example.org: {nameservers: [{name: ns.example.net}], issue: [le]}\ncertificates:", 1))
	l.look()
	l.look()
	if l.block.serving().zones.Zone("new.example.org.") != nil || !strings.Contains(string(l.source.Status().Problem), "new.example.org is not served: no served key matches the parent's DS") {
		t.Fatalf("served, or refused with %q", l.source.Status().Problem)
	}
	parent.has("new.example.org.")
	h.at = h.at.Add(10 * time.Minute) // a refused file is judged again
	l.source.Tick()
	l.settle()
	if z := l.block.serving().zones.Zone("new.example.org."); z == nil || z.Keys.Set == nil || l.source.Status().Problem != "" {
		t.Errorf("not served when the parent is right: %q", l.source.Status().Problem)
	}
}

// A parent that changes to another DS while we serve is reported, also after a restart: one bogus zone is no reason to
// stop serving the others. After a long stop it is unknown whether the keys or the DS are wrong.
func TestParentChanges(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	h := buildRolling(t, testPolicy, "", nil, parent)
	h.run(t, 6*time.Hour, func() { parent.follow(t, h.built, "example.org.") })
	foreign, _ := dns.NewRR("example.org. 3600 IN DS 4711 13 2 49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD")
	parent.has("example.org.", foreign.(*dns.DS))
	again := h.restart(t, nil, parent)
	if status := again.status("example.org."); !status.Problems[string(keyroll.Orphaned)] || len(status.Messages) != 1 {
		t.Errorf("not reported: %v", status)
	}
	again.at = again.at.Add(3 * time.Hour)
	late := again.restart(t, nil, parent)
	if messages := late.status("example.org.").Messages; len(messages) != 1 || !strings.Contains(messages[0], "no served key matches the parent's DS") {
		t.Errorf("after a long stop: %v", messages)
	}
	if m := ask(t, late, question("example.org.", dns.TypeCAA), true); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("after a long stop: %v", m)
	}
}

// A zone that moves here: with the override its keys are made and live as if there were no DS, and once the
// parent has the new one, all is as ever.
func TestMovingHere(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	foreign, _ := dns.NewRR("example.org. 3600 IN DS 4711 13 2 49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD")
	parent.has("example.org.", foreign.(*dns.DS))
	h := buildRolling(t, testPolicy, "orphan example.org", nil, parent)
	h.run(t, 4*time.Hour, func() {})
	if got := h.states("example.org."); !slices.Equal(got, []string{"CSK ready"}) {
		t.Fatalf("with another's DS: %q", got)
	}
	parent.follow(t, h.built, "example.org.")
	h.run(t, 4*time.Hour, func() { h.wantSecure(t, parent, "example.org.") })
	if got := h.states("example.org."); !slices.Equal(got, []string{"CSK active"}) {
		t.Errorf("with ours: %q", got)
	}
}

// The root has no parent, and waits for none.
func TestRootZone(t *testing.T) {
	t.Parallel()
	cfg, _ := configure(t, "version: 1\nissuers: {le: {domain: letsencrypt.org}}\nzones: {.: {nameservers: [{name: ns.example.net, addresses: [192.0.2.1]}], issue: [le]}}\n", "key auto $DIR/keys")
	cfg.setZones([]string{"."})
	first := &clocked{built: &built{loader: &loader{cfg: cfg}}, at: time.Now()}
	h := first.restart(t, nil, &registry{})
	steps := 0
	h.run(t, 6*time.Hour, func() { steps++ })
	if got := h.states("."); !slices.Equal(got, []string{"CSK ready"}) || steps > 20 {
		t.Errorf("%q after %d steps", got, steps)
	}
}

// When the folder cannot be read, the same keys are still served, and the error is reported once.
func TestFolderBreaks(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	h := buildRolling(t, testPolicy, "", nil, parent)
	before := h.loader.block.serving().zones.Zone("example.org.").Keys.Set
	states, err := filepath.Glob(filepath.Join(h.loader.cfg.keyDir, "Kexample.org.keyroll"))
	if err != nil || len(states) != 1 {
		t.Fatal(states, err)
	}
	if err := os.WriteFile(states[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.run(t, 4*time.Hour, func() {})
	if h.loader.block.serving().zones.Zone("example.org.").Keys.Set != before {
		t.Error("other keys are served")
	}
	if messages := h.status("example.org.").Messages; len(messages) != 1 {
		t.Errorf("reported %q", messages)
	}
	m := ask(t, h, question("www.example.org.", dns.TypeCAA), true)
	verify(t, h.built, m)
}

// RFC 7583 3.2.1: the largest TTL of the data is what was served, at least what is taken for granted of data
// that another plugin holds.
func TestDataTTL(t *testing.T) {
	t.Parallel()
	const long = 3 * 24 * 3600
	next := answers{"www.example.org.": saying(0, fmt.Sprintf("www.example.org. %d IN A 192.0.2.1", long))}
	parent := &registry{}
	h := buildRolling(t, overlayPolicy, "", next, parent)
	ttl := func() time.Duration { return h.status("example.org.").Zone.DataTTL.Largest }
	if got := ttl(); got != defaultDataTTL {
		t.Errorf("at first %v", got)
	}
	ask(t, h, question("www.example.org.", dns.TypeA), true)
	h.run(t, time.Hour, func() {})
	if got := ttl(); got != long*time.Second {
		t.Errorf("after an answer with a TTL of three days %v", got)
	}
	only := buildRolling(t, strings.Replace(testPolicy, "version: 1", "version: 1\nttl: 2h", 1), "", nil, parent)
	if got := only.status("example.org.").Zone.DataTTL.Largest; got != 2*time.Hour {
		t.Errorf("of a policy-only zone with a TTL of two hours %v", got)
	}
}

// Two servers on one folder: what one writes the other serves.
func TestSharedFolder(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	one := buildRolling(t, testPolicy, "", nil, parent)
	other := one.restart(t, nil, parent)
	one.run(t, 3*time.Hour, func() {})
	other.at = one.at
	if changed, _ := other.loader.block.keys.Look(t.Context()); !changed {
		t.Fatal("the other server sees nothing new")
	}
	other.loader.rekey()
	for _, rrtype := range []uint16{dns.TypeDNSKEY, dns.TypeCDS} {
		a, b := ask(t, one, question("example.org.", rrtype), true), ask(t, other, question("example.org.", rrtype), true)
		if len(a.Answer) == 0 || a.Answer[0].String() != b.Answer[0].String() {
			t.Errorf("%s: one serves %v, the other %v", dns.Type(rrtype), a.Answer, b.Answer)
		}
	}
}
