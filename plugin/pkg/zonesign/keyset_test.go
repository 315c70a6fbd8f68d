package zonesign

import (
	"crypto/ed25519"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestWhoSignsWhat(t *testing.T) {
	t.Parallel()
	var (
		csk13 = newCSK(t)
		ksk13 = newCSK(t)
		zsk13 = newKey(t, zone, dns.ECDSAP256SHA256, 256, 256)
		csk15 = newKey(t, zone, dns.ED25519, 257, 256)
		next  = &Key{DNSKEY: newCSK(t).DNSKEY} // published, not yet signing
	)
	apex := []uint16{dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY}
	data := []uint16{dns.TypeSOA, dns.TypeNS, dns.TypeCAA, dns.TypeNSEC, dns.TypeDS}
	for _, c := range []struct {
		what                   string
		keys, forApex, forData []*Key
	}{
		{"a CSK signs all", []*Key{csk13}, []*Key{csk13}, []*Key{csk13}},
		{"KSK and ZSK (RFC 7344 4.1)", []*Key{zsk13, ksk13}, []*Key{ksk13}, []*Key{zsk13}},
		{"each algorithm signs everything (RFC 4035 2.2)", []*Key{ksk13, zsk13, csk15}, []*Key{ksk13, csk15}, []*Key{zsk13, csk15}},
		{"two CSKs while one follows the other", []*Key{csk13, ksk13}, []*Key{csk13, ksk13}, []*Key{csk13, ksk13}},
		{"a key without Signer is published only", []*Key{csk13, next}, []*Key{csk13}, []*Key{csk13}},
	} {
		ks := newKeySet(t, c.keys...)
		if got := len(ks.DNSKEYs().RDATA); got != len(c.keys) {
			t.Errorf("%s: %d keys published, want %d", c.what, got, len(c.keys))
		}
		for _, rrtype := range apex {
			wantKeys(t, c.what+": "+dns.TypeToString[rrtype], ks.signers(rrtype), c.forApex)
		}
		for _, rrtype := range data {
			wantKeys(t, c.what+": "+dns.TypeToString[rrtype], ks.signers(rrtype), c.forData)
		}
	}
}

func wantKeys(t *testing.T, what string, got []*signingKey, want []*Key) {
	t.Helper()
	ok := len(got) == len(want)
	for _, k := range got {
		ok = ok && slices.Contains(want, k.Key)
	}
	if !ok {
		t.Errorf("%s is signed by %v, want %v", what, got, want)
	}
}

func TestKeySetIsTheDNSKEYRRsetAsServed(t *testing.T) {
	t.Parallel()
	ksk, zsk := newCSK(t), newKey(t, "EXAMPLE.org.", dns.ECDSAP256SHA256, 256, 256)
	ks, err := NewKeySet("Example.ORG", 1800, ksk, zsk)
	if err != nil {
		t.Fatal(err)
	}
	set := ks.DNSKEYs()
	if ks.Zone() != zone || set.Owner != zone || set.TTL != 1800 || set.check() != nil {
		t.Errorf("%s, %+v, %v", ks.Zone(), set, set.check())
	}
	var got []uint16
	for _, rr := range records(t, set) {
		got = append(got, rr.(*dns.DNSKEY).KeyTag())
	}
	slices.Sort(got)
	want := []uint16{ksk.Tag(), zsk.Tag()}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("published %v, want %v", got, want)
	}
	ds := ks.DS()
	if len(ds) != 1 || ds[0].KeyTag != ksk.Tag() || ds[0].DigestType != dns.SHA256 || ds[0].Hdr.Name != zone {
		t.Errorf("DS %v, want the KSK's by SHA-256", ds)
	}
	ds[0].Digest = "" // the caller's to change
	if ks.DS()[0].Digest == "" {
		t.Error("the key set's own DS changed")
	}
}

