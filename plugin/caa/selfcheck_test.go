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

	"github.com/coredns-caa/caa/plugin/pkg/guard"
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
func runOnce(h *CAA) *selfCheck {
	sc := &selfCheck{CAA: h, rest: func(time.Duration) bool { return true }}
	fine, _ := sc.run(context.Background(), h.loader.serving.Load())
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
			"the CAA of locked.example.org, to which it is an alias, denies it (nobody-authorized)"},
		{"an alias to one by whose methods no wildcard is validated", answers{"www.example.org.": alias("web.example.org."), "": saying(0, soa)}, "*.www.example.org", false,
			"the CAA of web.example.org, to which it is an alias, puts it at risk (method-no-wildcard)"},
		{"an alias to the same, for a plain name", answers{"www.example.org.": alias("web.example.org."), "": saying(0, soa)}, "www.example.org", true, ""},
		{"an alias to no name: the CA climbs from the owner", answers{"www.example.org.": alias("no.example.org."), "no.example.org.": saying(3, soa), "": saying(0, soa)}, "www.example.org", true, ""},
		{"an alias out of our zones", answers{"www.example.org.": alias("www.provider.example."), "": saying(0, soa)}, "www.example.org", true,
			"it is an alias to www.provider.example, whose CAA is not this block's"},
		{"under a zone cut", answers{"www.example.org.": saying(0, "!www.example.org. 60 IN NS ns.provider.example."), "": saying(0, soa)}, "www.example.org", true,
			"it lies under the zone cut www.example.org, whose servers give its CAA"},
		{"a plugin that fails", answers{"www.example.org.": code(dns.RcodeServerFailure, nil), "": saying(0, soa)}, "www.example.org", false,
			"its code is SERVFAIL"},
		{"a node, though the plugin fails", answers{"": code(dns.RcodeServerFailure, nil)}, "www.locked.example.org", true, ""},
	} {
		h := buildServing(t, requiring(c.name), "key auto $DIR/keys", c.next)
		sc := runOnce(h)
		causes := slices.Collect(maps.Values(sc.told))
		if got := strings.Join(causes, "; "); h.Ready() != c.ready || (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: ready %v, told %q; want %v, %q", c.what, h.Ready(), got, c.ready, c.want)
		}
	}
}

// buildServing is build for a block that serves all zones of the policy.
func buildServing(t testing.TB, policy, options string, next plugin.Handler) *CAA {
	t.Helper()
	return buildIn(t, ".", policy, options, next)
}

// An answer that would not validate is found: here one of the signatures is by a key that is not served.
func TestSelfCheckValidates(t *testing.T) {
	t.Parallel()
	h := buildServing(t, requiring("www.corp.example.net"), "key auto $DIR/keys", answers{})
	other := buildServing(t, requiring("www.corp.example.net"), "key auto $DIR/keys", answers{})
	mine, theirs := h.loader.serving.Load(), other.loader.serving.Load()
	m, err := theirs.answer(context.Background(), theirs.zones["corp.example.net."].locate("www.corp.example.net."), shape(dns.TypeCAA)|dnssecOK)
	if err != nil {
		t.Fatal(err)
	}
	mine.zones["corp.example.net."].named["www.corp.example.net."].answers.put(m)
	sc := runOnce(h)
	if got := slices.Collect(maps.Values(sc.told)); len(got) != 1 || !strings.Contains(got[0], "by a key that is not served") || h.Ready() {
		t.Errorf("told %q", got)
	}
}

// One file, many servers: what this block does not serve is another's to check.
func TestSelfCheckLeavesOthersZones(t *testing.T) {
	t.Parallel()
	h := buildIn(t, "corp.example.net", requiring("www.example.org", "www.corp.example.net"), "key auto $DIR/keys", nil)
	if sc := runOnce(h); len(sc.told) != 0 || !h.Ready() {
		t.Errorf("ready %v, told %v", h.Ready(), sc.told)
	}
}

// DESIGN 6: the operator's issuers are guarded at each zone's apex. One that appears inside another has the
// policy's default, which the guard cannot know before, and so it is found here.
func TestSelfCheckOfZonesThatAppear(t *testing.T) {
	t.Parallel()
	zones := dataZones(t, "example.org.", "sub.example.org.")
	h := buildIn(t, "example.org", defaultPolicy, keyFiles(t, zones.Names...)+"\nissuer digicert.com", over(zones))
	if sc := runOnce(h); len(sc.told) != 0 {
		t.Errorf("before: %v", sc.told)
	}
	ask(t, h, question("www.sub.example.org.", dns.TypeA), true)
	sc := runOnce(h)
	for r, cause := range sc.told {
		if len(sc.told) != 1 || r.Name != "sub.example.org." || r.Domain != "digicert.com" || !strings.Contains(cause, "denies it") {
			t.Errorf("%v: %s", r, cause)
		}
	}
	if len(sc.told) == 0 {
		t.Error("a zone that has appeared locks the operator's issuer out, and nobody is told")
	}
}

