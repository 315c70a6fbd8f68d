package check_test

import (
	"fmt"
	"slices"
	"sync"
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

// A network that is lost in the middle of a run, whatever is asked just then, is no lock-out and no finding against a
// name's servers; and once it is back, what was asked meanwhile is asked again.
func TestTheNetworkIsLostMeanwhile(t *testing.T) {
	t.Parallel()
	const zones, short, long = 4, 150 * time.Millisecond, 400 * time.Millisecond
	for _, tt := range []struct {
		what string
		last uint16        // the question with which the network goes, at a name server that all the zones have
		back time.Duration // after so long; 0 for after the run
		wait time.Duration // for an answer
	}{
		{"at the first keys", dns.TypeDNSKEY, 0, short},
		{"at the survey", dns.TypeSOA, 0, short},
		{"at the first keys, and back in the middle of the last wait for them", dns.TypeDNSKEY, long * 7 / 4, long},
		{"at the first CAA, and back in the middle of the last wait for it", dns.TypeCAA, long * 7 / 4, long},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			var lost atomic.Bool
			var once sync.Once
			hook := func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
				if lost.Load() {
					return nil
				}
				return m
			}
			lose := func(server string, q dns.Question, m *dns.Msg) *dns.Msg {
				if q.Qtype == tt.last {
					once.Do(func() {
						lost.Store(true)
						if tt.back > 0 {
							time.AfterFunc(tt.back, func() { lost.Store(false) })
						}
					})
				}
				return hook(server, q, m)
			}
			world := []lab.Zone{{Name: "test.", Servers: []string{"a.nic.test."}}}
			var subjects []certname.Name
			for i := range zones {
				name := fmt.Sprintf("z%d.test.", i)
				world = append(world, lab.Zone{Name: name, Servers: []string{"ns.z0.test."}, Text: `@ CAA 0 issue "letsencrypt.org"`})
				subjects = append(subjects, certname.Name{Domain: name})
			}
			l := lab.New(t, map[string]lab.Hook{"a.root.": hook, "a.nic.test.": hook, "ns.z0.test.": lose}, world...)
			r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: tt.wait})
			if err != nil {
				t.Fatal(err)
			}
			run := func(when string, all bool) {
				got := check.New(r, check.Jobs(subjects, []string{"letsencrypt.org"}, guard.Requirement{}), check.Options{At: time.Now()}).Run(t.Context(), check.Progress{})
				for _, n := range got.Names {
					if v := n.Requests[0].Verdict; v.Outcome != verdict.MayIssue && (all || v.Outcome != verdict.Unknown) {
						t.Errorf("%s, %s: %v (%s): %s", when, n.Subject, v.Outcome, v.Reason, v.Detail)
					}
				}
				for _, f := range got.Findings {
					if f.Finding.Severity >= catalog.Warning {
						t.Errorf("%s: %s: %s: %s", when, f.Finding.Code, f.Finding.Subject, f.Finding.Text)
					}
				}
				if noted := len(got.Notes) > 0; noted != r.WasOffline() {
					t.Errorf("%s: the notes are %q", when, got.Notes)
				}
			}
			run("meanwhile", false)
			if tt.back == 0 && !r.WasOffline() {
				t.Error("the network was not lost")
			}
			lost.Store(false)
			if tt.back == 0 {
				time.Sleep(5 * time.Second) // for so long it is not asked whether it is back
			}
			run("afterwards", true)
		})
	}
}

// That the addresses of name servers, which came with no glue, could not be looked up again is no finding against them,
// and forgotten once the network is back.
func TestTheNetworkIsLostAsServersAreLookedUp(t *testing.T) {
	t.Parallel()
	var lost atomic.Bool
	var once sync.Once
	hook := func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if lost.Load() {
			return nil
		}
		if q.Qtype == dns.TypeCAA { // after this one
			once.Do(func() { lost.Store(true) })
		}
		return m
	}
	l := lab.New(t, map[string]lab.Hook{"a.root.": hook, "a.nic.test.": hook, "ns.provider.example.": hook},
		lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}},
		lab.Zone{Name: "example.", Servers: []string{"a.nic.test."}},
		lab.Zone{Name: "provider.example.", Servers: []string{"ns.provider.example."}},
		lab.Zone{Name: "z.test.", Servers: []string{"ns.provider.example."}, Text: `@ CAA 0 issue "letsencrypt.org"`})
	r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: 150 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		when string
		want []string
	}{{"meanwhile", nil}, {"afterwards", []string{"single-server"}}} {
		got := check.New(r, check.Jobs([]certname.Name{{Domain: "z.test."}}, []string{"letsencrypt.org"}, guard.Requirement{}), check.Options{At: time.Now()}).Run(t.Context(), check.Progress{})
		var codes []string
		for _, f := range got.Findings {
			codes = append(codes, f.Finding.Code)
		}
		if v := got.Names[0].Requests[0].Verdict; v.Outcome != verdict.MayIssue || !slices.Equal(codes, tt.want) {
			t.Errorf("%s: %v (%s), with the findings %q, want %q", tt.when, v.Outcome, v.Reason, codes, tt.want)
		}
		lost.Store(false)
	}
}
