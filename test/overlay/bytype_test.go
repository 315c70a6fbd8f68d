package overlay

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// A next plugin may answer one type of a name as if it knew no other: etcd and kubernetes show an alias to
// questions for an address alone, template and etcd answer NXDOMAIN to what they have no rule for, and behind
// forward and grpc may be any of them. Whatever is asked first, a validating resolver that keeps denials (RFC
// 8198) must believe the same of the name in the end: an alias is one for all types (RFC 1034 3.6.2), and what
// exists is denied to nobody (RFC 8020 2).

// byTypeApex is the zone in each of the worlds.
const byTypeApex = "example.test."

// kindOfName is a sort of name of which a world has as many as there are orders of questions: www0, www1...
type kindOfName struct {
	prefix string
	// want is the answer to each type as every resolver must give it, "" for one without records. %s is the name.
	want map[uint16]string
}

// byTypeWorld is a backend that answers by type.
type byTypeWorld struct {
	name  string
	full  bool                              // needs the plugins that the lean server lacks
	lines func(s *byTypeData) string        // under caa
	make  func(t *testing.T, s *byTypeData) // starts what the lines refer to; nil for nothing
	names []kindOfName
}

// byTypeData is what the backends are made from.
type byTypeData struct {
	orders int
	files  map[string]string
	behind netip.AddrPort
}

const (
	letsEncrypt = `CAA 0 issue "letsencrypt.org"`
	digiCert    = `CAA 0 issue "digicert.com"`
)

// asked are the types that are put to each name, in every order that the seeds give.
var asked = []uint16{dns.TypeCNAME, dns.TypeCAA, dns.TypeA, dns.TypeTXT, dns.TypeMX, dns.TypeDS}

// hiddenAlias is an alias to `web`, which has an address, and CAA of its own by the policy.
func hiddenAlias(prefix string) kindOfName {
	alias := "%s CNAME web." + byTypeApex
	return kindOfName{prefix, map[uint16]string{
		dns.TypeCNAME: alias,
		dns.TypeCAA:   alias + "; web." + byTypeApex + " " + digiCert,
		dns.TypeA:     alias + "; web." + byTypeApex + " A 192.0.2.80",
		dns.TypeTXT:   alias, dns.TypeMX: alias, dns.TypeDS: alias,
	}}
}

// addressOnly has an address, and CAA by the policy's inheritance.
func addressOnly(prefix string) kindOfName {
	return kindOfName{prefix, map[uint16]string{dns.TypeA: "%s A 192.0.2.1", dns.TypeCAA: "%s " + letsEncrypt}}
}

// nonTerminal has no records of the data, and a name below it has.
func nonTerminal(prefix string) kindOfName {
	return kindOfName{prefix, map[uint16]string{dns.TypeCAA: "%s " + letsEncrypt}}
}

const templateRules = `    template IN A {
        match ^www[0-9]+[.]
        answer "{{ .Name }} 60 IN CNAME web.example.test."
        answer "web.example.test. 60 IN A 192.0.2.80"
        fallthrough
    }
    template IN AAAA {
        match ^www[0-9]+[.]
        answer "{{ .Name }} 60 IN CNAME web.example.test."
        fallthrough
    }
    template IN CNAME {
        match ^www[0-9]+[.]
        answer "{{ .Name }} 60 IN CNAME web.example.test."
        fallthrough
    }
    template IN A {
        match ^app[0-9]+[.]
        answer "{{ .Name }} 60 IN A 192.0.2.1"
        fallthrough
    }
    file $DIR/db
`

const templateData = `example.test. 300 SOA ns.example.test. h.example.test. 1 7200 3600 1209600 60
example.test. 300 NS ns.example.test.
ns.example.test. 300 A 127.0.0.1
web.example.test. 300 A 192.0.2.80
a.ent.example.test. 300 A 192.0.2.3
`

// behindPlugin starts a CoreDNS with the rules, for forward and grpc.
func behindPlugin(scheme string) func(t *testing.T, s *byTypeData) {
	return func(t *testing.T, s *byTypeData) {
		s.behind = world.CoreDNS(t, scheme+"example.test:$PORT {\n    bind $ADDR\n"+templateRules+"}\n", map[string]string{"db": templateData}).Addr
	}
}

