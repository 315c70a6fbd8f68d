package zonesign

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// run runs one of BIND's tools, and skips the test where it is not installed.
func run(t *testing.T, tool string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("%s is missing: install BIND's tools (on Debian: apt-get install bind9-utils)", tool)
	}
	out, err := exec.Command(tool, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", tool, args, err, out)
	}
	return string(out)
}

// zoneSets are the RRsets of a small zone with all kinds of names, with an NSEC chain as a zone on
// disk has it.
func zoneSets(t *testing.T, ks *KeySet) []RRset {
	t.Helper()
	sets := []RRset{
		ks.DNSKEYs(),
		newRRset(t, "example.org. 3600 IN SOA ns1.Example.org. hostmaster.example.org. 1 7200 3600 1209600 300"),
		newRRset(t, "example.org. 3600 IN NS ns1.Example.org.", "example.org. 3600 IN NS NS2.example.net."),
		newRRset(t, `example.org. 600 IN CAA 0 issue "letsencrypt.org"`, `example.org. 600 IN CAA 0 issuewild ";"`),
		newRRset(t, "ns1.example.org. 3600 IN A 192.0.2.1"),
		newRRset(t, "ns1.example.org. 3600 IN AAAA 2001:db8::1"),
		newRRset(t, `*.dev.example.org. 60 IN CAA 128 issue "letsencrypt.org; validationmethods=dns-01"`),
		newRRset(t, "alias.example.org. 0 IN CNAME Target.Example.net."),
		newRRset(t, "mail.example.org. 300 IN MX 10 MX.Example.net.", "mail.example.org. 300 IN MX 5 mx.example.net."),
		newRRset(t, `a\.b\000.example.org. 300 IN TXT "a" "b"`),
		newRRset(t, "_sip._tcp.example.org. 300 IN SRV 1 2 5060 SIP.Example.net."),
		newRRset(t, "example.org. 3600 IN CDS 0 0 0 00"),
	}
	types := map[string][]uint16{}
	for _, set := range sets {
		types[set.Owner] = append(types[set.Owner], set.Type)
	}
	var owners []string
	for owner := range types {
		owners = append(owners, owner)
	}
	slices.SortFunc(owners, func(a, b string) int { return slices.Compare(rootFirst(a), rootFirst(b)) })
	for i, owner := range owners {
		bitmap := append(types[owner], dns.TypeNSEC, dns.TypeRRSIG)
		slices.Sort(bitmap)
		nsec := &dns.NSEC{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: 300},
			NextDomain: owners[(i+1)%len(owners)], TypeBitMap: bitmap}
		set, err := NewRRset(nsec)
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, set)
	}
	return sets
}

func TestBINDVerifiesOurZones(t *testing.T) {
	t.Parallel()
	key := func(alg uint8, flags uint16) *Key { return newKey(t, zone, alg, flags, 256) }
	for name, c := range map[string]struct {
		args []string
		keys []*Key
	}{
		"CSK, ECDSA P-256":          {[]string{"-z"}, []*Key{key(dns.ECDSAP256SHA256, 257)}},
		"CSK, Ed25519":              {[]string{"-z"}, []*Key{key(dns.ED25519, 257)}},
		"CSK, RSA/SHA-256":          {[]string{"-z"}, []*Key{newKey(t, zone, dns.RSASHA256, 257, 2048)}},
		"KSK and ZSK":               {nil, []*Key{key(dns.ECDSAP256SHA256, 257), key(dns.ECDSAP256SHA256, 256)}},
		"KSK and ZSK, keyset by -x": {[]string{"-x"}, []*Key{key(dns.ECDSAP256SHA256, 257), key(dns.ECDSAP256SHA256, 256)}},
		"two algorithms":            {[]string{"-z"}, []*Key{key(dns.ECDSAP256SHA256, 257), key(dns.ED25519, 257)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ks, s := newKeySet(t, c.keys...), NewSigner(Config{})
			var text strings.Builder
			for _, set := range zoneSets(t, ks) {
				for _, rr := range records(t, set) {
					text.WriteString(rr.String() + "\n")
				}
				for _, sig := range rrsigs(t, set, mustSign(t, s, ks, set, Kept)) {
					text.WriteString(sig.String() + "\n")
				}
			}
			path := filepath.Join(t.TempDir(), "zone")
			writeFile(t, path, text.String(), 0o644)
			out := run(t, "dnssec-verify", append(c.args, "-o", zone, path)...)
			if !strings.Contains(out, "Zone fully signed") {
				t.Errorf("dnssec-verify says\n%s\nof\n%s", out, text.String())
			}
		})
	}
}

func TestBINDReadsOurKeys(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"example.org.", "0/25.2.0.192.in-addr.arpa.", `A\.b.example.`} {
		dir := t.TempDir()
		ks, err := NewKeySet(zone, 3600, madeKeyIn(t, dir, zone))
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "K*.key"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%q, %v", files, err)
		}
		run(t, "dnssec-settime", "-p", "all", files[0])
		if got, want := run(t, "dnssec-dsfromkey", "-2", files[0]), strings.ToUpper(ks.DS()[0].Digest); !strings.Contains(got, want) {
			t.Errorf("%s: dnssec-dsfromkey says %s, we say %s", zone, got, want)
		}
	}
}

func TestWeReadBINDsKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, args := range [][]string{
		{"-a", "ECDSAP256SHA256", "-f", "KSK"}, {"-a", "ECDSAP256SHA256"}, {"-a", "ED25519", "-f", "KSK"},
		{"-a", "RSASHA256", "-b", "2048", "-f", "KSK"}, {"-a", "RSASHA256", "-b", "4096", "-f", "KSK"},
		{"-a", "ECDSAP256SHA256", "-f", "KSK", "-I", "+1y", "-D", "+2y", "-P", "sync", "now", "-L", "300"},
	} {
		base := strings.TrimSpace(run(t, "dnssec-keygen", append(append([]string{"-q", "-K", dir}, args...), "bind.example")...))
		key, err := LoadKey(filepath.Join(dir, base))
		if err != nil {
			t.Errorf("%q: %v", args, err)
			continue
		}
		if got := "K" + key.String(); got != base {
			t.Errorf("%q: %s, BIND says %s", args, got, base)
		}
	}
}
