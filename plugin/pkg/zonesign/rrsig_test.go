package zonesign

import (
	"crypto/ecdsa"
	"encoding/asn1"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Every signature is verified by miekg/dns, over records that were unpacked from what is served.
func TestEveryAlgorithmVerifies(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]*Key{
		"RSA/SHA-256 (RFC 5702), 2048 bits": newKey(t, zone, dns.RSASHA256, 257, 2048),
		"RSA/SHA-256, 4096 bits":            newKey(t, zone, dns.RSASHA256, 257, 4096),
		"ECDSA P-256 (RFC 6605)":            newCSK(t),
		"Ed25519 (RFC 8080)":                newKey(t, zone, dns.ED25519, 257, 256),
		"an owner in capitals":              newKey(t, "EXAMPLE.Org.", dns.ECDSAP256SHA256, 257, 256),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ks, s, set := newKeySet(t, key), NewSigner(Config{}), caaSet(t)
			for range 50 { // ECDSA: r and s of all lengths
				sig := rrsigs(t, set, mustSign(t, s, ks, set, Transient))[0]
				if err := sig.Verify(key.DNSKEY, records(t, set)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestSignatureOverEveryType(t *testing.T) {
	t.Parallel()
	key := newCSK(t)
	ks, s := newKeySet(t, key), NewSigner(Config{})
	for _, line := range []string{
		"example.org. 3600 IN SOA NS1.Example.org. Hostmaster.Example.org. 1 2 3 4 300",
		"example.org. 3600 IN NS NS1.Example.org.",
		"a.example.org. 1 IN A 192.0.2.1",
		"a.example.org. 1 IN AAAA 2001:db8::1",
		"a.example.org. 1 IN CNAME B.Example.",
		"a.example.org. 1 IN DNAME B.Example.",
		"a.example.org. 1 IN MX 10 MX.Example.",
		"a.example.org. 1 IN SRV 1 2 443 B.Example.",
		"a.example.org. 1 IN PTR B.Example.",
		"a.example.org. 1 IN RP M.Example. T.Example.",
		`a.example.org. 1 IN NAPTR 1 2 "S" "SIP" "" B.Example.`,
		"a.example.org. 1 IN SVCB 1 B.Example. port=53",
		"a.example.org. 1 IN HTTPS 0 B.Example.",
		`a.example.org. 1 IN TXT "Text"`,
		"a.example.org. 1 IN DS 1 13 2 " + strings.Repeat("AB", 32),
		"a.example.org. 1 IN TYPE65280 \\# 3 414243",
		`*.example.org. 1 IN CAA 0 issue ";"`,
		`a.*.example.org. 1 IN CAA 0 issue ";"`,
		`\000.Example.org. 1 IN CAA 0 issue ";"`,
	} {
		rr := parseRRs(t, line)[0]
		set := newRRset(t, line)
		sig := rrsigs(t, set, mustSign(t, s, ks, set, Transient))[0]
		// Verified over what is served, and over the record as it came in, which a cache may hold.
		for _, rrs := range [][]dns.RR{records(t, set), {rr}} {
			sig.Hdr.Name = rrs[0].Header().Name
			if err := sig.Verify(key.DNSKEY, rrs); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
}

func TestRRSIGFields(t *testing.T) {
	t.Parallel()
	key := newCSK(t)
	ks, s := newKeySet(t, key), NewSigner(Config{Now: newClock().Now})
	for _, c := range []struct {
		line   string
		labels uint8
		ttl    uint32
	}{
		{"example.org. 0 IN A 192.0.2.1", 2, 0},
		{"www.example.org. 3600 IN A 192.0.2.1", 3, 3600},
		{"*.example.org. 604800 IN A 192.0.2.1", 2, 604800},
		{"a.*.example.org. 1 IN A 192.0.2.1", 4, 1},
	} {
		set := newRRset(t, c.line)
		sigs := mustSign(t, s, ks, set, Kept)
		sig := rrsigs(t, set, sigs)[0]
		if sig.Labels != c.labels {
			t.Errorf("RFC 4034 3.1.3: %s: %d labels, want %d", c.line, sig.Labels, c.labels)
		}
		if sig.OrigTtl != c.ttl {
			t.Errorf("RFC 4034 3.1.4: %s: original TTL %d", c.line, sig.OrigTtl)
		}
		if sig.TypeCovered != dns.TypeA || sig.Algorithm != dns.ECDSAP256SHA256 || sig.KeyTag != key.Tag() || sig.SignerName != zone {
			t.Errorf("RFC 4034 3.1: %v", sig)
		}
		if got := time.Unix(int64(sig.Inception), 0); !got.Equal(start.Add(-time.Hour)) {
			t.Errorf("inception %v, want an hour back", got)
		}
		if got := time.Unix(int64(sig.Expiration), 0); !got.Equal(sigs.Expires) {
			t.Errorf("expiration %v, and Expires %v", got, sigs.Expires)
		}
	}
}

func TestTheRootSignsItself(t *testing.T) {
	t.Parallel()
	key := newKey(t, ".", dns.ECDSAP256SHA256, 257, 256)
	ks, err := NewKeySet(".", 3600, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []RRset{ks.DNSKEYs(), newRRset(t, "org. 60 IN A 192.0.2.1")} {
		sig := rrsigs(t, set, mustSign(t, NewSigner(Config{}), ks, set, Kept))[0]
		if err := sig.Verify(key.DNSKEY, records(t, set)); err != nil {
			t.Errorf("%s: %v", set.Owner, err)
		}
	}
}

func TestValidity(t *testing.T) {
	t.Parallel()
	randoms := []uint64{0, 1, math.MaxUint64 / 2, math.MaxUint64}
	for range 1000 {
		randoms = append(randoms, rand.Uint64())
	}
	for _, random := range randoms {
		now := start.Add(time.Duration(random % uint64(time.Second))) // between seconds, too
		v := validFrom(now, random)
		whole := v.expires.Sub(now)
		switch {
		case now.Sub(v.inception) != clockSkew:
			t.Errorf("inception %v", v.inception)
		case whole > life || whole <= life-maxJitter-time.Second:
			t.Errorf("lasts %v: not within the jitter of %v below %v", whole, maxJitter, life)
		case v.expires.Sub(v.refresh) <= whole/2:
			t.Errorf("renewed with %v of %v left: half or less", v.expires.Sub(v.refresh), whole)
		case !v.refresh.After(now.Add(life / 5)):
			t.Errorf("renewed after %v: too often", v.refresh.Sub(now))
		case !outlives(v.expires, v.refresh, MaxTTL):
			t.Errorf("when renewal is due, %v are left: less than the largest TTL", v.expires.Sub(v.refresh))
		case v.expires.Nanosecond() != 0:
			t.Errorf("expires %v: RRSIG has whole seconds", v.expires)
		}
	}
	if a, b := validFrom(start, 0), validFrom(start, math.MaxUint64); a.expires.Sub(b.expires) < maxJitter-time.Second {
		t.Errorf("jitter spreads the ends by %v, want %v", a.expires.Sub(b.expires), maxJitter)
	}
}

func TestOutlives(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		left time.Duration
		ttl  uint32
		want bool
	}{
		{clockSkew + 301*time.Second, 300, true},
		{clockSkew + 300*time.Second, 300, false}, // it would end in a cache whose clock is an hour ahead
		{300 * time.Second, 300, false},
		{-time.Second, 0, false},
	} {
		if got := outlives(start.Add(c.left), start, c.ttl); got != c.want {
			t.Errorf("%v left, TTL %d: %v, want %v", c.left, c.ttl, got, c.want)
		}
	}
}

// In the year 2106 the times of RRSIG wrap (RFC 4034 3.1.5, RFC 1982).
func TestTimesWrap(t *testing.T) {
	t.Parallel()
	now := time.Unix(math.MaxUint32, 0).Add(-24 * time.Hour)
	set := caaSet(t)
	s := NewSigner(Config{Now: func() time.Time { return now }})
	sig := rrsigs(t, set, mustSign(t, s, newKeySet(t, newCSK(t)), set, Kept))[0]
	before := func(a, b uint32) bool { return int32(b-a) > 0 } // RFC 1982 3.2
	at := uint32(now.Unix())
	if sig.Expiration >= sig.Inception || !before(sig.Inception, at) || !before(at, sig.Expiration) {
		t.Errorf("%d to %d", sig.Inception, sig.Expiration)
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	ks, foreign := newKeySet(t, newCSK(t)), newKeySet(t, newCSK(t))
	s := NewSigner(Config{})
	edited := func(edit func(*RRset)) RRset {
		set := caaSet(t)
		set.RDATA = slices.Clone(set.RDATA)
		edit(&set)
		return set
	}
	last, err := nsec(octets(`\255`, 49)+"."+octets(`\255`, 63)+"."+octets(`\255`, 63)+"."+octets(`\255`, 63)+"."+zone, 300)
	if err != nil {
		t.Fatal(err)
	}
	shorter := ks.DNSKEYs()
	shorter.TTL--
	for _, c := range []struct {
		what, says string
		set        RRset
	}{
		{"coredns/coredns#8138: the target of a CNAME in another zone", "not in the zone", newRRset(t, "www.example.net. 60 IN A 192.0.2.1")},
		{"a name that only ends like the zone", "not in the zone", newRRset(t, "badexample.org. 60 IN A 192.0.2.1")},
		{"above the zone", "not in the zone", newRRset(t, "org. 60 IN NS ns.example.")},
		{"an invalid name", "empty label", edited(func(s *RRset) { s.Owner = "a..example.org." })},
		{"nothing", "at least one", edited(func(s *RRset) { s.RDATA = nil })},
		{"RFC 4034 6.3: out of order", "canonical order", edited(func(s *RRset) { slices.Reverse(s.RDATA) })},
		{"RFC 4034 6.3: a duplicate", "canonical order", edited(func(s *RRset) { s.RDATA[1] = s.RDATA[0] })},
		{"RDATA of 65536 octets", "65535", edited(func(s *RRset) { s.RDATA = [][]byte{make([]byte, 65536)} })},
		{"RFC 4035 2.2: RRSIG", "RRSIG", edited(func(s *RRset) { s.Type = dns.TypeRRSIG })},
		{"OPT", "pseudo-type", edited(func(s *RRset) { s.Type = dns.TypeOPT })},
		{"ANY", "pseudo-type", edited(func(s *RRset) { s.Type = dns.TypeANY })},
		{"a TTL that outlives signatures", "604800", edited(func(s *RRset) { s.TTL = MaxTTL + 1 })},
		{".de, 2026-05-05: a DNSKEY RRset that is not the one served", "as served", foreign.DNSKEYs()},
		{"the DNSKEY RRset with another TTL", "as served", shorter},
		{"CDS below the apex", "below the apex", newRRset(t, "a.example.org. 60 IN CDS 0 0 0 00")},
		{"NSEC of the last name that the zone can hold", "Next Domain Name", last},
	} {
		sigs, err := s.Sign(t.Context(), ks, c.set, Kept)
		if sigs.RDATA != nil {
			t.Errorf("%s: signed", c.what)
		}
		wantError(t, err, c.says)
	}
	if got := s.Stats(); got.Made != 0 || got.Kept != 0 || got.Failed == 0 {
		t.Errorf("%+v", got)
	}
}

// Should a key ever come into a KeySet beside its DNSKEY RRset, it signs nothing.
func TestUnpublishedKeySignsNothing(t *testing.T) {
	t.Parallel()
	published, secret := newCSK(t), newCSK(t)
	ks, other := newKeySet(t, published), newKeySet(t, secret)
	ks.data = append(ks.data, other.data...)
	_, err := NewSigner(Config{}).Sign(t.Context(), ks, caaSet(t), Kept)
	wantError(t, err, secret.String(), "not in the DNSKEY RRset")
}

// RRsets that differ in anything have signatures of their own (coredns/coredns#3953).
func TestEveryRRsetItsOwnSignature(t *testing.T) {
	t.Parallel()
	key := newCSK(t)
	ks, s := newKeySet(t, key), NewSigner(Config{})
	raw := func(rdata ...string) RRset {
		set := RRset{Owner: "a.example.org.", Type: 65280, TTL: 60}
		for _, r := range rdata {
			set.RDATA = append(set.RDATA, []byte(r))
		}
		return set
	}
	ttl, rrtype, owner := raw("ab"), raw("ab"), raw("ab")
	ttl.TTL, rrtype.Type, owner.Owner = 61, 65281, "b.example.org."
	for range 2 { // the second time from memory
		for i, set := range []RRset{raw("ab"), raw("a", "b"), raw("", "ab"), raw("", "a", "b"), raw("a"), ttl, rrtype, owner} {
			sig := rrsigs(t, set, mustSign(t, s, ks, set, Kept))[0]
			if err := sig.Verify(key.DNSKEY, records(t, set)); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
	}
	if got := s.Stats(); got.Kept != 8 || got.Hits != 8 {
		t.Errorf("%+v, want 8 kept and asked for again", got)
	}
}

// FuzzJoinECDSA compares with encoding/asn1.
func FuzzJoinECDSA(f *testing.F) {
	key := newCSK(f).Signer.(*ecdsa.PrivateKey)
	for range 4 {
		der, err := ecdsa.SignASN1(constant(0), key, make([]byte, 32))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Add([]byte{})
	f.Add([]byte{0x30, 6, 2, 1, 1, 2, 1, 0xFF})
	f.Fuzz(func(t *testing.T, der []byte) {
		joined, err := joinECDSA(der)
		if err != nil {
			return
		}
		var want struct{ R, S *big.Int }
		if rest, err := asn1.Unmarshal(der, &want); err != nil || len(rest) != 0 {
			t.Fatalf("%x: %v", der, err)
		}
		if r, s := new(big.Int).SetBytes(joined[:32]), new(big.Int).SetBytes(joined[32:]); r.Cmp(want.R) != 0 || s.Cmp(want.S) != 0 {
			t.Errorf("%x: %x", der, joined)
		}
	})
}
