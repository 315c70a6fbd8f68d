package caa

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/file"
	"github.com/coredns/coredns/plugin/pkg/dnstest"
	"github.com/coredns/coredns/plugin/test"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/overlay"
)

const defaultPolicy = `version: 1
issuers: {le: {domain: letsencrypt.org}, digi: {domain: digicert.com}}
default: {issue: [le]}
zones:
  example.org: {issue: [digi]}
`

// buildIn is build for a block that answers for these zones, "." being all.
func buildIn(t testing.TB, zones, policy, options string, next plugin.Handler) *built {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, "caa.yaml")
	if err := os.WriteFile(name, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := parseConfig(caddy.NewTestController("dns", fmt.Sprintf("caa %s %s {\n%s\nparent off\n}", name, zones, strings.ReplaceAll(options, "$DIR", dir))))
	if err != nil {
		t.Fatal(err)
	}
	return begin(t, cfg, next)
}

// dataZones is the file plugin over zones that may come and go, as with the plugin auto.
func dataZones(t testing.TB, apexes ...string) *file.Zones {
	t.Helper()
	zones := &file.Zones{Z: map[string]*file.Zone{}}
	for _, apex := range apexes {
		text := fmt.Sprintf("$ORIGIN %s\n@ 3600 SOA ns h 1 2 3 4 60\n@ 3600 NS ns\nns 3600 A 192.0.2.1\nwww 3600 A 192.0.2.2\n", apex)
		z, err := file.Parse(strings.NewReader(text), apex, "stdin", 0)
		if err != nil {
			t.Fatal(err)
		}
		zones.Z[apex], zones.Names = z, append(zones.Names, apex)
	}
	return zones
}

// over is the file plugin over what is in zones at the moment.
func over(zones *file.Zones) plugin.Handler {
	return test.HandlerFunc(func(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
		return file.File{Zones: *zones}.ServeDNS(ctx, w, r)
	})
}

// Every zone that the next plugin begins to serve is protected from its first question on, whatever that is, and one that
// goes is no longer answered for.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	const caa = `CAA 0 issue "letsencrypt.org"`
	zones := dataZones(t, "example.org.", "one.example.", "two.example.", "deep.two.example.", "sub.example.org.")
	h := buildIn(t, ".", defaultPolicy, keyFiles(t, zones.Names...), over(zones))
	for _, c := range []struct {
		name  string
		qtype uint16
		want  string
		zone  string // whose key signs
	}{
		{"www.one.example.", dns.TypeCAA, "www.one.example." + caa, "one.example."},
		{"two.example.", dns.TypeSOA, "two.example.SOA ns.two.example.", "two.example."},
		{"www.deep.two.example.", dns.TypeA, "www.deep.two.example.A 192.0.2.2", "deep.two.example."},
		{"www.two.example.", dns.TypeCAA, "www.two.example." + caa, "two.example."},
		{"deep.two.example.", dns.TypeDS, "deep.two.example.DS", "two.example."}, // the parent's, with our key
		{"www.example.org.", dns.TypeCAA, `www.CAA 0 issue "digicert.com"`, "example.org."},
		{"www.sub.example.org.", dns.TypeCAA, "www.sub." + caa, "sub.example.org."}, // in a listed zone, a zone of its own
		{"nope.sub.example.org.", dns.TypeA, "sub.SOA", "sub.example.org."},
		{"sub.example.org.", dns.TypeDS, "sub.DS", "example.org."},
	} {
		m := ask(t, h, question(c.name, c.qtype), true)
		if got := shown(m); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s %s: got %s, want %s", c.name, dns.Type(c.qtype), got, c.want)
		}
		for _, rr := range append(m.Answer, m.Ns...) {
			if sig, ok := rr.(*dns.RRSIG); ok && sig.SignerName != c.zone {
				t.Errorf("%s %s: signed by %s, want %s", c.name, dns.Type(c.qtype), sig.SignerName, c.zone)
			}
		}
	}
	zones.Names = []string{"example.org."}
	for _, name := range []string{"www.one.example.", "two.example."} {
		rec := dnstest.NewRecorder(&test.ResponseWriter{})
		code, err := h.ServeDNS(context.Background(), rec, question(name, dns.TypeCAA))
		if code != dns.RcodeRefused || rec.Msg != nil {
			t.Errorf("%s has gone, and is answered: %d %v %v", name, code, err, rec.Msg)
		}
	}
	if left := h.loader.block.serving().zones; left.Found("one.example.") != nil || left.Found("deep.two.example.") == nil {
		t.Errorf("kept: %v", left)
	}
}

// A resolver's answers are about the whole world, which is not ours: only an authoritative answer
// shows a zone. And without a default nothing is discovered.
func TestNothingIsDiscovered(t *testing.T) {
	t.Parallel()
	zones := dataZones(t, "one.example.")
	resolver := test.HandlerFunc(func(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
		c := &overlay.Capture{ResponseWriter: w}
		code, err := over(zones).ServeDNS(ctx, c, r)
		c.Msg.Authoritative = false
		w.WriteMsg(c.Msg)
		return code, err
	})
	for what, h := range map[string]*built{
		"a resolver": buildIn(t, ".", defaultPolicy, "key auto $DIR/keys", resolver),
		"no default": buildIn(t, ".", overlayPolicy, "key auto $DIR/keys", over(zones)),
		"not ours":   buildIn(t, "example.org", defaultPolicy, "key auto $DIR/keys", over(zones)),
	} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeMX, dns.TypeCAA} {
			if m := ask(t, h, question("www.one.example.", qtype), true); strings.Contains(shown(m), "CAA") || strings.Contains(types(append(m.Answer, m.Ns...)), "RRSIG") {
				t.Errorf("%s: %v", what, m)
			}
		}
	}
}

// The server operator's own issuers are guarded in zones that have yet to appear, too, and a block
// that lists none may wait for them.
func TestOperatorGuardsZonesToCome(t *testing.T) {
	t.Parallel()
	const policy = "version: 1\nissuers: {le: {domain: letsencrypt.org}}\ndefault: {issue: [le]}\n"
	if h := buildIn(t, ".", policy, "unsigned\nissuer letsencrypt.org", over(dataZones(t))); h.loader.block.serving() == nil {
		t.Error("nothing is served")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "caa.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := parseConfig(caddy.NewTestController("dns", "caa "+file+" . {\nunsigned\nparent off\nissuer digicert.com\n}"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := prepare(cfg, cfg.keyring(), over(dataZones(t)))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.start(); err == nil || !strings.Contains(err.Error(), "zones that the policy does not list: digicert.com cannot issue") {
		t.Errorf("got %v", err)
	}
}

// A zone that appears and has no key given cannot have a DS: it is served unsigned, with its CAA.
func TestDiscoveryWithoutKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := buildIn(t, "example.org", overlayPolicy, "key auto "+dir, over(dataZones(t, "example.org.")))
	if h == nil {
		t.Fatal("no handler")
	}
	keys, err := filepath.Glob(filepath.Join(dir, "*.key"))
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	h = buildIn(t, ".", defaultPolicy, "key file "+keys[0], over(dataZones(t, "example.org.", "one.example.")))
	if got := shown(ask(t, h, question("www.one.example.", dns.TypeCAA), true)); got != `www.one.example.CAA 0 issue "letsencrypt.org"` {
		t.Error(got)
	}
	if m := ask(t, h, question("www.example.org.", dns.TypeCAA), true); types(m.Answer) != "CAA RRSIG" {
		t.Error(m)
	}
}
