// Package overlay proves the overlay: whatever holds the data of a zone below the plugin caa, what we
// answer is what BIND answers for the same data with the policy's CAA written in and signed by its own
// tools. Zones are made from seeds, with every construct that a zone can have; each answer of ours is
// checked on the wire (../wire), and compared with BIND's directly and through validating resolvers.
// Where the two differ by design, the difference is a row of a table with its reason.
package overlay

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/wire"
	"github.com/coredns-caa/caa/test/world"
)

const (
	// defaultSeeds are those of CI: each backend meets each resolver, every second one with NSEC3.
	defaultSeeds = 100
	// allSeeds are enough for each backend to meet each resolver with NSEC and with NSEC3, and for each difference to be seen.
	allSeeds = 200
)

var (
	seeds = flag.Int("overlay.seeds", defaultSeeds, "how many zones are made")
	from  = flag.Int("overlay.from", 0, "the first seed")
	every = flag.Bool("overlay.every", false, "ask for every type at each name, and through every resolver")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(world.Main(m))
}

// scene is all servers of the test.
type scene struct {
	made        []*zone
	ours, truth netip.AddrPort
	zones       wire.Zones
	resolvers   []pair
	asked       atomic.Int64
	again       atomic.Int64 // questions that a resolver had no answer to in time, and were asked again
}

// maxAgain is how many of a thousand questions may be asked again: a busy machine's, no more.
const maxAgain = 2

// pair is a resolver of one kind that asks us, and one that asks BIND.
type pair struct {
	name        string
	ours, truth netip.AddrPort
}

func TestSameAsBIND(t *testing.T) {
	t.Parallel()
	s := newScene(t, makeZones(*from, *seeds, backends), world.CoreDNS)
	s.compareAll(t)
	for i := range differences {
		t.Logf("%6d times: %s", differences[i].seen.Load(), differences[i].why)
	}
	if *seeds < allSeeds {
		return
	}
	for i := range differences {
		if d := &differences[i]; d.over == "" && d.seen.Load() == 0 {
			t.Errorf("not seen any more, to be taken out of the table: %s", differences[i].why)
		}
	}
}

// compareAll compares all zones.
func (s *scene) compareAll(t *testing.T) {
	t.Helper()
	t.Run("zones", func(t *testing.T) {
		for _, z := range s.made {
			t.Run(fmt.Sprintf("seed %d over %s", z.seed, z.behind.name), func(t *testing.T) {
				t.Parallel()
				s.compare(t, z)
			})
		}
	})
	t.Logf("%6d questions, %d asked again", s.asked.Load(), s.again.Load())
	if s.again.Load()*1000 > max(s.asked.Load(), 1000)*maxAgain {
		t.Errorf("%d of %d questions had no answer in time", s.again.Load(), s.asked.Load())
	}
}

// makeZones makes zones of consecutive seeds. Each knows another one behind the same plugin, its sibling.
func makeZones(from, n int, backends []backend) []*zone {
	apex := func(seed int) string { return fmt.Sprintf("z%d.test.", seed) }
	var zones []*zone
	for seed := from; seed < from+n; seed++ {
		sibling := seed + len(backends)
		if sibling >= from+n {
			sibling = from + (seed-from)%len(backends)
		}
		behind := &backends[seed%len(backends)]
		z := newZone(apex(seed), apex(sibling), uint64(seed), behind.wanted)
		z.behind, z.turn = behind, seed/len(backends)
		if behind.prune != nil {
			behind.prune(z)
		}
		zones = append(zones, z)
	}
	return zones
}

func newScene(t *testing.T, zones []*zone, run starter) *scene {
	t.Helper()
	keys := map[string]world.Key{}
	truth, source, children := map[string]string{outside: outsideData}, map[string]string{outside: outsideData}, map[string]string{}
	for _, z := range zones {
		keys[z.apex] = world.NewKey(t, z.apex)
		if truth[z.apex] = text(z.truth()); !z.behind.unsigned {
			truth[z.apex] = world.SignZone(t, z.apex, truth[z.apex], keys[z.apex], denials(z)...)
		}
		if source[z.apex] = text(z.rrs); z.behind.signedBy != nil {
			source[z.apex] = world.SignZone(t, z.apex, source[z.apex], world.NewKey(t, z.apex), z.behind.signedBy(z)...)
		}
		for cut := range z.cuts {
			children[cut] = child(cut)
		}
	}
	bind := world.Named(t, truth).Addr
	below := world.Named(t, children).Addr
	from := &sources{files: map[string]string{}, named: world.Named(t, source).Addr}
	if values := skydns(zones); len(values) > 0 {
		from.etcd = world.Etcd(t, values).Addr
	}
	ours := server(t, zones, keys, from, run).Addr

	s := &scene{made: zones, ours: ours, truth: bind}
	for _, z := range zones {
		held := wire.Zone{Apex: z.apex, Cuts: slices.Collect(maps.Keys(z.cuts))}
		if !z.behind.unsigned {
			held.Keys = dnskeys(t, ours, z.apex)
		}
		s.zones = append(s.zones, held)
	}
	for _, name := range slices.Sorted(maps.Keys(world.Variants)) {
		start := world.Variants[name]
		s.resolvers = append(s.resolvers, pair{name, start(t, known(zones, keys, ours, below)...).Addr, start(t, known(zones, keys, bind, below)...).Addr})
	}
	return s
}

