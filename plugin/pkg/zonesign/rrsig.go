package zonesign

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// life is how long a signature lasts, at most: two weeks, a common choice, so that a signer that
	// fails on a Friday is fixed long before an answer turns bogus.
	life = 14 * 24 * time.Hour
	// maxJitter spreads the ends, and with them the renewals, of signatures that were made together.
	maxJitter = life / 8
	// reserve is what is left of a signature when its renewal begins: well over half of its life.
	reserve = life * 5 / 8
	// clockSkew is how far a validator's clock may be off: signatures begin that much earlier, and are
	// not handed out when a clock that is ahead would see them end in a cache.
	clockSkew = time.Hour
	// MaxTTL, in seconds, is what every signature outlives until its renewal is due. Resolvers cap TTLs
	// at a week anyway (RFC 8767 4).
	MaxTTL = 7 * 24 * 3600
)

// setBack is how far the clock may be set back before signatures are made again: the other half of the
// hour is for validators whose clocks are behind.
const setBack = clockSkew / 2

// validity is when signatures that are made now begin, want renewal, and end.
type validity struct{ inception, refresh, expires time.Time }

// begins is from when on they may be handed out.
func (v validity) begins() time.Time { return v.inception.Add(clockSkew - setBack) }

// validFrom takes one random number for the jitter, uniform over all of uint64.
func validFrom(now time.Time, random uint64) validity {
	jitter, _ := bits.Mul64(uint64(maxJitter), random) // maxJitter * random / 2^64
	expires := now.Add(life - time.Duration(jitter)).Truncate(time.Second)
	return validity{now.Add(-clockSkew), expires.Add(-reserve), expires}
}

// outlives reports whether something that ends at expires may be handed out now for a TTL.
func outlives(expires, now time.Time, ttl uint32) bool { return now.Before(until(expires, ttl)) }

// until is when something that ends at expires may last be handed out for a TTL: no cache, and no
// validator with a clock that is ahead, sees it end.
func until(expires time.Time, ttl uint32) time.Time {
	return expires.Add(-time.Duration(ttl)*time.Second - clockSkew)
}

// Until is when the signatures may last be handed out with an RRset of a TTL, in seconds.
func (s Signatures) Until(ttl uint32) time.Time { return until(s.Expires, ttl) }

// Where the fields of RRSIG RDATA lie that one key has otherwise than another, and the labels
// (RFC 4034 3.1).
const (
	offAlgorithm = 2
	offLabels    = 3
	offKeyTag    = 16
)

// signable is the data that RRSIGs over one RRset sign (RFC 4034 3.1.8.1): the RRSIG RDATA without
// its signature, then the records in canonical form. One serves all keys in turn.
type signable struct {
	wire   []byte
	fields int // octets of RRSIG RDATA at its beginning

	digest [sha256.Size]byte // room for what would otherwise be allocated for each signature
	random [8]byte
}

// signables are kept for the next RRset: making one is most of what signing allocates.
var signables = sync.Pool{New: func() any { return new(signable) }}

// set lays out an RRset of a zone for all keys.
func (m *signable) set(ks *KeySet, set RRset, v validity) error {
	w := binary.BigEndian.AppendUint16(m.wire[:0], set.Type)
	w = append(w, 0, 0) // algorithm, labels
	w = binary.BigEndian.AppendUint32(w, set.TTL)
	w = binary.BigEndian.AppendUint32(w, uint32(v.expires.Unix())) // serial arithmetic: it may wrap (RFC 4034 3.1.5)
	w = binary.BigEndian.AppendUint32(w, uint32(v.inception.Unix()))
	w = append(w, 0, 0) // key tag
	w = append(w, ks.wire...)
	m.fields = len(w)
	w, err := AppendName(w, set.Owner)
	if err != nil {
		return err
	}
	owner := w[m.fields:]
	if err := ks.admits(set, owner); err != nil {
		return err
	}
	w[offLabels] = rrsigLabels(owner)
	for i, rdata := range set.RDATA {
		if i > 0 {
			w = append(w, owner...)
		}
		w = binary.BigEndian.AppendUint16(w, set.Type)
		w = binary.BigEndian.AppendUint16(w, dns.ClassINET)
		w = binary.BigEndian.AppendUint32(w, set.TTL)
		w = binary.BigEndian.AppendUint16(w, uint16(len(rdata)))
		w = append(w, rdata...)
	}
	m.wire = w
	return nil
}

// rrsig returns the RRSIG RDATA of one key.
func (m *signable) rrsig(key *signingKey, rand io.Reader) ([]byte, error) {
	m.wire[offAlgorithm] = key.DNSKEY.Algorithm
	binary.BigEndian.PutUint16(m.wire[offKeyTag:], key.tag)
	input := key.alg.input(m.wire, &m.digest)
	made, err := key.sign(rand, input)
	if err != nil {
		return nil, err
	}
	signature, err := key.alg.signature(made)
	if err != nil {
		return nil, err
	}
	if !key.proves(input, signature) {
		return nil, errLiar
	}
	return slices.Concat(m.wire[:m.fields], signature), nil
}

var errLiar = errors.New("the signature does not verify with the published key: the signer is broken, or uses another key")

// sign calls the crypto.Signer. A key of this process takes its ECDSA nonce from key and input (RFC
// 6979), which no broken source of randomness can spoil, in four fifths of the time. A driver that
// panics has failed to sign, and takes no server down.
func (k *signingKey) sign(rand io.Reader, input []byte) (made []byte, err error) {
	if k.trust {
		return k.Signer.Sign(nil, input, k.alg.hash)
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the signer panicked: %v", p)
		}
	}()
	return k.Signer.Sign(rand, slices.Clone(input), k.alg.hash) // a driver may keep what it was given
}

// proves reports whether a new signature is good as far as it has to be shown: each one of a signer
// outside this process, which may fail or change under us, and the first one of a key in memory.
// Verifying costs more than twice the signing with ECDSA and Ed25519.
func (k *signingKey) proves(input, signature []byte) bool {
	if k.trust && k.proven.Load() {
		return true
	}
	ok := k.alg.verify(k.public, input, signature)
	if ok {
		k.proven.Store(true)
	}
	return ok
}
