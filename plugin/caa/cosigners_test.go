package caa

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
)

// RFC 8901 2.1.2: two servers with keys of their own publish each other's, so that a resolver with the DNSKEY
// RRset of one believes the other's answers; CDS names the keys of both. A key that the other takes out goes
// here, too, and what the other writes wrongly changes nothing.
func TestCosigners(t *testing.T) {
	t.Parallel()
	const zone = "example.org."
	parent := &registry{}
	files := [2]string{filepath.Join(t.TempDir(), "a.keys"), filepath.Join(t.TempDir(), "b.keys")}
	servers := [2]*clocked{}
	for i := range servers {
		servers[i] = buildRolling(t, testPolicy, "roll keys split", nil, parent)
		write(t, files[i], zoneText(ask(t, servers[i], question(zone, dns.TypeDNSKEY), true).Answer))
	}
	for i, s := range servers {
		s.loader.cfg.cosigned = []string{files[1-i]}
		servers[i] = s.restart(t, nil, parent)
	}
	for _, s := range servers {
		s.run(t, 3*time.Hour, func() {})
	}
	var dnskeys, cds [2][]string
	for i, s := range servers {
		dnskeys[i] = sorted(ask(t, s, question(zone, dns.TypeDNSKEY), true).Answer, dns.TypeDNSKEY)
		cds[i] = sorted(ask(t, s, question(zone, dns.TypeCDS), true).Answer, dns.TypeCDS)
	}
	if len(dnskeys[0]) != 4 || !slices.Equal(dnskeys[0], dnskeys[1]) {
		t.Errorf("DNSKEY at one\n%q, at the other\n%q", dnskeys[0], dnskeys[1])
	}
	if len(cds[0]) != 2 || !slices.Equal(cds[0], cds[1]) {
		t.Errorf("CDS at one %q, at the other %q", cds[0], cds[1])
	}
	m := ask(t, servers[0], question("www.example.org.", dns.TypeCAA), true)
	verify(t, servers[1].built, m) // by the other's DNSKEY RRset

	theirs, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	half := strings.Join(sorted(ask(t, servers[1], question(zone, dns.TypeDNSKEY), true).Answer, dns.TypeDNSKEY), "\n")
	half = half[:len(half)-20]
	another := "example.org. 3600 IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=\n"
	for name, text := range map[string]string{
		"no record": "example.org. 3600 IN DNSKEY 257 3 13 !\n", "comments alone": ";; no servers could be reached\n", "empty": "",
		"half a record": half, "an algorithm without a key that signs data (RFC 4035 2.2)": string(theirs) + another,
	} {
		write(t, files[1], text)
		servers[0].run(t, 2*time.Hour, func() { parent.follow(t, servers[0].built, zone) })
		got, status := sorted(ask(t, servers[0], question(zone, dns.TypeDNSKEY), true).Answer, dns.TypeDNSKEY), servers[0].status(zone)
		if !slices.Equal(got, dnskeys[0]) || !status.Problems[keyring.CosignerFile] || !slices.ContainsFunc(status.Messages, func(text string) bool {
			return strings.Contains(text, files[1]) && strings.Contains(text, "read earlier are still published") && !strings.Contains(text, "/keys")
		}) {
			t.Errorf("%s: %q, %v %q", name, got, status.Problems, status.Messages)
		}
	}
	write(t, files[1], string(theirs))
	servers[0].run(t, 2*time.Hour, func() {})
	if status := servers[0].status(zone); status.Problems[keyring.CosignerFile] {
		t.Errorf("in order again, and %q", status.Messages)
	}

	// Our own keys roll while the file is of no use.
	write(t, files[1], string(theirs)+another)
	servers[0].run(t, time.Hour, func() {})
	if _, refused, err := keyfolder.New(servers[0].loader.cfg.keyDir).Ask(zone, servers[0].at, keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.ZSK, Urgent: true}); err != nil || refused != nil {
		t.Fatal(err, refused)
	}
	servers[0].run(t, 24*time.Hour, func() {
		served := sorted(ask(t, servers[0], question(zone, dns.TypeDNSKEY), true).Answer, dns.TypeDNSKEY)
		for _, key := range servers[0].status(zone).Zone.Keys {
			if key.State == keyroll.Active && !slices.ContainsFunc(served, func(text string) bool {
				rr, err := dns.NewRR(text)
				return err == nil && rr.(*dns.DNSKEY).KeyTag() == key.ID.Tag
			}) {
				t.Errorf("the active key %v is not served", key.ID)
			}
		}
	})

	servers[0].loader.cfg.cosigned = nil // the line is taken away
	servers[0] = servers[0].restart(t, nil, parent)
	if got := sorted(ask(t, servers[0], question(zone, dns.TypeDNSKEY), true).Answer, dns.TypeDNSKEY); slices.ContainsFunc(got, func(key string) bool { return strings.Contains(string(theirs), key) }) {
		t.Errorf("without the other %q", got)
	}
}

// A file of other signers that is of no use is an error that names it.
func TestBadCosigners(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, want string }{
		"no DNSKEY":      {"example.org. 60 IN A 192.0.2.1\n", "has the record example.org. A: it may have DNSKEY records only"},
		"another zone":   {"example.net. 60 IN DNSKEY 257 3 13 AAAA\n", "a key of example.net., which this block does not serve"},
		"no zone file":   {"\x00\x01", "dns: "},
		"empty":          {"", "the file has no DNSKEY record"},
		"comments alone": {"; none yet\n", "the file has no DNSKEY record"},
		"half a record":  {"example.org. 60 IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZ\n", "is the record complete?)"},
		"another method": {"example.org. 60 IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=\n", "do not sign both DNSKEY and data (RFC 4035 2.2)"},
	} {
		file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		write(t, file, c.text)
		cfg, _ := configure(t, testPolicy, "key auto $DIR/keys\ncosigner "+file)
		b, err := prepare(cfg, cfg.keyring(), nil)
		if err == nil {
			err = b.start()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: error %v, want %q and the file", name, err, c.want)
		}
	}
	if _, err := openBlock(parsed(t, "caa p.yaml example.org {\nkey auto k\ncosigner /nowhere\n}")); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("a missing file: %v", err)
	}
}

// openBlock opens what a block keeps on disk.
func openBlock(cfg *config) (*block, error) {
	return newBlock(cfg, &dnsserver.Config{}, nil, cfg.keyring())
}

func parsed(t *testing.T, block string) *config {
	t.Helper()
	cfg, err := parseConfig(caddy.NewTestController("dns", block))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func zoneText(rrs []dns.RR) string {
	var text strings.Builder
	for _, rr := range rrs {
		text.WriteString(rr.String() + "\n")
	}
	return text.String()
}

func sorted(rrs []dns.RR, rrtype uint16) (texts []string) {
	for _, rr := range rrs {
		if rr.Header().Rrtype == rrtype {
			texts = append(texts, rr.String())
		}
	}
	slices.Sort(texts)
	return texts
}
