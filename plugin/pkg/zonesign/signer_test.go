package zonesign

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// hsm is a signer outside this process: it counts its work, and does what the test tells it.
type hsm struct {
	crypto.Signer
	mu    sync.Mutex
	calls int
	does  func(rand io.Reader, input []byte, opts crypto.SignerOpts) ([]byte, error)
}

func (h *hsm) Sign(rand io.Reader, input []byte, opts crypto.SignerOpts) ([]byte, error) {
	h.mu.Lock()
	h.calls++
	does := h.does
	h.mu.Unlock()
	if does == nil {
		does = h.Signer.Sign
	}
	return does(rand, input, opts)
}

func (h *hsm) do(does func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.does = does
}

func (h *hsm) work() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls
}

func fails(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the HSM is on fire")
}

// blocks makes an HSM that signs when the gate is open.
func (h *hsm) blocks(gate <-chan struct{}) {
	h.do(func(rand io.Reader, input []byte, opts crypto.SignerOpts) ([]byte, error) {
		<-gate
		return h.Signer.Sign(rand, input, opts)
	})
}

func newHSM(t testing.TB) (*hsm, *KeySet) {
	t.Helper()
	key := newCSK(t)
	h := &hsm{Signer: key.Signer}
	return h, newKeySet(t, &Key{DNSKEY: key.DNSKEY, Signer: h})
}

// aSet is an RRset that differs from the others by its number.
func aSet(n int) RRset {
	return RRset{Owner: fmt.Sprintf("n%d.example.org.", n), Type: dns.TypeA, TTL: 60, RDATA: [][]byte{{192, 0, 2, 1}}}
}

func TestKeptAreMadeOnce(t *testing.T) {
	t.Parallel()
	h, ks := newHSM(t)
	s, set := NewSigner(Config{}), caaSet(t)
	first := mustSign(t, s, ks, set, Kept)
	again := mustSign(t, s, ks, caaSet(t), Kept) // another value of the same content
	if h.work() != 1 || !slices.EqualFunc(first.RDATA, again.RDATA, slices.Equal) {
		t.Errorf("signed %d times", h.work())
	}
	if got := s.Stats(); got.Made != 1 || got.Hits != 1 || got.Misses != 1 || got.Kept != 1 || got.Failed != 0 {
		t.Errorf("%+v", got)
	}
	other := newKeySet(t, newCSK(t))
	if sigs := mustSign(t, s, other, set, Kept); slices.Equal(tags(t, set, sigs), tags(t, set, first)) {
		t.Error("another key set got the signatures of this one (coredns/coredns#4448)")
	}
}

// A cache below counts TTLs down: signatures keep the Original TTL of the data (RFC 4034 3.1.4), and
// are made again only for a higher one. What is configured has the TTL that it has.
func TestTTLsThatCountDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keep  Keep
		fewer bool
	}{{Kept, false}, {Found, true}, {Missing, true}} {
		s, ks, set := NewSigner(Config{}), newKeySet(t, newCSK(t)), aSet(1)
		original := func(ttl uint32) uint32 {
			set.TTL = ttl
			return rrsigs(t, set, mustSign(t, s, ks, set, c.keep))[0].OrigTtl
		}
		original(60)
		if got := original(59); (got == 60) != c.fewer || s.Stats().Made != map[bool]uint64{true: 1, false: 2}[c.fewer] {
			t.Errorf("class %d: the Original TTL for a TTL of 59 is %d, with %d signatures made", c.keep, got, s.Stats().Made)
		}
		if got := original(61); got != 61 {
			t.Errorf("class %d: the Original TTL for a TTL of 61 is %d", c.keep, got)
		}
		if got := original(60); (got == 61) != c.fewer {
			t.Errorf("class %d: the Original TTL for a TTL of 60 is then %d", c.keep, got)
		}
	}
}

// What anybody may ask for pushes nothing out of another class.
func TestClassesKeepApart(t *testing.T) {
	t.Parallel()
	s, ks := NewSigner(Config{}), newKeySet(t, newCSK(t))
	mustSign(t, s, ks, aSet(0), Kept)
	mustSign(t, s, ks, aSet(0), Found)
	for n := range classes[Missing].capacity {
		s.stores[Missing].put(uint64(n), &entry{request: request{ks, aSet(n), Missing}})
	}
	made := s.Stats().Made
	mustSign(t, s, ks, aSet(0), Kept)
	mustSign(t, s, ks, aSet(0), Found)
	if got := s.Stats(); got.Made != made || s.stores[Missing].each(func(*entry) {}) > classes[Missing].capacity {
		t.Errorf("%d signatures made, %d kept: a flood of denials pushed out what exists", got.Made, got.Kept)
	}
}

