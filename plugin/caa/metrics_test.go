package caa

import (
	"context"
	"crypto"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coredns/coredns/plugin/pkg/dnstest"
	"github.com/coredns/coredns/plugin/test"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/caa/selfcheck"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// gathered are the series of a collector, by name and values of their labels.
func gathered(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := strings.TrimPrefix(family.GetName(), "coredns_caa_")
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			all[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return all
}

// Blocks that read one file show as one: an alarm is about the file. What a block counted stays
// counted when it has gone; what it was goes with it.
func TestCollectorOverBlocks(t *testing.T) {
	t.Parallel()
	c := newCollector()
	first, _ := build(t, testPolicy, "key auto $DIR/keys", nil)
	second, dir := build(t, testPolicy, "key auto $DIR/keys", nil)
	first.loader.cfg.file, second.loader.cfg.file = "caa.yaml", filepath.Join(dir, "caa.yaml")
	for _, h := range []*built{first, second} {
		c.add(h.loader)
		ask(t, h, question("www.example.org.", dns.TypeCAA), true)
	}
	if err := os.WriteFile(second.loader.cfg.file, []byte("no: policy"), 0o600); err != nil {
		t.Fatal(err)
	}
	second.loader.look()
	second.loader.look()
	second.loader.cfg.file = "caa.yaml"

	first.loader.checked.Store(&map[string]map[selfcheck.State]int{"letsencrypt.org": {selfcheck.MayIssue: 2, selfcheck.Governed: 1}})
	second.loader.checked.Store(&map[string]map[selfcheck.State]int{"letsencrypt.org": {selfcheck.MayIssue: 1}, "digicert.com": {selfcheck.LockedOut: 1}})
	revision := first.loader.block.serving().policy.Revision
	got := gathered(t, c)
	for name, want := range map[string]float64{
		"signatures_total caa.yaml made": 2, "signature_cache_entries caa.yaml": 2, "policy_info caa.yaml " + revision: 1,
		"required_issuances caa.yaml letsencrypt.org may_issue": 3, "required_issuances caa.yaml letsencrypt.org governed_elsewhere": 1,
		"required_issuances caa.yaml letsencrypt.org locked_out": 0, "required_issuances caa.yaml digicert.com locked_out": 1,
		"policy_stale caa.yaml": 1, "policy_refusals caa.yaml": 3, // an unknown key, neither version nor zones
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}

	c.remove(second.loader)
	if got := gathered(t, c); got["policy_stale caa.yaml"] != 0 || got["signature_cache_entries caa.yaml"] != 1 || got["signatures_total caa.yaml made"] != 2 {
		t.Errorf("one gone: %v", got)
	}
	c.remove(first.loader)
	got = gathered(t, c)
	if got["signatures_total caa.yaml made"] != 2 {
		t.Errorf("a counter fell: %v", got)
	}
	for _, name := range []string{"policy_stale caa.yaml", "required_issuances caa.yaml letsencrypt.org may_issue", "policy_info caa.yaml " + revision, "signature_cache_entries caa.yaml", "signature_earliest_expiry_timestamp_seconds example.org."} {
		if _, there := got[name]; there {
			t.Errorf("%s is shown, though nobody serves it", name)
		}
	}
}

// A restart that fails ends what its instance had started, and nothing else.
func TestCollectorAfterAFailedRestart(t *testing.T) {
	t.Parallel()
	c := newCollector()
	old, _ := build(t, testPolicy, "unsigned", nil)
	fresh, _ := build(t, testPolicy, "unsigned", nil)
	c.add(old.loader)
	c.restarting()
	c.add(fresh.loader)
	c.restartFailed()
	select {
	case <-fresh.loader.stop:
	default:
		t.Error("the new instance's loader goes on")
	}
	select {
	case <-old.loader.stop:
		t.Error("the old instance's loader was ended")
	default:
	}
}

// broken is a key whose signer has failed, as that of an HSM may.
type broken struct{ crypto.Signer }

func (broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the HSM does not answer")
}

type brokenKeys struct {
	keyring.Keyring
	t *testing.T
}

func (b brokenKeys) Ensure(_ context.Context, z *policy.Zone) (*keyring.Keys, error) {
	key := newKey(b.t, z.Name)
	key.Signer = broken{key.Signer}
	set, err := zonesign.NewKeySet(z.Name, 3600, key)
	keys := keyring.Unsigned()
	keys.Set = set
	return keys, err
}

// Never an unsigned answer: SERVFAIL, with the reason for people (RFC 8914) and in the metrics.
func TestFailingSigner(t *testing.T) {
	t.Parallel()
	h, _ := build(t, testPolicy, "unsigned", nil)
	h.loader.layout.keys = brokenKeys{h.loader.layout.keys, t}
	before := h.loader.block.serving()
	writeAgain(t, h.loader)
	next := h.loader.block.serving()
	if next == before {
		t.Fatal(h.loader.source.Status().Problem)
	}
	failures := func() float64 {
		return gathered(t, failureCount)["failures_total  example.org."] // asked by no server of CoreDNS
	}
	counted := failures()
	rec := dnstest.NewRecorder(&test.ResponseWriter{})
	if _, err := h.ServeDNS(context.Background(), rec, question("www.example.org.", dns.TypeCAA)); err == nil || !strings.Contains(err.Error(), "HSM") {
		t.Errorf("the error for the log is %v", err)
	}
	if rec.Msg == nil || rec.Msg.Rcode != dns.RcodeServerFailure || len(rec.Msg.Answer) > 0 || len(rec.Msg.IsEdns0().Option) != 1 {
		t.Errorf("want SERVFAIL with an extended error, got\n%v", rec.Msg)
	}
	if got := failures() - counted; got != 1 {
		t.Errorf("failures_total moved by %v", got)
	}
	if next.zones.Signer().Stats().Failed != 1 {
		t.Error("the signer counts no failure")
	}
}
