package overlay

import (
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/transfer"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/plugins"
	"github.com/coredns-caa/caa/plugin/pkg/zonecaa"
)

// Backend is what is known of the next plugins of a block together. The zero value is that of plugins that may wait for
// a network, hold whole names, and show none of their data. Immutable.
type Backend struct {
	nonblocking bool                  // none waits for a network
	byType      bool                  // one may answer one type of a name as if it knew no other
	shared      bool                  // several have names of a zone, so that none of them knows all
	stores      []transfer.Transferer // those that can show all of a zone's data
}

// BackendOf looks up the plugins after caa in the chain.
func BackendOf(handlers []plugin.Handler) Backend {
	b := Backend{nonblocking: plugins.All(handlers, plugins.NonBlocking), byType: !plugins.All(handlers, plugins.WholeNames)}
	holders := 0
	for _, h := range handlers {
		if !plugins.Has(h, plugins.PassThrough) {
			holders++
		}
		if store, ok := h.(transfer.Transferer); ok && plugins.Has(h, plugins.ShowsAll) {
			b.stores = append(b.stores, store)
		}
	}
	b.shared = holders > 1
	return b
}

// CAA reads the CAA of a zone's data, nil where no plugin shows all of them now: a secondary may not have them yet.
func (b Backend) CAA(apex string) *zonecaa.Zone {
	for _, store := range b.stores {
		records, err := store.Transfer(apex, 0)
		if err != nil {
			continue // it does not hold the zone
		}
		return zonecaa.Read(apex, func(yield func(dns.RR) bool) {
			going := true
			for rrs := range records { // to the end, which the plugin waits for
				for _, rr := range rrs {
					going = going && yield(rr)
				}
			}
		})
	}
	return nil
}
