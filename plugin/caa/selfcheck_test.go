package caa

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/test"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/selfcheck"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/policy/policygen"
)

// requiring is a policy that requires issuances for names of an overlay.
func requiring(names ...string) string {
	return fmt.Sprintf(`version: 1
issuers: {le: {domain: letsencrypt.org}}
zones:
  example.org: {issue: [le], names: {locked: {issue: none}, www.locked: {issue: [le]}, web: {issue: [{issuer: le, methods: [http-01]}]}}}
  corp.example.net: {issue: [le], issuewild: none, nameservers: [{name: ns.example.com}]}
certificates: [{names: ["%s"], issuer: le}]
`, strings.Join(names, `", "`))
}

// runOnce runs a self-check that does not rest.
func runOnce(h *built) *selfCheck {
	sc := newSelfCheck(h.loader, func(time.Duration) bool { return true })
	fine, _ := sc.run(context.Background(), h.loader.block.serving())
	h.ready.Store(fine)
	return sc
}

// What the policy alone cannot show: how a required name looks in what is really served.
func TestSelfCheck(t *testing.T) {
	t.Parallel()
	const soa = "!example.org. 60 IN SOA ns. h. 7 1 1 1 60"
	alias := func(target string) func(dns.ResponseWriter, *dns.Msg) (int, error) {
		return saying(0, "www.example.org. 60 IN CNAME "+target)
	}
	for _, c := range []struct {
		what  string
		next  answers
		name  string
		ready bool
		want  string // "" when all is well
	}{
		{"an ordinary name", answers{"": saying(0, soa)}, "www.example.org", true, ""},
		{"a wildcard", answers{"": saying(0, soa)}, "*.www.example.org", true, ""},
		{"no such name: the CA climbs (RFC 8659 3)", answers{"": saying(3, soa), "example.org.": saying(0, soa)}, "www.example.org", true, ""},
		{"a policy-only zone", answers{}, "www.corp.example.net", true, ""},
		{"an alias to a name that permits", answers{"www.example.org.": alias("ok.example.org."), "": saying(0, soa)}, "www.example.org", true, ""},
		{"an alias to one that denies", answers{"www.example.org.": alias("locked.example.org."), "": saying(0, soa)}, "www.example.org", false,
			"the CAA of locked.example.org, the target of its alias, denies it (nobody-authorized)"},
		{"an alias to one by whose methods no wildcard is validated", answers{"www.example.org.": alias("web.example.org."), "": saying(0, soa)}, "*.www.example.org", false,
			"the CAA of web.example.org, the target of its alias, puts it at risk (method-no-wildcard)"},
		{"an alias to the same, for a plain name", answers{"www.example.org.": alias("web.example.org."), "": saying(0, soa)}, "www.example.org", true, ""},
		{"an alias to no name: the CA climbs from the owner", answers{"www.example.org.": alias("no.example.org."), "no.example.org.": saying(3, soa), "": saying(0, soa)}, "www.example.org", true, ""},
		{"an alias out of our zones", answers{"www.example.org.": alias("www.provider.example."), "": saying(0, soa)}, "www.example.org", true,
			"the name is an alias of www.provider.example, which is in no zone of this block"},
		{"under a zone cut", answers{"www.example.org.": saying(0, "!www.example.org. 60 IN NS ns.provider.example."), "": saying(0, soa)}, "www.example.org", true,
			"the name is at or below the zone cut www.example.org"},
		{"a plugin that fails", answers{"www.example.org.": code(dns.RcodeServerFailure, nil), "": saying(0, soa)}, "www.example.org", false,
			"it wrote no answer and returned SERVFAIL"},
		{"a node, though the plugin fails", answers{"": code(dns.RcodeServerFailure, nil)}, "www.locked.example.org", true, ""},
	} {
		h := buildServing(t, requiring(c.name), "key auto $DIR/keys", c.next)
		sc := runOnce(h)
		causes := slices.Collect(maps.Values(sc.failing))
		if got := strings.Join(causes, "; "); h.Ready() != c.ready || (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: ready %v, failing %q; want %v, %q", c.what, h.Ready(), got, c.ready, c.want)
		}
	}
}

