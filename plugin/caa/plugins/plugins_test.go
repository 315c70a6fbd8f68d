package plugins

import (
	"context"
	"slices"
	"testing"

	"github.com/coredns/coredns/core/dnsserver"
	_ "github.com/coredns/coredns/core/plugin" // fills the list of plugins
	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"
)

type named string

func (n named) Name() string { return string(n) }

func (named) ServeDNS(context.Context, dns.ResponseWriter, *dns.Msg) (int, error) { return 0, nil }

func TestAll(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		trait    Trait
		handlers []plugin.Handler
		want     bool
	}{
		{NonBlocking, nil, true},
		{NonBlocking, []plugin.Handler{named("file"), named("cache")}, true},
		{NonBlocking, []plugin.Handler{named("file"), named("forward")}, false},
		{WholeNames, []plugin.Handler{named("etcd")}, false},
		{LeavesMessages, []plugin.Handler{named("errors"), named("prometheus")}, true},
		{LeavesMessages, []plugin.Handler{named("errors"), named("rewrite")}, false}, // of which nothing is known
	} {
		if got := All(c.handlers, c.trait); got != c.want {
			t.Errorf("trait %b of all of %v: %v", c.trait, c.handlers, got)
		}
	}
}

// Traits that contradict each other are of no plugin.
func TestContradictions(t *testing.T) {
	t.Parallel()
	for name, known := range table {
		for _, both := range []Trait{PassThrough | Answers, PassThrough | ShowsAll, Answers | LeavesMessages} {
			if known&both == both {
				t.Errorf("%s has the traits %b", name, both)
			}
		}
	}
	if len(With(Answers)) < 17 {
		t.Errorf("only %v answer", With(Answers))
	}
}

// Every plugin in the table is one of CoreDNS's: a name that is misspelt would cost questions for ever.
func TestPluginsAreCoreDNSs(t *testing.T) {
	t.Parallel()
	for name := range table {
		if !slices.Contains(dnsserver.Directives, name) && name != "dynupdate" { // which is newer than some builds
			t.Errorf("CoreDNS has no plugin %s", name)
		}
	}
}
