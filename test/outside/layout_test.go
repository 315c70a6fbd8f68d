package outside

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/test/world"
)

// held is one zone of a layout, and the servers that have it, by their place in the list of servers.
type held struct {
	name      string
	at        []int
	delegated []int // where the parent says that it is; nil for at
	unsigned  bool
	denial    denial
	text      string
	other     map[int]string // what servers have instead, by their place
}

// layout serves zones as a test lays them out, below a root of their own. A server is nil where nobody listens.
func layout(t *testing.T, servers []world.Authority, zones ...held) served {
	t.Helper()
	addrs := world.FreeSubnet(t, 1+len(servers))
	for i, start := range servers {
		if isNamed(t, start) { // it takes no address that no interface has
			addrs[1+i] = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addrs[0].Port())
		}
	}
	zones = append([]held{{name: "."}}, zones...)
	slices.SortStableFunc(zones, func(a, b held) int { return dns.CountLabel(b.name) - dns.CountLabel(a.name) })
	keys, now := ring{}, time.Now()
	made := map[string]*zone{}
	for _, h := range zones {
		made[h.name] = newZone(h.name)
	}
	sign := func(z *zone, h held) {
		if z.denial = h.denial; !h.unsigned {
			z.ksk = keys.key(h.name, dns.ECDSAP256SHA256, 257, 0)
			z.zsk = z.ksk
		}
		z.sign(now.Add(-24*time.Hour), now.Add(20*24*time.Hour))
	}
	out := served{where: map[string][]netip.AddrPort{".": addrs[:1]}, port: addrs[0].Port()}
	texts := make([]map[string]string, len(servers))
	for i := range texts {
		texts[i] = map[string]string{}
	}
	ns := func(z *zone, h held, at []int) {
		for _, i := range at {
			z.add("%[1]s NS ns%[2]d.%[1]s\nns%[2]d.%[1]s %[3]s", h.name, i, addressOf(addrs[1+i]))
		}
	}
	for _, h := range zones { // the children first, whose DS records their parents sign
		z := made[h.name]
		if h.name == "." {
			z.add("@ SOA ns.root. hostmaster.root. 1 7200 3600 1209600 60\n@ NS ns.root.\nns.root. %s", addressOf(addrs[0]))
		} else {
			z.add("@ SOA ns%d hostmaster 1 7200 3600 1209600 60\n%s", h.at[0], h.text)
			ns(z, h, h.at)
		}
		sign(z, h)
		if h.name == "." {
			continue
		}
		parent := dnsname.Parent(h.name)
		for made[parent] == nil {
			parent = dnsname.Parent(parent)
		}
		delegated := h.delegated
		if delegated == nil {
			delegated = h.at
		}
		ns(made[parent], h, delegated)
		if !h.unsigned {
			ds := z.ksk.ToDS(dns.SHA256)
			ds.Hdr.Ttl = 300
			made[parent].put(ds)
		}
		for _, i := range h.at {
			texts[i][h.name] = z.text()
		}
		for i, text := range h.other {
			old := newZone(h.name)
			old.add("@ SOA ns%d hostmaster 1 7200 3600 1209600 60\n%s", i, text)
			ns(old, h, h.at)
			sign(old, h)
			texts[i][h.name] = old.text()
		}
		for _, i := range delegated {
			out.where[h.name] = append(out.where[h.name], addrs[1+i])
		}
	}
	root := made["."]
	world.NSD(t, addrs[0], map[string]string{".": root.text()})
	for i, start := range servers {
		if start != nil {
			start(t, addrs[1+i], texts[i])
		}
	}
	out.anchor = root.ksk.ToDS(dns.SHA256)
	var err error
	if out.hints, err = resolve.Records(fmt.Sprintf(". NS ns.root.\nns.root. A %s\n", addrs[0].Addr()), "hints"); err != nil {
		t.Fatal(err)
	}
	return out
}

