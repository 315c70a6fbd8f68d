package caa

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
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
		owns             bool
	}{
		"a zone below":                  {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, name: "corp.example.org.", owns: true},
		"a name in it":                  {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, name: "www.corp.example.org.", owns: true},
		"a name beside it":              {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, name: "www.example.org."},
		"a zone above":                  {ours: []string{"dns://corp.example.org.:53"}, theirs: []string{"dns://example.org.:53"}, name: "corp.example.org."},
		"below the root":                {ours: []string{"dns://.:53"}, theirs: []string{"dns://corp.example.org.:53"}, name: "corp.example.org.", owns: true},
		"the root":                      {ours: []string{"dns://.:53"}, theirs: []string{"dns://corp.example.org.:53"}, name: "."},
		"both zones here":               {ours: []string{"dns://example.org.:53", "dns://a.corp.example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, name: "a.corp.example.org."},
		"another port":                  {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:54"}, name: "corp.example.org."},
		"another transport":             {ours: []string{"dns://example.org.:53"}, theirs: []string{"tls://corp.example.org.:53"}, name: "corp.example.org."},
		"another address":               {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, onOurs: []string{"192.0.2.1"}, onTheirs: []string{"192.0.2.2"}, name: "corp.example.org."},
		"one address of two":            {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, onOurs: []string{"192.0.2.1", "192.0.2.2"}, onTheirs: []string{"192.0.2.2"}, name: "corp.example.org.", owns: true},
		"every address":                 {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, onOurs: []string{""}, onTheirs: []string{"192.0.2.2"}, name: "corp.example.org.", owns: true},
		"some of the questions":         {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, filter: some, name: "corp.example.org."},
		"the zone for who sees no view": {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://example.org.:53"}, name: "www.example.org."},
		"a block with other zones":      {ours: []string{"dns://example.org.:53"}, theirs: []string{"dns://corp.example.org.:53"}, covers: "a.corp.example.org.", name: "corp.example.org."},
	} {
		zones := "."
		if c.covers != "" {
			zones = c.covers
		}
		ours := blockAt(&dnsserver.Config{ListenHosts: c.onOurs}, c.ours, ".")
		theirs := blockAt(&dnsserver.Config{ListenHosts: c.onTheirs, FilterFuncs: c.filter}, c.theirs, zones)
		if got := (routing{ours, newRoutes(theirs, ours)}).owner(c.name); (got == theirs) != c.owns || (got == nil) == c.owns {
			t.Errorf("%s: another block owns it: %t", name, got != nil)
		}
	}
}

// A zone has the keys of the block that answers for it wherever its DS is asked, also when they change.
func TestKeysOfACloserBlock(t *testing.T) {
	t.Parallel()
	below := buildRolling(t, testPolicy, "", nil, &registry{})
	cfg, _ := configure(t, testPolicy, keyFiles(t, "example.org."))
	b, err := newBlock(cfg, &dnsserver.Config{}, []string{"dns://example.org.:53"}, cfg.keyring())
	if err != nil {
		t.Fatal(err)
	}
	closer := below.loader.block
	closer.at = []blockKey{readBlockKey("dns://sub.example.org.:53")}
	above := &built{b.handler, newLoader(b, surroundings{routes: newRoutes(b, closer)})}
	above.loader.layout.packed = false
	if err := above.start(); err != nil {
		t.Fatal(err)
	}
	ds := func(h *built) (texts []string) {
		m := ask(t, h, question("sub.example.org.", dns.TypeDS), true)
		verify(t, h, m)
		return sorted(m.Answer, dns.TypeDS)
	}
	for _, want := range []int{0, 1} {
		if got := ds(above); len(got) != want || !slices.Equal(got, ds(below.built)) {
			t.Errorf("the DS are %q, in the zone's own block %q", got, ds(below.built))
		}
		below.run(t, 3*time.Hour, func() {})
	}
	if got := b.keys.Status(); len(got) != 1 {
		t.Errorf("the block looks after the keys of %d zones", len(got))
	}
}

// failing is a keyring that prepares nothing.
type failing struct {
	keyring.Keyring
	why string
}

func (f *failing) Prepare(context.Context, []*policy.Zone) error { return errors.New(f.why) }

// What is wrong with the keys of several blocks comes in the order of the zones, in every run.
func TestErrorsOfSharedKeysInOrder(t *testing.T) {
	t.Parallel()
	var blocks []*block
	var zones []*policy.Zone
	var want []string
	for _, label := range []string{"", "a.", "b.", "c.", "d.", "e."} {
		name := label + "example.org."
		b := blockAt(&dnsserver.Config{}, []string{"dns://" + name + ":53"}, name)
		b.keys = &failing{why: name}
		blocks, zones, want = append(blocks, b), append(zones, &policy.Zone{Name: name}), append(want, name)
	}
	k := &sharedKeys{Keyring: blocks[0].keys, routing: routing{blocks[0], newRoutes(blocks...)}}
	for range 10 {
		if err := k.Prepare(t.Context(), zones); err == nil || err.Error() != strings.Join(want, "\n") {
			t.Fatalf("%v, want %q", err, want)
		}
	}
}

// Lines of the log say which block they are about, where there are several.
func TestBlockLabel(t *testing.T) {
	t.Parallel()
	of := func(line int, zones ...string) *block {
		b := blockAt(&dnsserver.Config{}, nil, zones...)
		b.cfg.pos = policy.Position{File: "Corefile", Line: line, Column: 1}
		return b
	}
	one, many := of(2, "example.org."), of(9, ".", "example.net.", "example.com.")
	for want, r := range map[string]routing{
		"":                            {one, newRoutes(one)},
		"example.org (Corefile:2): ":  {one, newRoutes(one, many)},
		". and 2 more (Corefile:9): ": {many, newRoutes(one, many)},
	} {
		if got := r.label(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Which records of other folders say nothing of a block's zones: those of folders by which another block serves them.
func TestKeysOwnedElsewhere(t *testing.T) {
	t.Parallel()
	some := &dnsserver.Config{FilterFuncs: []dnsserver.FilterFunc{func(context.Context, *request.Request) bool { return true }}}
	with := func(site *dnsserver.Config, folder, zone string) *block {
		b := blockAt(site, []string{"dns://" + zone + ":53"}, zone)
		b.cfg.keyDir = folder
		return b
	}
	every := new(dnsserver.Config)
	for name, c := range map[string]struct {
		own, other *block
		want       bool
	}{
		"a view of the same zone":           {with(some, "keyz", "example.org."), with(every, "keys", "example.org."), true},
		"a view of a zone of the other's":   {with(some, "keyz", "sub.example.org."), with(every, "keys", "example.org."), true},
		"a block for what was the other's":  {with(every, "keyz", "sub.example.org."), with(every, "keys", "example.org."), false},
		"another folder":                    {with(some, "keyz", "example.org."), with(every, "more", "example.org."), false},
		"a block without the zone":          {with(every, "keyz", "sub.example.org."), with(every, "keys", "example.net."), false},
		"no folder":                         {with(some, "keyz", "example.org."), with(every, "", "example.org."), false},
		"the zone of the other one's block": {with(every, "keyz", "example.org."), with(every, "keys", "sub.example.org."), true},
	} {
		if got := (routing{c.own, newRoutes(c.own, c.other)}).ownedElsewhere("sub.example.org.", "keys"); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// blockAt is a block that is reached by these keys, with the zones that it answers for.
func blockAt(site *dnsserver.Config, keys []string, zones ...string) *block {
	cfg := new(config)
	cfg.setZones(zones)
	b := &block{cfg: cfg, site: site, handler: &CAA{cfg: cfg}}
	for _, key := range keys {
		b.at = append(b.at, readBlockKey(key))
	}
	return b
}
