package dnssec

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// trial is what a verification is given. Its parts may be changed.
type trial struct {
	sig *dns.RRSIG
	key *dns.DNSKEY
	set []dns.RR
}

func (v trial) copy() trial {
	out := trial{sig: dns.Copy(v.sig).(*dns.RRSIG), key: dns.Copy(v.key).(*dns.DNSKEY)}
	for _, rr := range v.set {
		out.set = append(out.set, dns.Copy(rr))
	}
	return out
}

// changes are the ways in which what comes can differ from what has verified. Another trial, which
// verifies as well, lends its parts.
var changes = []func(v *trial, other trial, n uint32){
	func(v *trial, _ trial, _ uint32) { slices.Reverse(v.set) },
	func(v *trial, _ trial, n uint32) { v.set[0].Header().Ttl = n },
	func(v *trial, other trial, _ uint32) { v.set = other.set },
	func(v *trial, other trial, _ uint32) { v.set = append(v.set, other.set...) },
	func(v *trial, _ trial, _ uint32) { v.set = append(v.set, v.set[0]) },
	func(v *trial, _ trial, _ uint32) { v.set = v.set[1:] },
	func(v *trial, _ trial, _ uint32) { v.set[0].Header().Name = "x." + v.set[0].Header().Name },
	func(v *trial, _ trial, _ uint32) { v.set[0].Header().Class = dns.ClassCHAOS },
	func(v *trial, _ trial, n uint32) { v.set[0].Header().Rrtype = uint16(n) },
	func(v *trial, _ trial, n uint32) {
		switch rr := v.set[0].(type) {
		case *dns.RFC3597: // a CAA record: flags, tag, value
			i := int(n) % len(rr.Rdata)
			rr.Rdata = rr.Rdata[:i] + string('0'+(rr.Rdata[i]+1)%10) + rr.Rdata[i+1:]
		case *dns.NSEC:
			rr.TypeBitMap = rr.TypeBitMap[:len(rr.TypeBitMap)-1]
		case *dns.SOA:
			rr.Serial += n
		}
	},
	func(v *trial, _ trial, _ uint32) {
		if nsec, ok := v.set[0].(*dns.NSEC); ok {
			nsec.NextDomain = "x." + nsec.NextDomain
		}
	},
	func(v *trial, other trial, _ uint32) { v.sig = other.sig },
	func(v *trial, other trial, _ uint32) { v.sig.Signature = other.sig.Signature },
	func(v *trial, _ trial, n uint32) {
		i := int(n) % (len(v.sig.Signature) - 4)
		v.sig.Signature = v.sig.Signature[:i] + "A" + v.sig.Signature[i+1:]
	},
	func(v *trial, _ trial, n uint32) { v.sig.OrigTtl = n },
	func(v *trial, _ trial, _ uint32) { v.sig.Labels++ },
	func(v *trial, _ trial, _ uint32) { v.sig.Labels-- },
	func(v *trial, _ trial, n uint32) { v.sig.Expiration += n },
	func(v *trial, _ trial, n uint32) { v.sig.Inception -= n },
	func(v *trial, _ trial, _ uint32) { v.sig.KeyTag++ },
	func(v *trial, _ trial, _ uint32) { v.sig.SignerName = "test." },
	func(v *trial, _ trial, _ uint32) { v.sig.TypeCovered++ },
	func(v *trial, _ trial, _ uint32) { v.sig.Hdr.Name = "x." + v.sig.Hdr.Name },
	func(v *trial, _ trial, _ uint32) { v.sig.Hdr.Class = dns.ClassCHAOS },
	func(v *trial, other trial, _ uint32) { v.key = other.key },
	func(v *trial, other trial, _ uint32) { v.key.PublicKey = other.key.PublicKey },
	func(v *trial, _ trial, _ uint32) { v.key.Flags ^= dns.ZONE },
	func(v *trial, _ trial, _ uint32) { v.key.Protocol++ },
	func(v *trial, _ trial, _ uint32) { v.key.Algorithm = dns.ECDSAP256SHA256 },
	func(v *trial, _ trial, _ uint32) { v.key.Hdr.Name = "test." },
}