func TestTransientAreForgotten(t *testing.T) {
	t.Parallel()
	h, ks := newHSM(t)
	s := NewSigner(Config{})
	for range 2 {
		mustSign(t, s, ks, caaSet(t), Transient)
	}
	if got := s.Stats(); h.work() != 2 || got.Kept != 0 || got.Hits+got.Misses != 0 {
		t.Errorf("signed %d times, %+v", h.work(), got)
	}
}

func TestRenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, ks := newHSM(t)
		c := newClock()
		s, set := NewSigner(Config{Now: c.Now}), caaSet(t)
		first := mustSign(t, s, ks, set, Kept)
		c.set(first.Refresh.Add(-time.Nanosecond))
		mustSign(t, s, ks, set, Kept)
		synctest.Wait()
		if h.work() != 1 {
			t.Error("renewed before it was due")
		}
		c.set(first.Refresh)
		gate := make(chan struct{})
		h.blocks(gate)
		for range 3 { // nobody waits for the renewal, and one is under way
			if got := mustSign(t, s, ks, set, Kept); got.Stale || !got.Expires.Equal(first.Expires) {
				t.Errorf("while it is renewed: %+v", got)
			}
		}
		synctest.Wait()
		close(gate)
		synctest.Wait()
		renewed := mustSign(t, s, ks, set, Kept)
		if h.work() != 2 || !renewed.Expires.After(first.Expires) || renewed.Stale {
			t.Errorf("signed %d times, expires %v after %v", h.work(), renewed.Expires, first.Expires)
		}
	})
}

// When signing fails, the last valid signatures are served for as long as they outlive the TTL, and
// then an error: never a signature that ends in a cache, never nothing.
func TestStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, ks := newHSM(t)
		c := newClock()
		s, set := NewSigner(Config{Now: c.Now}), caaSet(t)
		first := mustSign(t, s, ks, set, Kept)
		h.do(fails)
		last := first.Expires.Add(-time.Duration(set.TTL)*time.Second - clockSkew)

		c.set(first.Refresh)
		mustSign(t, s, ks, set, Kept) // begins the renewal
		synctest.Wait()
		stale := mustSign(t, s, ks, set, Kept)
		if !stale.Stale || !stale.Expires.Equal(first.Expires) || !stale.Refresh.Equal(first.Refresh.Add(retryAfter)) {
			t.Errorf("after a failure: %+v", stale)
		}
		synctest.Wait()
		if h.work() != 2 {
			t.Errorf("signed %d times: a failing signer is asked again after %v", h.work(), retryAfter)
		}
		c.set(last.Add(-time.Nanosecond))
		if got := mustSign(t, s, ks, set, Kept); !got.Stale {
			t.Errorf("at the last moment: %+v", got)
		}
		synctest.Wait()
		c.set(last)
		if _, err := s.Sign(t.Context(), ks, set, Kept); err == nil {
			t.Error("a signature was handed out that would end in a cache")
		} else {
			wantError(t, err, "sign www.example.org. CAA", ks.data[0].String(), "on fire")
		}
		if got := s.Stats(); got.Stale != 2 || got.Failed != 3 {
			t.Errorf("%+v", got)
		}

		h.do(nil)
		if got := mustSign(t, s, ks, set, Kept); got.Stale || !got.Expires.After(last) {
			t.Errorf("after the fire: %+v", got)
		}
	})
}

// A clock that was ahead when the server started (a hardware clock in local time, say) and is then set
// right leaves signatures that have not begun: no validator takes them (RFC 4035 5.3.1).
func TestClockIsSetBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		back   time.Duration
		remade bool
	}{{0, false}, {30 * time.Minute, false}, {31 * time.Minute, true}, {8 * time.Hour, true}} {
		clock := newClock()
		s, ks, set := NewSigner(Config{Now: clock.Now}), newKeySet(t, newCSK(t)), caaSet(t)
		mustSign(t, s, ks, set, Kept)
		now := start.Add(-c.back)
		clock.set(now)
		sig := rrsigs(t, set, mustSign(t, s, ks, set, Kept))[0]
		if remade := s.Stats().Made == 2; remade != c.remade || !sig.ValidityPeriod(now.Add(-clockSkew/2)) {
			t.Errorf("set back by %v: made again %t, from %s on", c.back, remade, dns.TimeToString(sig.Inception))
		}
	}
}

