package zonesign

import (
	"context"
	"crypto"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const zone = "example.org."

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// generate makes a key of any algorithm in memory.
func generate(t testing.TB, owner string, alg uint8, flags uint16, bits int) *Key {
	t.Helper()
	k := &dns.DNSKEY{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600}, Flags: flags, Protocol: 3, Algorithm: alg}
	private, err := k.Generate(bits)
	if err != nil {
		t.Fatal(err)
	}
	return &Key{DNSKEY: k, Signer: private.(crypto.Signer)}
}

func keySet(t testing.TB, keys ...*Key) *KeySet {
	t.Helper()
	ks, err := NewKeySet(zone, 3600, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return ks
}

func rrset(t testing.TB, lines ...string) (RRset, []dns.RR) {
	t.Helper()
	var rrs []dns.RR
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	set, err := NewRRset(rrs...)
	if err != nil {
		t.Fatal(err)
	}
	return set, rrs
}

// rrsigs unpacks RRSIG RDATA.
func rrsigs(t testing.TB, set RRset, sigs Signatures) []*dns.RRSIG {
	t.Helper()
	var out []*dns.RRSIG
	for _, rdata := range sigs.RDATA {
		h := dns.RR_Header{Name: set.Owner, Rrtype: dns.TypeRRSIG, Class: dns.ClassINET, Ttl: set.TTL, Rdlength: uint16(len(rdata))}
		rr, _, err := dns.UnpackRRWithHeader(h, rdata, 0)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rr.(*dns.RRSIG))
	}
	return out
}

var caaLines = []string{`www.Example.org. 600 IN CAA 0 issue "letsencrypt.org"`, `www.Example.org. 600 IN CAA 128 issuewild ";"`}

func TestSignVerifiesWithEveryAlgorithm(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]*Key{
		"ECDSA P-256 (RFC 6605)":  generate(t, zone, dns.ECDSAP256SHA256, 257, 256),
		"Ed25519 (RFC 8080)":      generate(t, zone, dns.ED25519, 257, 256),
		"RSA/SHA-256 (RFC 5702)":  generate(t, zone, dns.RSASHA256, 257, 2048),
		"key's owner in capitals": generate(t, "EXAMPLE.org.", dns.ECDSAP256SHA256, 257, 256),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, rrs := rrset(t, caaLines...)
			s := NewSigner(Config{Now: func() time.Time { return start }})
			for range 20 {
				sigs, err := s.Sign(context.Background(), keySet(t, key), set, Transient)
				if err != nil {
					t.Fatal(err)
				}
				sig := rrsigs(t, set, sigs)[0]
				if err := sig.Verify(key.DNSKEY, rrs); err != nil {
					t.Fatal(err)
				}
				if sig.OrigTtl != 600 || sig.Labels != 3 || sig.SignerName != zone || !sig.ValidityPeriod(start) {
					t.Errorf("RRSIG fields (RFC 4034 3.1): %v", sig)
				}
			}
		})
	}
}

func TestSignatureTimes(t *testing.T) {
	t.Parallel()
	key := generate(t, zone, dns.ECDSAP256SHA256, 257, 256)
	set, _ := rrset(t, caaLines...)
	for _, jitter := range []time.Duration{0, maxJitter} {
		s := NewSigner(Config{Now: func() time.Time { return start }, Jitter: func(time.Duration) time.Duration { return jitter }})
		sigs, err := s.Sign(context.Background(), keySet(t, key), set, Kept)
		if err != nil {
			t.Fatal(err)
		}
		sig := rrsigs(t, set, sigs)[0]
		if got := time.Unix(int64(sig.Expiration), 0).Sub(start); got != life-jitter {
			t.Errorf("jitter %v: life %v, want %v", jitter, got, life-jitter)
		}
		if got := start.Sub(time.Unix(int64(sig.Inception), 0)); got != backdate {
			t.Errorf("inception %v back, want %v", got, backdate)
		}
		if left := sigs.Expires.Sub(sigs.Refresh); left <= sigs.Expires.Sub(start)/2 {
			t.Errorf("renewed with %v left: that is half of the life or less", left)
		}
	}
}

func TestLabelsOfWildcard(t *testing.T) {
	t.Parallel()
	for owner, want := range map[string]uint8{"*.example.org.": 2, "example.org.": 2, ".": 0, "a.*.example.org.": 4, `\*.example.org.`: 2} {
		if owner == `\*.example.org.` {
			continue // the same octets as *.example.org.; a name that was unpacked is never written so
		}
		if got := labels(owner); got != want {
			t.Errorf("RFC 4034 3.1.3: labels of %s = %d, want %d", owner, got, want)
		}
	}
}

