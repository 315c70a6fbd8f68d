package outside

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/test/lab"
	"github.com/coredns-caa/caa/test/world"
)

// Each of these worlds has one fault, and there is exactly one finding that is more than good to know. Its text says what is
// wrong, where, and since when if that can be known. Most are on real servers of other makes; what none of these can be made
// to do is in the lab.

// faulty is one world: a zone on two servers, with one fault.
type faulty struct {
	what    string
	servers [2]string // makes; of the second "nowhere" is an address where nobody listens
	build   func(*forge)
	code    string
	text    []string // in the finding's text; %z is the zone, %1 and %2 its servers, %d the day of the fault
	fix     string   // in its fix
}

// forge makes the zone of one world.
type forge struct {
	keys  ring
	now   time.Time
	name  string
	addrs [2]netip.AddrPort
	texts [2]string // what each server has; "" for not the zone
	ds    []*dns.DS
	more  string // in the parent
	when  time.Time
}

const aDay = 24 * time.Hour

// zone is the zone with records besides SOA, NS and addresses.
func (f *forge) zone(serial int, records string) *zone {
	z := newZone(f.name)
	z.add("@ SOA ns1 hostmaster %d 7200 3600 1209600 60\n@ NS ns1\n@ NS ns2\nns1 %s\nns2 %s\n%s", serial, addressOf(f.addrs[0]), addressOf(f.addrs[1]), records)
	return z
}

const permitting = `www CAA 0 issue "letsencrypt.org"`

// signed signs a zone with the n-th key of an algorithm, and publishes its DS record if it is the first.
func (f *forge) signed(z *zone, algorithm uint8, n int, begin, end time.Time) *zone {
	z.ksk = f.keys.key(f.name, algorithm, 257, n)
	z.zsk = z.ksk
	z.sign(begin, end)
	if len(f.ds) == 0 {
		f.ds = []*dns.DS{z.ksk.ToDS(dns.SHA256)}
	}
	return z
}

// well is the zone as it should be.
func (f *forge) well(records string) *zone {
	return f.signed(f.zone(7, records), dns.ECDSAP256SHA256, 0, f.now.Add(-aDay), f.now.Add(20*aDay))
}

// both serves a zone on both servers.
func (f *forge) both(z *zone) { f.texts = [2]string{z.text(), z.text()} }

// over has the first server with the zone as it should be, and the second with another copy.
func (f *forge) over(other *zone) { f.texts = [2]string{f.well(permitting).text(), other.text()} }

// until is the zone with signatures of a validity of 14 days that end at a time.
func (f *forge) until(end time.Time) *zone {
	f.when = end
	return f.signed(f.zone(7, permitting), dns.ECDSAP256SHA256, 0, end.Add(-14*aDay), end)
}

// lame leaves the second server without the zone.
func lame(f *forge) { f.texts[0] = f.well(permitting).text() }

func expiredSecondary(f *forge) { f.over(f.until(f.now.Add(-2 * aDay))) }

func stale(f *forge) {
	f.texts = [2]string{f.zone(7, permitting).text(), f.zone(5, `www CAA 0 issue "sectigo.com"`).text()}
}