// Signatures over other content are no substitute: they would be bogus.
func TestStaleIsOfTheSameContent(t *testing.T) {
	t.Parallel()
	h, ks := newHSM(t)
	s := NewSigner(Config{})
	mustSign(t, s, ks, caaSet(t), Kept)
	h.do(fails)
	changed := newRRset(t, `www.example.org. 600 IN CAA 0 issue "other.example"`)
	if sigs, err := s.Sign(t.Context(), ks, changed, Kept); err == nil {
		t.Errorf("got %+v", sigs)
	}
}

func TestBadSigners(t *testing.T) {
	t.Parallel()
	other := newCSK(t).Signer
	for name, c := range map[string]struct {
		says string
		does func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error)
	}{
		"fails":                     {"on fire", fails},
		"lies":                      {"does not verify", other.Sign},
		"returns nothing":           {"did not return a P-256 ECDSA signature", func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, nil }},
		"returns no ASN.1":          {"did not return a P-256 ECDSA signature", func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return make([]byte, 64), nil }},
		"returns an empty sequence": {"did not return a P-256 ECDSA signature", func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return []byte{0x30, 0}, nil }},
		"panics":                    {"panicked", func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { panic("driver") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, ks := newHSM(t)
			s := NewSigner(Config{})
			mustSign(t, s, ks, caaSet(t), Transient) // it was good once
			h.do(c.does)
			for _, keep := range []Keep{Kept, Transient} {
				sigs, err := s.Sign(t.Context(), ks, caaSet(t), keep)
				if sigs.RDATA != nil {
					t.Error("a signature left")
				}
				wantError(t, err, c.says)
			}
		})
	}
}

func TestNoRandomness(t *testing.T) {
	t.Parallel()
	s := NewSigner(Config{Rand: new(eof)})
	_, err := s.Sign(t.Context(), newKeySet(t, newCSK(t)), caaSet(t), Kept)
	wantError(t, err, "random")
}

type eof struct{}

func (*eof) Read([]byte) (int, error) { return 0, io.EOF }

func TestConcurrentRequestsSignOnce(t *testing.T) {
	t.Parallel()
	for _, keep := range []Keep{Kept, Transient} {
		synctest.Test(t, func(t *testing.T) {
			h, ks := newHSM(t)
			gate := make(chan struct{})
			h.blocks(gate)
			s, set := NewSigner(Config{}), caaSet(t)
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() { mustSign(t, s, ks, set, keep) })
			}
			synctest.Wait() // all of them wait
			close(gate)
			wg.Wait()
			if h.work() != 1 {
				t.Errorf("keep %v: 64 requests signed %d times", keep, h.work())
			}
		})
	}
}

// A flood of random names takes its own places and no others, however slow the signer is.
func TestFloodDelaysNoKeptName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, ks := newHSM(t)
		gate := make(chan struct{})
		h.blocks(gate)
		s := NewSigner(Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var flood sync.WaitGroup
		for n := range 500 {
			flood.Go(func() {
				if _, err := s.Sign(ctx, ks, aSet(n), Transient); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("random name %d: %v", n, err)
				}
			})
		}
		synctest.Wait()
		if places := cap(s.places[Transient]); h.work() != places {
			t.Errorf("%d random names are being signed, want %d", h.work(), places)
		}
		h.do(nil) // the flood holds its places; the rest is up to the signer's queue
		set := caaSet(t)
		before := time.Now()
		mustSign(t, s, ks, set, Kept)
		if waited := time.Since(before); waited != 0 { // the bubble's clock moves only when all wait
			t.Errorf("the kept name waited %v", waited)
		}
		flood.Wait()
		close(gate)
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	for _, keep := range []Keep{Kept, Transient} {
		synctest.Test(t, func(t *testing.T) {
			h, ks := newHSM(t)
			gate := make(chan struct{})
			h.blocks(gate)
			s := NewSigner(Config{})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			before := time.Now()
			if _, err := s.Sign(ctx, ks, caaSet(t), keep); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			if waited := time.Since(before); waited != time.Second {
				t.Errorf("waited %v", waited)
			}
			close(gate)
			synctest.Wait()
			if got := s.Stats().Kept == 1; got != (keep == Kept) {
				t.Errorf("keep %v: what was made after all is kept: %v", keep, got)
			}
			if len(s.flights.byID) != 0 || len(s.places[keep]) != 0 {
				t.Error("a flight or a place is not given back")
			}
		})
	}
}