func TestSplitKeysAndAlgorithms(t *testing.T) {
	t.Parallel()
	ksk, zsk := generate(t, zone, dns.ECDSAP256SHA256, 257, 256), generate(t, zone, dns.ECDSAP256SHA256, 256, 256)
	csk := generate(t, zone, dns.ED25519, 257, 256)
	ks := keySet(t, ksk, zsk, csk)
	s := NewSigner(Config{Now: func() time.Time { return start }})
	data, _ := rrset(t, caaLines...)
	tags := func(set RRset) map[uint16]bool {
		sigs, err := s.Sign(context.Background(), ks, set, Kept)
		if err != nil {
			t.Fatal(err)
		}
		out := map[uint16]bool{}
		for _, sig := range rrsigs(t, set, sigs) {
			out[sig.KeyTag] = true
		}
		return out
	}
	if got := tags(data); len(got) != 2 || !got[zsk.DNSKEY.KeyTag()] || !got[csk.DNSKEY.KeyTag()] {
		t.Errorf("data signed by %v, want ZSK and CSK, one of each algorithm (RFC 4035 2.2)", got)
	}
	if got := tags(ks.DNSKEYs()); len(got) != 2 || !got[ksk.DNSKEY.KeyTag()] || !got[csk.DNSKEY.KeyTag()] {
		t.Errorf("DNSKEY signed by %v, want KSK and CSK", got)
	}
	if n := len(ks.DS()); n != 2 {
		t.Errorf("%d DS, want one for each key with the SEP flag", n)
	}
}

