package overlay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// truth is what every resolver must believe of a zone over a backend that answers by type, and of what its aliases and
// cuts lead to.
type truth struct {
	apex     string
	rrs      map[string][]dns.RR // by canonical owner
	names    []string            // to ask for, relative to the apex, "@" for that
	insecure []string            // apices below which nothing is signed
	children []string            // the apices of zones below cuts
}

// newTruth reads the truth of a zone over a backend. ds are the DS of signed zones below cuts, by their apex.
func newTruth(apex, text, absent string, ds map[string]string) (*truth, error) {
	z := &truth{apex: apex, rrs: map[string][]dns.RR{}, insecure: []string{outside}}
	if err := z.add(apex, text); err != nil {
		return nil, err
	}
	owners := map[string]bool{}
	for owner, rrs := range z.rrs {
		owners[relative(owner, apex)] = true
		if owner != apex && slices.ContainsFunc(rrs, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeNS }) {
			z.children = append(z.children, owner)
			owners["www."+relative(owner, apex)] = true
		}
	}
	for _, name := range strings.Fields(absent) {
		owners[name] = true
	}
	for name := range owners {
		z.names = append(z.names, name)
	}
	slices.Sort(z.names)
	for _, child := range z.children {
		delete(z.rrs, child) // its NS there are the child's to say
		delete(z.rrs, "ns."+child)
		if ds[child] == "" {
			z.insecure = append(z.insecure, child)
		}
		if err := z.add(child, childZone+ds[child]); err != nil {
			return nil, err
		}
	}
	return z, z.add(outside, outsideData)
}

func relative(name, apex string) string {
	if name == apex {
		return "@"
	}
	return strings.TrimSuffix(name, "."+apex)
}

func (z *truth) add(apex, text string) error {
	parser := dns.NewZoneParser(strings.NewReader("$TTL 60\n"+text), apex, "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		owner := dns.CanonicalName(rr.Header().Name)
		z.rrs[owner] = append(z.rrs[owner], rr)
	}
	return parser.Err()
}

// absolute is a name of the zone.
func (z *truth) absolute(name string) string { return strings.TrimPrefix(name+"."+z.apex, "@.") }

// belief is what a resolver says to a question.
type belief struct {
	rcode   int
	records []string // of the answer, sorted, without signatures, DNAME and TTLs
	secure  bool
}

func (b belief) String() string {
	return fmt.Sprintf("%s, secure %t: %s", dns.RcodeToString[b.rcode], b.secure, strings.Join(b.records, "; "))
}

func (b belief) equal(c belief) bool {
	return b.rcode == c.rcode && b.secure == c.secure && slices.Equal(b.records, c.records)
}

// believed reads an answer.
func believed(m *dns.Msg, qtype uint16) belief {
	b := belief{rcode: m.Rcode, secure: m.AuthenticatedData}
	for _, rr := range m.Answer {
		// An alias made from DNAME is what counts: some resolvers show it alone.
		if t := rr.Header().Rrtype; t != dns.TypeRRSIG && (t != dns.TypeDNAME || qtype == dns.TypeDNAME) {
			b.records = append(b.records, record(rr))
		}
	}
	slices.Sort(b.records)
	return b
}

// record is a record without its TTL. Names are the same in any case.
func record(rr dns.RR) string {
	data := strings.TrimPrefix(rr.String(), rr.Header().String())
	if withNames[rr.Header().Rrtype] {
		data = strings.ToLower(data)
	}
	return dns.CanonicalName(rr.Header().Name) + " " + dns.Type(rr.Header().Rrtype).String() + " " + data
}

// want is what every resolver must believe, whatever it was asked before. No name of the zone is ever denied as a
// whole.
func (z *truth) want(name string, qtype uint16) belief {
	b := belief{rcode: dns.RcodeSuccess, secure: true}
	for name = z.absolute(name); ; {
		b.secure = b.secure && z.secure(name, qtype)
		aliases := z.at(name, dns.TypeCNAME)
		if len(aliases) == 0 || qtype == dns.TypeCNAME {
			break
		}
		b.records = append(b.records, record(aliases[0]))
		name = dns.CanonicalName(aliases[0].(*dns.CNAME).Target)
	}
	for _, rr := range z.at(name, qtype) {
		b.records = append(b.records, record(rr))
	}
	if qtype == dns.TypeCAA && dns.IsSubDomain(z.apex, name) && z.child(name) == "" {
		b.records = append(b.records, z.caa(name))
	}
	if dns.IsSubDomain(outside, name) && z.rrs[name] == nil {
		b.rcode = dns.RcodeNameError // a zone of the plugin file alone
	}
	slices.Sort(b.records)
	return b
}

