package caa

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/plugin/caa/selfcheck"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
)

// A zone of the policy that no block of the server serves is a warning, is not counted as proved, and does not keep the
// server from becoming ready: other servers may serve it.
func TestZonesNotServed(t *testing.T) {
	const (
		head     = "version: 1\nissuers: {le: {domain: letsencrypt.org}}\n"
		misspelt = head + "default: {issue: none}\ncertificates: [{names: [www.exmaple.org], issuer: le}]\nzones: {exmaple.org: {issue: [le]}}\n"
		two      = head + "certificates: [{names: [www.example.org, www.example.net], issuer: le}]\nzones: {example.org: {issue: [le]}, example.net: {issue: [le]}}\n"
		alike    = head + "certificates: [{names: [www.a1.example, www.a2.example], issuer: le}]\nzones: {a1.example: {issue: [le]}, a2.example: {issue: [le]}}\n"
	)
	same := func(s string) []string { return []string{s} }
	for name, c := range map[string]struct {
		policy, zones, options string
		others                 []string // zones of other blocks with the same policy
		proved                 string
		want, not              string // in the log
		counts                 map[selfcheck.State]int
		cause                  string // of what fails
	}{
		"misspelt in the policy": {policy: misspelt, zones: "example.org", proved: "0 required issuances proved, 1 in zones that this server does not serve",
			want: "[WARNING] plugin/caa: $FILE: no caa block of this server serves the zone exmaple.org of the policy: what is required there is not checked here, and nothing is required in this block's zones, so the policy protects nothing\n" +
				"[WARNING] plugin/caa: $FILE:5:9: the policy lists exmaple.org, but this server serves example.org, which the policy does not list: is one of them misspelt?", counts: map[selfcheck.State]int{selfcheck.NotServed: 1}},
		"another server's": {policy: two, zones: "example.org", proved: "1 required issuance proved, 1 in zones that this server does not serve",
			want: "no caa block of this server serves the zone example.net of the policy: what is required there is not checked here\n", not: "misspelt", counts: map[selfcheck.State]int{selfcheck.MayIssue: 1, selfcheck.NotServed: 1}},
		"another server's, and alike": {policy: alike, zones: "a1.example", proved: "1 required issuance proved, 1 in zones that this server does not serve",
			want: "no caa block", not: "misspelt", counts: map[selfcheck.State]int{selfcheck.MayIssue: 1, selfcheck.NotServed: 1}},
		"another block's": {policy: two, zones: "example.org", others: same("example.net"), proved: "1 required issuance proved, 1 in other blocks",
			want: "[INFO] plugin/caa: example.org (Testfile:1): $FILE: this block does not serve the zone example.net of the policy; another block does", not: "WARNING", counts: map[selfcheck.State]int{selfcheck.MayIssue: 1}},
		"another block's, which serves all": {policy: two, zones: "example.org", others: same("."), proved: "1 required issuance proved, 1 in other blocks", not: "WARNING", counts: map[selfcheck.State]int{selfcheck.MayIssue: 1}},
		"all served":                        {policy: two, zones: ".", proved: "2 required issuances proved", not: "not serve", counts: map[selfcheck.State]int{selfcheck.MayIssue: 2}},
		"the operator's issuer": {policy: two, zones: "example.org", options: "issuer letsencrypt.org", proved: "2 required issuances proved, 1 in zones that this server does not serve",
			counts: map[selfcheck.State]int{selfcheck.MayIssue: 2, selfcheck.NotServed: 1}},
		"the operator's name": {policy: two, zones: "example.org", options: "issuer letsencrypt.org www.example.net", proved: "1 required issuance proved, 2 in zones that this server does not serve",
			counts: map[selfcheck.State]int{selfcheck.MayIssue: 1, selfcheck.NotServed: 2}, cause: "no caa block of this server serves its zone"},
		"the operator's name, in another block": {policy: two, zones: "example.org", others: same("example.net"), options: "issuer letsencrypt.org www.example.net",
			proved: "1 required issuance proved, 2 in other blocks", not: "WARNING", counts: map[selfcheck.State]int{selfcheck.MayIssue: 1}},
	} {
		next := answers{"": saying(0, "!example.org. 60 IN SOA ns. h. 7 1 1 1 60")}
		h := buildIn(t, c.zones, c.policy, "unsigned\n"+c.options, next)
		loaders := []*loader{h.loader}
		for _, zones := range c.others {
			other := buildIn(t, zones, c.policy, "unsigned", next)
			other.loader.cfg.file = h.loader.cfg.file
			loaders = append(loaders, other.loader)
		}
		var list []*block
		for _, l := range loaders {
			list = append(list, l.block)
		}
		for _, l := range loaders {
			*l.unserved.routing.table = *newRoutes(list...) // as if the Corefile had them all
		}
		if got := h.loader.unserved.proved(h.loader.block.serving().policy, operatorOf(t, h.loader)); got != c.proved {
			t.Errorf("%s: %q; want %q", name, got, c.proved)
		}
		logs := logged(func() {
			for _, l := range loaders {
				l.unserved.report()
				l.unserved.report()
			}
		})
		logs = logTime.ReplaceAllString(strings.ReplaceAll(logs, h.loader.cfg.file, "$FILE"), "")
		if strings.Count(logs, c.want) != 1 && c.want != "" || c.not != "" && strings.Contains(logs, c.not) {
			t.Errorf("%s: logged\n%s", name, logs)
		}
		sc := runOnce(h)
		counts := map[selfcheck.State]int{}
		for _, byState := range *h.loader.checked.Load() {
			for what, n := range byState {
				counts[what] += n
			}
		}
		causes := fmt.Sprint(slices.Collect(maps.Values(sc.failing)))
		if !h.Ready() || !maps.Equal(counts, c.counts) || !strings.Contains(causes, c.cause) || c.cause == "" && len(sc.failing) > 0 {
			t.Errorf("%s: ready %v, %v, found %s", name, h.Ready(), counts, causes)
		}
		if (sc.except != "") != (counts[selfcheck.NotServed] > 0) {
			t.Errorf("%s: ready%s", name, sc.except)
		}
	}
}

