package zonesign

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

const (
	// backdate lets resolvers validate whose clocks are up to an hour behind.
	backdate = time.Hour
	// life is how long a signature lasts: two weeks, the common choice of online signers, so that a
	// server that can no longer sign is noticed long before its answers turn bogus.
	life = 14 * 24 * time.Hour
	// maxJitter spreads the ends of signatures that were made together.
	maxJitter = 24 * time.Hour
	// keptEntries bounds the signatures kept, at about half a kilobyte each.
	keptEntries = 1 << 18
	// transientPlaces bounds how many signatures for random names are made at once: a flood of them
	// must leave the signer free for the names that the policy names.
	transientPlaces = 4
)

// Keep says whether a signature is stored.
type Keep bool

const (
	// Kept signatures are stored until they want renewal: for names that the policy names.
	Kept Keep = true
	// Transient signatures are never stored, so that a flood of random names evicts nothing.
	Transient Keep = false
)

// Signatures are the RRSIGs over one RRset.
type Signatures struct {
	RDATA   [][]byte  // complete RRSIG RDATA in wire form, one for each signing key
	Refresh time.Time // when to make new ones: before half of the life is left
	Expires time.Time // when the first of them ends
	Stale   bool      // making new ones failed; these are the last valid ones
}

// Config is what a Signer takes from outside. The zero value is the machine's clock and randomness.
type Config struct {
	Now    func() time.Time
	Rand   io.Reader                                 // for the signatures
	Jitter func(maximum time.Duration) time.Duration // between zero and maximum
}

// Stats are counts since the start.
type Stats struct {
	Made, Failed, Hits uint64
	Kept               int
	Earliest           map[string]time.Time // by zone: when the first of its kept signatures ends
}

// Signer makes and keeps signatures. It is safe for concurrent use.
type Signer struct {
	now    func() time.Time
	rand   io.Reader
	jitter func(time.Duration) time.Duration
	flight singleflight.Group
	places chan struct{}

	mu   sync.RWMutex
	kept map[identity]Signatures

	proved             sync.Map // *signingKey: its first signature was verified
	made, failed, hits atomic.Uint64
}

// identity is a key set and the RRset's whole content: its digest is collision-resistant, so that
// no RRset ever gets the signature of another (coredns/coredns#3953).
type identity struct {
	keys   *KeySet
	digest [sha256.Size]byte
}

// NewSigner returns a Signer that has made nothing yet.
func NewSigner(cfg Config) *Signer {
	s := &Signer{now: cfg.Now, rand: cfg.Rand, jitter: cfg.Jitter, places: make(chan struct{}, transientPlaces), kept: map[identity]Signatures{}}
	if s.now == nil {
		s.now = time.Now
	}
	if s.rand == nil {
		s.rand = rand.Reader
	}
	if s.jitter == nil {
		s.jitter = func(maximum time.Duration) time.Duration { return mathrand.N(maximum) }
	}
	return s
}

// Sign returns the signatures of a key set over an RRset of its zone. Concurrent calls for one RRset
// make them once. When making them fails, the last kept ones are returned while they outlive the
// RRset's TTL; else the error is.
func (s *Signer) Sign(ctx context.Context, ks *KeySet, set RRset, keep Keep) (Signatures, error) {
	body, err := signedBody(set)
	if err != nil {
		return Signatures{}, err
	}
	id := identity{ks, sha256.Sum256(body)} // owner, type, TTL and RDATA are all in it
	old, known := s.lookup(id)
	if known && s.now().Before(old.Refresh) {
		s.hits.Add(1)
		return old, nil
	}
	sigs, err := s.once(ctx, id, set, body, keep)
	if err != nil {
		s.failed.Add(1)
		if known && s.now().Add(time.Duration(set.TTL)*time.Second).Before(old.Expires) {
			old.Stale = true
			return old, nil
		}
		return Signatures{}, fmt.Errorf("sign %s %s: %w", set.Owner, dns.TypeToString[set.Type], err)
	}
	return sigs, nil
}

func (s *Signer) lookup(id identity) (Signatures, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	sigs, ok := s.kept[id]
	return sigs, ok
}

// once makes the signatures, or waits for the call that is making them.
func (s *Signer) once(ctx context.Context, id identity, set RRset, body []byte, keep Keep) (Signatures, error) {
	if keep == Transient {
		select {
		case s.places <- struct{}{}:
			defer func() { <-s.places }()
		case <-ctx.Done():
			return Signatures{}, ctx.Err()
		}
		// Random names meet rarely: a flight for each would cost more than it saves.
		return s.make(id.keys, set, body)
	}
	key := fmt.Sprintf("%p %s", id.keys, id.digest[:])
	result := s.flight.DoChan(key, func() (any, error) {
		sigs, err := s.make(id.keys, set, body)
		if err == nil {
			s.store(id, sigs)
		}
		return sigs, err
	})
	select {
	case r := <-result:
		sigs, _ := r.Val.(Signatures)
		return sigs, r.Err
	case <-ctx.Done():
		return Signatures{}, ctx.Err()
	}
}

