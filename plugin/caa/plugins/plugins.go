// Package plugins is the one table of what is known of CoreDNS's plugins, by the name of their handlers. What is not
// known of a plugin is taken not to be so: that costs a question or a copy, and no certificate.
package plugins

import (
	"slices"

	"github.com/coredns/coredns/plugin"
)

// Trait is something that is known of a plugin, as bits.
type Trait uint8

// The traits. The first four are about plugins after caa in the chain, the others about plugins before it.
const (
	// NonBlocking plugins answer from memory, or with what the plugins after them answer. Any other may wait for a
	// network, so that waiting for it must end.
	NonBlocking Trait = 1 << iota
	// WholeNames are the plugins for which a name is an alias for all types or for none, and exists for all types
	// or for none (RFC 1034 3.6.2, 4.3.2; RFC 8020), or that pass on what the plugins after them answer. Of any
	// other one answer says nothing about the other types: etcd and kubernetes show an alias only to a question
	// for an address or for CNAME, template and etcd answer NXDOMAIN to a type that they do not know, and behind
	// forward and grpc may be any of them.
	WholeNames
	// PassThrough plugins hold no data, and answer with what the plugins after them answer.
	PassThrough
	// ShowsAll plugins may hold data of any type, and can show all of a zone.
	ShowsAll
	// Answers plugins hold or make data: before caa they answer in its place.
	Answers
	// LeavesMessages plugins neither read nor change a message that passes them, so that a packed answer may go as it
	// is; prometheus counts the length and takes NOERROR for granted, which packed answers are.
	LeavesMessages
)

// table has a row for each plugin of which something is known.
var table = map[string]Trait{
	"acl":          LeavesMessages,
	"any":          LeavesMessages,
	"auto":         NonBlocking | WholeNames | ShowsAll | Answers,
	"azure":        Answers,
	"bind":         LeavesMessages,
	"cache":        NonBlocking | WholeNames | PassThrough,
	"cancel":       LeavesMessages,
	"chaos":        LeavesMessages,
	"clouddns":     Answers,
	"dnssec":       NonBlocking | WholeNames | PassThrough,
	"dynupdate":    WholeNames | ShowsAll | Answers,
	"erratic":      Answers,
	"errors":       LeavesMessages,
	"etcd":         Answers,
	"file":         NonBlocking | WholeNames | ShowsAll | Answers,
	"forward":      Answers,
	"grpc":         Answers,
	"header":       NonBlocking | WholeNames | PassThrough,
	"health":       LeavesMessages,
	"hosts":        NonBlocking | WholeNames | Answers,
	"k8s_external": NonBlocking | Answers,
	"kubernetes":   NonBlocking | Answers,
	"loadbalance":  NonBlocking | WholeNames | PassThrough,
	"local":        LeavesMessages,
	"loop":         LeavesMessages,
	"metadata":     LeavesMessages,
	"minimal":      NonBlocking | WholeNames | PassThrough,
	"nomad":        Answers,
	"prometheus":   LeavesMessages,
	"ready":        LeavesMessages,
	"route53":      Answers,
	"secondary":    NonBlocking | WholeNames | ShowsAll | Answers,
	"sign":         NonBlocking | WholeNames,
	"template":     NonBlocking | Answers,
	"transfer":     NonBlocking | WholeNames | PassThrough,
	"whoami":       NonBlocking | WholeNames | Answers,
}

// Has reports whether a plugin is known to have a trait.
func Has(h plugin.Handler, t Trait) bool { return table[h.Name()]&t != 0 }

// All reports whether every plugin is known to have a trait.
func All(handlers []plugin.Handler, t Trait) bool {
	return !slices.ContainsFunc(handlers, func(h plugin.Handler) bool { return !Has(h, t) })
}

// With returns the names of the plugins that are known to have a trait, in order.
func With(t Trait) (names []string) {
	for name, known := range table {
		if known&t != 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