// isNamed tells BIND from the others: functions cannot be compared.
func isNamed(t *testing.T, a world.Authority) bool {
	t.Helper()
	return a != nil && fmt.Sprintf("%p", a) == fmt.Sprintf("%p", world.Authority(world.NamedAt))
}

// through is the checker's resolver behind another one.
func (s served) through(t testing.TB, at netip.AddrPort) *resolve.Resolver {
	t.Helper()
	r, err := resolve.New(resolve.Config{Only: at, Recursive: true, Anchors: []dns.RR{s.anchor}, Rate: -1, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wanted is what is to become of one issuer at a name.
type wanted struct{ name, issuer, outcome string }

// checkAll checks names as caacheck does.
func checkAll(t *testing.T, r *resolve.Resolver, all []wanted) *report.Report {
	t.Helper()
	var jobs []check.Job
	for _, w := range all {
		s, err := certname.Parse(w.name)
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, check.Jobs([]certname.Name{s}, []string{w.issuer}, guard.Requirement{})...)
	}
	return report.Of(check.New(r, jobs, check.Options{At: time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC)}).Run(t.Context(), check.Progress{}))
}

// hold checks the verdicts of a report, and that no error was found but those of some codes.
func hold(t *testing.T, found *report.Report, all []wanted, codes ...string) {
	t.Helper()
	for i, w := range all {
		v := found.Names[i].Verdicts[0]
		if v.Outcome.String() != w.outcome {
			t.Errorf("%s, %s: %s (%s) %s; want %s", w.name, w.issuer, v.Outcome, v.Reason, v.Detail, w.outcome)
		}
	}
	seen := map[string]bool{}
	for _, f := range found.Findings {
		seen[f.Code] = true
		if f.Severity == catalog.Error && !slices.Contains(codes, f.Code) {
			t.Errorf("found %s at %s: %s\n  %s", f.Code, f.Subject, f.Text, strings.Join(f.Evidence, "\n  "))
		}
	}
	for _, code := range codes {
		if !seen[code] {
			t.Errorf("%s was not found", code)
		}
	}
}

// aliases lead from one zone into others in every way that zones have.
const aliases = `
@        CAA 0 issue "letsencrypt.org"
@        CAA 0 issuewild "letsencrypt.org"
here     A 192.0.2.1
host     CNAME www.pages.
own      CNAME own.pages.
gone     CNAME gone.pages.
wild     CNAME x.wild.pages.
hop      CNAME hop.pages.
hops     CNAME gone.hop.pages.
cut      CNAME www.sub.pages.
nocut    CNAME gone.sub.pages.
mine     CNAME www.sub.shop.
lost     CNAME gone.sub.shop.
inner    CNAME here
tree     DNAME pages.
bush     DNAME sub.pages.
*.any    CNAME www.pages.
*.none   CNAME gone.pages.
*.theirs CNAME own.pages.
*.child  CNAME www.sub.shop.
*.nochild CNAME gone.sub.shop.
*.round  CNAME home.pages.
around   CNAME x.child
`

const targets = `
www      A 192.0.2.2
own      CAA 0 issue "sectigo.com"
*.wild   A 192.0.2.3
hop      CNAME www.third.
gone.hop CNAME gone.third.
home     CNAME www.sub.shop.
`

const host = "www A 192.0.2.4\n"

// toAliases are the names of aliases, with who may issue for them: by the target's own CAA or, where it has none,
// by the alias's zone (RFC 8659 3).
func toAliases() []wanted {
	var out []wanted
	for _, name := range []string{"here", "host", "gone", "wild", "hop", "hops", "cut", "nocut", "mine", "lost", "inner", "www.tree", "gone.tree", "x.wild.tree", "hop.tree", "www.sub.tree", "www.bush", "gone.bush", "a.any", "a.none", "a.child", "a.nochild", "a.round", "around"} {
		out = append(out, wanted{name + ".shop", "letsencrypt.org", "may issue"}, wanted{name + ".shop", "sectigo.com", "locked out"})
	}
	for _, name := range []string{"own", "own.tree", "a.theirs"} {
		out = append(out, wanted{name + ".shop", "sectigo.com", "may issue"}, wanted{name + ".shop", "letsencrypt.org", "locked out"})
	}
	for _, name := range []string{"www.below.gone.shop", "gone.below.gone.shop"} {
		out = append(out, wanted{name, "letsencrypt.org", "may issue"})
	}
	return out
}

// intoUnsigned are names to which unbound may answer SERVFAIL, by its own fault: a wildcard's alias leads them into a zone
// below, where there is no CAA. Whether it does depends on that zone, and on what denials servers send along.
var intoUnsigned = []string{"a.child.shop", "a.nochild.shop", "a.round.shop", "around.shop"}

// asMisread is what is to become of issuers where unbound answers as it does.
func asMisread(t *testing.T, unbound netip.AddrPort, all []wanted) (out []wanted, codes []string) {
	t.Helper()
	for _, w := range all {
		if w.outcome == "may issue" && slices.Contains(intoUnsigned, w.name) && ofResolver(unbound, dns.Fqdn(w.name)).Rcode == dns.RcodeServerFailure {
			w.outcome, codes = "at risk", []string{"wildcard-alias-misread"}
		}
		out = append(out, w)
	}
	return out, codes
}

// An alias's target is its own zone's affair: whether that is signed, and who serves it, makes no difference to a
// name that has no other fault (RFC 4035 3.1, 5.3.1; RFC 6672). Servers that have both zones answer for both at once, and
// so do resolvers; some write the target in the case of the question (RFC 1035 4.1.4).
func TestAliasesBetweenZones(t *testing.T) {
	t.Parallel()
	nsec3 := denial{nsec3: true}
	optOut := denial{nsec3: true, optOut: true}
	makes := []struct {
		name  string
		start world.Authority
	}{{"NSD", world.NSD}, {"Knot", world.Knot}, {"BIND", world.NamedAt}}
	kinds := []struct {
		name                           string
		shop, shopSub, pages, sub, hop bool // unsigned
		denial, target                 denial
		apart                          bool // on two servers, too
	}{
		{"signed", false, false, false, false, false, denial{}, denial{}, true},
		{"signed, NSEC3", false, false, false, false, false, nsec3, nsec3, false},
		{"signed, NSEC3 behind NSEC", false, false, false, false, false, denial{}, optOut, false},
		{"target unsigned", false, true, true, true, true, denial{}, denial{}, false},
		{"below the target unsigned", false, true, false, true, true, optOut, denial{}, false},
		{"alias unsigned", true, true, false, false, false, denial{}, nsec3, false},
		{"unsigned", true, true, true, true, true, denial{}, denial{}, true},
	}
	for _, make := range makes {
		for _, kind := range kinds {
			for _, two := range []bool{false, true} {
				name := fmt.Sprintf("%s, %s", kind.name, make.name)
				servers, second := []world.Authority{make.start}, 0
				if two {
					if isNamed(t, make.start) || !kind.apart { // of loopback BIND takes one address
						continue
					}
					name += ", two servers"
					servers, second = append(servers, make.start), 1
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					s := layout(t, servers,
						held{name: "shop.", at: []int{0}, unsigned: kind.shop, denial: kind.denial, text: aliases},
						held{name: "below.gone.shop.", at: []int{0}, unsigned: kind.shopSub, denial: kind.denial, text: host},
						held{name: "sub.shop.", at: []int{0}, unsigned: kind.shopSub, denial: kind.target, text: host},
						held{name: "pages.", at: []int{second}, unsigned: kind.pages, denial: kind.target, text: targets},
						held{name: "sub.pages.", at: []int{second}, unsigned: kind.sub, denial: kind.denial, text: host},
						held{name: "third.", at: []int{second}, unsigned: kind.hop, denial: kind.denial, text: host},
					)
					unbound := s.unbound(t)
					all, codes := asMisread(t, unbound, toAliases())
					if misreads := kind.shopSub && !kind.shop; misreads != (codes != nil) {
						t.Errorf("unbound misreads wildcards' aliases: %v", codes != nil)
					}
					t.Run("from the root", func(t *testing.T) { hold(t, checkAll(t, s.resolver(t), all), all, codes...) })
					t.Run("through unbound", func(t *testing.T) { hold(t, checkAll(t, s.through(t, unbound), all), all, codes...) })
				})
			}
		}
	}
}