// denials are dnssec-signzone's options: NSEC for one half of the zones, NSEC3 for the other.
func denials(z *zone) []string {
	if (z.turn+z.turn/len(world.Variants))%2 == 0 {
		return withNSEC(z)
	}
	return []string{"-3", "-", "-H", "0"}
}

func withNSEC(*zone) []string { return nil }

// child is a zone below a cut.
func child(apex string) string {
	return fmt.Sprintf("%[1]s 60 SOA ns.%[1]s h.%[1]s 1 7200 3600 1209600 60\n%[1]s 60 NS ns.%[1]s\nns.%[1]s 60 A 127.0.0.1\nwww.%[1]s 60 A 192.0.2.77\nwww.%[1]s 60 CAA 0 issue \"of.the.child.example\"\n", apex)
}

// known is what a resolver is configured with: zones below others first.
func known(zones []*zone, keys map[string]world.Key, server, below netip.AddrPort) []world.Zone {
	var out []world.Zone
	for _, z := range zones {
		for cut := range z.cuts {
			out = append(out, world.Zone{Name: cut, Server: below})
		}
	}
	for _, z := range zones {
		zone := world.Zone{Name: z.apex, Server: server}
		if !z.behind.unsigned {
			zone.Anchor = keys[z.apex].DS
		}
		out = append(out, zone)
	}
	return append(out, world.Zone{Name: outside, Server: server})
}

func dnskeys(t *testing.T, server netip.AddrPort, apex string) []*dns.DNSKEY {
	t.Helper()
	var keys []*dns.DNSKEY
	for _, rr := range world.Ask(t, server, apex, dns.TypeDNSKEY).Answer {
		if key, ok := rr.(*dns.DNSKEY); ok {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		t.Fatalf("no DNSKEY at %s", apex)
	}
	return keys
}

// compare asks for every name, and some or all types, in an order that the seed fixes.
func (s *scene) compare(t *testing.T, z *zone) {
	t.Helper()
	random := rand.New(rand.NewPCG(z.seed, 4035))
	var questions []dns.Question
	types := z.asked(random)
	for _, name := range z.names(random) {
		these := types
		if !*every {
			these = z.someAsked(random, name, types)
		}
		for _, qtype := range these {
			questions = append(questions, dns.Question{Name: mixed(random, name), Qtype: qtype, Qclass: dns.ClassINET})
		}
	}
	random.Shuffle(len(questions), func(i, j int) { questions[i], questions[j] = questions[j], questions[i] })
	resolvers := s.resolvers
	if !*every {
		one := (z.turn + int(z.seed)) % len(resolvers)
		resolvers = resolvers[one : one+1]
	}
	s.asked.Add(int64(len(questions)))
	for _, q := range questions {
		s.direct(t, z, q, random)
		for _, r := range resolvers {
			if unaskable(z, q) {
				continue
			}
			s.through(t, z, q, r)
		}
	}
}

func mixed(random *rand.Rand, name string) string {
	return strings.Map(func(r rune) rune {
		if random.IntN(2) == 0 {
			return unicode.ToUpper(r)
		}
		return r
	}, name)
}

// direct asks both servers themselves, and has our answer checked on the wire.
func (s *scene) direct(t *testing.T, z *zone, q dns.Question, random *rand.Rand) {
	t.Helper()
	asked := new(dns.Msg)
	asked.Id, asked.Question = dns.Id(), []dns.Question{q}
	if n := random.IntN(10); n > 0 {
		asked.SetEdns0(1232, n > 1)
		asked.IsEdns0().SetCo(n > 6)
	}
	answer := world.ExchangeWire(t, s.ours, asked)
	meaning, faults := s.zones.Check(asked, answer, time.Now())
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		if z.behind.unsigned && q.Qtype != dns.TypeCAA {
			break // the next plugin's own
		}
		t.Errorf("%s %s: %v\n%v", q.Name, dns.Type(q.Qtype), f, m)
	}
	plain := new(dns.Msg)
	plain.Id, plain.Question = dns.Id(), []dns.Question{q}
	theirs := world.Exchange(t, s.truth, plain)
	packed, err := theirs.Pack()
	if err != nil {
		t.Fatal(err)
	}
	want, _ := s.zones.Check(plain, packed, time.Now())
	c := &comparison{z: z, q: q, via: directly, ours: view{kind: meaning.Kind, rcode: m.Rcode}, truth: view{kind: want.Kind, rcode: theirs.Rcode}}
	c.ours.read(m, z.apex, z.behind.cached)
	c.truth.read(theirs, z.apex, z.behind.cached)
	c.check(t, m, theirs)
}