var faultWorlds = []faulty{
	{what: "expired everywhere", servers: [2]string{"nsd", "knot"}, build: func(f *forge) { f.both(f.until(f.now.Add(-3 * aDay))) }, code: "signature-expired", text: []string{"%z", "expired", "%d"}},
	{what: "an expired secondary, NSD", servers: [2]string{"knot", "nsd"}, build: expiredSecondary, code: "signature-expired", text: []string{"%2: ", "RRsets, all expired on %d"}, fix: "transfer"},
	{what: "an expired secondary, Knot DNS", servers: [2]string{"nsd", "knot"}, build: expiredSecondary, code: "signature-expired", text: []string{"%2: ", "RRsets, all expired on %d"}, fix: "transfer"},
	{what: "an expired secondary, BIND", servers: [2]string{"nsd", "bind"}, build: expiredSecondary, code: "signature-expired", text: []string{"%2: ", "RRsets, all expired on %d"}, fix: "transfer"},
	{what: "a signer whose clock is fast", servers: [2]string{"nsd", "knot"}, build: func(f *forge) {
		f.when = f.now.Add(2 * aDay)
		f.both(f.signed(f.zone(7, permitting), dns.ECDSAP256SHA256, 0, f.when, f.when.Add(14*aDay)))
	}, code: "signature-not-yet-valid", text: []string{"%z", "not valid before", "%d"}, fix: "clock"},
	{what: "a signer that stopped", servers: [2]string{"knot", "nsd"}, build: func(f *forge) { f.both(f.until(f.now.Add(20 * time.Hour))) }, code: "signature-expires-in-hours", text: []string{"expire within hours", "%d"}},
	{what: "a secondary without signatures", servers: [2]string{"nsd", "bind"}, build: func(f *forge) { f.over(f.zone(7, permitting)) }, code: "signature-missing", text: []string{"%2: ", "no signature"}},
	{what: "the parent has the old key", servers: [2]string{"nsd", "knot"}, build: func(f *forge) {
		f.ds = []*dns.DS{f.keys.key(f.name, dns.ECDSAP256SHA256, 257, 1).ToDS(dns.SHA256)}
		f.both(f.signed(f.zone(7, permitting), dns.ECDSAP256SHA256, 0, f.now.Add(-aDay), f.now.Add(20*aDay)))
	}, code: "ds-without-key", text: []string{"%z DNSKEY", "DS RRset matches no key"}, fix: "DS "},
	{what: "servers with keys of their own", servers: [2]string{"nsd", "knot"}, build: func(f *forge) {
		f.over(f.signed(f.zone(7, permitting), dns.ECDSAP256SHA256, 1, f.now.Add(-aDay), f.now.Add(20*aDay)))
	}, code: "keys-differ", text: []string{"%z", "%1", "%2", "different DNSKEY RRsets"}, fix: "the same keys"},
	{what: "a record that was changed after signing", servers: [2]string{"knot", "bind"}, build: func(f *forge) {
		z := f.well(permitting)
		z.rrs["www."+f.name][dns.TypeCAA][0].(*dns.CAA).Value = "sectigo.com"
		f.over(z)
	}, code: "signature-wrong", text: []string{"%2: ", "www.%z CAA", "does not verify"}},
	{what: "bitmaps without CAA", servers: [2]string{"nsd", "knot"}, build: func(f *forge) {
		z := f.well(permitting)
		for name, sets := range z.rrs {
			if rr := sets[dns.TypeNSEC]; rr != nil {
				dropType(rr[0], dns.TypeCAA)
				z.resign(name, dns.TypeNSEC, rr, f.now.Add(-aDay), f.now.Add(20*aDay))
			}
		}
		f.both(z)
	}, code: "denial-hides-caa", text: []string{"%1", "%2", "www.%z", "hide the CAA RRset"}},
	{what: "NSEC3 with a hundred and one iterations", servers: [2]string{"nsd", "bind"}, build: func(f *forge) {
		z := f.zone(7, permitting)
		z.denial = denial{nsec3: true, iterations: 101}
		f.both(f.signed(z, dns.ECDSAP256SHA256, 0, f.now.Add(-aDay), f.now.Add(20*aDay)))
	}, code: "nsec3-iterations-high", text: []string{"%z has 101 iterations", "BIND 9.20, Knot Resolver 5.7.1, PowerDNS Recursor 5, Google Public DNS treat", "insecure"}, fix: "NSEC3PARAM 1 0 0 -"},
	{what: "signed with RSASHA1", servers: [2]string{"nsd", "knot"}, build: func(f *forge) {
		f.both(f.signed(f.zone(7, permitting), dns.RSASHA1, 0, f.now.Add(-aDay), f.now.Add(20*aDay)))
	}, code: "algorithm-deprecated", text: []string{"%z", "RSASHA1", "differ"}},
	{what: "DS with SHA-1 alone", servers: [2]string{"knot", "nsd"}, build: func(f *forge) {
		z := f.well(permitting)
		f.ds = []*dns.DS{z.ksk.ToDS(dns.SHA1)}
		f.both(z)
	}, code: "ds-sha1", text: []string{"%z", "SHA-1", "differ"}, fix: " 13 2 "},
	{what: "signed, and the parent does not know", servers: [2]string{"nsd", "bind"}, build: func(f *forge) {
		f.both(f.well(permitting))
		f.ds = nil
	}, code: "key-without-ds", text: []string{"%z is signed", "no DS RRset"}, fix: "DS "},
	{what: "lame, NSD", servers: [2]string{"knot", "nsd"}, build: lame, code: "server-lame", text: []string{"%2: lame delegation", "%z"}},
	{what: "lame, Knot DNS", servers: [2]string{"nsd", "knot"}, build: lame, code: "server-lame", text: []string{"%2: lame delegation", "%z"}},
	{what: "lame, BIND", servers: [2]string{"nsd", "bind"}, build: lame, code: "server-lame", text: []string{"%2: lame delegation", "%z"}},
	{what: "a secondary that never got the zone", servers: [2]string{"nsd", "stranded"}, build: lame, code: "server-fails", text: []string{"%2: ", "%z", "SERVFAIL", "no valid copy"}, fix: "load the zone"},
	{what: "a server that is down", servers: [2]string{"nsd", "nowhere"}, build: lame, code: "server-unreachable", text: []string{"%2: no reply over UDP or TCP"}},
	{what: "a stale secondary, Knot DNS", servers: [2]string{"nsd", "knot"}, build: stale, code: "servers-differ", text: []string{"www.%z", "%2 is behind, at serial 5 instead of 7"}, fix: "transfer"},
	{what: "a stale secondary, BIND", servers: [2]string{"knot", "bind"}, build: stale, code: "servers-differ", text: []string{"www.%z", "%2 is behind, at serial 5 instead of 7"}, fix: "transfer"},
	{what: "a delegation to a server without an address", servers: [2]string{"nsd", "knot"}, build: func(f *forge) {
		f.both(f.well(permitting))
		f.more = "%z NS ns.nowhere.test."
	}, code: "server-without-address", text: []string{"ns.nowhere.test: ", "%z", "no address"}},
	{what: "no CAA", servers: [2]string{"nsd", "bind"}, build: func(f *forge) { f.both(f.well("www A 192.0.2.1")) }, code: "caa-missing", text: []string{"no CAA at or above www.%z"}},
	{what: "aliases in a circle", servers: [2]string{"knot", "bind"}, build: func(f *forge) { f.both(f.well("www CNAME a\na CNAME www")) }, code: "alias-loop", text: []string{"loops", "www.%z"}},
	{what: "a misspelt issuer", servers: [2]string{"nsd", "knot"}, build: func(f *forge) { f.both(f.well(`www CAA 0 issue "letsencrypt.com"`)) }, code: "issuer-misspelt", text: []string{"letsencrypt.com", "did you mean letsencrypt.org", "www.%z"}, fix: `CAA 0 issue "letsencrypt.org"`},
}