// A server that has a zone and the one above it answers for the lower one itself, whatever the delegation says. What a CA
// finds then depends on the server that its resolver comes upon (RFC 1034 4.3.2, 4.2.2), and so it does where servers of
// the zone above delegate differently.
func TestChildrenOnTheirParentsServers(t *testing.T) {
	t.Parallel()
	const a, b, c, dead = 0, 1, 2, 3
	const (
		ours   = "@ CAA 0 issue \"letsencrypt.org\"\nwww A 192.0.2.1\n"
		theirs = "@ CAA 0 issue \"sectigo.com\"\nwww A 192.0.2.1\n"
	)
	com := held{name: "com.", at: []int{a, b}}
	child := func(at, delegated []int) held {
		return held{name: "child.com.", at: at, delegated: delegated, text: ours}
	}
	with := func(h held, change func(*held)) held { change(&h); return h }
	gone := func(h *held) { h.other = map[int]string{b: "@ CAA 0 issue \"sectigo.com\""} }
	tests := []struct {
		name    string
		zones   []held
		outcome string
		codes   []string
	}{
		{"elsewhere", []held{com, child([]int{c}, nil)}, "may issue", nil},
		{"on both servers of its parent", []held{com, child([]int{a, b}, nil)}, "may issue", nil},
		{"on one of them", []held{com, child([]int{a}, nil)}, "may issue", nil},
		{"on the other", []held{com, child([]int{b}, nil)}, "may issue", nil},
		{"on one of them and elsewhere", []held{com, child([]int{a, c}, nil)}, "may issue", nil},
		{"on the other and elsewhere", []held{com, child([]int{b, c}, nil)}, "may issue", nil},
		{"on both, and delegated elsewhere, which nobody says", []held{com, child([]int{a, b}, []int{dead})}, "may issue", nil},
		{"on one of them, and delegated to the dead", []held{com, child([]int{a}, []int{dead})}, "at risk", []string{"server-unreachable"}},
		{"on the other, and delegated to the dead", []held{com, child([]int{b}, []int{dead})}, "at risk", []string{"server-unreachable"}},
		{"below it, too", []held{com, child([]int{a}, []int{dead}), {name: "www.child.com.", at: []int{a}, text: ours}}, "at risk", []string{"server-unreachable"}},
		{"delegated to the dead, and to one that lives", []held{com, child([]int{a, c}, []int{c, dead})}, "may issue", []string{"server-unreachable"}},
		{"an old copy on one of them", []held{com, with(child([]int{c}, nil), func(h *held) { h.other = map[int]string{a: theirs} })}, "at risk", nil},
		{"an old copy on the other", []held{com, with(child([]int{c}, nil), func(h *held) { h.other = map[int]string{b: theirs} })}, "at risk", nil},
		{"a copy on one of them", []held{com, with(child([]int{c}, nil), func(h *held) { h.other = map[int]string{a: ours} })}, "may issue", nil},
		{"not delegated by the other", []held{with(com, gone), child([]int{c}, nil)}, "at risk", []string{"parent-servers-differ"}},
	}
	for _, tt := range tests {
		for _, unsigned := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, unsigned %v", tt.name, unsigned), func(t *testing.T) {
				t.Parallel()
				zones := slices.Clone(tt.zones)
				for i := range zones {
					zones[i].unsigned = unsigned
				}
				s := layout(t, []world.Authority{world.NSD, world.Knot, world.NSD, nil}, zones...)
				all := []wanted{{"www.child.com", "letsencrypt.org", tt.outcome}}
				hold(t, checkAll(t, s.resolver(t), all), all, tt.codes...)
			})
		}
	}
}
