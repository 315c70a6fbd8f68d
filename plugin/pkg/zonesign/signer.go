package zonesign

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	// manyPlaces bounds the signatures that are made at once for names that exist: plenty for a
	// network HSM, and an end to what piles up when it hangs.
	manyPlaces = 64
	// retryAfter is how long a failed renewal rests: with five eighths of a signature's life left
	// there is no hurry, and a failing HSM needs no storm of requests.
	retryAfter = 30 * time.Second
)

// Keep says whether and where signatures are stored. What is stored is renewed before it is due. Each
// class has a store and places of its own, so that none delays or pushes out what another has.
type Keep uint8

const (
	// Transient is for names that anybody can make up: signatures are made for those who ask at that
	// moment and forgotten, and few are made at a time.
	Transient Keep = iota
	// Kept is for names that are configured.
	Kept
	// Found is for what somebody else's data hold, a wildcard's unending names among them: what is no
	// longer asked for goes first.
	Found
	// Missing is for denials about such data: likewise, with little room and few at a time.
	Missing
)

// class is what the signatures of one Keep may take.
type class struct {
	capacity int  // RRsets whose signatures are stored
	few      bool // as many at a time as there are processors: more would make no more, but delay others
	// countsDown says that a cache may have lowered the TTL: a signature over a higher Original TTL
	// serves, and is the right one (RFC 4035 5.3.3 lowers, it never raises).
	countsDown bool
}

// classes are those of each Keep. A policy of 100,000 names needs two RRsets for each (CAA and NSEC),
// which half of the store holds; full, it takes some 250 MB, that of Found 35 and that of Missing 9.
var classes = [...]class{
	Transient: {few: true},
	Kept:      {capacity: 1 << 19},
	Found:     {capacity: 1 << 16, countsDown: true},
	Missing:   {capacity: 1 << 14, few: true, countsDown: true},
}

// Signatures are the RRSIGs over one RRset.
type Signatures struct {
	RDATA   [][]byte  // complete RRSIG RDATA in wire form, one for each signing key; not to be changed
	Begins  time.Time // from when on they may be handed out; it lies ahead once the clock was set back far
	Refresh time.Time // when to ask for new ones; it may have passed, while they are made
	Expires time.Time // when the first of them ends: always later than the RRset's TTL from now
	Stale   bool      // making new ones failed, and these are the last valid ones
}

// Config is what a Signer takes from outside. Its zero value is the machine's clock and randomness.
type Config struct {
	Now  func() time.Time
	Rand io.Reader // for jitter, and the signatures of keys outside this process
	// Patience is how long a request waits for a signature at most; 0 is three seconds, which is
	// within a resolver's, so that a slow signer makes a SERVFAIL that says why rather than a silence.
	Patience time.Duration
}

// Signer makes and keeps signatures. It is safe for concurrent use.
type Signer struct {
	now      func() time.Time
	rand     io.Reader
	patience time.Duration
	seed     maphash.Seed
	stores   [len(classes)]*store
	flights  flights
	places   [len(classes)]chan struct{} // a signing holds one

	made, failed, hits, misses, stale atomic.Uint64
}

// NewSigner returns a Signer that has made nothing yet.
func NewSigner(cfg Config) *Signer {
	s := &Signer{now: cfg.Now, rand: cfg.Rand, patience: cmp.Or(cfg.Patience, 3*time.Second), seed: maphash.MakeSeed(),
		flights: flights{byID: map[uint64]*flight{}}}
	for keep, class := range classes {
		places := manyPlaces
		if class.few {
			places = runtime.GOMAXPROCS(0)
		}
		s.stores[keep], s.places[keep] = newStore(class.capacity), make(chan struct{}, places)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.rand == nil {
		s.rand = rand.Reader
	}
	return s
}

// Sign returns the signatures of a zone's keys over an RRset in it, one by each key that has to sign.
//
// Stored ones are answered from memory while they are valid. When they are due, they are still handed
// out while new ones are made, so that nobody waits for a renewal, however slow the keys are; when
// that fails, they stay, marked Stale, for as long as they outlive the RRset's TTL. Otherwise they are
// made now, once for all who ask for the same RRset; so they are when the clock was set back since, and
// validators would find that the stored ones have not begun. Waiting ends with ctx and with Config.Patience.
//
// There are signatures or an error, never neither. Errors: an RRset that is not in the zone, not in
// canonical form, of a type that is not signed or with a TTL over a week; a key that fails, or whose
// signature does not verify; the end of ctx.
func (s *Signer) Sign(ctx context.Context, ks *KeySet, set RRset, keep Keep) (Signatures, error) {
	r := request{ks, set, keep}
	id := s.id(r)
	if classes[keep].capacity > 0 {
		if sigs, ok := s.stored(id, r); ok {
			return sigs, nil
		}
	}
	sigs, err := s.fresh(ctx, id, r)
	if err != nil {
		return Signatures{}, fmt.Errorf("sign %s %s: %w", set.Owner, dns.Type(set.Type), err)
	}
	return sigs, nil
}

// id is a digest of a request, by a secret of this process.
func (s *Signer) id(r request) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	maphash.WriteComparable(&h, r.keys)
	maphash.WriteComparable(&h, r.keep)
	var ttl uint32
	if !classes[r.keep].countsDown {
		ttl = r.set.TTL
	}
	maphash.WriteComparable(&h, uint64(ttl)<<16|uint64(r.set.Type))
	h.WriteString(r.set.Owner)
	for _, rdata := range r.set.RDATA {
		maphash.WriteComparable(&h, len(rdata))
		h.Write(rdata)
	}
	return h.Sum64()
}