func TestNewKeySetRefuses(t *testing.T) {
	t.Parallel()
	good, other := newCSK(t), newCSK(t)
	edited := func(edit func(*dns.DNSKEY)) *Key {
		k := newCSK(t)
		edit(k.DNSKEY)
		return k
	}
	for _, c := range []struct {
		says []string
		keys []*Key
	}{
		{[]string{"no key"}, nil},
		{[]string{"example.net.", "not to example.org."}, []*Key{newKey(t, "example.net.", dns.ECDSAP256SHA256, 257, 256)}},
		{[]string{"SEP", "ECDSAP256SHA256 (13)", "KSK"}, []*Key{newKey(t, zone, dns.ECDSAP256SHA256, 256, 256)}},
		{[]string{"SEP", "ED25519 (15)"}, []*Key{good, newKey(t, zone, dns.ED25519, 256, 256)}},
		{[]string{"SEP", "ED25519 (15)"}, []*Key{good, {DNSKEY: newKey(t, zone, dns.ED25519, 257, 256).DNSKEY}}},
		{[]string{"two keys have the ID example.org.+013+"}, []*Key{good, good}},
		{[]string{"flag 256", "RFC 4034 2.1.1"}, []*Key{edited(func(k *dns.DNSKEY) { k.Flags = 1 })}},
		{[]string{"revoked"}, []*Key{edited(func(k *dns.DNSKEY) { k.Flags |= 128 })}},
		{[]string{"protocol is 2"}, []*Key{edited(func(k *dns.DNSKEY) { k.Protocol = 2 })}},
		{[]string{"class CH"}, []*Key{edited(func(k *dns.DNSKEY) { k.Hdr.Class = dns.ClassCHAOS })}},
		{[]string{"base64"}, []*Key{edited(func(k *dns.DNSKEY) { k.PublicKey = "?" })}},
		{[]string{"P-256"}, []*Key{edited(func(k *dns.DNSKEY) { k.PublicKey = "AAAA" })}},
		{[]string{"ECDSAP384SHA384 (14) is not supported", "ECDSAP256SHA256 (13)"}, []*Key{newKey(t, zone, dns.ECDSAP384SHA384, 257, 384)}},
		{[]string{"algorithm 200 is not supported"}, []*Key{edited(func(k *dns.DNSKEY) { k.Algorithm = 200 })}},
		{[]string{"1024 bits", "2048"}, []*Key{newKey(t, zone, dns.RSASHA256, 257, 1024)}},
		{[]string{"does not match the public key"}, []*Key{{DNSKEY: good.DNSKEY, Signer: other.Signer}}},
	} {
		ks, err := NewKeySet(zone, 3600, c.keys...)
		wantError(t, err, c.says...)
		if ks != nil {
			t.Errorf("%q: a key set beside the error", c.says)
		}
	}
	if _, err := NewKeySet("example..org.", 3600, good); err == nil {
		t.Error("a zone with an invalid name was accepted")
	}
}

// A private key in memory may carry a public half that is not its own. Its first signature tells.
func TestFirstSignatureProvesAKeyInMemory(t *testing.T) {
	t.Parallel()
	published, other := newKey(t, zone, dns.ED25519, 257, 256), newKey(t, zone, dns.ED25519, 257, 256)
	seed := other.Signer.(ed25519.PrivateKey).Seed()
	hybrid := ed25519.PrivateKey(append(seed, published.Signer.Public().(ed25519.PublicKey)...))
	ks := newKeySet(t, &Key{DNSKEY: published.DNSKEY, Signer: hybrid})
	s := NewSigner(Config{})
	for range 2 { // it is not believed the second time, either
		if _, err := s.Sign(t.Context(), ks, caaSet(t), Kept); err == nil {
			t.Fatal("a signature left that does not verify")
		}
	}
}

func TestKeyString(t *testing.T) {
	t.Parallel()
	if got := newKey(t, "Example.org.", dns.ED25519, 257, 256).String(); !strings.HasPrefix(got, "example.org.+015+") || len(got) != len("example.org.+015+00000") {
		t.Error(got)
	}
}
