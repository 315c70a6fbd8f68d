package caa

import (
	"slices"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	clog "github.com/coredns/coredns/plugin/pkg/log"
)

var log = clog.NewWithPlugin(pluginName)

func init() { plugin.Register(pluginName, setup) }

// blind are the handlers that may stand above caa and neither read nor change a message that passes
// them; prometheus counts the length and takes NOERROR for granted, which prepared answers are.
var blind = []string{"bind", "errors", "prometheus", "cancel", "acl", "any", "chaos", "ready", "health", "local", "loop", "metadata", pluginName}

func setup(c *caddy.Controller) error {
	cfg, err := parseConfig(c)
	if err != nil {
		return plugin.Error(pluginName, err)
	}
	l, err := newLoader(cfg)
	if err != nil {
		return plugin.Error(pluginName, err)
	}
	handler := &CAA{loader: l}
	site := dnsserver.GetConfig(c)
	site.AddPlugin(func(next plugin.Handler) plugin.Handler {
		handler.Next = next
		return handler
	})

	c.OnStartup(func() error {
		l.hasNext = handler.Next != nil
		if err := l.start(); err != nil {
			return plugin.Error(pluginName, err)
		}
		handler.transparent.Store(transparent(site.Handlers()))
		l.greet(listenHost(site), site.Port)
		live.add(l)
		go l.watch()
		return nil
	})
	c.OnRestart(func() error { live.restarting(); return nil })
	c.OnRestartFailed(func() error { live.restartFailed(); return nil })
	c.OnShutdown(func() error { live.remove(l); return nil })
	return nil
}

// transparent reports whether every handler above caa is blind. They come in the order of the chain.
func transparent(handlers []plugin.Handler) bool {
	for _, h := range handlers {
		if h.Name() == pluginName {
			return true
		}
		if !slices.Contains(blind, h.Name()) {
			return false
		}
	}
	return false
}

func listenHost(site *dnsserver.Config) string {
	if len(site.ListenHosts) > 0 && site.ListenHosts[0] != "" {
		return site.ListenHosts[0]
	}
	return "127.0.0.1"
}
