package zonesign

import (
	"context"
	"crypto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const zone = "example.org."

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: start} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// constant is a source of not so random numbers.
type constant byte

func (c constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}

// newKey makes a key in memory.
func newKey(t testing.TB, owner string, alg uint8, flags uint16, bits int) *Key {
	t.Helper()
	k := &dns.DNSKEY{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags: flags, Protocol: 3, Algorithm: alg}
	private, err := k.Generate(bits)
	if err != nil {
		t.Fatal(err)
	}
	return &Key{DNSKEY: k, Signer: private.(crypto.Signer)}
}

func newCSK(t testing.TB) *Key { return newKey(t, zone, dns.ECDSAP256SHA256, 257, 256) }

func newKeySet(t testing.TB, keys ...*Key) *KeySet {
	t.Helper()
	ks, err := NewKeySet(zone, 3600, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return ks
}

func parseRRs(t testing.TB, lines ...string) []dns.RR {
	t.Helper()
	var rrs []dns.RR
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

func newRRset(t testing.TB, lines ...string) RRset {
	t.Helper()
	set, err := NewRRset(parseRRs(t, lines...)...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func caaSet(t testing.TB) RRset {
	t.Helper()
	return newRRset(t, `www.example.org. 600 IN CAA 0 issue "letsencrypt.org"`, `www.example.org. 600 IN CAA 128 issuewild ";"`)
}

// mustSign signs with all the time in the world.
func mustSign(t testing.TB, s *Signer, ks *KeySet, set RRset, keep Keep) Signatures {
	t.Helper()
	sigs, err := s.Sign(context.Background(), ks, set, keep)
	if err != nil {
		t.Fatal(err)
	}
	if len(sigs.RDATA) == 0 {
		t.Fatal("neither signatures nor an error")
	}
	return sigs
}

// unpack makes records of RDATA.
func unpack(t testing.TB, owner string, rrtype uint16, ttl uint32, rdata ...[]byte) []dns.RR {
	t.Helper()
	var rrs []dns.RR
	for _, octets := range rdata {
		h := dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl, Rdlength: uint16(len(octets))}
		rr, end, err := dns.UnpackRRWithHeader(h, octets, 0)
		if err != nil || end != len(octets) {
			t.Fatalf("RDATA %x: %v, %d of %d octets read", octets, err, end, len(octets))
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

func records(t testing.TB, set RRset) []dns.RR {
	t.Helper()
	return unpack(t, set.Owner, set.Type, set.TTL, set.RDATA...)
}

func rrsigs(t testing.TB, set RRset, sigs Signatures) []*dns.RRSIG {
	t.Helper()
	var out []*dns.RRSIG
	for _, rr := range unpack(t, set.Owner, dns.TypeRRSIG, set.TTL, sigs.RDATA...) {
		out = append(out, rr.(*dns.RRSIG))
	}
	return out
}

// tags are the key tags of signatures, in their order.
func tags(t testing.TB, set RRset, sigs Signatures) []uint16 {
	t.Helper()
	var out []uint16
	for _, sig := range rrsigs(t, set, sigs) {
		out = append(out, sig.KeyTag)
	}
	return out
}

// copyKey copies a key of testdata to a folder of the test's own, with the mode that keys have, for
// git keeps no modes. It returns the base of its files.
func copyKey(t testing.TB, base string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), base)
	for suffix, mode := range map[string]os.FileMode{".key": 0o644, ".private": 0o600} {
		content, err := os.ReadFile(filepath.Join("testdata", base+suffix))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, to+suffix, string(content), mode)
	}
	return to
}

func writeFile(t testing.TB, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// wantError wants an error that tells a reader each of the words.
func wantError(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %q", words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error %q does not say %q", err, word)
		}
	}
}

// nsec is the NSEC record of a name that has types.
func nsec(owner string, ttl uint32, types ...uint16) (RRset, error) {
	bitmap, err := NewBitmap(types...)
	if err != nil {
		return RRset{}, err
	}
	return NSEC(owner, ttl, bitmap)
}