// trials verify, each over and over.
func trials(t testing.TB) []trial {
	t.Helper()
	var out []trial
	for _, zoneName := range []string{"example.", "example.", "other."} {
		by := newSigner(t, zoneName)
		for n := range 3 {
			records := fmt.Sprintf("w%[2]d.%[1]s CAA 0 issue \"ca.example\"\nw%[2]d.%[1]s CAA 0 iodef \"mailto:a@example.org\"\n%[1]s SOA ns hostmaster %[2]d 1 1 1 1\nw%[2]d.%[1]s NSEC x%[2]d.%[1]s A CAA RRSIG NSEC", zoneName, n)
			for _, set := range by.sign(t, zone(t, records)) {
				out = append(out, trial{set.Sigs[0], by.key, set.exact()})
			}
		}
	}
	return out
}

// A Memory changes no result: whatever is changed of what has verified verifies with it when it does without.
func TestMemoryChangesNoResult(t *testing.T) {
	t.Parallel()
	const rounds = 6000
	good := trials(t)
	memory := NewMemory(MemorySize)
	for _, v := range good {
		if err := memory.verify(v.sig, v.key, v.set); err != nil {
			t.Fatal(err)
		}
	}
	for seed := range uint64(rounds) {
		random := rand.New(rand.NewPCG(seed, 0))
		v, other := good[random.IntN(len(good))].copy(), good[random.IntN(len(good))].copy()
		for range 1 + random.IntN(2) {
			if len(v.set) > 0 {
				changes[random.IntN(len(changes))](&v, other, random.Uint32N(1<<16))
			}
		}
		want, got := v.sig.Verify(v.key, v.set), memory.verify(v.sig, v.key, v.set)
		if (want == nil) != (got == nil) {
			t.Fatalf("seed %d: %v with a memory, %v without\n%v\n%v\n%v", seed, got, want, v.sig, v.key, v.set)
		}
	}
}

// Time is no part of what is remembered.
func TestMemoryDoesNotProlongSignatures(t *testing.T) {
	t.Parallel()
	by := newSigner(t, "example.")
	keys := by.keys()
	keys.Memory = NewMemory(10)
	set := by.sign(t, zone(t, `www.example. CAA 0 issue "ca.example"`))[0]
	for _, at := range []struct {
		now    time.Time
		status Status
		reason Reason
	}{{now, Secure, Signed}, {now.Add(2 * time.Hour), Bogus, SignatureExpired}, {now.Add(-2 * time.Hour), Bogus, SignatureEarly}, {now, Secure, Signed}} {
		if got := VerifyRRset(set, keys, at.now); got.Status != at.status || got.Reason != at.reason {
			t.Errorf("at %v: got %v, want %v (%s)", at.now, got, at.status, at.reason)
		}
	}
}

// What is in use is remembered, and the rest is forgotten in time.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	const size = 100
	m := NewMemory(size)
	id := func(n int) fingerprint { return fingerprint{byte(n), byte(n >> 8)} }
	m.add(id(0))
	for n := 1; n < 20*size; n++ {
		m.add(id(n))
		if !m.has(id(0)) {
			t.Fatalf("what is in use is forgotten after %d more", n)
		}
		if !m.has(id(max(0, n-size/4))) {
			t.Fatalf("of the last ones not all are remembered after %d", n)
		}
		if kept := len(m.young) + len(m.old); kept > 2*size {
			t.Fatalf("%d are kept", kept)
		}
	}
	if m.has(id(1)) {
		t.Error("nothing is forgotten")
	}
}

// It is what it is for: a signature that has verified costs no arithmetic again, however a server turns the
// records round and a cache lowers their TTL.
func TestMemoryRemembers(t *testing.T) {
	t.Parallel()
	m := NewMemory(10)
	v := trials(t)[0]
	if err := m.verify(v.sig, v.key, v.set); err != nil {
		t.Fatal(err)
	}
	v = v.copy()
	slices.Reverse(v.set)
	v.set[0].Header().Ttl, v.sig.Hdr.Ttl = 1, 1
	if id, exact := fingerprintOf(v.sig, v.key, v.set); !exact || !m.has(id) {
		t.Error("it is not remembered")
	}
}

func BenchmarkVerify(b *testing.B) {
	v := trials(b)[0]
	for name, m := range map[string]*Memory{"verified": nil, "remembered": NewMemory(10)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := m.verify(v.sig, v.key, v.set); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
