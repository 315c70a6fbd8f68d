package caa

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coredns/coredns/plugin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/caa/selfcheck"
	"github.com/coredns-caa/caa/plugin/caa/source"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// The metrics that show a state. They are by policy file, over all the blocks that read it, for an
// alarm is about a file and the log says which block.
var (
	signaturesDesc = describe("signatures_total", "Signatures by outcome: made, failed.", "file", "outcome")
	hitsDesc       = describe("signature_cache_hits_total", "Signatures found in the cache.", "file")
	missesDesc     = describe("signature_cache_misses_total", "Signatures not found in the cache.", "file")
	entriesDesc    = describe("signature_cache_entries", "Signatures in the cache.", "file")
	expiryDesc     = describe("signature_earliest_expiry_timestamp_seconds", "When the first of a zone's cached signatures expires.", "zone")
	infoDesc       = describe("policy_info", "1 for each policy revision that is served; equal policies have equal revisions on every server.", "file", "revision")
	loadedDesc     = describe("policy_loaded_timestamp_seconds", "When the served policy was accepted.", "file")
	refusalsDesc   = describe("policy_refusals", "Refusals of the policy file on disk; 1 when it cannot be read, 0 when it is the policy that is served.", "file")
	requiredDesc   = describe("required_issuances", "Required issuances by issuer and result of the last self-check: "+stateNames()+".", "file", "issuer", "state")
	keyDesc        = describe("key_state", "1 for the current state of each key of key auto; caacheck keys shows what it waits for.", "zone", "key", "role", "state")
	nextDesc       = describe("key_next_event_timestamp_seconds", "When the next key of a zone changes state, where that is known.", "zone")
	troubleDesc    = describe("key_trouble", "1 for each problem with a zone's keys or their DS, by its code.", "zone", "code")
	parentDesc     = describe("parent_servers", "Servers of the parent zone that were queried for a zone's DS, by outcome: answered, failed.", "zone", "outcome")
	staleDesc      = describe("policy_stale", "1 while the served policy is older than the file: the file was refused, cannot be read, or waits.", "file")
)

// stateNames lists the states of required issuances.
func stateNames() string {
	var names []string
	for _, state := range selfcheck.States {
		names = append(names, string(state))
	}
	return strings.Join(names, ", ")
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(plugin.Namespace, pluginName, name), help, labels, nil)
}

// live are the loaders at work in this process.
var live = newCollector()

func init() { prometheus.MustRegister(live) }

// collector shows the loaders that are at work, so that no series outlives what it is about. While
// CoreDNS restarts, those of the old instance and of the new one both are.
type collector struct {
	mu      sync.Mutex
	loaders map[*loader]bool
	proven  map[*loader]bool  // those at work before the restart that is under way
	retired map[string]counts // of the loaders that have ended, for a counter never falls
}

// counts are those of a file's signers since the start of the process.
type counts struct{ made, failed, hits, misses uint64 }

func (c *counts) add(o counts) {
	c.made += o.made
	c.failed += o.failed
	c.hits += o.hits
	c.misses += o.misses
}

func countsOf(st zonesign.Stats) counts { return counts{st.Made, st.Failed, st.Hits, st.Misses} }

func newCollector() *collector {
	return &collector{loaders: map[*loader]bool{}, retired: map[string]counts{}}
}

func (c *collector) add(l *loader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loaders[l] = true
}

// remove ends a loader.
func (c *collector) remove(l *loader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.loaders[l] {
		return
	}
	close(l.stop)
	delete(c.loaders, l)
	sum := c.retired[l.cfg.file]
	sum.add(countsOf(l.layout.signer.Stats()))
	c.retired[l.cfg.file] = sum
}

// goodOf is what a block serves that reads the same file for the same zones: when CoreDNS restarts, what the
// instance serves that is about to be replaced, or nil.
func (c *collector) goodOf(cfg *config) *source.Good {
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := range c.loaders {
		if l.cfg.file == cfg.file && slices.Equal(l.cfg.zones, cfg.zones) {
			return l.source.Good()
		}
	}
	return nil
}

// restarting notes who is at work before a new instance starts.
func (c *collector) restarting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proven = maps.Clone(c.loaders)
}

// restartFailed ends those that the new instance had started. CoreDNS drops such an instance without
// a word to its plugins, and these would watch the policy file for ever.
func (c *collector) restartFailed() {
	c.mu.Lock()
	var dropped []*loader
	for l := range c.loaders {
		if !c.proven[l] {
			dropped = append(dropped, l)
		}
	}
	c.mu.Unlock()
	for _, l := range dropped {
		c.remove(l)
	}
}

