package caa

import (
	"slices"
	"sync"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

func init() { plugin.Register(pluginName, setup) }

func setup(c *caddy.Controller) error {
	cfg, err := parseConfig(c)
	if err != nil {
		return plugin.Error(pluginName, terminal.Error(err))
	}
	site := dnsserver.GetConfig(c)
	others, of := blocksOf(c), cfg.keyring()
	var own *block
	of.OwnedElsewhere = func(zone, folder string) bool {
		return routing{own, others.routes()}.ownedElsewhere(zone, folder)
	}
	if own, err = newBlock(cfg, site, c.ServerBlockKeys, of); err != nil {
		return plugin.Error(pluginName, terminal.Error(err))
	}
	others.add(own)

	// CoreDNS sets up all plugins, builds the chains, and calls what is to be done at the start in the order in which it
	// was registered. So all blocks are known before the first loader is made, and the other plugins have read their data:
	// auto reads its folder at the start. What is done once all blocks have started follows the last of them.
	var l *loader
	begin := func() error {
		above, under := around(site.Handlers())
		l = newLoader(own, surroundings{others.routes(), own.handler.Next, above, under})
		if err := l.source.Start(live.goodOf(cfg)); err != nil {
			return plugin.Error(pluginName, terminal.Error(err))
		}
		l.greet(listenHost(site), site.Port)
		live.add(l)
		others.started(l.run)
		return nil
	}
	var once sync.Once // a site with several addresses is built into a server for each
	site.AddPlugin(func(next plugin.Handler) plugin.Handler {
		own.handler.Next = next
		once.Do(func() { c.OnStartup(begin) })
		return own.handler
	})
	c.OnRestart(func() error { live.restarting(); return nil })
	c.OnRestartFailed(func() error { live.restartFailed(); return nil })
	c.OnShutdown(func() error { live.remove(l); return nil })
	return nil
}

// run follows what the block depends on, until its stop: once all blocks have started, for it asks them, too.
func (l *loader) run() {
	l.source.Retry()
	l.unserved.report()
	if l.layout.lacksOthers(l.block.serving()) {
		l.serveKeys()
	}
	go l.source.Run(l.stop)
	go keyring.Watch(l.block.keys, l.stop, l.rekey)
	go newSelfCheck(l, restUntil(l.stop)).watch()
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

func listenHost(site *dnsserver.Config) string {
	if len(site.ListenHosts) > 0 && site.ListenHosts[0] != "" {
		return site.ListenHosts[0]
	}
	return "127.0.0.1"
}