// operatorOf are the issuances that the issuer lines of a block require.
func operatorOf(t *testing.T, l *loader) []guard.Requirement {
	t.Helper()
	p := l.block.serving().policy
	listed, err := l.layout.listed(p)
	if err != nil {
		t.Fatal(err)
	}
	return l.cfg.requirements(l.layout.guarded(p, listed))
}

// logTime is how lines of the log begin.
var logTime = regexp.MustCompile(`(?m)^\S+ \S+ `)

// A required name that default would protect, and whose zone is not here, is not one that may be issued.
func TestRequiredInNoZone(t *testing.T) {
	t.Parallel()
	const policy = "version: 1\nissuers: {le: {domain: letsencrypt.org}}\ndefault: {issue: [le]}\ncertificates: [{names: [www.exmaple.org], issuer: le}]\nzones: {example.org: {issue: [le], nameservers: [{name: ns.example.net}]}}\n"
	for what, c := range map[string]struct {
		next  answers
		want  selfcheck.State
		ready bool
	}{
		"a resolver answers":   {answers{"": resolving(3, "!org. 60 IN SOA ns. h. 7 1 1 1 60")}, selfcheck.NotServed, true},
		"no plugin has it":     {answers{}, selfcheck.Unanswered, false},
		"the zone appears now": {answers{"exmaple.org.": saying(0, "!exmaple.org. 60 IN SOA ns. h. 7 1 1 1 60"), "www.exmaple.org.": saying(3, "!exmaple.org. 60 IN SOA ns. h. 7 1 1 1 60")}, selfcheck.MayIssue, true},
	} {
		h := buildIn(t, ".", policy, "unsigned", c.next)
		runOnce(h)
		if counts := (*h.loader.checked.Load())["letsencrypt.org"]; counts[c.want] != 1 || h.Ready() != c.ready {
			t.Errorf("%s: ready %v, %v", what, h.Ready(), counts)
		}
	}
}

// An error about a zone that is missing names the one that was meant.
func TestMisspeltZone(t *testing.T) {
	t.Parallel()
	const head = "version: 1\nissuers: {le: {domain: letsencrypt.org}}\n"
	for policy, want := range map[string]string{
		"zones: {exmaple.org: {issue: [le], nameservers: [{name: ns.example.net}]}}\n":                                                                                 "did you mean exmaple.org, which it lists (",
		"zones: {unlike.org: {issue: [le], nameservers: [{name: ns.example.net}]}}\n":                                                                                  "after the policy file",
		"zones: {example.org: {issue: [le], nameservers: [{name: ns.example.net}]}}\ncertificates: [{names: [www.exmaple.org], issuer: le}]\n":                         "did you mean a name in the zone example.org (",
		"zones: {example.org: {issue: [le], nameservers: [{name: ns.example.net}]}}\ncertificates: [{names: [www.sub.exanple.org], issuer: le}]\n":                     "did you mean a name in the zone example.org (",
		"zones: {exmaple.org: {issue: [le], nameservers: [{name: ns.example.net}]}}\ncertificates: [{names: [www.example.org], issuer: le}]\ndefault: {issue: none}\n": "issue has the value none in default",
	} {
		cfg, _ := configure(t, head+policy, "unsigned")
		b, err := prepare(cfg, cfg.keyring(), answers{})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.start(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", policy, err)
		}
	}
}