var byTypeWorlds = []byTypeWorld{
	{name: "template over file", lines: func(s *byTypeData) string {
		s.files["db"] = templateData
		return templateRules
	}, names: []kindOfName{hiddenAlias("www"), addressOnly("app"), nonTerminal("nope")}},
	{name: "forward to template over file", make: behindPlugin(""), lines: func(s *byTypeData) string {
		return "    forward . " + s.behind.String() + "\n"
	}, names: []kindOfName{hiddenAlias("www"), addressOnly("app"), nonTerminal("nope")}},
	{name: "grpc to template over file", make: behindPlugin("grpc://"), lines: func(s *byTypeData) string {
		return "    grpc . " + s.behind.String() + "\n"
	}, names: []kindOfName{hiddenAlias("www"), addressOnly("app")}},
	{name: "hosts", lines: func(s *byTypeData) string {
		var b strings.Builder
		b.WriteString("    hosts {\n        192.0.2.9 example.test\n")
		for i := range s.orders {
			fmt.Fprintf(&b, "        192.0.2.1 app%d.example.test\n", i)
		}
		return b.String() + "    }\n"
	}, names: []kindOfName{addressOnly("app")}},
	// file passes on questions about names that it lacks, empty non-terminals among them, and auto denies these.
	{name: "file with fallthrough over auto", lines: func(s *byTypeData) string {
		s.files["db"], s.files["auto/db.example.test"] = templateData, templateData
		for i := range s.orders {
			s.files["db"] += fmt.Sprintf("app%d.example.test. 60 A 192.0.2.1\nx.ent%d.example.test. 60 A 192.0.2.1\nwww%d.example.test. 60 CNAME web.example.test.\n", i, i, i)
		}
		return "    file $DIR/db {\n        fallthrough\n    }\n    auto {\n        directory $DIR/auto\n    }\n"
	}, names: []kindOfName{nonTerminal("ent"), {"x.ent", addressOnly("").want}, addressOnly("app"), hiddenAlias("www")}},
	// A name of hosts may stand below one that neither plugin knows.
	{name: "hosts with fallthrough over file", lines: func(s *byTypeData) string {
		s.files["db"] = templateData
		lines := "    hosts {\n"
		for i := range s.orders {
			lines += fmt.Sprintf("        192.0.2.1 x.ent%d.example.test\n", i)
		}
		return lines + "        fallthrough\n    }\n    file $DIR/db\n"
	}, names: []kindOfName{nonTerminal("ent"), {"x.ent", addressOnly("").want}}},
	{name: "etcd as external-dns fills it", full: true, make: func(t *testing.T, s *byTypeData) {
		s.behind = world.Etcd(t, externalDNS(s.orders)).Addr
	}, lines: func(s *byTypeData) string {
		return "    etcd {\n        endpoint http://" + s.behind.String() + "\n        no_apex_fallback\n    }\n"
	}, names: []kindOfName{hiddenAlias("www"), addressOnly("app"), {"goto", map[uint16]string{ // a host with a text is an address or a text to the plugin, and no alias
		dns.TypeTXT: `%s TXT "heritage=external-dns"`, dns.TypeCAA: "%s " + letsEncrypt,
	}}}},
}

// externalDNS are keys as external-dns writes them: the heritage beside the address or alias, and once more under a
// name of the registry's own.
func externalDNS(n int) map[string]string {
	values := map[string]string{
		"/skydns/test/example/web/0e24061": `{"host":"192.0.2.80","targetstrip":1}`,
	}
	for i := range n {
		values[fmt.Sprintf("/skydns/test/example/app%d/2c23e944", i)] = `{"host":"192.0.2.1","text":"heritage=external-dns","targetstrip":1}`
		values[fmt.Sprintf("/skydns/test/example/a-app%d/00e24061", i)] = `{"text":"heritage=external-dns","targetstrip":1}`
		values[fmt.Sprintf("/skydns/test/example/www%d/149a1668", i)] = `{"host":"web.example.test","targetstrip":1}`
		values[fmt.Sprintf("/skydns/test/example/goto%d/149a1668", i)] = `{"host":"web.example.test","text":"heritage=external-dns","targetstrip":1}`
		values[fmt.Sprintf("/skydns/test/example/cname-www%d/3ee06812", i)] = `{"text":"heritage=external-dns","targetstrip":1}`
	}
	return values
}

