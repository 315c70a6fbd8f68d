package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/test/world"
)

// branchingPolicy has nodes at several depths. Its last line takes a number, so that each load is a
// new revision with the same answers.
const branchingPolicy = `version: 1
report: [mailto:pki@example.org]
issuers:
  letsencrypt: {domain: letsencrypt.org}
  digicert: {domain: digicert.com}
zones:
  example.org:
    nameservers: [{name: ns1.example.org, addresses: [127.0.0.1]}]
    issue: [letsencrypt]
    issuewild: none
    names:
      shop: {issue: [digicert, letsencrypt]}
      dev: {issuewild: [letsencrypt]}
      deep.below.dev: {issue: none}
      revision: {report: [mailto:%d@example.org]}
`

// relevantSets are the CAA RRsets of that policy by node, sorted. A name has that of the closest
// node at or above it (RFC 8659 3).
var relevantSets = map[string][]string{
	"example.org.": {`0 iodef "mailto:pki@example.org"`, `0 issue "letsencrypt.org"`, `0 issuewild ";"`},
	"shop.example.org.": {`0 iodef "mailto:pki@example.org"`, `0 issue "digicert.com"`, `0 issue "letsencrypt.org"`,
		`0 issuewild ";"`},
	"dev.example.org.":            {`0 iodef "mailto:pki@example.org"`, `0 issue "letsencrypt.org"`, `0 issuewild "letsencrypt.org"`},
	"deep.below.dev.example.org.": {`0 iodef "mailto:pki@example.org"`, `0 issue ";"`, `0 issuewild "letsencrypt.org"`},
}

func relevantSet(name string) []string {
	for above := range dnsname.Up(dns.CanonicalName(name)) {
		if set, ok := relevantSets[above]; ok {
			return set
		}
	}
	return nil
}

const (
	reloads = 100
	// restartEvery is how many loads of the policy there are to one restart by CoreDNS itself.
	restartEvery = 10
	// reloadLimit is how long one may take before the test fails.
	reloadLimit = 30 * time.Second
)