func (z *truth) at(name string, qtype uint16) []dns.RR {
	return slices.DeleteFunc(slices.Clone(z.rrs[name]), func(rr dns.RR) bool { return rr.Header().Rrtype != qtype })
}

// secure reports whether what is known of a name and type validates: DS is the parent's.
func (z *truth) secure(name string, qtype uint16) bool {
	return !slices.ContainsFunc(z.insecure, func(apex string) bool {
		return dns.IsSubDomain(apex, name) && !(apex == name && qtype == dns.TypeDS)
	})
}

// child is the zone below a cut that a name is in, "" for none.
func (z *truth) child(name string) string {
	for _, child := range z.children {
		if dns.IsSubDomain(child, name) {
			return child
		}
	}
	return ""
}

// caa is the policy's at a name.
func (z *truth) caa(name string) string {
	for _, other := range digiCertAt {
		if dns.IsSubDomain(z.absolute(other), name) {
			return name + " " + digiCert
		}
	}
	return name + " " + letsEncrypt
}

// question is one about a zone, by a relative name.
type question struct {
	name  string
	qtype uint16
}

func (q question) String() string { return q.name + " " + dns.Type(q.qtype).String() }

// typesAsked are put to each name. What answers ANY no resolver agrees on (RFC 8482), but it learns from it.
var typesAsked = []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeCAA, dns.TypeCNAME, dns.TypeNS, dns.TypeSOA, dns.TypeDS, dns.TypeHTTPS, dns.TypeMX, dns.TypeANY}

// order is the questions about some names of a zone, or all for 0, in the order of a number. For each even number the
// questions about one name begin with another two of its types, in turn, the rest being random; each odd one is the
// reverse of the one before, so that any two questions come in both orders. Questions about different names mix.
func (z *truth) order(seed uint64, number, some int) []question {
	random := rand.New(rand.NewPCG(seed, uint64(number/2)))
	names := slices.Clone(z.names)
	random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	if some > 0 {
		names = names[:min(some, len(names))]
	}
	var mixed []int // indices of names
	byName := make([][]question, len(names))
	for i, name := range names {
		first := number/2*7 + slices.Index(z.names, name)*3 // names begin at different ones
		for _, qtype := range beginning(random, first) {
			if z.askable(z.absolute(name), qtype) {
				byName[i] = append(byName[i], question{name, qtype})
				mixed = append(mixed, i)
			}
		}
	}
	random.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	out := make([]question, len(mixed))
	for n, i := range mixed {
		out[n], byName[i] = byName[i][0], byName[i][1:]
	}
	if number%2 == 1 {
		slices.Reverse(out)
	}
	return out
}

// askable reports whether the answer to a question depends on us alone.
func (z *truth) askable(name string, qtype uint16) bool {
	child, alias := z.child(name), z.at(name, dns.TypeCNAME)
	switch qtype {
	case dns.TypeDS:
		switch {
		case name == z.apex: // the zone above answers
			return false
		case child != "" && child != name: // CoreDNS hands it to the zone above the child
			return false
		case len(alias) > 0: // PowerDNS Recursor ends with it
			target := dns.CanonicalName(alias[0].(*dns.CNAME).Target)
			return dns.IsSubDomain(z.apex, target) && len(z.at(target, dns.TypeCNAME)) == 0
		}
	case dns.TypeANY: // file denies ANY, which BIND takes for a denial of all types
		return child == ""
	case dns.TypeCNAME: // unbound fails below a DNAME, whoever answers
		for above := name; above != z.apex; {
			if above = dnsname.Parent(above); len(z.at(above, dns.TypeDNAME)) > 0 {
				return false
			}
		}
	}
	return true
}

// beginning are the types with the pair of a number first, and the rest in random order.
func beginning(random *rand.Rand, pair int) []uint16 {
	n := len(typesAsked)
	pair %= n * (n - 1)
	first, second := pair/(n-1), pair%(n-1)
	if second >= first {
		second++
	}
	rest := slices.Clone(typesAsked)
	rest = slices.DeleteFunc(rest, func(t uint16) bool { return t == typesAsked[first] || t == typesAsked[second] })
	random.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	return append([]uint16{typesAsked[first], typesAsked[second]}, rest...)
}