// The answers of every layout are right: what the self-check finds is what the policy and the data say, for whatever is
// required. A word other than may_issue is the reason.
func TestSelfCheckOfLayouts(t *testing.T) {
	t.Parallel()
	const none = "nobody-authorized"
	file := map[string]string{"": "", "www.": "", "ns1.": "", "shop.": none, "a.ent.": "", "ent.": "", "new.under.": none, "under.": "", "nope.": "", "no.nope.": "",
		"alias.": none, "chain.": none, "out.": "alias-elsewhere", "loop1.": "alias-loop", "tonx.": "", "tocut.": "zone-cut", "d.": "", "x.d.": "", "again.d.": "",
		"again.shop.": none, "q.wild.": "", "wild.": "", "q.wild2.": "", "*.wild.": "", "cut.": "zone-cut", "x.cut.": "zone-cut", "ns.cut.": "zone-cut", "x.scut.": "zone-cut"}
	uncertain := maps.Clone(file) // names below shop exist, as far as anybody knows, and have its CAA
	uncertain["x.d."], uncertain["again.d."] = none, none
	byType := map[string]string{"": "", "www.": "", "web.": "", "app.": "", "sub.": "", "six.": "alias-elsewhere", "sub6.": "", "both.": "alias-elsewhere", "nope.": "",
		"shop.": none, "new.under.": none, "cut.": "zone-cut", "x.cut.": "zone-cut"}
	for _, c := range []struct {
		what   string
		policy string
		zones  string
		next   plugin.Handler
		under  []plugin.Handler  // the next plugins, as what they are taken for
		want   map[string]string // by names in example.org
	}{
		{"policy-only", testPolicy, "example.org", nil, nil, map[string]string{"": "", "www.": "", "x.y.": "", "shop.": none, "plain.": "", "ns1.": "",
			"_acme-challenge.www.": "alias-elsewhere", "_acme-challenge.plain.": "", "sub.": "", "www.sub.": ""}},
		{"over file", overlayPolicy, "example.org", fileZone(t, overlayData), nil, file},
		{"over a store", overlayPolicy, "example.org", fileZone(t, overlayData), []plugin.Handler{fileZone(t, overlayData)}, file},
		{"over file and another", overlayPolicy, "example.org", fileZone(t, overlayData), []plugin.Handler{pluginNamed("file"), pluginNamed("hosts")}, uncertain},
		{"over file as if by type", overlayPolicy, "example.org", fileZone(t, overlayData), []plugin.Handler{pluginNamed("etcd")}, uncertain},
		{"by type", overlayPolicy, "example.org", byTypeAnswers(), []plugin.Handler{pluginNamed("etcd")}, byType},
		{"no SOA in the data", overlayPolicy, "example.org", answers{"": saying(0)}, nil, map[string]string{"": "", "www.": "", "shop.": none}},
		{"zones that appear", defaultPolicy, ".", over(dataZones(t, "example.org.", "sub.example.org.", "deep.sub.example.org.")), nil,
			map[string]string{"sub.": "", "www.sub.": "", "nope.sub.": "", "www.deep.sub.": "", "www.": "issuer-not-listed"}},
	} {
		for _, options := range []string{"key auto $DIR/keys", keyFiles(t, "example.org.", "sub.example.org."), "unsigned"} {
			h := buildIn(t, c.zones, c.policy, options, c.next)
			behind(h, c.under...)
			s := h.loader.block.serving()
			for range 2 { // what was learned at first changes nothing
				check := selfcheck.New(asServer(h.CAA, s), nil)
				for name, want := range c.want {
					name, wildcard := strings.CutPrefix(name+"example.org.", "*.")
					found := check.Issuance(t.Context(), guard.Requirement{Name: name, Wildcard: wildcard, Domain: "letsencrypt.org", Type: issuance.TLS, Origin: guard.Certificates})
					if string(found.Reason) != want {
						t.Errorf("%s, %s: %s is %+v; want %q", c.what, options, name, found, want)
					}
				}
			}
		}
	}
}