func TestOneFaultIsOneFinding(t *testing.T) {
	t.Parallel()
	now := time.Now()
	keys := ring{}
	addrs := world.FreeSubnet(t, 8)
	makes := map[string]netip.AddrPort{
		"nsd": addrs[2], "knot": addrs[3], "bind": netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addrs[0].Port()), // it takes no address that no interface has
		"stranded": addrs[4], "nowhere": addrs[5],
	}
	files := map[string]map[string]string{}
	for software := range makes {
		files[software] = map[string]string{}
	}
	root, test := newZone("."), newZone("test.")
	root.add("@ SOA a.root. hostmaster.root. 1 7200 3600 1209600 60\n@ NS a.root.\na.root. %s\ntest. NS a.nic.test.\ntest. NS b.nic.test.\na.nic.test. %s\nb.nic.test. %s", addressOf(addrs[0]), addressOf(addrs[1]), addressOf(addrs[6]))
	test.add("@ SOA a.nic hostmaster.nic 1 7200 3600 1209600 60\n@ NS a.nic\n@ NS b.nic\na.nic %s\nb.nic %s", addressOf(addrs[1]), addressOf(addrs[6]))
	forges := make([]*forge, len(faultWorlds))
	for i, w := range faultWorlds {
		f := &forge{keys: keys, now: now, name: fmt.Sprintf("f%d.test.", i), addrs: [2]netip.AddrPort{makes[w.servers[0]], makes[w.servers[1]]}}
		w.build(f)
		for k, software := range w.servers {
			if f.texts[k] != "" {
				files[software][f.name] = f.texts[k]
			}
		}
		if w.servers[1] == "stranded" {
			files["stranded"][f.name] = ""
		}
		test.add("%[1]s NS ns1.%[1]s\n%[1]s NS ns2.%[1]s\nns1.%[1]s %[2]s\nns2.%[1]s %[3]s\n%[4]s", f.name, addressOf(f.addrs[0]), addressOf(f.addrs[1]), strings.ReplaceAll(f.more, "%z", f.name))
		for _, ds := range f.ds {
			ds.Hdr.Ttl = 300
			test.put(ds)
		}
		forges[i] = f
	}
	for _, z := range []*zone{test, root} {
		z.ksk = keys.key(z.name, dns.ECDSAP256SHA256, 257, 0)
		z.zsk = z.ksk
		z.sign(now.Add(-aDay), now.Add(20*aDay))
		if z == test {
			ds := z.ksk.ToDS(dns.SHA256)
			ds.Hdr.Ttl = 300
			root.put(ds)
		}
	}
	world.NSD(t, addrs[0], map[string]string{".": root.text()})
	for _, at := range []netip.AddrPort{addrs[1], addrs[6]} {
		world.NSD(t, at, map[string]string{"test.": test.text()})
	}
	world.NSD(t, makes["nsd"], files["nsd"])
	world.Knot(t, makes["knot"], files["knot"])
	world.NamedAt(t, makes["bind"], files["bind"])
	var stranded []string
	for name := range files["stranded"] {
		stranded = append(stranded, name)
	}
	world.StrandedKnot(t, makes["stranded"], makes["nowhere"], stranded)
	hints, err := resolve.Records(fmt.Sprintf(". NS a.root.\na.root. A %s\n", addrs[0].Addr()), "hints")
	if err != nil {
		t.Fatal(err)
	}
	cfg := resolve.Config{Hints: hints, Anchors: []dns.RR{root.ksk.ToDS(dns.SHA256)}, Port: addrs[0].Port(), Rate: -1, Timeout: time.Second, NoIPv6: true}
	t.Run("real", func(t *testing.T) {
		for i, w := range faultWorlds {
			t.Run(w.what, func(t *testing.T) {
				t.Parallel()
				f := forges[i]
				server := func(k int) string {
					return fmt.Sprintf("ns%d.%s (%s)", k+1, strings.TrimSuffix(f.name, "."), f.addrs[k].Addr())
				}
				words := strings.NewReplacer("%z", strings.TrimSuffix(f.name, "."), "%1", server(0), "%2", server(1), "%d", f.when.UTC().Format("2 January 2006"))
				oneFinding(t, cfg, "www."+f.name, w.code, w.text, w.fix, words)
			})
		}
	})
	t.Run("lab", func(t *testing.T) {
		for _, w := range labFaults {
			t.Run(w.what, func(t *testing.T) {
				t.Parallel()
				w.run(t)
			})
		}
	})
	if n := len(faultWorlds) + len(labFaults); n < 40 {
		t.Errorf("%d worlds", n)
	}
	t.Logf("%d worlds on real servers, %d in the lab", len(faultWorlds), len(labFaults))
}

