package caa

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"
)

// Which of two blocks CoreDNS takes a question to.
func TestCloserBlock(t *testing.T) {
	t.Parallel()
	some := []dnsserver.FilterFunc{func(context.Context, *request.Request) bool { return true }}
	for name, c := range map[string]struct {
		ours, theirs     []string // keys of the server blocks
		onOurs, onTheirs []string // addresses
		filter           []dnsserver.FilterFunc
		covers           string // zones of the other caa
		name             string
		closer           bool
	}{
		"a zone below":                  {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, name: "corp.example.org.", closer: true},
		"a name in it":                  {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, name: "www.corp.example.org.", closer: true},
		"a name beside it":              {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, name: "www.example.org."},
		"a zone above":                  {ours: []string{"dns://corp.example.org.:53"}, theirs: []string{"dns://example.org.:53"}, name: "corp.example.org."},
		"below the root":                {ours: []string{"dns://.:53"}, theirs: []string{"dns://corp.example.org.:53"}, name: "corp.example.org.", closer: true},
		"the root":                      {ours: []string{"dns://.:53"}, theirs: []string{"dns://corp.example.org.:53"}, name: "."},
		"both zones here":               {ours: []string{"dns://example.org.:53", "dns://a.corp.example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, name: "a.corp.example.org."},
		"another port":                  {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:54"}, name: "corp.example.org."},
		"another transport":             {ours: []string{"dns://example.org.:53"}, theirs: []string{"tls://corp.example.org.:53"}, name: "corp.example.org."},
		"another address":               {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, onOurs: []string{"192.0.2.1"}, onTheirs: []string{"192.0.2.2"}, name: "corp.example.org."},
		"one address of two":            {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, onOurs: []string{"192.0.2.1", "192.0.2.2"}, onTheirs: []string{"192.0.2.2"}, name: "corp.example.org.", closer: true},
		"every address":                 {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, onOurs: []string{""}, onTheirs: []string{"192.0.2.2"}, name: "corp.example.org.", closer: true},
		"some of the questions":         {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, filter: some, name: "corp.example.org."},
		"the zone for who sees no view": {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://example.org.:53"}, name: "www.example.org."},
		"a block with other zones":      {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, covers: "a.corp.example.org.", name: "corp.example.org."},
	} {
		ours := &block{CAA: &CAA{loader: &loader{cfg: new(config)}}, site: &dnsserver.Config{ListenHosts: c.onOurs}}
		theirs := &block{CAA: &CAA{loader: &loader{cfg: new(config)}}, site: &dnsserver.Config{ListenHosts: c.onTheirs, FilterFuncs: c.filter}}
		ours.loader.cfg.setZones([]string{"."})
		theirs.loader.cfg.setZones([]string{"."})
		if c.covers != "" {
			theirs.loader.cfg.setZones([]string{c.covers})
		}
		file := caddy.NewTestController("dns", "")
		file.ServerBlockKeys = c.theirs
		theirs.join(file)
		file.ServerBlockKeys = c.ours
		all := ours.join(file)
		if got := all.closer(ours, c.name); (got == theirs.CAA) != c.closer || (got == nil) == c.closer {
			t.Errorf("%s: another block is closer: %t", name, got != nil)
		}
	}
}

// A zone has the keys of the block that answers for it wherever its DS is asked, also when they change.
func TestKeysOfACloserBlock(t *testing.T) {
	t.Parallel()
	below := buildRolling(t, testPolicy, "", nil, &registry{})
	cfg, _ := configure(t, testPolicy, keyFiles(t, "example.org."))
	l, err := newLoader(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.closer = func(name string) *CAA {
		if dns.IsSubDomain("sub.example.org.", name) {
			return below.CAA
		}
		return nil
	}
	if err := l.start(); err != nil {
		t.Fatal(err)
	}
	above := &CAA{loader: l}
	ds := func(h *CAA) (texts []string) {
		m := ask(t, h, question("sub.example.org.", dns.TypeDS), true)
		verify(t, h, m)
		return sorted(m.Answer, dns.TypeDS)
	}
	for _, want := range []int{0, 1} {
		if got := ds(above); len(got) != want || !slices.Equal(got, ds(below.CAA)) {
			t.Errorf("the DS are %q, in the zone's own block %q", got, ds(below.CAA))
		}
		below.run(t, 3*time.Hour, func() {})
	}
	if got := l.keys.Status(); len(got) != 1 {
		t.Errorf("the block looks after the keys of %d zones", len(got))
	}
}
