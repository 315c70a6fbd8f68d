package overlay

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns/coredns/plugin/test"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/dnswire"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// example are the zones of a policy, without a next plugin: compose has no one to ask.
func example(t *testing.T) *zones.Set {
	t.Helper()
	p, err := policy.Load("caa.yaml", []byte("version: 1\nissuers: {le: {domain: letsencrypt.org}}\nzones: {example.org: {issue: [le]}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := zones.NewSet(zones.Config{Policy: p, Zones: p.Zones, Keys: func(*policy.Zone) (*keyring.Keys, error) { return keyring.Unsigned(), nil },
		TTL: zones.NewTTLs(time.Hour, time.Hour), Signer: zonesign.NewSigner(zonesign.Config{}), Now: time.Now, Changed: time.Unix(1_790_000_000, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The second phase is pure: the message is made from what was gathered, and from nothing else.
func TestCompose(t *testing.T) {
	t.Parallel()
	set := example(t)
	z := set.Zone("example.org.")
	at := func(name string, r reading) nameData { return nameData{reading: r, view: z.At(name)} }
	www := reading{kind: alias, owner: "www.example.org.", target: "web.example.org.", set: []dns.RR{test.CNAME("www.example.org. 60 IN CNAME web.example.org.")}}
	d := reading{kind: alias, owner: "d.example.org.", target: "x.example.net.", set: []dns.RR{test.DNAME("d.example.org. 60 IN DNAME example.net.")}}
	for name, c := range map[string]struct {
		asked string
		qtype uint16
		way   way
		want  string
	}{
		"data": {"web.example.org.", dns.TypeA, way{ends: true, end: at("web.example.org.", reading{kind: exists, set: []dns.RR{test.A("web.example.org. 60 IN A 192.0.2.1")}})},
			"AA NOERROR: web.example.org. 60 A 192.0.2.1"},
		"a TTL that outlives signatures": {"web.example.org.", dns.TypeA, way{ends: true, end: at("web.example.org.", reading{kind: exists, set: []dns.RR{test.A("web.example.org. 9999999 IN A 192.0.2.1")}})},
			"AA NOERROR: web.example.org. 604800 A 192.0.2.1"},
		"an alias and its target": {"www.example.org.", dns.TypeA, way{aliases: []nameData{at("www.example.org.", www)}, ends: true,
			end: at("web.example.org.", reading{kind: exists, set: []dns.RR{test.A("web.example.org. 60 IN A 192.0.2.1")}})},
			"AA NOERROR: www.example.org. 60 CNAME web.example.org.; web.example.org. 60 A 192.0.2.1"},
		"a DNAME that leads out (RFC 6672 3.1)": {"x.d.example.org.", dns.TypeA, way{aliases: []nameData{at("x.d.example.org.", d)}},
			"AA NOERROR: d.example.org. 60 DNAME example.net.; x.d.example.org. 60 CNAME x.example.net."},
		"a name that does not exist (RFC 2308 2.1)": {"no.example.org.", dns.TypeA, way{ends: true, end: nameData{reading: reading{kind: noName}, view: z.At("no.example.org."), soaSet: z.SOA(), negative: 60}},
			"AA NXDOMAIN: authority: example.org. 60 SOA example.org. hostmaster.example.org. 1790000000 86400 7200 3600000 300"},
		"a referral (RFC 1034 4.3.2 3b)": {"x.cut.example.org.", dns.TypeA, way{ends: true, end: nameData{view: z.At("x.cut.example.org."),
			reading: reading{kind: cut, owner: "cut.example.org.", set: []dns.RR{test.NS("cut.example.org. 60 IN NS ns.cut.example.org.")}},
			glue:    []dns.RR{test.A("ns.cut.example.org. 60 IN A 192.0.2.53")}}},
			"NOERROR: authority: cut.example.org. 60 NS ns.cut.example.org.; additional: ns.cut.example.org. 60 A 192.0.2.53"},
	} {
		b, err := dnswire.NewBuilder(c.asked)
		if err != nil {
			t.Fatal(err)
		}
		q := Question{Type: c.qtype}
		composer := composing{composer: zones.Composer{Signer: set.Signer(), Answer: b}, question: q}
		if err := composer.compose(t.Context(), &c.way); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m := new(dns.Msg)
		if err := b.Finish().Reply(new(dns.Msg).SetQuestion(c.asked, c.qtype), dns.MaxMsgSize, m.Unpack); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := shown(m); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// shown is a message in a line.
func shown(m *dns.Msg) string {
	head := dns.RcodeToString[m.Rcode] + ":"
	if m.Authoritative {
		head = "AA " + head
	}
	out := []string{}
	for name, section := range map[string][]dns.RR{"": m.Answer, "authority: ": m.Ns, "additional: ": m.Extra} {
		for i, rr := range section {
			text := strings.ReplaceAll(strings.ReplaceAll(rr.String(), "\tIN\t", " "), "\t", " ")
			if i == 0 {
				text = name + text
			}
			out = append(out, fmt.Sprintf("%d%02d %s", len(name), i, text)) // in the order of the sections
		}
	}
	slices.Sort(out)
	for i := range out {
		_, out[i], _ = strings.Cut(out[i], " ")
	}
	return head + " " + strings.Join(out, "; ")
}
