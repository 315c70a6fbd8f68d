package caa

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns/coredns/plugin"

	"github.com/coredns-caa/caa/plugin/caa/overlay"
	"github.com/coredns-caa/caa/plugin/caa/plugins"
	"github.com/coredns-caa/caa/plugin/caa/selfcheck"
	"github.com/coredns-caa/caa/plugin/caa/source"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// startPatience is how long a start waits for the file to be judged while there is a last good policy to serve:
// what took no longer was judged before anybody's resolver has asked twice.
const startPatience = 2 * time.Second

// surroundings are what a block finds when all plugins of the Corefile are set up.
type surroundings struct {
	routes *routes          // of all blocks of the Corefile
	next   plugin.Handler   // the next plugin, nil for none
	above  []plugin.Handler // the other plugins of the server block, before caa in the chain
	under  []plugin.Handler // and after it
}

// loader serves the policies that its source brings: it proves them with the guard, has them laid out, and swaps the
// serving. Whatever fails on the way leaves served what was served.
type loader struct {
	block      *block
	cfg        *config
	layout     *layout
	neighbours *neighbourhood
	unserved   *unserved
	source     *source.Follower
	checked    atomic.Pointer[map[string]map[selfcheck.State]int] // by issuer, at the last self-check; nil before it
	stop       chan struct{}                                      // closed at the end

	mu sync.Mutex // held while another serving is made: the policy changes, and so do the keys
}

func newLoader(b *block, around surroundings) *loader {
	l := &loader{block: b, cfg: b.cfg, stop: make(chan struct{})}
	to := routing{b, around.routes}
	l.layout = &layout{cfg: b.cfg, routing: to, next: around.next, backend: overlay.BackendOf(around.under),
		packed: plugins.All(around.above, plugins.LeavesMessages), keys: &sharedKeys{b.keys, to, l.serveKeys},
		signer: zonesign.NewSigner(zonesign.Config{}), now: time.Now}
	l.neighbours = &neighbourhood{cfg: b.cfg, site: b.zones(), above: around.above, under: around.under, discovers: l.layout.discovers}
	l.unserved = &unserved{routing: to}
	l.source = source.New(source.Config{Source: source.NewFile(b.cfg.file, b.cfg.pos.String()), LastGood: b.kept, Server: l,
		Now: func() time.Time { return l.layout.now() }, Every: b.cfg.reload, Patience: startPatience})
	return l
}

// Prove implements source.Server.
func (l *loader) Prove(ctx context.Context, p, previous *policy.Snapshot) (source.Candidate, error) {
	l.mu.Lock()
	zones, err := l.layout.listed(p)
	l.mu.Unlock()
	if err != nil {
		return source.Candidate{}, err
	}
	c := source.Candidate{Policy: p, Previous: previous, Zones: zones, Operator: l.cfg.requirements(l.layout.guarded(p, zones))}
	c.Replaces = l.replaced(p, previous, zones)
	c.Report, err = guard.CheckContext(ctx, p, guard.Options{Zones: l.cfg.zones, Operator: c.Operator, Previous: previous, Data: requirementsOf(c.Replaces), At: l.layout.now()})
	if err == nil {
		err = c.Report.Err()
	}
	return c, err
}

// Serve implements source.Server. Blocks that have the DS and the name servers of zones of this one follow.
func (l *loader) Serve(c source.Candidate, keep func()) error {
	if err := l.serve(c, keep); err != nil {
		return err
	}
	l.block.sharers.rekeyAll()
	return nil
}

func (l *loader) serve(c source.Candidate, keep func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.layout.keys.Prepare(context.Background(), c.Zones); err != nil {
		return l.cfg.locate(err)
	}
	changed := l.layout.now()
	if !c.Changed.IsZero() && c.Changed.Before(changed) {
		changed = c.Changed // equal on all servers that got the file with its time
	}
	next, err := l.layout.of(c.Policy, c.Zones, changed, l.block.serving())
	if err != nil {
		return err
	}
	if err := errors.Join(l.neighbours.compatible(next), nodesAtAliases(next), withoutData(l.cfg, next, c.Previous, c.Operator)); err != nil {
		return err
	}
	keep()
	l.put(next)
	return nil
}

// put brings a serving into service.
func (l *loader) put(next *serving) {
	l.block.handler.serving.Store(next)
	l.block.keys.Retain(slices.Collect(next.zones.Apexes()))
}

// rekey serves the same policy with the keys as they are now, here and in the blocks that share some.
func (l *loader) rekey() {
	l.serveKeys()
	l.block.sharers.rekeyAll()
}

func (l *loader) serveKeys() {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.block.serving()
	if was == nil {
		return // it starts, and will have the keys as they are
	}
	var next *serving
	listed, err := l.layout.listed(was.policy)
	if err == nil {
		next, err = l.layout.of(was.policy, listed, l.layout.now(), was)
	}
	if err != nil {
		log.Errorf("%sNew keys could not be put into service, and the zones keep their current keys: %v", l.layout.routing.label(), err)
		return
	}
	l.put(next)
}
