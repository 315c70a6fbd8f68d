// Command coredns is CoreDNS with the plugin caa compiled in.
//
// It is stock CoreDNS in everything else: same flags, same Corefile. The plugins that need a cloud
// provider's or Kubernetes' client library are left out of the ordinary build, for they are most
// of what there is to compile; `-tags full` brings them back (plugins_full.go).
package main

import (
	"slices"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns-caa/caa/plugin/caa" // the plugin itself
)

// The plugin caa stands right above cache. What holds or computes data, from cache to whoami, lies
// below it, so that such answers are completed and signed fresh, and no cache keeps our signatures
// past a change of the policy. What decides on the question, such as acl, rewrite and tsig, lies
// above it.
func init() {
	below := slices.Index(dnsserver.Directives, "cache")
	dnsserver.Directives = slices.Insert(dnsserver.Directives, below, "caa")
}

func main() { coremain.Run() }
