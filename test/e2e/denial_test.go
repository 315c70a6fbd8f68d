package e2e

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/wire"
	"github.com/coredns-caa/caa/test/world"
)

const denialData = `$ORIGIN example.net.
$TTL 300
@      SOA  ns1 hostmaster 1 7200 3600 1209600 60
@      NS   ns1
ns1    A    127.0.0.1
www    A    192.0.2.1
a.ent  A    192.0.2.2
alias  CNAME www
tonx   CNAME nope
d      DNAME www
*.wild A    192.0.2.3
cut    NS   ns.cut
ns.cut A    127.0.0.1
`

const denialPolicy = policyOnly + `  example.net:
    issue: [letsencrypt]
    names: {shop: {issue: none}, new.under: {issue: none}}
`

// The types that a question may have and a zone may not hold, and those that a denial itself is made of (RFC 4034 4,
// RFC 9824 3.5, RFC 6895 3.1).
var denialTypes = []uint16{dns.TypeNSEC, dns.TypeRRSIG, dns.TypeNXNAME, dns.TypeNSEC3, dns.TypeNSEC3PARAM, dns.TypeANY, dns.TypeDNSKEY,
	dns.TypeDS, dns.TypeMX, dns.TypeTKEY, dns.TypeMAILB, 65280}

// denialNames are all kinds of names, of a policy-only zone and of an overlay.
var denialNames = []string{"example.org", "www.example.org", "random.example.org", "deep.er.www.example.org", "ns1.example.org",
	"example.net", "www.example.net", "ent.example.net", "nope.example.net", "x.nope.example.net", "nope.www.example.net", "shop.example.net", "under.example.net",
	"alias.example.net", "tonx.example.net", "d.example.net", "x.d.example.net", "x.wild.example.net", "cut.example.net", "x.cut.example.net"}

// A question for the types that denials are made of is answered as authentically as any other: a compact denial claims
// NSEC and RRSIG at a name that does not exist, so it must not deny them there.
func TestDenialsOfTheirOwnTypes(t *testing.T) {
	t.Parallel()
	org, net := world.NewKey(t, "example.org"), world.NewKey(t, "example.net")
	files := map[string]string{"policy.yaml": denialPolicy, "example.net.db": denialData}
	maps.Copy(files, org.Files)
	maps.Copy(files, net.Files)
	server := world.CoreDNS(t, `example.org:$PORT example.net:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml {
        key file $DIR/`+org.Name+` $DIR/`+net.Name+`
    }
    file $DIR/example.net.db example.net
}
`, files)
	child := world.Named(t, map[string]string{"cut.example.net": `$ORIGIN cut.example.net.
$TTL 300
@  SOA ns hostmaster 1 7200 3600 1209600 60
@  NS  ns
ns A   127.0.0.1
x  A   192.0.2.9
`})
	zones := []world.Zone{
		{Name: "cut.example.net", Server: child.Addr},
		{Name: "example.org", Server: server.Addr, Anchor: org.DS},
		{Name: "example.net", Server: server.Addr, Anchor: net.DS},
	}
	t.Run("packed", func(t *testing.T) {
		t.Parallel()
		held := wire.Zones{{Apex: "example.org.", Keys: keysOf(t, server, "example.org.")},
			{Apex: "example.net.", Keys: keysOf(t, server, "example.net."), Cuts: []string{"cut.example.net."}}}
		for _, name := range denialNames {
			for _, qtype := range denialTypes {
				for flags, change := range map[string]func(*dns.Msg){"DO": func(*dns.Msg) {}, "no DO": noDO, "CO": func(m *dns.Msg) { m.IsEdns0().SetCo(true) }} {
					asked := askDO(dns.Fqdn(name), qtype)
					asked.Id = dns.Id()
					change(asked)
					answer := world.ExchangeWire(t, server.Addr, asked)
					if _, faults := held.Check(asked, answer, time.Now()); len(faults) > 0 {
						m := new(dns.Msg)
						t.Errorf("%s %s, %s: %v (%v) in\n%v", name, dns.Type(qtype), flags, faults, m.Unpack(answer), m)
					}
				}
			}
		}
	})
	for kind, start := range world.Variants {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			resolver := start(t, zones...).Addr
			for _, name := range denialNames {
				for _, qtype := range denialTypes {
					// What other types are answered with must not depend on what was asked before.
					through(t, resolver, kind, name, qtype)
					through(t, resolver, kind, name, dns.TypeCAA)
				}
			}
		})
	}
}

// through asks a resolver, which must find our answer authentic. A resolver answers itself for what is no type of data.
func through(t *testing.T, resolver netip.AddrPort, kind, name string, qtype uint16) {
	t.Helper()
	cut, knot := strings.HasSuffix(name, "cut.example.net"), strings.HasPrefix(kind, "knot-resolver")
	if cut && knot {
		return // it forwards, and does not ask the parent of a cut
	}
	m := world.Ask(t, resolver, name, qtype)
	if m.Rcode == dns.RcodeServerFailure && !saysBogus(m) {
		m = world.Ask(t, resolver, name, qtype) // a busy machine: it had no answer in time
	}
	failed, authentic := m.Rcode != dns.RcodeSuccess, m.AuthenticatedData
	switch {
	case saysBogus(m):
		t.Errorf("%s %s is bogus:\n%v", name, dns.Type(qtype), m)
	case notData[qtype], qtype == dns.TypeANY && knot: // knot-resolver refuses all questions for ANY
	case qtype == dns.TypeDS && dns.CountLabel(name) == 2: // at an apex, which is the parent's, and there is none
	case cut: // the child is unsigned
		if failed || authentic && (qtype != dns.TypeDS || name != "cut.example.net") {
			t.Errorf("%s %s: want an insecure answer, got\n%v", name, dns.Type(qtype), m)
		}
	case failed, !authentic && qtype != dns.TypeRRSIG: // RRSIGs have no signature themselves
		t.Errorf("%s %s: want an authentic answer, got\n%v", name, dns.Type(qtype), m)
	case qtype == dns.TypeNSEC && len(world.Texts(m.Answer, dns.TypeNSEC)) == 0:
		t.Errorf("%s NSEC: want it in the answer, got\n%v", name, m)
	}
}

// notData are the types that no zone holds.
var notData = map[uint16]bool{dns.TypeNXNAME: true, dns.TypeTKEY: true, dns.TypeMAILB: true}

// saysBogus reports whether a resolver says that an answer did not validate (RFC 8914 4.6 to 4.13).
func saysBogus(m *dns.Msg) bool {
	opt := m.IsEdns0()
	return opt != nil && slices.ContainsFunc(opt.Option, func(o dns.EDNS0) bool {
		ede, ok := o.(*dns.EDNS0_EDE)
		return ok && ede.InfoCode >= dns.ExtendedErrorCodeDNSSECIndeterminate && ede.InfoCode <= dns.ExtendedErrorCodeNSECMissing
	})
}

func keysOf(t *testing.T, server *world.Process, apex string) []*dns.DNSKEY {
	t.Helper()
	var keys []*dns.DNSKEY
	for _, rr := range world.Ask(t, server.Addr, apex, dns.TypeDNSKEY).Answer {
		if key, ok := rr.(*dns.DNSKEY); ok {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		t.Fatalf("no DNSKEY at %s", apex)
	}
	return keys
}