// stored answers from memory, and has renewed what is due.
func (s *Signer) stored(id uint64, r request) (Signatures, bool) {
	now := s.now()
	e := s.stores[r.keep].get(id, r)
	if e == nil || !e.usable(now) {
		s.misses.Add(1)
		return Signatures{}, false
	}
	if !now.Before(e.sigs.Refresh) {
		s.renew(id, r)
	}
	s.hits.Add(1)
	if e.sigs.Stale {
		s.stale.Add(1)
	}
	return e.sigs, true
}

// renew makes new signatures in the background, unless that is under way or every place is taken:
// then the next request tries again.
func (s *Signer) renew(id uint64, r request) {
	f, leads := s.flights.join(id, r)
	if !leads {
		return
	}
	if s.tryPlace(r.keep) {
		go s.fly(f)
	} else {
		s.flights.abandon(f)
	}
}

// fresh makes signatures, or waits for the flight that makes them.
func (s *Signer) fresh(ctx context.Context, id uint64, r request) (Signatures, error) {
	f, leads := s.flights.join(id, r)
	if leads && r.keys.local && s.tryPlace(r.keep) {
		s.fly(f) // keys in memory sign at once, right here
		return f.sigs, f.err
	}
	ctx, cancel := context.WithTimeout(ctx, s.patience) // after the above, for a timer costs half a microsecond
	defer cancel()
	for {
		if leads {
			s.lead(ctx, f)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return Signatures{}, ctx.Err()
		}
		if !f.abandoned {
			return f.sigs, f.err
		}
		if ctx.Err() != nil {
			return Signatures{}, ctx.Err()
		}
		f, leads = s.flights.join(id, r)
	}
}

// lead begins a flight as soon as there is a place for it. It may take longer than the caller has,
// and does not know his ctx.
func (s *Signer) lead(ctx context.Context, f *flight) {
	select {
	case s.places[f.keep] <- struct{}{}:
		go s.fly(f)
	case <-ctx.Done():
		s.flights.abandon(f)
	}
}

func (s *Signer) tryPlace(keep Keep) bool {
	select {
	case s.places[keep] <- struct{}{}:
		return true
	default:
		return false
	}
}

var errUnfinished = errors.New("signing did not finish")

// fly makes the signatures of a flight, and lands it.
func (s *Signer) fly(f *flight) {
	defer func() {
		<-s.places[f.keep]
		s.flights.land(f)
	}()
	f.sigs, f.err = s.sign(f.keys, f.set)
	switch {
	case f.err != nil:
		s.failed.Add(1)
		s.stores[f.keep].postpone(f.id, f.request, s.now().Add(retryAfter))
	case classes[f.keep].capacity > 0:
		s.stores[f.keep].put(f.id, &entry{f.request, f.sigs})
	}
}

// sign makes one signature by each key that has to sign.
func (s *Signer) sign(ks *KeySet, set RRset) (Signatures, error) {
	if err := set.check(); err != nil {
		return Signatures{}, err
	}
	m := signables.Get().(*signable)
	defer signables.Put(m)
	if _, err := io.ReadFull(s.rand, m.random[:]); err != nil {
		return Signatures{}, fmt.Errorf("no random number for the signature's expiration: %w", err)
	}
	v := validFrom(s.now(), binary.BigEndian.Uint64(m.random[:]))
	if err := m.set(ks, set, v); err != nil {
		return Signatures{}, err
	}
	keys := ks.signers(set.Type)
	sigs := Signatures{RDATA: make([][]byte, len(keys)), Begins: v.begins(), Refresh: v.refresh, Expires: v.expires}
	for i, key := range keys {
		if !key.unlisted && !ks.published(key) {
			return Signatures{}, fmt.Errorf("key %s is not in the DNSKEY RRset as served", key)
		}
		var err error
		if sigs.RDATA[i], err = m.rrsig(key, s.rand); err != nil {
			return Signatures{}, fmt.Errorf("key %s: %w", key, err)
		}
	}
	s.made.Add(uint64(len(keys)))
	return sigs, nil
}

// Stats are counts since the start, and what is kept now.
type Stats struct {
	Made   uint64 // signatures
	Failed uint64 // RRsets whose signing failed, renewals included
	Hits   uint64 // requests answered from memory
	Misses uint64 // requests for stored signatures that were not there
	Stale  uint64 // of the hits, those with signatures whose renewal had failed
	Kept   int    // RRsets whose signatures are kept
	// Earliest is, by zone, when the first of the kept signatures ends that may be in use. Those
	// that nobody has asked for since they were due do not count: they are made again when asked for.
	Earliest map[string]time.Time
}

// Stats returns the counts. It looks at every kept entry, at some 30 ns each.
func (s *Signer) Stats() Stats {
	st := Stats{Made: s.made.Load(), Failed: s.failed.Load(), Hits: s.hits.Load(), Misses: s.misses.Load(),
		Stale: s.stale.Load(), Earliest: map[string]time.Time{}}
	now := s.now()
	for _, store := range s.stores {
		st.Kept += store.each(func(e *entry) {
			first, ok := st.Earliest[e.keys.zone]
			if e.asked(now) && (!ok || e.sigs.Expires.Before(first)) {
				st.Earliest[e.keys.zone] = e.sigs.Expires
			}
		})
	}
	return st
}
