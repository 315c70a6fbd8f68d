package dnssec

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// MemorySize is how many signatures a Memory holds at least: four for each of thirty thousand names, in
// some 15 MB.
const MemorySize = 1 << 17

// Memory remembers signatures that have verified, since thousands of names of one zone come with the same
// SOA and NSEC, and checking one costs as much as all else that is done with an answer. What it knows is
// arithmetic: that this signature over these records is one by this key. Whose key that is, what time it is
// and what the records prove is looked at again each time, and what does not verify is tried again each time.
// So resolvers that are to see independently of each other may share one.
//
// A nil Memory remembers nothing. It is safe for concurrent use.
type Memory struct {
	size int // of a generation

	mu         sync.Mutex
	young, old map[fingerprint]struct{} // when the young are size, they are the old ones, and those are forgotten
}

// NewMemory returns a Memory of that many signatures at least, and twice as many at most.
func NewMemory(size int) *Memory { return &Memory{size: size, young: map[fingerprint]struct{}{}} }

// verify is sig.Verify, once for what is remembered.
func (m *Memory) verify(sig *dns.RRSIG, key *dns.DNSKEY, set []dns.RR) error {
	if m == nil {
		return sig.Verify(key, set)
	}
	id, exact := fingerprintOf(sig, key, set)
	if exact && m.has(id) {
		return nil
	}
	err := sig.Verify(key, set)
	if err == nil && exact {
		m.add(id)
	}
	return err
}

func (m *Memory) has(id fingerprint) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.young[id]; known {
		return true
	}
	_, known := m.old[id]
	if known {
		m.put(id)
	}
	return known
}

func (m *Memory) add(id fingerprint) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(id)
}

func (m *Memory) put(id fingerprint) {
	if len(m.young) == m.size {
		m.old, m.young = m.young, map[fingerprint]struct{}{}
	}
	m.young[id] = struct{}{}
}

// fingerprint is a digest of all that a verification looks at: the key, the RRSIG and the records, each with
// its owner's name as on the wire.
type fingerprint [sha256.Size]byte

// fingerprintOf digests the records in an order of their own, for servers turn them round, and without TTLs,
// which caches lower: the signed one is in the RRSIG (RFC 4034 3.1.4). It is not exact where a
// record cannot be packed.
func fingerprintOf(sig *dns.RRSIG, key *dns.DNSKEY, set []dns.RR) (id fingerprint, exact bool) {
	records := append([]dns.RR{key, sig}, set...)
	wires := make([][]byte, len(records))
	for i, rr := range records {
		wire, err := withoutTTL(rr)
		if err != nil {
			return id, false
		}
		wires[i] = wire
	}
	slices.SortFunc(wires[2:], bytes.Compare)
	h := sha256.New()
	var length [4]byte
	for _, wire := range wires {
		binary.BigEndian.PutUint32(length[:], uint32(len(wire)))
		h.Write(length[:])
		h.Write(wire)
	}
	h.Sum(id[:0])
	return id, true
}

// withoutTTL is a record's wire form with a TTL of zero. The record may be in use elsewhere at the same time.
func withoutTTL(rr dns.RR) ([]byte, error) {
	wire, err := zonesign.AppendRR(nil, rr)
	if err != nil {
		return nil, err
	}
	_, data, err := dns.UnpackDomainName(wire, 0)
	if err != nil {
		return nil, err
	}
	clear(wire[data+4 : data+8]) // after type and class (RFC 1035 3.2.1)
	return wire, nil
}