const byTypePolicy = `version: 1
issuers:
  letsencrypt: {domain: letsencrypt.org}
  digicert: {domain: digicert.com}
zones:
  example.test:
    issue: [letsencrypt]
    names: {web: {issue: [digicert]}}
`

// ordersOf is in how many orders the questions about each kind of name are put.
const ordersOf = 12

// The order of questions changes nothing that a resolver believes, and nothing is bogus.
func TestAnswersByType(t *testing.T) {
	t.Parallel()
	for _, w := range byTypeWorlds {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s := &byTypeData{orders: ordersOf, files: map[string]string{"policy.yaml": byTypePolicy}}
			if w.make != nil {
				w.make(t, s)
			}
			key := world.NewKey(t, byTypeApex)
			for name, text := range key.Files {
				s.files[name] = text
			}
			run := world.CoreDNS
			if w.full {
				run = world.FullCoreDNS
			}
			ours := run(t, "example.test:$PORT {\n    bind $ADDR\n    errors\n    caa $DIR/policy.yaml {\n        key file $DIR/"+key.Name+
				"\n        reload off\n    }\n"+w.lines(s)+"}\n", s.files)
			zone := world.Zone{Name: byTypeApex, Server: ours.Addr, Anchor: key.DS}
			for name, start := range world.Validators {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					w.through(t, start(t, zone).Addr)
				})
			}
		})
	}
}

// through asks for all names in many orders, and then once more: by then the resolver keeps what it has learned.
func (w *byTypeWorld) through(t *testing.T, resolver netip.AddrPort) {
	for order := range ordersOf {
		types := slices.Clone(asked)
		rand.New(rand.NewPCG(uint64(order), 0)).Shuffle(len(types), func(i, j int) { types[i], types[j] = types[j], types[i] })
		for _, kind := range w.names {
			name := fmt.Sprintf("%s%d.%s", kind.prefix, order, byTypeApex)
			for round := range 2 {
				for i, qtype := range types {
					want := strings.ReplaceAll(kind.want[qtype], "%s", name)
					m := world.Ask(t, resolver, name, qtype)
					if got := inShort(m); got != want || !m.AuthenticatedData {
						t.Errorf("%s %s, round %d, after %v:\n  got %s\n want %s\n%v", name, dns.Type(qtype), round, typeNames(types[:i]), got, want, m)
						return
					}
				}
			}
		}
	}
	for _, qtype := range []uint16{dns.TypeSOA, dns.TypeNS, dns.TypeCAA, dns.TypeMX} {
		if m := world.Ask(t, resolver, byTypeApex, qtype); m.Rcode != dns.RcodeSuccess || !m.AuthenticatedData || qtype == dns.TypeSOA && len(m.Answer) == 0 {
			t.Errorf("%s %s: %v", byTypeApex, dns.Type(qtype), m)
		}
	}
}

func typeNames(types []uint16) (names []string) {
	for _, qtype := range types {
		names = append(names, dns.Type(qtype).String())
	}
	return names
}

// inShort is an answer's code, unless it is NOERROR, and its records without signatures and TTLs.
func inShort(m *dns.Msg) string {
	var out []string
	if m.Rcode != dns.RcodeSuccess {
		out = append(out, dns.RcodeToString[m.Rcode])
	}
	for _, rr := range m.Answer {
		if h := rr.Header(); h.Rrtype != dns.TypeRRSIG {
			data := strings.TrimPrefix(rr.String(), h.String())
			out = append(out, strings.ToLower(h.Name)+" "+dns.Type(h.Rrtype).String()+" "+data)
		}
	}
	return strings.Join(out, "; ")
}