// buildServing is build for a block that serves all zones of the policy.
func buildServing(t testing.TB, policy, options string, next plugin.Handler) *built {
	t.Helper()
	return buildIn(t, ".", policy, options, next)
}

// One file, many servers: what this block does not serve is another's to check.
func TestSelfCheckLeavesOthersZones(t *testing.T) {
	t.Parallel()
	h := buildIn(t, "corp.example.net", requiring("www.example.org", "www.corp.example.net"), "key auto $DIR/keys", nil)
	if sc := runOnce(h); len(sc.failing) != 0 || !h.Ready() {
		t.Errorf("ready %v, failing %v", h.Ready(), sc.failing)
	}
}

// DESIGN 6: the operator's issuers are guarded at each zone's apex. One that appears inside another has the
// policy's default, which the guard cannot know before, and so it is found here.
func TestSelfCheckOfZonesThatAppear(t *testing.T) {
	t.Parallel()
	zones := dataZones(t, "example.org.", "sub.example.org.")
	h := buildIn(t, "example.org", defaultPolicy, keyFiles(t, zones.Names...)+"\nissuer digicert.com", over(zones))
	if sc := runOnce(h); len(sc.failing) != 0 {
		t.Errorf("before: %v", sc.failing)
	}
	ask(t, h, question("www.sub.example.org.", dns.TypeA), true)
	sc := runOnce(h)
	for r, cause := range sc.failing {
		if len(sc.failing) != 1 || r.Name != "sub.example.org." || r.Domain != "digicert.com" || !strings.Contains(cause, "denies it") {
			t.Errorf("%v: %s", r, cause)
		}
	}
	if len(sc.failing) == 0 {
		t.Error("a zone that has appeared locks the operator's issuer out, and the self-check does not report it")
	}
}

// RFC 7344 4.1: CDS is about the keys that sign; that of the data is about others.
func TestSelfCheckFindsForeignCDS(t *testing.T) {
	t.Parallel()
	for unsigned, want := range map[string]int{"key auto $DIR/keys": 1, "unsigned": 0} {
		h := buildIn(t, "example.org", overlayPolicy, unsigned, fileZone(t, overlayData))
		sc := runOnce(h)
		if got := slices.Collect(maps.Values(sc.failing)); len(got) != want || want > 0 && !strings.Contains(got[0], "have CDS") || !h.Ready() {
			t.Errorf("%s: failing %q", unsigned, got)
		}
	}
}

// A next plugin that panics ends neither the self-check nor the process. Whether it has an address is its own affair.
func TestSelfCheckSurvivesPanics(t *testing.T) {
	t.Parallel()
	panics := func(dns.ResponseWriter, *dns.Msg) (int, error) { panic("bug") }
	next := answers{"www.example.org. A": panics, "www.example.org. AAAA": panics, "": saying(0, "!example.org. 60 IN SOA ns. h. 7 1 1 1 60")}
	for _, options := range []string{"unsigned", "key auto $DIR/keys"} {
		h := buildServing(t, requiring("www.example.org"), options, next)
		if sc := runOnce(h); len(sc.failing) != 0 || !h.Ready() {
			t.Errorf("%s: ready %v, failing %v", options, h.Ready(), sc.failing)
		}
	}
}

// What was logged is not logged again, and what recovered is.
func TestSelfCheckTellsChanges(t *testing.T) {
	t.Parallel()
	broken := true
	next := test.HandlerFunc(func(_ context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
		if broken {
			return dns.RcodeServerFailure, nil
		}
		return saying(0, "!example.org. 60 IN SOA ns. h. 7 1 1 1 60")(w, r)
	})
	h := buildServing(t, requiring("www.example.org"), "key auto $DIR/keys", next)
	sc := runOnce(h)
	if h.Ready() || len(sc.failing) != 1 {
		t.Fatalf("ready %v, failing %v", h.Ready(), sc.failing)
	}
	broken = false
	if fine, ok := sc.run(context.Background(), h.loader.block.serving()); !fine || !ok || len(sc.failing) != 0 {
		t.Errorf("fine %v, failing %v", fine, sc.failing)
	}
}

