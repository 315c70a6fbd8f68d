package caa

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// maxUDP is the largest answer over UDP (RFC 9715 3.2): beyond it a fragment may be lost on the way
// to a CA, so the answer is truncated and fetched over TCP.
const maxUDP = 1232

const (
	headerLen   = 12 // RFC 1035 4.1.1
	fixedRRLen  = 10 // type, class, TTL and RDLENGTH (RFC 1035 4.1.3)
	qtypeLen    = 4  // QTYPE and QCLASS
	pointerMark = 0xC000
)

// section numbers the sections of a message that hold records, in their order on the wire.
type section int

const (
	answerSection section = iota
	authoritySection
	additionalSection
)

// message is a prepared answer: everything but what each query brings itself (id, flags, the case
// of the name, the type asked, EDNS). It is copied, never packed anew. Immutable.
type message struct {
	name    string // the name asked, canonical
	shape   shape
	wire    []byte
	nameLen int       // octets of the name in the question
	rcode   uint16    // of the header
	refers  bool      // a referral: not authoritative (RFC 1035 4.1.1)
	begins  time.Time // from when on it may be served; zero for ever
	refresh time.Time // when its first signature wants renewal; zero for none
	expires time.Time // until when it may be served; zero for ever
}

// fresh reports whether the message may be served without looking at its signatures again.
func (m *message) fresh(now time.Time) bool {
	return m.refresh.IsZero() || now.Before(m.refresh) && !now.Before(m.begins)
}

// alive reports whether every signature in the message has begun, and outlives the TTL that goes with it,
// also for a clock that is an hour ahead.
func (m *message) alive(now time.Time) bool {
	return m.expires.IsZero() || now.Before(m.expires) && !now.Before(m.begins)
}

// buffers hold messages while they are made.
var buffers = sync.Pool{New: func() any {
	buf := make([]byte, 0, 1024)
	return &buf
}}

// builder packs a message. Owner names at or above the name asked become pointers into the
// question, so that they follow the case of each query (RFC 1035 4.1.4).
type builder struct {
	message
	buf    *[]byte // to be given back; wire begins in it
	counts [3]uint16
}

// newBuilder begins a message; finish ends it.
func newBuilder(name string, s shape) (*builder, error) {
	buf := buffers.Get().(*[]byte)
	wire, err := zonesign.AppendName(append((*buf)[:0], make([]byte, headerLen)...), name)
	if err != nil {
		return nil, err
	}
	b := &builder{message: message{name: name, shape: s, nameLen: len(wire) - headerLen}, buf: buf}
	b.wire = append(wire, 0, 0, 0, dns.ClassINET)
	return b, nil
}

// add appends an RRset and the RRSIGs over it to a section, with a TTL that is at most the RRset's:
// a negative answer lowers that of SOA (RFC 2308 3).
func (b *builder) add(in section, set zonesign.RRset, ttl uint32, sigs zonesign.Signatures) error {
	for _, rdata := range set.RDATA {
		if err := b.record(in, set.Owner, set.Type, ttl, rdata); err != nil {
			return err
		}
	}
	return b.signatures(in, set, ttl, sigs)
}

