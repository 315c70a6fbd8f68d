package main

import (
	"slices"
	"testing"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
)

// Whatever a Corefile of CoreDNS may say is answered by a plugin or, in the lean build, by the
// word of how to get it.
func TestEveryDirectiveIsAnswered(t *testing.T) {
	t.Parallel()
	for _, name := range dnsserver.Directives {
		if name == "caa" {
			continue // TestOrder's
		}
		if _, err := caddy.DirectiveAction("dns", name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The order is CoreDNS's own but for caa, whose place the plugin's README gives reasons for.
func TestOrder(t *testing.T) {
	t.Parallel()
	at := slices.Index(dnsserver.Directives, "caa")
	if at < 0 || at != slices.Index(dnsserver.Directives, "cache")-1 {
		t.Fatalf("caa does not stand right above cache: %v", dnsserver.Directives)
	}
	for _, name := range []string{"acl", "any", "errors", "log", "prometheus", "rewrite", "tsig"} {
		if i := slices.Index(dnsserver.Directives, name); i < 0 || i > at {
			t.Errorf("%s decides on or watches the question, and must be before caa", name)
		}
	}
	for _, name := range []string{"dnssec", "file", "forward", "hosts", "template", "whoami"} {
		if slices.Index(dnsserver.Directives, name) < at {
			t.Errorf("%s makes answers, and must be after caa", name)
		}
	}
}
