//go:build !full

package main

import (
	"github.com/coredns/caddy"
	"github.com/coredns/coredns/plugin"
)

// leftOut are the plugins that only a full build has.
var leftOut = []string{"azure", "clouddns", "etcd", "k8s_external", "kubernetes", "nomad", "route53", "trace"}

// A Corefile that uses one of them is answered with what to do, rather than with CoreDNS's
// "action not found for directive".
func init() {
	for _, name := range leftOut {
		plugin.Register(name, sayHowToBuild)
	}
}

func sayHowToBuild(c *caddy.Controller) error {
	c.Next()
	return c.Errf("the plugin %s is not in this build; build with -tags full to have it", c.Val())
}