// signatures appends only the RRSIGs over an RRset, and keeps the times at which all of them hold.
func (b *builder) signatures(in section, set zonesign.RRset, ttl uint32, sigs zonesign.Signatures) error {
	for _, rdata := range sigs.RDATA {
		if err := b.record(in, set.Owner, dns.TypeRRSIG, ttl, rdata); err != nil {
			return err
		}
	}
	if len(sigs.RDATA) == 0 {
		return nil
	}
	if sigs.Begins.After(b.begins) {
		b.begins = sigs.Begins
	}
	b.refresh = earliest(b.refresh, sigs.Refresh)
	b.expires = earliest(b.expires, sigs.Until(set.TTL))
	return nil
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func (b *builder) record(in section, owner string, rrtype uint16, ttl uint32, rdata []byte) error {
	if err := b.owner(owner); err != nil {
		return err
	}
	w := binary.BigEndian.AppendUint16(b.wire, rrtype)
	w = binary.BigEndian.AppendUint16(w, dns.ClassINET)
	w = binary.BigEndian.AppendUint32(w, ttl)
	w = binary.BigEndian.AppendUint16(w, uint16(len(rdata)))
	b.wire = append(w, rdata...)
	b.counts[in]++
	return nil
}

// rr appends a record as somebody else said it.
func (b *builder) rr(in section, rr dns.RR) error {
	wire, err := zonesign.AppendRR(b.wire, rr)
	if err != nil {
		return err
	}
	b.wire = wire
	b.counts[in]++
	return nil
}

// owner appends an owner name, as a pointer where the question ends in it.
func (b *builder) owner(name string) error {
	start := len(b.wire)
	wire, err := zonesign.AppendName(b.wire, name)
	if err != nil {
		return err
	}
	b.wire = wire
	if at, ok := b.suffix(wire[start:]); ok {
		b.wire = binary.BigEndian.AppendUint16(wire[:start], pointerMark|uint16(at))
	}
	return nil
}

// suffix finds where in the message the question's name ends in another one. The root is shorter
// than a pointer to it.
func (b *builder) suffix(name []byte) (at int, ok bool) {
	end := headerLen + b.nameLen
	for at = headerLen; end-at > len(name); {
		at += 1 + int(b.wire[at])
	}
	return at, len(name) > 1 && bytes.Equal(b.wire[at:end], name)
}

// finish hands the message out, to be kept, and ends the building.
func (b *builder) finish() *message {
	m := *b.borrow()
	m.wire = slices.Clone(m.wire)
	b.release()
	return &m
}

// borrow writes the counts and shows the message, which lasts until release.
func (b *builder) borrow() *message {
	binary.BigEndian.PutUint16(b.wire[4:], 1)
	for i, n := range b.counts {
		binary.BigEndian.PutUint16(b.wire[6+2*i:], n)
	}
	return &b.message
}

func (b *builder) release() {
	*b.buf = b.wire
	buffers.Put(b.buf)
}

// Header flag bits (RFC 1035 4.1.1, RFC 4035 3.1.6).
const (
	flagQR = uint16(1 << 15)
	flagAA = 1 << 10
	flagTC = 1 << 9
	flagRD = 1 << 8
	flagCD = 1 << 4
)

// EDNS flag bits (RFC 6891 6.1.4).
const (
	flagDO = 1 << 15 // RFC 3225
	flagCO = 1 << 14 // RFC 9824 5.1
)

// appendReply appends the answer to query r to buf. Over limit octets it is a truncated answer
// without records, so that no RRset is ever seen without its signatures (RFC 2181 9).
func (m *message) appendReply(buf []byte, r *dns.Msg, limit int) ([]byte, error) {
	start := len(buf)
	buf = append(buf, m.wire...)
	reply := buf[start:]

	flags := flagQR | bit(!m.refers, flagAA) | m.rcode
	flags |= bit(r.RecursionDesired, flagRD) | bit(r.CheckingDisabled, flagCD)
	binary.BigEndian.PutUint16(reply, r.Id)
	q := r.Question[0]
	if _, err := dns.PackDomainName(q.Name, reply, headerLen, nil, false); err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint16(reply[headerLen+m.nameLen:], q.Qtype)

	opt := r.IsEdns0()
	size := len(reply)
	if opt != nil {
		size += optLen
	}
	if size > limit {
		flags |= flagTC
		buf = buf[:start+headerLen+m.nameLen+qtypeLen]
		clear(reply[6:headerLen])
	}
	binary.BigEndian.PutUint16(reply[2:], flags)
	if opt != nil {
		buf = appendOPT(buf, opt)
		reply = buf[start:] // it may have moved
		binary.BigEndian.PutUint16(reply[10:], binary.BigEndian.Uint16(reply[10:])+1)
	}
	return buf, nil
}

func bit(set bool, mask uint16) uint16 {
	if set {
		return mask
	}
	return 0
}

const optLen = 1 + fixedRRLen

// appendOPT appends an OPT record without options: DO and CO copied (RFC 3225 3, RFC 9824 5.1), the
// rest of the flags clear, our own limit as the size (RFC 6891 6.1.2, 6.2.3).
func appendOPT(buf []byte, asked *dns.OPT) []byte {
	flags := bit(asked.Do(), flagDO) | bit(asked.Co(), flagCO)
	buf = append(buf, 0, 0, byte(dns.TypeOPT), maxUDP>>8, maxUDP&0xFF, 0, 0)
	return append(binary.BigEndian.AppendUint16(buf, flags), 0, 0)
}
