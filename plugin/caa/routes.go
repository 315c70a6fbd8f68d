package caa

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin/pkg/parse"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/caa/source"
	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// This file has the one table that says which caa block of a server answers for a name.
//
// CoreDNS takes a question to the block whose zone is closest, but one for DS to the block above, for DS is the
// parent's (RFC 4035 3.1.4.1). So a block answers for the DS of zones that it is not asked for anything else. By keys
// of its own it would name keys that nobody serves: such a zone has the keys here that it has in the block that owns
// it. And DS of what is under such a zone comes here, too, where nobody knows it: that is handed to the owner.

// blockKey is a key of a server block.
type blockKey struct{ transport, port, zone string }

// block is a caa block as the Corefile has it: complete before any block is started, for blocks share keys.
type block struct {
	cfg     *config
	site    *dnsserver.Config // its server block
	at      []blockKey
	kept    source.LastGood
	keys    keyring.Keyring
	handler *CAA
	sharers sharers
}

// newBlock opens what a block keeps on disk: the last good policy, and its keys.
func newBlock(cfg *config, site *dnsserver.Config, keyTexts []string, of keyring.Config) (*block, error) {
	kept, err := source.NewLastGood(cfg.stateDir, cfg.file, cfg.zones)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", cfg.seen["state"], err)
	}
	of.Record = kept.KeyRecord(of.Folder)
	keys, err := keyring.Open(of)
	if err != nil {
		return nil, cfg.locate(err)
	}
	b := &block{cfg: cfg, site: site, kept: kept, keys: keys, handler: &CAA{cfg: cfg}}
	for _, text := range keyTexts {
		b.at = append(b.at, readBlockKey(text))
	}
	return b, nil
}

// zones returns the zones of the server block.
func (b *block) zones() (zones []string) {
	for _, key := range b.at {
		zones = append(zones, key.zone)
	}
	return zones
}

// serving returns what the block serves, nil before its start.
func (b *block) serving() *serving { return b.handler.serving.Load() }

// served returns the zone with that apex as the block serves it, or nil.
func (b *block) served(apex string) *zones.Zone {
	if s := b.serving(); s != nil {
		return s.zones.Zone(apex)
	}
	return nil
}

// readBlockKey reads a key as CoreDNS writes it: dns://example.org.:53.
func readBlockKey(text string) blockKey {
	transport, rest := parse.Transport(text)
	colon := strings.LastIndexByte(rest, ':')
	if colon < 0 {
		return blockKey{transport, "", dns.CanonicalName(rest)}
	}
	return blockKey{transport, rest[colon+1:], dns.CanonicalName(rest[:colon])}
}

// blocks are the caa blocks of one Corefile, gathered while it is read.
type blocks struct {
	list   []*block // in the order of the Corefile
	once   sync.Once
	routed *routes
	then   []func() // of the blocks that have started
}

// blocksOf returns the blocks of a Corefile that have been read so far.
func blocksOf(c *caddy.Controller) *blocks {
	all, ok := c.Get(pluginName).(*blocks)
	if !ok {
		all = &blocks{}
		c.Set(pluginName, all)
	}
	return all
}

// add adds a block of the Corefile.
func (all *blocks) add(b *block) { all.list = append(all.list, b) }

// started notes a block that has started, and what is to be done once all have: after the last one, for each.
func (all *blocks) started(then func()) {
	if all.then = append(all.then, then); len(all.then) == len(all.list) {
		for _, then := range all.then {
			then()
		}
	}
}

// routes returns the table of all blocks, once all were added.
func (all *blocks) routes() *routes {
	all.once.Do(func() { all.routed = newRoutes(all.list...) })
	return all.routed
}

// routes is the routing table of a server. Immutable.
type routes struct {
	blocks []*block
	byKey  map[blockKey][]*block
	byZone map[string][]*block // by the zones that they answer for
	byFile map[string]*block   // the first one with each policy file
}