// A node that is an alias in the data can never answer (RFC 1034 3.6.2): refused where it can be seen.
func TestNodeAtAlias(t *testing.T) {
	t.Parallel()
	aliased := answers{"locked.example.org.": saying(0, "locked.example.org. 60 IN CNAME www.provider.example."), "": saying(0, "!example.org. 60 IN SOA ns. h. 7 1 1 1 60")}
	h := buildServing(t, requiring("www.example.org"), "key auto $DIR/keys", answers{"": code(dns.RcodeServerFailure, nil)})
	if h.loader.block.serving() == nil {
		t.Fatal("a name that cannot be looked at is no reason to refuse")
	}
	h.loader.layout.next = aliased
	writeAgain(t, h.loader)
	if err := h.loader.source.Status().Problem; !strings.Contains(string(err), "caa.yaml:4:38: locked.example.org: the name is an alias of www.provider.example in the zone's data") {
		t.Errorf("got %v", err)
	}
}

// BenchmarkSelfCheck is a run over 10,000 required names of a signed overlay, as it is every few minutes:
// ns/op is to be held against a twentieth of a minute.
func BenchmarkSelfCheck(b *testing.B) {
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprintf("h%d.example.org", i)
	}
	data := answers{"": saying(0, "!example.org. 60 IN SOA ns. h. 7 1 1 1 60")}
	for _, name := range names {
		data[name+". A"] = saying(0, name+". 60 IN A 192.0.2.1")
	}
	h := buildServing(b, requiring(names...), "key auto $DIR/keys", data)
	sc := runOnce(h)
	for b.Loop() {
		if fine, _ := sc.run(context.Background(), h.loader.block.serving()); !fine {
			b.Fatal(sc.failing)
		}
	}
}

// One judgement: what the self-check sees of an issuance in a zone that is served is what guard.Judge says of the closest
// node's RRset; and what the guard has accepted may be issued.
func TestSelfCheckJudgesAsTheGuard(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8659, 13))
	h := buildServing(t, requiring("www.corp.example.net"), "unsigned", answers{})
	accepted, seen := 0, map[selfcheck.State]int{}
	for range 600 {
		text := policygen.Text(r, policygen.Options{Size: 3})
		p, err := policy.Load("caa.yaml", text)
		if err != nil {
			continue
		}
		fine := guard.Check(p, guard.Options{At: time.Now()}).Err() == nil
		s, err := h.loader.layout.of(p, p.Zones, time.Now(), nil)
		if err != nil {
			t.Fatal(err)
		}
		check := selfcheck.New(asServer(h.CAA, s), nil)
		for _, req := range guard.Requirements(p) {
			z := p.Covering(req.Name)
			if z == nil || !z.PolicyOnly() {
				continue
			}
			if _, alias := z.Alias(req.Name); alias {
				continue
			}
			found := check.Issuance(t.Context(), req)
			seen[found.State]++
			want := map[guard.Outcome]selfcheck.State{guard.MayIssue: selfcheck.MayIssue, guard.AtRisk: selfcheck.AtRisk, guard.Denied: selfcheck.LockedOut}[guard.Judge(req, z.Closest(req.Name).RRset, time.Now()).Outcome]
			if fine {
				accepted++
				want = selfcheck.MayIssue
			}
			if found.State != want {
				t.Fatalf("%v for %s is %s (%s), want %s:\n%s", req, req.Domain, found.State, found.Cause, want, text)
			}
		}
	}
	if accepted < 100 || seen[selfcheck.AtRisk] == 0 || seen[selfcheck.LockedOut] == 0 {
		t.Errorf("%d accepted, %v: the generator proves nothing", accepted, seen)
	}
}