// Who waits behind one that gives up before it began is served all the same.
func TestFollowersOutliveTheirLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, ks := newHSM(t)
		gate := make(chan struct{})
		h.blocks(gate)
		s, set := NewSigner(Config{}), caaSet(t)
		for n := range cap(s.places[Transient]) {
			go s.Sign(t.Context(), ks, aSet(n), Transient)
		}
		synctest.Wait() // every place is taken
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.Sign(ctx, ks, set, Transient); !errors.Is(err, context.Canceled) {
				t.Errorf("the leader: %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() { mustSign(t, s, ks, set, Transient) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(gate)
		wg.Wait()
	})
}

// A hung HSM does not pile up renewals.
func TestRenewalsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, ks := newHSM(t)
		c := newClock()
		s := NewSigner(Config{Now: c.Now, Rand: constant(0)})
		for n := range 2 * manyPlaces {
			mustSign(t, s, ks, aSet(n), Kept)
		}
		made := h.work()
		gate := make(chan struct{})
		h.blocks(gate)
		c.set(start.Add(life / 2))
		for n := range 2 * manyPlaces {
			mustSign(t, s, ks, aSet(n), Kept)
		}
		synctest.Wait()
		if got := h.work() - made; got != manyPlaces {
			t.Errorf("%d renewals hang, want %d", got, manyPlaces)
		}
		close(gate)
		synctest.Wait()
		for n := range 2 * manyPlaces { // the others come with the next request
			mustSign(t, s, ks, aSet(n), Kept)
			synctest.Wait()
		}
		if got := h.work() - made; got != 2*manyPlaces {
			t.Errorf("%d renewed, want %d", got, 2*manyPlaces)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	key := newCSK(t)
	ks, s := newKeySet(t, key), NewSigner(Config{})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 200 {
				set := aSet(n % 50)
				sigs := mustSign(t, s, ks, set, Keep(g%len(classes)))
				if err := rrsigs(t, set, sigs)[0].Verify(key.DNSKEY, records(t, set)); err != nil {
					t.Error(err)
				}
				if n%50 == 0 {
					s.Stats()
				}
			}
		})
	}
	wg.Wait()
	if len(s.flights.byID) != 0 || len(s.places[Kept])+len(s.places[Transient]) != 0 {
		t.Error("a flight or a place is not given back")
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, ks := newHSM(t)
		other, err := NewKeySet("example.net.", 3600, newKey(t, "example.net.", dns.ECDSAP256SHA256, 257, 256))
		if err != nil {
			t.Fatal(err)
		}
		c := newClock()
		s := NewSigner(Config{Now: c.Now, Rand: constant(0)})
		first := mustSign(t, s, ks, aSet(1), Kept)
		mustSign(t, s, other, newRRset(t, "example.net. 60 IN A 192.0.2.1"), Kept)
		c.set(start.Add(2 * time.Hour))
		mustSign(t, s, ks, aSet(2), Kept)
		got := s.Stats()
		if got.Kept != 3 || len(got.Earliest) != 2 || !got.Earliest[zone].Equal(first.Expires) || !got.Earliest["example.net."].Equal(first.Expires) {
			t.Errorf("%+v", got)
		}
		c.set(first.Refresh) // nobody has asked since: only what is asked for counts
		if got := s.Stats(); got.Earliest[zone].Equal(first.Expires) || len(got.Earliest) != 1 {
			t.Errorf("signatures that nobody uses count: %+v", got)
		}
		h.do(fails)
		mustSign(t, s, ks, aSet(1), Kept)
		synctest.Wait()
		if got := s.Stats(); !got.Earliest[zone].Equal(first.Expires) {
			t.Errorf("stale signatures that are in use do not count: %+v", got)
		}
	})
}