// through asks both servers through a resolver, which must say the same of both.
func (s *scene) through(t *testing.T, z *zone, q dns.Question, r pair) {
	t.Helper()
	ours, theirs := world.Ask(t, r.ours, q.Name, q.Qtype), world.Ask(t, r.truth, q.Name, q.Qtype)
	forwards := strings.HasPrefix(r.name, "knot-resolver") && z.cutAbove(q.Name) // see differences
	if ours.Rcode == dns.RcodeServerFailure && theirs.Rcode != ours.Rcode && !saysBogus(ours) && !forwards {
		t.Logf("%s %s at %s had no answer: %v", q.Name, dns.Type(q.Qtype), r.name, ours)
		s.again.Add(1)
		ours = world.Ask(t, r.ours, q.Name, q.Qtype) // a busy machine: it had no answer in time
	}
	c := &comparison{z: z, q: q, via: r.name, ours: view{rcode: ours.Rcode, secure: ours.AuthenticatedData}, truth: view{rcode: theirs.Rcode, secure: theirs.AuthenticatedData}}
	c.ours.read(ours, ".", true)
	c.truth.read(theirs, ".", true)
	if q.Qtype != dns.TypeDNAME {
		c.ours.forgetDNAMEs()
		c.truth.forgetDNAMEs()
	}
	c.check(t, ours, theirs)
}

// forgetDNAMEs leaves the aliases that are made from them. Knot-resolver remembers those alone; unbound has
// a DNAME twice where two answers that it remembers had it with different TTLs.
func (v *view) forgetDNAMEs() {
	v.records = slices.DeleteFunc(v.records, func(record string) bool { return strings.Contains(record, " in dname ") })
}

// saysBogus reports whether a resolver says that an answer did not validate (RFC 8914 4.2 to 4.13).
func saysBogus(m *dns.Msg) bool {
	opt := m.IsEdns0()
	return opt != nil && slices.ContainsFunc(opt.Option, func(o dns.EDNS0) bool {
		ede, ok := o.(*dns.EDNS0_EDE)
		return ok && ede.InfoCode >= dns.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm && ede.InfoCode <= dns.ExtendedErrorCodeNSECMissing
	})
}

// view is what of an answer must be the same.
type view struct {
	kind    wire.Kind
	rcode   int
	secure  bool
	records []string // of the answer, or of a referral
}

// read fills in the records of a zone, without signatures, and without TTLs where they may have been
// counted down.
func (v *view) read(m *dns.Msg, apex string, countedDown bool) {
	section := m.Answer
	if v.kind == wire.Referral && len(section) == 0 {
		section = m.Ns
	}
	for _, rr := range section {
		h := rr.Header()
		if h.Rrtype == dns.TypeRRSIG || v.kind == wire.Referral && h.Rrtype != dns.TypeNS || !dns.IsSubDomain(apex, h.Name) {
			continue
		}
		rr = dns.Copy(rr)
		if countedDown {
			rr.Header().Ttl = 0
		}
		rr.Header().Name = dns.CanonicalName(h.Name)
		record := strings.Join(strings.Fields(rr.String()), " ")
		if withNames[h.Rrtype] {
			record = strings.ToLower(record)
		}
		v.records = append(v.records, record)
	}
	slices.Sort(v.records)
}

// withNames are the types whose RDATA has names that we answer in lower case, since they are signed so (RFC
// 4034 6.2), and those whose names the plugin file lowers.
var withNames = map[uint16]bool{dns.TypeNS: true, dns.TypeCNAME: true, dns.TypeSOA: true, dns.TypePTR: true, dns.TypeMX: true, dns.TypeRP: true,
	dns.TypeSRV: true, dns.TypeNAPTR: true, dns.TypeDNAME: true, dns.TypeSVCB: true, dns.TypeHTTPS: true}

// comparison is one question's two answers.
type comparison struct {
	z           *zone
	q           dns.Question
	via         string
	ours, truth view
}

// check fails the test where the answers differ and no row of the table says why they may.
func (c *comparison) check(t *testing.T, ours, theirs *dns.Msg) {
	t.Helper()
	for i := range differences {
		if differences[i].apply(c) {
			differences[i].seen.Add(1)
		}
	}
	if c.same() {
		return
	}
	t.Errorf("%s %s %s: want %v\ngot %v\nours: %v\nBIND's: %v", c.q.Name, dns.Type(c.q.Qtype), c.via, c.truth, c.ours, ours, theirs)
}