// RFC 7344 4.1: CDS is about the keys that sign; that of the data is about others.
func TestSelfCheckFindsForeignCDS(t *testing.T) {
	t.Parallel()
	for unsigned, want := range map[string]int{"key auto $DIR/keys": 1, "unsigned": 0} {
		h := buildIn(t, "example.org", overlayPolicy, unsigned, fileZone(t, overlayData))
		sc := runOnce(h)
		if got := slices.Collect(maps.Values(sc.told)); len(got) != want || want > 0 && !strings.Contains(got[0], "hold CDS") || !h.Ready() {
			t.Errorf("%s: told %q", unsigned, got)
		}
	}
}

// What has been told is not told again, and what is mended is.
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
	if h.Ready() || len(sc.told) != 1 {
		t.Fatalf("ready %v, told %v", h.Ready(), sc.told)
	}
	broken = false
	if fine, ok := sc.run(context.Background(), h.loader.serving.Load()); !fine || !ok || len(sc.told) != 0 {
		t.Errorf("fine %v, told %v", fine, sc.told)
	}
}

// A node that is an alias in the data can never answer (RFC 1034 3.6.2): refused where it can be seen.
func TestNodeAtAlias(t *testing.T) {
	t.Parallel()
	aliased := answers{"locked.example.org.": saying(0, "locked.example.org. 60 IN CNAME www.provider.example."), "": saying(0, "!example.org. 60 IN SOA ns. h. 7 1 1 1 60")}
	h := buildServing(t, requiring("www.example.org"), "key auto $DIR/keys", answers{"": code(dns.RcodeServerFailure, nil)})
	if h.loader.serving.Load() == nil {
		t.Fatal("a name that cannot be looked at is no reason to refuse")
	}
	h.loader.next = aliased
	h.loader.source.again()
	h.loader.look()
	if err := h.loader.trouble; !strings.Contains(string(err), "caa.yaml:4:38: locked.example.org: it is an alias to www.provider.example in the zone's data") {
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
	h := buildServing(b, requiring(names...), "key auto $DIR/keys", answers{"": saying(0, "!example.org. 60 IN SOA ns. h. 7 1 1 1 60")})
	sc := runOnce(h)
	for b.Loop() {
		if fine, _ := sc.run(context.Background(), h.loader.serving.Load()); !fine {
			b.Fatal(sc.told)
		}
	}
}

// One judgement: what the self-check sees of an issuance in a zone that is served is what guard.Judge says of the closest
// node's RRset; and what the guard has accepted may be issued.
func TestSelfCheckJudgesAsTheGuard(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8659, 13))
	h := buildServing(t, requiring("www.corp.example.net"), "unsigned", answers{})
	like := h.loader.serving.Load()
	accepted, seen := 0, map[sight]int{}
	for range 600 {
		text := policygen.Text(r, policygen.Options{Size: 3})
		p, err := policy.Load("caa.yaml", text)
		if err != nil {
			continue
		}
		fine := guard.Check(p, guard.Options{At: time.Now()}).Err() == nil
		s, err := newServing(p, p.Zones, like.keys, like.ttl, like.signer, like.now)
		if err != nil {
			t.Fatal(err)
		}
		o := &observer{CAA: h, serving: s, valid: map[string]bool{}, answers: map[string]observation{}, keys: map[*zone][]*dns.DNSKEY{}}
		for _, req := range guard.Requirements(p) {
			z := p.Covering(req.Name)
			if z == nil || !z.PolicyOnly() {
				continue
			}
			if _, alias := z.Alias(req.Name); alias {
				continue
			}
			what, cause := o.issuance(t.Context(), req)
			seen[what]++
			want := map[guard.Outcome]sight{guard.MayIssue: mayIssue, guard.AtRisk: atRisk, guard.Denied: lockedOut}[guard.Judge(req, z.Closest(req.Name).RRset, time.Now()).Outcome]
			if fine {
				accepted++
				want = mayIssue
			}
			if what != want {
				t.Fatalf("%v for %s is %s (%s), want %s:\n%s", req, req.Domain, what, cause, want, text)
			}
		}
	}
	if accepted < 100 || seen[atRisk] == 0 || seen[lockedOut] == 0 {
		t.Errorf("%d accepted, %v: the generator proves nothing", accepted, seen)
	}
}
