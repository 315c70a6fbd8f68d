package caa

import (
	"slices"
	"sync"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/caa/linelog"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

var log = linelog.New(pluginName)

func init() { plugin.Register(pluginName, setup) }

// blind are the handlers that may stand above caa and neither read nor change a message that passes
// them; prometheus counts the length and takes NOERROR for granted, which prepared answers are.
var blind = []string{"bind", "errors", "prometheus", "cancel", "acl", "any", "chaos", "ready", "health", "local", "loop", "metadata"}

func setup(c *caddy.Controller) error {
	cfg, err := parseConfig(c)
	if err != nil {
		return plugin.Error(pluginName, terminal.Error(err))
	}
	l, err := newLoader(cfg)
	if err != nil {
		return plugin.Error(pluginName, terminal.Error(err))
	}
	handler := &CAA{loader: l}
	site := dnsserver.GetConfig(c)
	own := &block{CAA: handler, site: site}
	others := own.join(c)
	var once sync.Once // a site with several addresses is built into a server for each
	site.AddPlugin(func(next plugin.Handler) plugin.Handler {
		handler.Next = next
		// Chains are built after the set-up of all plugins and before the start of any: what is said here
		// comes last. The self-check asks the plugins below, which must have started.
		once.Do(func() {
			c.OnStartup(func() error {
				l.retryNow()
				l.reportUnserved()
				go l.watch()
				go keyring.Watch(l.keys, l.stop, l.rekey)
				go (&selfCheck{CAA: handler, rest: restUntil(l.stop)}).watch()
				return nil
			})
		})
		return handler
	})

	c.OnStartup(func() error {
		above, under := around(site.Handlers())
		l.next, l.around = handler.Next, surroundings{
			transparent: all(above, blind), prompt: all(under, prompt), byType: !all(under, wholeNames), partial: holders(under) > 1, stores: storesOf(under)}
		handler.around.Store(&l.around)
		l.closer, l.site = func(name string) *CAA { return others.closer(own, name) }, own.zones()
		l.above, l.under, l.siblings = above, under, others.siblings()
		if err := l.start(); err != nil {
			return plugin.Error(pluginName, terminal.Error(err))
		}
		l.greet(listenHost(site), site.Port)
		live.add(l)
		return nil
	})
	c.OnRestart(func() error { live.restarting(); return nil })
	c.OnRestartFailed(func() error { live.restartFailed(); return nil })
	c.OnShutdown(func() error { live.remove(l); return nil })
	return nil
}

// restUntil waits for a time, or until stop is closed: then it reports false.
func restUntil(stop <-chan struct{}) func(time.Duration) bool {
	return func(d time.Duration) bool {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-stop:
			return false
		case <-timer.C:
			return true
		}
	}
}

// around splits the handlers of a site, which come in the order of the chain, at caa.
func around(handlers []plugin.Handler) (above, under []plugin.Handler) {
	i := slices.IndexFunc(handlers, func(h plugin.Handler) bool { return h.Name() == pluginName })
	if i < 0 {
		return handlers, nil
	}
	return handlers[:i], handlers[i+1:]
}

// all reports whether the name of every handler is one of those known.
func all(handlers []plugin.Handler, known []string) bool {
	return !slices.ContainsFunc(handlers, func(h plugin.Handler) bool { return !slices.Contains(known, h.Name()) })
}

// holders counts the handlers that may hold names of a zone.
func holders(under []plugin.Handler) (n int) {
	for _, h := range under {
		if !slices.Contains(passOn, h.Name()) {
			n++
		}
	}
	return n
}

func listenHost(site *dnsserver.Config) string {
	if len(site.ListenHosts) > 0 && site.ListenHosts[0] != "" {
		return site.ListenHosts[0]
	}
	return "127.0.0.1"
}
