package zonesign

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

// benchmarkSign signs a CAA RRset of two records, as for a random name, beside the bare signing of
// the crypto library and miekg/dns's RRSIG.Sign.
func benchmarkSign(b *testing.B, alg uint8, bits int) {
	key := newKey(b, zone, alg, 257, bits)
	ks, set, s := newKeySet(b, key), caaSet(b), NewSigner(Config{})
	rrs := records(b, set)
	b.Run("Signer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			mustSign(b, s, ks, set, Transient)
		}
	})
	b.Run("crypto", func(b *testing.B) {
		b.ReportAllocs()
		var m signable
		if err := m.set(ks, set, validFrom(start, 0)); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := key.Signer.Sign(s.rand, ks.data[0].alg.input(m.wire, &m.digest), ks.data[0].alg.hash); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("miekg", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sig := &dns.RRSIG{Algorithm: alg, Expiration: 2, Inception: 1, KeyTag: key.Tag(), SignerName: zone}
			if err := sig.Sign(key.Signer, rrs); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSignECDSA(b *testing.B)   { benchmarkSign(b, dns.ECDSAP256SHA256, 256) }
func BenchmarkSignEd25519(b *testing.B) { benchmarkSign(b, dns.ED25519, 256) }
func BenchmarkSignRSA(b *testing.B)     { benchmarkSign(b, dns.RSASHA256, 2048) }

// BenchmarkFlight says what it costs that concurrent requests sign once, when there is only one.
func BenchmarkFlight(b *testing.B) {
	r := request{set: caaSet(b), keep: Transient}
	b.Run("own", func(b *testing.B) {
		b.ReportAllocs()
		fs := flights{byID: map[uint64]*flight{}}
		for b.Loop() {
			f, _ := fs.join(1, r)
			fs.land(f)
			<-f.done
		}
	})
	b.Run("singleflight", func(b *testing.B) { // DoChan, for waiting ends with a context
		b.ReportAllocs()
		var group singleflight.Group
		key := string(make([]byte, 32)) // a digest that needs no comparison in full
		for b.Loop() {
			<-group.DoChan(key, func() (any, error) { return Signatures{}, nil })
		}
	})
}

func BenchmarkSignKept(b *testing.B) {
	ks, set, s := newKeySet(b, newCSK(b)), caaSet(b), NewSigner(Config{})
	b.ReportAllocs()
	for b.Loop() {
		mustSign(b, s, ks, set, Kept)
	}
}

func BenchmarkNSEC(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nsec("www.example.org.", 300, dns.TypeCAA); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStore says what a kept RRset takes in memory, its RDATA not counted.
func BenchmarkStore(b *testing.B) {
	ks, s := newKeySet(b, newKey(b, zone, dns.ED25519, 257, 256)), NewSigner(Config{})
	const n = 20000
	sets := make([]RRset, n)
	for i := range sets {
		sets[i] = RRset{Owner: fmt.Sprintf("n%d.example.org.", i), Type: dns.TypeA, TTL: 60, RDATA: [][]byte{{192, 0, 2, 1}}}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, set := range sets {
		mustSign(b, s, ks, set, Kept)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	for b.Loop() {
		s.Stats()
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/RRset")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/RRset")
}
