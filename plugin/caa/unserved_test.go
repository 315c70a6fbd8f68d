package caa

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
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
		counts                 map[sight]int
		told                   string
	}{
		"misspelt in the policy": {policy: misspelt, zones: "example.org", proved: "0 required issuances proved, 1 in zones that this server does not serve",
			want: "[WARNING] plugin/caa: $FILE: no caa block of this server serves the zone exmaple.org. of the file: what is required there is not proved here, and nothing is required in the zones of this block: it protects nothing\n" +
				"[WARNING] plugin/caa: $FILE:5:9: the policy lists exmaple.org, and this server serves example.org, which the policy does not list: is one of them misspelt?", counts: map[sight]int{notServed: 1}},
		"another server's": {policy: two, zones: "example.org", proved: "1 required issuances proved, 1 in zones that this server does not serve",
			want: "no caa block of this server serves the zone example.net. of the file: what is required there is not proved here\n", not: "misspelt", counts: map[sight]int{mayIssue: 1, notServed: 1}},
		"another server's, and alike": {policy: alike, zones: "a1.example", proved: "1 required issuances proved, 1 in zones that this server does not serve",
			want: "no caa block", not: "misspelt", counts: map[sight]int{mayIssue: 1, notServed: 1}},
		"another block's": {policy: two, zones: "example.org", others: same("example.net"), proved: "1 required issuances proved, 1 in other blocks",
			want: "[INFO] plugin/caa: $FILE: this block does not serve the zone example.net. of the file, which another block does", not: "WARNING", counts: map[sight]int{mayIssue: 1}},
		"another block's, which serves all": {policy: two, zones: "example.org", others: same("."), proved: "1 required issuances proved, 1 in other blocks", not: "WARNING", counts: map[sight]int{mayIssue: 1}},
		"all served":                        {policy: two, zones: ".", proved: "2 required issuances proved", not: "not serve", counts: map[sight]int{mayIssue: 2}},
		"the operator's name": {policy: two, zones: "example.org", options: "issuer letsencrypt.org www.example.net", proved: "1 required issuances proved, 1 in zones that this server does not serve",
			counts: map[sight]int{mayIssue: 1, notServed: 2}, told: "no caa block of this server serves its zone"},
		"the operator's name, in another block": {policy: two, zones: "example.org", others: same("example.net"), options: "issuer letsencrypt.org www.example.net",
			proved: "1 required issuances proved, 1 in other blocks", not: "WARNING", counts: map[sight]int{mayIssue: 1}},
	} {
		next := answers{"": saying(0, "!example.org. 60 IN SOA ns. h. 7 1 1 1 60")}
		h := buildIn(t, c.zones, c.policy, "unsigned\n"+c.options, next)
		loaders := []*loader{h.loader}
		for _, zones := range c.others {
			other := buildIn(t, zones, c.policy, "unsigned", next)
			other.loader.cfg.file = h.loader.cfg.file
			loaders = append(loaders, other.loader)
		}
		h.loader.siblings = newSiblings(loaders...)
		for _, l := range loaders[1:] {
			l.siblings = h.loader.siblings
		}
		if got := h.loader.proved(h.loader.serving.Load().policy); got != c.proved {
			t.Errorf("%s: %q; want %q", name, got, c.proved)
		}
		said := logged(func() {
			for _, l := range loaders {
				l.reportUnserved()
				l.reportUnserved()
			}
		})
		said = logTime.ReplaceAllString(strings.ReplaceAll(said, h.loader.cfg.file, "$FILE"), "")
		if strings.Count(said, c.want) != 1 && c.want != "" || c.not != "" && strings.Contains(said, c.not) {
			t.Errorf("%s: logged\n%s", name, said)
		}
		sc := runOnce(h)
		counts := map[sight]int{}
		for _, byState := range *h.loader.sights.Load() {
			for what, n := range byState {
				counts[what] += n
			}
		}
		causes := fmt.Sprint(slices.Collect(maps.Values(sc.told)))
		if !h.Ready() || !maps.Equal(counts, c.counts) || !strings.Contains(causes, c.told) || c.told == "" && len(sc.told) > 0 {
			t.Errorf("%s: ready %v, %v, found %s", name, h.Ready(), counts, causes)
		}
		if (sc.except != "") != (counts[notServed] > 0) {
			t.Errorf("%s: ready%s", name, sc.except)
		}
	}
}

// logTime is how lines of the log begin.
var logTime = regexp.MustCompile(`(?m)^\S+ \S+ `)

// A required name that default would protect, and whose zone is not here, is not one that may be issued.
func TestRequiredInNoZone(t *testing.T) {
	t.Parallel()
	const policy = "version: 1\nissuers: {le: {domain: letsencrypt.org}}\ndefault: {issue: [le]}\ncertificates: [{names: [www.exmaple.org], issuer: le}]\nzones: {example.org: {issue: [le], nameservers: [{name: ns.example.net}]}}\n"
	for what, c := range map[string]struct {
		next  answers
		want  sight
		ready bool
	}{
		"a resolver answers":   {answers{"": resolving(3, "!org. 60 IN SOA ns. h. 7 1 1 1 60")}, notServed, true},
		"no plugin has it":     {answers{}, unanswered, false},
		"the zone appears now": {answers{"exmaple.org.": saying(0, "!exmaple.org. 60 IN SOA ns. h. 7 1 1 1 60"), "www.exmaple.org.": saying(3, "!exmaple.org. 60 IN SOA ns. h. 7 1 1 1 60")}, mayIssue, true},
	} {
		h := buildIn(t, ".", policy, "unsigned", c.next)
		runOnce(h)
		if counts := (*h.loader.sights.Load())["letsencrypt.org"]; counts[c.want] != 1 || h.Ready() != c.ready {
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
		"zones: {exmaple.org: {issue: [le], nameservers: [{name: ns.example.net}]}}\ncertificates: [{names: [www.example.org], issuer: le}]\ndefault: {issue: none}\n": "issue none in default",
	} {
		cfg, _ := configure(t, head+policy, "unsigned")
		l, err := newLoader(cfg)
		if err != nil {
			t.Fatal(err)
		}
		l.next = answers{}
		if err := l.start(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", policy, err)
		}
	}
}
