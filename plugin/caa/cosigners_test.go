package caa

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns/caddy"
	"github.com/miekg/dns"
)

// RFC 8901 2.1.2: two servers with keys of their own publish each other's, so that a resolver with the DNSKEY
// RRset of one believes the other's answers; CDS names the keys of both. A key that the other takes out goes
// here, too, and what the other writes wrongly changes nothing.
func TestCosigners(t *testing.T) {
	t.Parallel()
	const zone = "example.org."
	parent := &registry{}
	files := [2]string{filepath.Join(t.TempDir(), "a.keys"), filepath.Join(t.TempDir(), "b.keys")}
	for _, file := range files {
		write(t, file, "; none yet\n")
	}
	servers := [2]*clocked{}
	for i := range servers {
		servers[i] = buildRolling(t, testPolicy, "roll keys split\ncosigner "+files[1-i], nil, parent)
		write(t, files[i], zoneText(ask(t, servers[i], question(zone, dns.TypeDNSKEY), true).Answer))
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
	verify(t, servers[1].CAA, m) // by the other's DNSKEY RRset

	write(t, files[1], "example.org. 3600 IN DNSKEY 257 3 13 !\n")
	servers[0].run(t, time.Hour, func() {})
	if got := sorted(ask(t, servers[0], question(zone, dns.TypeDNSKEY), true).Answer, dns.TypeDNSKEY); len(got) != 4 {
		t.Errorf("with a broken file %q", got)
	}
	write(t, files[1], "; the other signs no more\n")
	servers[0].run(t, time.Hour, func() {})
	if got := sorted(ask(t, servers[0], question(zone, dns.TypeDNSKEY), true).Answer, dns.TypeDNSKEY); len(got) != 2 {
		t.Errorf("without the other %q", got)
	}
}

// A file of other signers that is of no use is an error that names it.
func TestBadCosigners(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, want string }{
		"no DNSKEY":      {"example.org. 60 IN A 192.0.2.1\n", "holds a A record of example.org., where DNSKEY belongs"},
		"another zone":   {"example.net. 60 IN DNSKEY 257 3 13 AAAA\n", "a key of example.net., which this block does not serve"},
		"no zone file":   {"\x00\x01", "dns: "},
		"another method": {"example.org. 60 IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=\n", "do not sign both DNSKEY and data (RFC 4035 2.2)"},
	} {
		file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		write(t, file, c.text)
		cfg, _ := configure(t, testPolicy, "key auto $DIR/keys\ncosigner "+file)
		l, err := newLoader(cfg)
		if err == nil {
			err = l.start()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	if _, err := newLoader(parsed(t, "caa p.yaml example.org {\nkey auto k\ncosigner /nowhere\n}")); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("a missing file: %v", err)
	}
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