// fileState is what is shown of one policy file.
type fileState struct {
	entries   int
	revisions map[string]bool
	loaded    time.Time // of the block that has the oldest
	refusals  int       // of the block that has most
	waits     bool      // in some block
	required  map[string]map[selfcheck.State]int
}

// see adds what a block's self-check saw.
func (s *fileState) see(checked *map[string]map[selfcheck.State]int) {
	if checked == nil {
		return
	}
	for issuer, byState := range *checked {
		if s.required[issuer] == nil {
			s.required[issuer] = map[selfcheck.State]int{}
		}
		for what, n := range byState {
			s.required[issuer][what] += n
		}
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{signaturesDesc, hitsDesc, missesDesc, entriesDesc, expiryDesc, infoDesc, loadedDesc, refusalsDesc, staleDesc, requiredDesc,
		keyDesc, nextDesc, troubleDesc, parentDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	sums, files, expiries := c.states()
	show := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	for zone, s := range c.keys() {
		showKeys(&s, func(d *prometheus.Desc, value float64, labels ...string) {
			show(d, prometheus.GaugeValue, value, append([]string{zone}, labels...)...)
		})
	}
	for file, n := range sums {
		show(signaturesDesc, prometheus.CounterValue, float64(n.made), file, "made")
		show(signaturesDesc, prometheus.CounterValue, float64(n.failed), file, "failed")
		show(hitsDesc, prometheus.CounterValue, float64(n.hits), file)
		show(missesDesc, prometheus.CounterValue, float64(n.misses), file)
	}
	for file, s := range files {
		show(entriesDesc, prometheus.GaugeValue, float64(s.entries), file)
		for revision := range s.revisions {
			show(infoDesc, prometheus.GaugeValue, 1, file, revision)
		}
		show(loadedDesc, prometheus.GaugeValue, float64(s.loaded.Unix()), file)
		show(refusalsDesc, prometheus.GaugeValue, float64(s.refusals), file)
		stale := 0.0
		if s.refusals > 0 || s.waits {
			stale = 1
		}
		show(staleDesc, prometheus.GaugeValue, stale, file)
		for issuer, byState := range s.required {
			for _, what := range selfcheck.States {
				show(requiredDesc, prometheus.GaugeValue, float64(byState[what]), file, issuer, string(what))
			}
		}
	}
	for zone, first := range expiries {
		show(expiryDesc, prometheus.GaugeValue, float64(first.Unix()), zone)
	}
}

// showKeys gives each metric of a zone's keys to show, with its labels beside the zone.
func showKeys(s *keyring.Status, show func(d *prometheus.Desc, value float64, labels ...string)) {
	for _, key := range s.Zone.Keys {
		show(keyDesc, 1, key.ID.String(), key.Role.String(), key.State.String())
	}
	if next := s.Next(); !next.IsZero() {
		show(nextDesc, float64(next.Unix()))
	}
	for code := range s.Problems {
		show(troubleDesc, 1, code)
	}
	failed := 0
	for _, o := range s.Parent {
		if o.Err != nil {
			failed++
		}
	}
	if len(s.Parent) > 0 {
		show(parentDesc, float64(len(s.Parent)-failed), "answered")
		show(parentDesc, float64(failed), "failed")
	}
}

// keys reads what is known of each zone's keys. While CoreDNS restarts, two instances know of a zone, and
// either will do.
func (c *collector) keys() map[string]keyring.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]keyring.Status{}
	for l := range c.loaders {
		maps.Copy(all, l.block.keys.Status())
	}
	return all
}

// states reads the loaders: the counts and what is shown by file, and each zone's first expiry.
func (c *collector) states() (map[string]counts, map[string]*fileState, map[string]time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sums, files, expiries := maps.Clone(c.retired), map[string]*fileState{}, map[string]time.Time{}
	for l := range c.loaders {
		stats, status := l.layout.signer.Stats(), l.source.Status()
		sum := sums[l.cfg.file]
		sum.add(countsOf(stats))
		sums[l.cfg.file] = sum

		s := files[l.cfg.file]
		if s == nil {
			s = &fileState{revisions: map[string]bool{}, loaded: status.Loaded, required: map[string]map[selfcheck.State]int{}}
			files[l.cfg.file] = s
		}
		s.entries += stats.Kept
		s.revisions[l.block.serving().policy.Revision] = true
		s.refusals, s.waits = max(s.refusals, status.Refusals), s.waits || status.Waits
		s.see(l.checked.Load())
		if status.Loaded.Before(s.loaded) {
			s.loaded = status.Loaded
		}
		for zone, first := range stats.Earliest {
			if was, ok := expiries[zone]; !ok || first.Before(was) {
				expiries[zone] = first
			}
		}
	}
	return sums, files, expiries
}