func newRoutes(list ...*block) *routes {
	t := &routes{list, map[blockKey][]*block{}, map[string][]*block{}, map[string]*block{}}
	for _, b := range list {
		for _, key := range b.at {
			t.byKey[key] = append(t.byKey[key], b)
		}
		for _, zone := range b.cfg.zones {
			t.byZone[zone] = append(t.byZone[zone], b)
		}
		if t.byFile[b.cfg.file] == nil {
			t.byFile[b.cfg.file] = b
		}
	}
	return t
}

// routing is the routing table as one block uses it.
type routing struct {
	own   *block
	table *routes
}

// owner returns the other block that a question about a name is taken to, though the own one covers it, too; nil where
// it is the own one. A block that has only some of the questions (the plugin view) owns none.
func (t routing) owner(name string) *block {
	for up := range dnsname.Up(name) {
		if slices.ContainsFunc(t.own.at, func(key blockKey) bool { return key.zone == up }) {
			return nil // also where the other one has this zone for those who do not see our view
		}
		for _, key := range t.own.at {
			for _, other := range t.table.byKey[blockKey{key.transport, key.port, up}] {
				if other.cfg.covers(name) && len(other.site.FilterFuncs) == 0 && meet(other.site.ListenHosts, t.own.site.ListenHosts) {
					return other
				}
			}
		}
	}
	return nil
}

// ownedElsewhere reports whether another block owns a zone, with keys of that folder.
func (t routing) ownedElsewhere(zone, folder string) bool {
	for other := range t.table.covering(zone) {
		if other != t.own && other.cfg.keyDir != "" && keyring.SameFolder(other.cfg.keyDir, folder) && (routing{other, t.table}).owner(zone) == nil {
			return true
		}
	}
	return false
}

// inAnotherBlock reports whether another block of the server serves the zone of a name.
func (t routing) inAnotherBlock(name string) bool {
	if t.owner(name) != nil {
		return true
	}
	for other := range t.table.covering(name) {
		s := other.serving() // nil before its start
		if other != t.own && (other.cfg.file == t.own.cfg.file || s == nil || s.zones.Find(name) != nil) {
			return true
		}
	}
	return false
}

// label begins lines of the log that are about the own block where the Corefile has several: the zones that it answers
// for and its line, of which a snippet or a view has only one to itself. It is "" where there is one block.
func (t routing) label() string {
	if len(t.table.blocks) < 2 {
		return ""
	}
	cfg := t.own.cfg
	zones := dnsname.Bare(cfg.zones[0])
	if n := len(cfg.zones); n > 1 {
		zones += fmt.Sprintf(" and %d more", n-1)
	}
	return fmt.Sprintf("%s (%s:%d): ", zones, cfg.pos.File, cfg.pos.Line)
}

// speaksForFile reports whether this is the first block with its policy file: what is true of the file and not of a
// block is counted and logged once.
func (t routing) speaksForFile() bool { return t.table.byFile[t.own.cfg.file] == t.own }

// meet reports whether two blocks listen at one address. The empty one is all there are.
func meet(a, b []string) bool {
	every := func(hosts []string) bool { return len(hosts) == 0 || slices.Contains(hosts, "") }
	return every(a) || every(b) || slices.ContainsFunc(a, func(host string) bool { return slices.Contains(b, host) })
}

// covering yields the blocks that answer for a name, the closest first.
func (t *routes) covering(name string) iter.Seq[*block] {
	return func(yield func(*block) bool) {
		for up := range dnsname.Up(name) {
			for _, b := range t.byZone[up] {
				if !yield(b) {
					return
				}
			}
		}
	}
}

// sharers are the blocks that serve keys of another one, and how each of them serves the keys as they are now.
type sharers struct {
	mu    sync.Mutex
	rekey map[*block]func()
}

func (s *sharers) add(b *block, rekey func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rekey == nil {
		s.rekey = map[*block]func(){}
	}
	s.rekey[b] = rekey
}

// rekeyAll has all of them serve the keys as they are now.
func (s *sharers) rekeyAll() {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.rekey))
	s.mu.Unlock()
	for _, rekey := range all {
		rekey() // no further: two blocks may share keys both ways
	}
}
