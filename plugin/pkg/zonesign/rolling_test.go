package zonesign

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestRolesOfARoll(t *testing.T) {
	t.Parallel()
	old, successor, other := newCSK(t), newCSK(t), newKey(t, zone, dns.ED25519, 257, 256)
	zsk := newKey(t, zone, dns.ECDSAP256SHA256, 256, 256)
	for what, roles := range map[string]Roles{
		"a CSK that is published":                      {Published: []*Key{old, successor}, Apex: []*Key{old, successor}, Data: []*Key{old}, Named: []*Key{old}},
		"a CSK that is ready":                          {Published: []*Key{old, successor}, Apex: []*Key{old, successor}, Data: []*Key{successor}, Named: []*Key{successor}},
		"a new algorithm signs before it is published": {Published: []*Key{old}, Apex: []*Key{old}, Data: []*Key{old, other}, Named: []*Key{old}},
		"KSK and ZSK":                                  {Published: []*Key{old, zsk}, Apex: []*Key{old}, Data: []*Key{zsk}, Named: []*Key{old}},
		"going insecure (RFC 8078 4)":                  {Published: []*Key{old}, Apex: []*Key{old}, Data: []*Key{old}, Delete: true},
		"a new zone":                                   {Published: []*Key{old}, Apex: []*Key{old}, Data: []*Key{old}},
	} {
		ks, err := NewRollingKeySet("Example.org", 300, roles)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		wantKeys(t, what+": CDS", ks.signers(dns.TypeCDS), roles.Apex)
		wantKeys(t, what+": CAA", ks.signers(dns.TypeCAA), roles.Data)
		cds, cdnskey, exist := ks.CDS()
		if exist != (roles.Delete || len(roles.Named) > 0) || len(ks.DS()) != len(roles.Named) || len(ks.DNSKEYs().RDATA) != len(roles.Published) {
			t.Errorf("%s: CDS %v, DS %v, DNSKEY %v", what, cds, ks.DS(), ks.DNSKEYs())
		}
		if roles.Delete && (records(t, cds)[0].(*dns.CDS).Digest != "00" || records(t, cdnskey)[0].(*dns.CDNSKEY).PublicKey != "AA==") {
			t.Errorf("%s: %v, %v", what, cds, cdnskey)
		}
		signer := NewSigner(Config{})
		sets := []RRset{ks.DNSKEYs(), caaSet(t)}
		if exist {
			sets = append(sets, cds, cdnskey)
		}
		for _, set := range sets {
			for _, sig := range rrsigs(t, set, mustSign(t, signer, ks, set, Kept)) {
				key := slices.IndexFunc(slices.Concat(roles.Published, roles.Data), func(k *Key) bool { return k.Tag() == sig.KeyTag && k.DNSKEY.Algorithm == sig.Algorithm })
				if err := sig.Verify(slices.Concat(roles.Published, roles.Data)[key].DNSKEY, records(t, set)); err != nil {
					t.Errorf("%s: %v: %v", what, sig, err)
				}
			}
		}
	}
}

func TestNewRollingKeySetRefuses(t *testing.T) {
	t.Parallel()
	csk, other, zsk := newCSK(t), newKey(t, zone, dns.ED25519, 257, 256), newKey(t, zone, dns.ECDSAP256SHA256, 256, 256)
	one, two := []*Key{csk}, []*Key{csk, other}
	for _, c := range []struct {
		says  string
		roles Roles
	}{
		{"no key", Roles{}},
		{"not sign both", Roles{Published: one, Apex: one}},
		{"not sign both", Roles{Published: one, Data: one}},
		{"ED25519 (15)", Roles{Published: two, Apex: two, Data: one}},
		{"ED25519 (15)", Roles{Published: two, Apex: one, Data: two}},
		{"not sign both", Roles{Published: one, Apex: one, Data: []*Key{other}}}, // by a key in no cache alone
		{"without being published", Roles{Published: one, Apex: two, Data: one}},
		{"SEP flag", Roles{Published: []*Key{csk, zsk}, Apex: []*Key{csk, zsk}, Data: one}},
		{"CDS would name", Roles{Published: one, Apex: one, Data: one, Named: two}},
		{"RFC 8078 4", Roles{Published: one, Apex: one, Data: one, Named: one, Delete: true}},
		{"private key", Roles{Published: one, Apex: one, Data: []*Key{csk, {DNSKEY: zsk.DNSKEY}}}},
		{"example.net.", Roles{Published: []*Key{newKey(t, "example.net.", dns.ED25519, 257, 256)}}},
	} {
		ks, err := NewRollingKeySet(zone, 300, c.roles)
		wantError(t, err, c.says)
		if ks != nil {
			t.Errorf("%q: a key set beside the error", c.says)
		}
	}
}

func TestCDSAsServed(t *testing.T) {
	t.Parallel()
	csk := newCSK(t)
	keys := []*Key{csk}
	ks, err := NewRollingKeySet(zone, 300, Roles{Published: keys, Apex: keys, Data: keys, Named: keys})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"example.org. 300 IN CDS 0 0 0 00", "example.org. 300 IN CDNSKEY 0 3 0 AA=="} {
		if _, err := NewSigner(Config{}).Sign(t.Context(), ks, newRRset(t, line), Kept); err == nil {
			t.Errorf("%s was signed", line)
		}
	}
}

// BIND's dnssec-cds, which many a parent runs, follows our CDS from the old key's DS to the new one's. It
// knows nothing of removal (RFC 8078 4).
func TestDNSSECCDSFollows(t *testing.T) {
	t.Parallel()
	old, successor := newCSK(t), newCSK(t)
	both := []*Key{old, successor}
	for what, c := range map[string]struct {
		roles Roles
		want  []*Key
	}{
		"to the new key": {Roles{Published: both, Apex: both, Data: both[1:], Named: both[1:]}, both[1:]},
		"not at all":     {Roles{Published: both, Apex: both, Data: both[:1]}, both[:1]},
	} {
		ks, err := NewRollingKeySet(zone, 300, c.roles)
		if err != nil {
			t.Fatal(err)
		}
		sets := []RRset{ks.DNSKEYs()}
		if cds, cdnskey, exist := ks.CDS(); exist {
			sets = append(sets, cds, cdnskey)
		}
		var child strings.Builder
		signer := NewSigner(Config{})
		for _, set := range sets {
			for _, rr := range records(t, set) {
				child.WriteString(rr.String() + "\n")
			}
			for _, sig := range rrsigs(t, set, mustSign(t, signer, ks, set, Kept)) {
				child.WriteString(sig.String() + "\n")
			}
		}
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "child"), child.String(), 0o644)
		ds := old.DNSKEY.ToDS(dns.SHA256)
		ds.Hdr.Ttl = 300
		parent := filepath.Join(dir, "dsset")
		writeFile(t, parent, ds.String()+"\n", 0o644)
		out := run(t, "dnssec-cds", "-s", time.Now().Add(-24*time.Hour).UTC().Format("20060102150405"), "-f", filepath.Join(dir, "child"), "-d", parent, zone)
		if got := strings.Count(out, "DS"); got != len(c.want) {
			t.Errorf("%s: %d DS, want %d:\n%s", what, got, len(c.want), out)
		}
		for _, key := range c.want {
			if digest := strings.ToUpper(key.DNSKEY.ToDS(dns.SHA256).Digest); !strings.Contains(strings.ReplaceAll(out, " ", ""), digest) {
				t.Errorf("%s: %s is not named:\n%s", what, key, out)
			}
		}
	}
}