func TestKeySetRefuses(t *testing.T) {
	t.Parallel()
	good := generate(t, zone, dns.ECDSAP256SHA256, 257, 256)
	for name, keys := range map[string][]*Key{
		"no key":                   nil,
		"a key of another zone":    {generate(t, "example.net.", dns.ECDSAP256SHA256, 257, 256)},
		"only a ZSK":               {generate(t, zone, dns.ECDSAP256SHA256, 256, 256)},
		"an algorithm without SEP": {good, generate(t, zone, dns.ED25519, 256, 256)},
		"the same key twice":       {good, good},
		"not a zone key":           {generate(t, zone, dns.ECDSAP256SHA256, 1, 256)},
		"a revoked key":            {generate(t, zone, dns.ECDSAP256SHA256, 257|128, 256)},
		"an unsupported algorithm": {generate(t, zone, dns.ECDSAP384SHA384, 257, 384)},
		"a short RSA key":          {generate(t, zone, dns.RSASHA256, 257, 1024)},
		"a private key of another": {{DNSKEY: good.DNSKEY, Signer: generate(t, zone, dns.ECDSAP256SHA256, 257, 256).Signer}},
	} {
		if _, err := NewKeySet(zone, 3600, keys...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// fickle is a signer that fails or lies when told to; it counts its work.
type fickle struct {
	crypto.Signer
	mu    sync.Mutex
	fails bool
	other crypto.Signer
	calls int
}

func (f *fickle) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	switch {
	case f.fails:
		return nil, errors.New("the HSM is on fire")
	case f.other != nil:
		return f.other.Sign(rand, digest, opts)
	}
	return f.Signer.Sign(rand, digest, opts)
}

func TestFailingSigner(t *testing.T) {
	t.Parallel()
	key := generate(t, zone, dns.ECDSAP256SHA256, 257, 256)
	hsm := &fickle{Signer: key.Signer}
	ks := keySet(t, &Key{DNSKEY: key.DNSKEY, Signer: hsm})
	now := start
	s := NewSigner(Config{Now: func() time.Time { return now }})
	set, _ := rrset(t, caaLines...)
	first, err := s.Sign(context.Background(), ks, set, Kept)
	if err != nil {
		t.Fatal(err)
	}
	hsm.fails = true
	for _, c := range []struct {
		at    time.Time
		stale bool
		err   bool
	}{
		{first.Refresh.Add(-time.Second), false, false},
		{first.Refresh.Add(time.Second), true, false},
		{first.Expires.Add(-601 * time.Second), true, false},
		{first.Expires.Add(-600 * time.Second), false, true}, // it would end inside a cache
	} {
		now = c.at
		sigs, err := s.Sign(context.Background(), ks, set, Kept)
		if (err != nil) != c.err || sigs.Stale != c.stale {
			t.Errorf("at %v: stale %v, error %v; want stale %v, error %v", c.at, sigs.Stale, err, c.stale, c.err)
		}
	}
	hsm.fails = false
	if sigs, err := s.Sign(context.Background(), ks, set, Kept); err != nil || sigs.Stale {
		t.Errorf("after the fire: %v, stale %v", err, sigs.Stale)
	}
}

func TestLyingSignerIsCaught(t *testing.T) {
	t.Parallel()
	key := generate(t, zone, dns.ECDSAP256SHA256, 257, 256)
	hsm := &fickle{Signer: key.Signer}
	ks := keySet(t, &Key{DNSKEY: key.DNSKEY, Signer: hsm})
	s := NewSigner(Config{})
	set, _ := rrset(t, caaLines...)
	if _, err := s.Sign(context.Background(), ks, set, Transient); err != nil {
		t.Fatal(err)
	}
	hsm.other = generate(t, zone, dns.ECDSAP256SHA256, 257, 256).Signer
	if _, err := s.Sign(context.Background(), ks, set, Transient); !errors.Is(err, errLiar) {
		t.Errorf("a signature by another key left the signer (.de, 2026-05-05): %v", err)
	}
}

func TestConcurrentRequestsSignOnce(t *testing.T) {
	t.Parallel()
	key := generate(t, zone, dns.ECDSAP256SHA256, 257, 256)
	hsm := &fickle{Signer: key.Signer}
	ks := keySet(t, &Key{DNSKEY: key.DNSKEY, Signer: hsm})
	s := NewSigner(Config{})
	set, _ := rrset(t, caaLines...)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if _, err := s.Sign(context.Background(), ks, set, Kept); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	// A call that looked before the first one stored may fly once more; never sixty-four times.
	if hsm.calls > 2 {
		t.Errorf("64 requests made %d signatures", hsm.calls)
	}
}

func TestSuccessorIsImmediate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(strings.Repeat("a", 63)+".", 3)
	for _, name := range []string{
		"example.org.", "www.example.org.", ".", `a\000b.example.org.`,
		long + strings.Repeat("b", 59) + ".", long + strings.Repeat("b", 60) + ".", long + strings.Repeat("b", 61) + ".",
		long + strings.Repeat(`\255`, 61) + ".",
	} {
		wire, err := OwnerWire(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		next := successor(wire)
		if len(next) > maxNameLen {
			t.Errorf("%s: the successor has %d octets", name, len(next))
		}
		text, _, err := dns.UnpackDomainName(next, 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if compareNames(name, text) >= 0 {
			t.Errorf("%s does not sort before its successor %s (RFC 4034 6.1)", name, text)
		}
	}
}

// compareNames is the canonical order, written independently of the code under test.
func compareNames(a, b string) int {
	la, lb := wireLabels(a), wireLabels(b)
	for i := 1; i <= len(la) && i <= len(lb); i++ {
		if c := strings.Compare(la[len(la)-i], lb[len(lb)-i]); c != 0 {
			return c
		}
	}
	return len(la) - len(lb)
}

func wireLabels(name string) []string {
	wire, _ := OwnerWire(name)
	var out []string
	for i := 0; wire[i] != 0; i += 1 + int(wire[i]) {
		out = append(out, string(wire[i+1:i+1+int(wire[i])]))
	}
	return out
}

func TestNSECBitmap(t *testing.T) {
	t.Parallel()
	for _, types := range [][]uint16{{dns.TypeCAA}, {dns.TypeNXNAME}, {dns.TypeSOA, dns.TypeNS, dns.TypeDNSKEY, dns.TypeCAA}, {dns.TypeCAA, 65280, 300}} {
		set, err := NSEC("www.example.org.", 300, types...)
		if err != nil {
			t.Fatal(err)
		}
		h := dns.RR_Header{Name: set.Owner, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Rdlength: uint16(len(set.RDATA[0]))}
		rr, _, err := dns.UnpackRRWithHeader(h, set.RDATA[0], 0)
		if err != nil {
			t.Fatal(err)
		}
		nsec := rr.(*dns.NSEC)
		if nsec.NextDomain != `\000.www.example.org.` || len(nsec.TypeBitMap) != len(types)+2 {
			t.Errorf("types %v: %v", types, nsec)
		}
	}
}

func TestAutoKeyOnOneFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	tags := make(chan uint16, 16)
	var wg sync.WaitGroup
	for range cap(tags) {
		wg.Go(func() {
			key, _, err := AutoKey(dir, zone)
			if err != nil {
				t.Error(err)
				return
			}
			tags <- key.DNSKEY.KeyTag()
		})
	}
	wg.Wait()
	close(tags)
	first := <-tags
	for tag := range tags {
		if tag != first {
			t.Errorf("two servers got the keys %d and %d", first, tag)
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "K*.private"))
	if len(files) != 1 {
		t.Fatalf("private files: %v", files)
	}
	for path, want := range map[string]os.FileMode{files[0]: 0o600, dir: 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v (%v)", path, info.Mode().Perm(), want, err)
		}
	}
}

func TestAutoKeyAfterCrashBetweenItsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, _, err := AutoKey(dir, zone)
	if err != nil {
		t.Fatal(err)
	}
	public, _ := filepath.Glob(filepath.Join(dir, "K*.key"))
	if err := os.Remove(public[0]); err != nil {
		t.Fatal(err)
	}
	again, made, err := AutoKey(dir, zone)
	if err != nil || !made || again.DNSKEY.KeyTag() == key.DNSKEY.KeyTag() {
		t.Errorf("half a key was used: made %v, %v", made, err)
	}
}

