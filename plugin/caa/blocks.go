package caa

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin/pkg/parse"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// This file knows the other caa blocks of the server. CoreDNS takes a question to the block whose zone is
// closest, but one for DS to the block above, for DS is the parent's (RFC 4035 3.1.4.1). So a block answers
// for the DS of zones below that it is not asked for anything else. By keys of its own it would name keys
// that nobody serves: such a zone has the keys here that it has in its own block. And DS of what lies below
// such a zone comes here, too, where nobody knows it: that is handed to the zone's own block.

// blocks are the caa blocks of one Corefile, by what CoreDNS chooses one by.
type blocks struct {
	at   map[blockKey][]*block
	list []*block // in the order of the Corefile
	once sync.Once
	them *siblings
}

// blockKey is a key of a server block.
type blockKey struct{ transport, port, zone string }

// block is a caa block and what it is reached by.
type block struct {
	*CAA
	site *dnsserver.Config
	keys []blockKey
}

// join adds a block to those of its Corefile.
func (b *block) join(c *caddy.Controller) *blocks {
	all, ok := c.Get(pluginName).(*blocks)
	if !ok {
		all = &blocks{at: map[blockKey][]*block{}}
		c.Set(pluginName, all)
	}
	all.list = append(all.list, b)
	for _, text := range c.ServerBlockKeys {
		key := readBlockKey(text)
		b.keys = append(b.keys, key)
		all.at[key] = append(all.at[key], b)
	}
	return all
}

// zones are those of the server block.
func (b *block) zones() (zones []string) {
	for _, key := range b.keys {
		zones = append(zones, key.zone)
	}
	return zones
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

// siblings are the loaders of all blocks, once all have joined.
func (all *blocks) siblings() *siblings {
	all.once.Do(func() {
		loaders := make([]*loader, len(all.list))
		for i, b := range all.list {
			loaders[i] = b.loader
		}
		all.them = newSiblings(loaders...)
	})
	return all.them
}

// closer is the handler of the other block that a question about a name is taken to, though b covers it, too;
// nil where it is b itself. A block that has but some of the questions (the plugin view) is none.
func (all *blocks) closer(b *block, name string) *CAA {
	for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
		if slices.ContainsFunc(b.keys, func(own blockKey) bool { return own.zone == name[off:] }) {
			return nil // also where the other one has this zone for those who do not see our view
		}
		for _, own := range b.keys {
			for _, other := range all.at[blockKey{own.transport, own.port, name[off:]}] {
				if other.loader.cfg.covers(name) && len(other.site.FilterFuncs) == 0 && meet(other.site.ListenHosts, b.site.ListenHosts) {
					return other.CAA
				}
			}
		}
	}
	return nil
}

// meet reports whether two blocks listen at one address. The empty one is all there are.
func meet(a, b []string) bool {
	every := func(hosts []string) bool { return len(hosts) == 0 || slices.Contains(hosts, "") }
	return every(a) || every(b) || slices.ContainsFunc(a, func(host string) bool { return slices.Contains(b, host) })
}

// borrowing is the keyring of a block in which zones of closer blocks have the keys that they have there.
type borrowing struct {
	keyring.Keyring
	borrower *loader
}

// Of implements keyring.Keyring.
func (k *borrowing) Of(zone *policy.Zone) (*keyring.Keys, error) {
	lender := k.borrower.closer(zone.Name)
	if lender == nil {
		return k.Keyring.Of(zone)
	}
	lender.loader.borrowers.add(k.borrower)
	if served := lender.loader.served(zone.Name); served != nil {
		return served.Keys, nil
	}
	return lender.loader.keys.Of(zone)
}

// Prepare implements keyring.Keyring.
func (k *borrowing) Prepare(ctx context.Context, zones []*policy.Zone) error {
	byRing := map[keyring.Keyring][]*policy.Zone{}
	for _, z := range zones {
		switch lender := k.borrower.closer(z.Name); {
		case lender == nil:
			byRing[k.Keyring] = append(byRing[k.Keyring], z)
		case lender.loader.served(z.Name) == nil:
			byRing[lender.loader.keys] = append(byRing[lender.loader.keys], z)
		}
	}
	var errs []error
	for ring, zones := range byRing {
		errs = append(errs, ring.Prepare(ctx, zones))
	}
	return errors.Join(errs...)
}

// borrowers are the loaders that serve keys of another one.
type borrowers struct {
	mu   sync.Mutex
	them []*loader
}

func (b *borrowers) add(l *loader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.them, l) {
		b.them = append(b.them, l)
	}
}

// rekey has all of them serve the keys as they are now.
func (b *borrowers) rekey() {
	b.mu.Lock()
	them := slices.Clone(b.them)
	b.mu.Unlock()
	for _, l := range them {
		l.serveKeys() // no further: two blocks may borrow from each other
	}
}