func (s *Signer) store(id identity, sigs Signatures) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) >= keptEntries {
		for other := range s.kept { // a random one goes: it is made again when it is asked for
			delete(s.kept, other)
			break
		}
	}
	s.kept[id] = sigs
}

// Sweep drops the kept signatures that are of no use: those of key sets that are not live, and those
// that have ended.
func (s *Signer) Sweep(live func(*KeySet) bool) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, sigs := range s.kept {
		if !live(id.keys) || now.After(sigs.Expires) {
			delete(s.kept, id)
		}
	}
}

// Stats returns the counts.
func (s *Signer) Stats() Stats {
	stats := Stats{Made: s.made.Load(), Failed: s.failed.Load(), Hits: s.hits.Load(), Earliest: map[string]time.Time{}}
	s.mu.RLock()
	defer s.mu.RUnlock()
	stats.Kept = len(s.kept)
	for id, sigs := range s.kept {
		if first, ok := stats.Earliest[id.keys.zone]; !ok || sigs.Expires.Before(first) {
			stats.Earliest[id.keys.zone] = sigs.Expires
		}
	}
	return stats
}

// make signs an RRset with every key that has to.
func (s *Signer) make(ks *KeySet, set RRset, body []byte) (Signatures, error) {
	now := s.now()
	inception := now.Add(-backdate)
	expires := now.Add(life - s.jitter(maxJitter)).Truncate(time.Second)
	var sigs Signatures
	for _, key := range ks.signers(set.Type) {
		prefix := rrsigPrefix(ks, key, set, inception, expires)
		signature, err := s.signWith(key, append(prefix[:len(prefix):len(prefix)], body...))
		if err != nil {
			return Signatures{}, err
		}
		sigs.RDATA = append(sigs.RDATA, append(prefix, signature...))
	}
	s.made.Add(uint64(len(sigs.RDATA)))
	sigs.Expires = expires
	sigs.Refresh = now.Add(expires.Sub(now) * 2 / 5) // three fifths are left
	return sigs, nil
}

var errLiar = errors.New("the signature does not verify with the published key")

// signWith signs with one key and, the first time, verifies the result: a signer that does not
// belong to the published key must not make the zone bogus. Keys in memory cannot change after
// that; their every signature is not verified again, for it costs twice the signing.
func (s *Signer) signWith(key *signingKey, data []byte) ([]byte, error) {
	signature, err := key.alg.sign(key.Signer, s.rand, data)
	if err != nil {
		return nil, err
	}
	if _, ok := s.proved.Load(key); ok && inMemory(key.Signer) {
		return signature, nil
	}
	if !key.alg.verify(key.public, data, signature) {
		return nil, errLiar
	}
	s.proved.Store(key, true)
	return signature, nil
}

// rrsigPrefix is the RRSIG RDATA without the signature (RFC 4034 3.1).
func rrsigPrefix(ks *KeySet, key *signingKey, set RRset, inception, expires time.Time) []byte {
	w := make([]byte, 0, 18+len(ks.zoneWire)+64)
	w = binary.BigEndian.AppendUint16(w, set.Type)
	w = append(w, key.DNSKEY.Algorithm, labels(set.Owner))
	w = binary.BigEndian.AppendUint32(w, set.TTL)
	w = binary.BigEndian.AppendUint32(w, uint32(expires.Unix()))
	w = binary.BigEndian.AppendUint32(w, uint32(inception.Unix()))
	w = binary.BigEndian.AppendUint16(w, key.tag)
	return append(w, ks.zoneWire...)
}

// labels counts those of a name but for the root and a leading asterisk (RFC 4034 3.1.3).
func labels(owner string) uint8 {
	n := dns.CountLabel(owner)
	if len(owner) > 1 && owner[0] == '*' && owner[1] == '.' {
		n--
	}
	return uint8(n)
}

// signedBody is the RRset as it goes into the signature (RFC 4034 3.1.8.1).
func signedBody(set RRset) ([]byte, error) {
	var name [256]byte
	end, err := dns.PackDomainName(set.Owner, name[:], 0, nil, false)
	if err != nil {
		return nil, err
	}
	size := 0
	for _, rdata := range set.RDATA {
		size += end + 10 + len(rdata)
	}
	body := make([]byte, 0, size)
	for _, rdata := range set.RDATA {
		body = append(body, name[:end]...)
		body = binary.BigEndian.AppendUint16(body, set.Type)
		body = binary.BigEndian.AppendUint16(body, dns.ClassINET)
		body = binary.BigEndian.AppendUint32(body, set.TTL)
		body = binary.BigEndian.AppendUint16(body, uint16(len(rdata)))
		body = append(body, rdata...)
	}
	return body, nil
}