// oneFinding checks a name, and that there is one finding that is more than good to know.
func oneFinding(t *testing.T, cfg resolve.Config, name, code string, texts []string, fix string, words *strings.Replacer) {
	t.Helper()
	r, err := resolve.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := certname.Parse(strings.TrimSuffix(name, "."))
	if err != nil {
		t.Fatal(err)
	}
	result := check.New(r, check.Jobs([]certname.Name{s}, nil, guard.Requirement{}), check.Options{At: rulesOf}).Run(t.Context(), check.Progress{})
	found := slices.DeleteFunc(result.Findings, func(f finding.Found) bool { return f.Finding.Severity == catalog.Info })
	if len(found) != 1 || found[0].Finding.Code != code {
		var all []string
		for _, f := range found {
			all = append(all, fmt.Sprintf("%v %s: %s\n    %s", f.Finding.Severity, f.Finding.Code, f.Finding.Text, strings.Join(f.Finding.Evidence, "\n    ")))
		}
		t.Fatalf("want %s alone, found %d:\n  %s", code, len(found), strings.Join(all, "\n  "))
	}
	f := found[0].Finding
	t.Logf("%v %s: %s | fix: %s", f.Severity, f.Code, f.Text, f.Fix)
	for _, part := range texts {
		if !strings.Contains(f.Text, words.Replace(part)) {
			t.Errorf("%q does not say %q", f.Text, words.Replace(part))
		}
	}
	if !strings.Contains(f.Fix, words.Replace(fix)) {
		t.Errorf("the fix %q does not say %q", f.Fix, fix)
	}
}

// labFault is a fault that no real server can be made to have.
type labFault struct {
	what   string
	edit   func(*lab.Zone)
	hook   lab.Hook // of the second server
	parent lab.Hook // of the second server of the parent
	ask    string   // "" for www
	code   string
	text   []string // as in faulty
}

const labZone = "example.test."