// Whatever was asked before, and whatever the server is doing, every CAA answer is secure and is the
// policy's, and nothing is SERVFAIL: names that are nodes, are between or below them or are new, in
// any case, of any type, while the policy is reloaded a hundred times and CoreDNS restarts.
func TestReloadsAreNeverSeen(t *testing.T) {
	t.Parallel()
	key := world.NewKey(t, "example.org")
	files := map[string]string{"policy.yaml": fmt.Sprintf(branchingPolicy, 0)}
	maps.Copy(files, key.Files)
	server := world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml {
        key file $DIR/`+key.Name+`
        reload 100ms
    }
}
`, files)
	zone := world.Zone{Name: "example.org", Server: server.Addr, Anchor: key.DS}
	asker := newAsker(t, server.Addr)
	for _, start := range world.Resolvers {
		asker.resolvers = append(asker.resolvers, start(t, zone).Addr)
	}

	for n := range reloads {
		done := "Serving " + filepath.Join(server.Dir, "policy.yaml")
		if n%restartEvery == 0 {
			done = "Reloading complete"
		}
		before := strings.Count(server.Log(), done)
		if n%restartEvery == 0 {
			server.Signal(t, syscall.SIGUSR1)
		} else {
			world.WriteFile(t, filepath.Join(server.Dir, "policy.yaml"), fmt.Sprintf(branchingPolicy, n))
		}
		limit := time.Now().Add(reloadLimit)
		for strings.Count(server.Log(), done) == before {
			asker.ask()
			if t.Failed() || time.Now().After(limit) {
				t.Fatalf("load %d, after %d questions: a wrong answer, or %q was not logged within %v", n, asker.asked, done, reloadLimit)
			}
		}
	}
	t.Logf("%d questions", asker.asked)
}

// asker asks questions in an order that a seed fixes.
type asker struct {
	t         *testing.T
	random    *rand.Rand
	server    netip.AddrPort
	key       *dns.DNSKEY
	resolvers []netip.AddrPort
	asked     int
}

func newAsker(t *testing.T, server netip.AddrPort) *asker {
	t.Helper()
	return &asker{t: t, random: rand.New(rand.NewPCG(8659, 8198)), server: server, key: zoneKey(t, server)}
}

// zoneKey is the one key at the zone's apex.
func zoneKey(t *testing.T, server netip.AddrPort) *dns.DNSKEY {
	t.Helper()
	for _, rr := range world.Ask(t, server, "example.org", dns.TypeDNSKEY).Answer {
		if key, ok := rr.(*dns.DNSKEY); ok {
			return key
		}
	}
	t.Fatal("no DNSKEY at the apex")
	return nil
}

// ask puts one question to each resolver and, as a resolver with an empty cache would, to the
// server itself. Half of all questions are for CAA.
func (a *asker) ask() {
	a.t.Helper()
	name := a.name()
	qtype := dns.TypeCAA
	if a.random.IntN(2) == 0 {
		qtype = absentTypes[a.random.IntN(len(absentTypes))]
	}
	for _, resolver := range a.resolvers {
		answer := world.Ask(a.t, resolver, name, qtype)
		a.check(answer, name, qtype)
		if !answer.AuthenticatedData {
			a.t.Errorf("%s %s at the resolver %v is not authentic:\n%v", name, dns.TypeToString[qtype], resolver, answer)
		}
	}
	answer := world.Ask(a.t, a.server, name, qtype)
	a.check(answer, name, qtype)
	checkSignatures(a.t, a.key, answer)
	a.asked += 1 + len(a.resolvers)
}

var (
	owners   = slices.Sorted(maps.Keys(relevantSets))
	prefixes = []string{"", "", "www.", "a.b.c.", "below.", "*.", "_25._tcp."}
)

// name is that of a node or one below, in any case; one in four has a label that is new.
func (a *asker) name() string {
	name := prefixes[a.random.IntN(len(prefixes))] + owners[a.random.IntN(len(owners))]
	if a.random.IntN(4) == 0 {
		name = fmt.Sprintf("x%d.%s", a.random.Uint32(), name)
	}
	return strings.Map(func(r rune) rune {
		if a.random.IntN(2) == 0 {
			return unicode.ToUpper(r)
		}
		return r
	}, name)
}

// check compares an answer with the policy. Of a type other than CAA it checks only that the answer is neither a failure
// nor NXDOMAIN.
func (a *asker) check(answer *dns.Msg, name string, qtype uint16) {
	a.t.Helper()
	if answer.Rcode != dns.RcodeSuccess || answer.Question[0].Name != name {
		a.t.Errorf("%s %s: want NOERROR with the question as it was asked, got\n%v", name, dns.TypeToString[qtype], answer)
	}
	if qtype != dns.TypeCAA {
		return
	}
	got := world.Texts(answer.Answer, dns.TypeCAA)
	slices.Sort(got)
	if want := relevantSet(name); !slices.Equal(got, want) {
		a.t.Errorf("%s CAA: want %q, got\n%v", name, want, answer)
	}
}

// checkSignatures verifies the signature of each RRset that the server itself gives.
func checkSignatures(t *testing.T, key *dns.DNSKEY, answer *dns.Msg) {
	t.Helper()
	sets := map[uint16][]dns.RR{}
	signatures := map[uint16]*dns.RRSIG{}
	for _, rr := range slices.Concat(answer.Answer, answer.Ns) {
		if signature, ok := rr.(*dns.RRSIG); ok {
			signatures[signature.TypeCovered] = signature
		} else {
			sets[rr.Header().Rrtype] = append(sets[rr.Header().Rrtype], rr)
		}
	}
	if len(sets) == 0 {
		t.Errorf("neither data nor a denial:\n%v", answer)
	}
	for rrtype, set := range sets {
		if signature := signatures[rrtype]; signature == nil {
			t.Errorf("%s is not signed:\n%v", dns.TypeToString[rrtype], answer)
		} else if err := signature.Verify(key, set); err != nil {
			t.Errorf("the signature over %s: %v:\n%v", dns.TypeToString[rrtype], err, answer)
		}
	}
}