func TestLoadKeyWarnsOfOpenMode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, _, err := AutoKey(dir, zone); err != nil {
		t.Fatal(err)
	}
	private, _ := filepath.Glob(filepath.Join(dir, "K*.private"))
	if err := os.Chmod(private[0], 0o644); err != nil {
		t.Fatal(err)
	}
	key, err := LoadKey(private[0])
	if err != nil || len(key.Warnings) != 1 {
		t.Errorf("warnings %q, error %v", key.Warnings, err)
	}
}

// BIND's own tools read our files, and we read BIND's.
func TestKeyFilesAreBINDs(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"dnssec-settime", "dnssec-dsfromkey", "dnssec-keygen"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing: apt-get install bind9-utils", tool)
		}
	}
	dir := t.TempDir()
	key, _, err := AutoKey(dir, zone)
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "K*.key"))
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	if out := run("dnssec-settime", "-p", "all", files[0]); !strings.Contains(out, "Activate: ") || strings.Contains(out, "Activate: UNSET") {
		t.Errorf("dnssec-settime reads\n%s", out)
	}
	if out, want := run("dnssec-dsfromkey", "-2", files[0]), strings.ToUpper(keySet(t, key).DS()[0].Digest); !strings.Contains(out, want) {
		t.Errorf("dnssec-dsfromkey says %s, we say %s", out, want)
	}
	for _, alg := range []string{"ECDSAP256SHA256", "ED25519", "RSASHA256"} {
		base := strings.TrimSpace(run("dnssec-keygen", "-q", "-K", dir, "-a", alg, "-b", "2048", "-f", "KSK", "bind.example"))
		if _, err := LoadKey(filepath.Join(dir, base)); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func FuzzNSEC(f *testing.F) {
	for _, name := range []string{"example.org.", ".", `a\.b.example.org.`, `\255\255.x.`} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if _, ok := dns.IsDomainName(name); !ok {
			return
		}
		name = dns.CanonicalName(name)
		set, err := NSEC(name, 300, dns.TypeCAA)
		if err != nil {
			return
		}
		if next, _, err := dns.UnpackDomainName(set.RDATA[0], 0); err != nil || (compareNames(name, next) >= 0 && next != ".") {
			t.Errorf("%q: next %q, %v", name, next, err)
		}
	})
}

func benchmarkSign(b *testing.B, alg uint8, bits int) {
	key := generate(b, zone, alg, 257, bits)
	ks := keySet(b, key)
	set, rrs := rrset(b, caaLines...)
	s := NewSigner(Config{})
	b.Run("Signer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Sign(context.Background(), ks, set, Transient); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("miekg", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sig := &dns.RRSIG{Algorithm: alg, Expiration: 2, Inception: 1, KeyTag: key.DNSKEY.KeyTag(), SignerName: zone}
			if err := sig.Sign(key.Signer, rrs); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSignECDSA(b *testing.B)   { benchmarkSign(b, dns.ECDSAP256SHA256, 256) }
func BenchmarkSignEd25519(b *testing.B) { benchmarkSign(b, dns.ED25519, 256) }