func (w labFault) run(t *testing.T) {
	z := lab.Zone{Name: labZone, Servers: []string{"ns1.example.test.", "ns2.example.test."}, Text: permitting + "\nhost A 192.0.2.1\n@ CAA 0 issue \"letsencrypt.org\"\n"}
	if w.edit != nil {
		w.edit(&z)
	}
	l := lab.New(t, map[string]lab.Hook{"ns2.example.test.": w.hook, "b.nic.test.": w.parent}, z, lab.Zone{Name: "test.", Servers: []string{"a.nic.test.", "b.nic.test."}})
	words := strings.NewReplacer("%z", "example.test", "%1", fmt.Sprintf("ns1.example.test (%s)", l.Addr("ns1.example.test.")), "%2", fmt.Sprintf("ns2.example.test (%s)", l.Addr("ns2.example.test.")), "%p", fmt.Sprintf("b.nic.test (%s)", l.Addr("b.nic.test.")))
	ask := w.ask
	if ask == "" {
		ask = "www." + labZone
	}
	oneFinding(t, resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: 500 * time.Millisecond, NoIPv6: true}, ask, w.code, w.text, "", words)
}

func dropping(transport string) lab.Hook {
	return func(over string, _ dns.Question, m *dns.Msg) *dns.Msg {
		if over == transport {
			return nil
		}
		return m
	}
}

func unsignedZone(z *lab.Zone) { z.Unsigned = true }

func forCAA(change func(*dns.Msg) *dns.Msg) lab.Hook {
	return func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if q.Qtype == dns.TypeCAA {
			return change(m)
		}
		return m
	}
}

func withRcode(m *dns.Msg, rcode int) *dns.Msg {
	m.Rcode, m.Answer, m.Ns = rcode, nil, nil
	return m
}

var labFaults = []labFault{
	{what: "no UDP", hook: dropping("udp"), code: "udp-unreachable", text: []string{"%2: no reply over UDP"}},
	{what: "no TCP", hook: dropping("tcp"), code: "tcp-unreachable", text: []string{"%2: no reply over TCP"}},
	{what: "NOTIMP to CAA", hook: forCAA(func(m *dns.Msg) *dns.Msg { return withRcode(m, dns.RcodeNotImplemented) }), code: "caa-refused", text: []string{"%2: answers NOTIMP", "www.%z"}},
	{what: "CAA is dropped", hook: forCAA(func(*dns.Msg) *dns.Msg { return nil }), code: "caa-dropped", text: []string{"%2: ", "CAA", "www.%z"}},
	{what: "NXDOMAIN to CAA", ask: "host." + labZone, edit: unsignedZone, hook: forCAA(func(m *dns.Msg) *dns.Msg {
		if len(m.Answer) == 0 {
			m.Rcode = dns.RcodeNameError
		}
		return m
	}), code: "caa-nxdomain", text: []string{"%2: answers NXDOMAIN", "host.%z"}},
	{what: "a forwarder as a name server", hook: func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg { m.Authoritative = false; return m }, code: "answer-not-authoritative", text: []string{"%2: ", "without the AA flag", "%z"}},
	{what: "not ready", hook: func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
		if opt := withRcode(m, dns.RcodeServerFailure).IsEdns0(); opt != nil {
			opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeNotReady})
		}
		return m
	}, code: "server-not-ready", text: []string{"%2: not ready", "%z", "EDE 14"}},
	{what: "case not kept", hook: func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
		m.Question[0].Name = dns.CanonicalName(m.Question[0].Name)
		return m
	}, code: "case-not-kept", text: []string{"%2: ", "case"}},
	{what: "no EDNS", edit: unsignedZone, hook: func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg { m.Extra = nil; return m }, code: "edns-missing", text: []string{"%2: ", "without EDNS"}},
	{what: "a firewall that drops large EDNS sizes", edit: func(z *lab.Zone) { z.MaxOffer = 1232 }, code: "edns-size-dropped", text: []string{"%1 and %2: ", "4096"}},
	{what: "denials without SOA", ask: "host." + labZone, edit: unsignedZone, hook: func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
		if len(m.Answer) == 0 {
			m.Ns = nil
		}
		return m
	}, code: "denial-without-soa", text: []string{"%2: ", "no SOA", "host.%z"}},
	{what: "truncated over TCP", hook: forCAA(func(m *dns.Msg) *dns.Msg { m.Truncated = true; return m }), code: "truncated-over-tcp", text: []string{"%2: ", "truncated over TCP", "www.%z CAA"}},
	{what: "a server of the registry fails", parent: func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
		return withRcode(m, dns.RcodeServerFailure)
	}, code: "parent-server-fails", text: []string{"%p: ", "delegations of test", "%z"}},
	{what: "a domain that does not exist", ask: "www.exampel.tset.", code: "domain-missing", text: []string{"the domain tset does not exist", "www.exampel.tset"}},
	{what: "a malformed value", edit: func(z *lab.Zone) { z.Text = `www CAA 0 issue "letsencrypt.org; accounturi"` }, code: "value-malformed", text: []string{"malformed", "letsencrypt.org; accounturi", "www.%z"}},
}
