package check_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/test/lab"
)

// delegations are NS records of a zone, without glue.
func delegations(zone, server string, n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "%s NS %s\n", zone, fmt.Sprintf(server, i))
	}
	return out.String()
}

// contacts are as many mail addresses in CAA.
func contacts(address string, n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "evil CAA 0 contactemail %q\n", fmt.Sprintf(address, i))
	}
	return out.String()
}

// Name servers in the zone itself that came without glue are looked for at the parent's, and no more: each by way of the
// others, in every order, took the parent's servers 1,600 questions.
func TestNameServersWithoutGlueAreNoMaze(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, 5, 10} {
		var asked atomic.Int32
		count := func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
			asked.Add(1)
			return m
		}
		l := lab.New(t, map[string]lab.Hook{"a.nic.test.": count}, lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}, Text: delegations("lost", "ns%d.lost", n)})
		found := checkOne(t, l, "www.lost.test.")
		if got := int(asked.Load()); got > 60+12*n {
			t.Errorf("%d name servers: the parent's was asked %d times", n, got)
		}
		if outcome := found.Names[0].Requests[0].Verdict.Outcome; outcome == verdict.MayIssue {
			t.Errorf("%d name servers: %v", n, outcome)
		}
	}
}

// A delegation is no lever: however many name servers it names, and wherever they lie, whoever holds those names is asked
// no more than a few hundred times (RFC 1034 5.3.3; NXNSAttack, CVE-2020-8616). A name whose look-up was given up for that
// could not be found out, and a zone that has many name servers and no fault may be issued for.
func TestDelegationsAreNoLever(t *testing.T) {
	t.Parallel()
	victim := lab.Zone{Name: "victim.test.", Servers: []string{"ns.victim.test."}, Unsigned: true}
	var nested strings.Builder
	for i := range 30 {
		fmt.Fprintf(&nested, "evil NS n.e%d\n%s", i, delegations(fmt.Sprintf("e%d", i), fmt.Sprintf("n%%d.e%d.victim", i), 30))
	}
	silent := func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if strings.HasPrefix(dns.CanonicalName(q.Name), "ns.") || dns.CanonicalName(q.Name) == "victim.test." {
			return m
		}
		return nil
	}
	for _, tt := range []struct {
		name   string
		parent string // what test. has besides
		hook   lab.Hook
		most   int32
		want   verdict.Outcome
		codes  []string
		also   []string
	}{
		{"a thousand names that do not exist", delegations("evil", "n%d.victim", 1000), nil, 200, verdict.Unknown, []string{"servers-too-many"}, []string{"server-without-address"}},
		{"a thousand names, and nobody answers for them", delegations("evil", "n%d.victim", 1000), silent, 200, verdict.Unknown, []string{"servers-too-many"}, []string{"server-without-address"}},
		{"names of zones that are delegated in the same way", nested.String(), nil, 400, verdict.Unknown, []string{"servers-too-many"}, []string{"server-without-address"}},
		{"as many mail addresses as resolvers take", "evil CAA 0 issue \"ca.example\"\n" + contacts("a@n%d.victim.test", 99), nil, 100, verdict.MayIssue, []string{"contact-undeliverable"}, []string{"answer-large"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			count := func(transport string, q dns.Question, m *dns.Msg) *dns.Msg {
				asked.Add(1)
				if tt.hook != nil {
					return tt.hook(transport, q, m)
				}
				return m
			}
			l := lab.New(t, map[string]lab.Hook{"ns.victim.test.": count}, lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}, Text: tt.parent}, victim)
			found := checkOne(t, l, "www.evil.test.")
			if n := asked.Load(); n > tt.most {
				t.Errorf("the victim was asked %d times, and %d at most is allowed", n, tt.most)
			} else {
				t.Logf("the victim was asked %d times", n)
			}
			holds(t, found, tt.want, tt.codes, tt.also)
		})
	}
}

// The root and the largest zones have 13 name servers: as many without glue, and more, are no fault, and all of them are asked.
func TestManyServersWithoutGlue(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		n     int
		codes []string
	}{{13, nil}, {20, nil}, {30, []string{"servers-too-many"}}} {
		t.Run(fmt.Sprint(tt.n), func(t *testing.T) {
			t.Parallel()
			var names []string
			for i := range tt.n {
				names = append(names, fmt.Sprintf("n%02d.host.test.", i))
			}
			l := lab.New(t, nil, lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}},
				lab.Zone{Name: "host.test.", Servers: []string{"ns1.host.test.", "ns2.host.test."}},
				lab.Zone{Name: "many.test.", Servers: names, Text: "@ CAA 0 issue \"ca.example\"\n"})
			found := checkOne(t, l, "www.many.test.")
			holds(t, found, verdict.MayIssue, tt.codes, nil)
		})
	}
}

func checkOne(t *testing.T, l *lab.Lab, name string) *check.Result {
	t.Helper()
	r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: 300 * time.Millisecond, NoIPv6: true})
	if err != nil {
		t.Fatal(err)
	}
	return check.New(r, check.Jobs([]certname.Name{{Domain: name}}, []string{"ca.example"}, guard.Requirement{}), check.Options{At: today}).Run(t.Context(), check.Progress{})
}

// holds checks a report's one verdict, and its findings that are no information.
func holds(t *testing.T, found *check.Result, want verdict.Outcome, codes, also []string) {
	t.Helper()
	if got := outcome(t, found); got.Outcome != want {
		t.Errorf("got %v (%s): %s, want %v", got.Outcome, got.Reason, got.Detail, want)
	}
	seen := map[string]bool{}
	for _, f := range found.Findings {
		seen[f.Finding.Code] = true
		if f.Finding.Severity > catalog.Info && !slices.Contains(codes, f.Finding.Code) && !slices.Contains(also, f.Finding.Code) {
			t.Errorf("found %s at %s: %s", f.Finding.Code, f.Finding.Subject, f.Finding.Text)
		}
	}
	for _, code := range codes {
		if !seen[code] {
			t.Errorf("%s was not found", code)
		}
	}
}
