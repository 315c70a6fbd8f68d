// Package dnswire packs answers once, so that serving one is a copy. RRsets and their signatures go in (package
// zonesign), a Message comes out: all of an answer but what each query brings itself (id, flags, the letter case of
// the name, the type asked for, EDNS). It reads no clock and no network.
//
// A Message holds its signatures' times and says whether it may still be served. Where it is too long for the way
// that an answer takes, it is truncated without any record, so that no RRset is seen without its signatures.
package dnswire

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// MaxUDP is the largest answer over UDP in octets (RFC 9715 3.2): beyond it a fragment may be lost on the way to a
// CA, so the answer is truncated and fetched over TCP.
const MaxUDP = 1232

// FixedRRLen is the length of a record without its owner name and RDATA: type, class, TTL and RDLENGTH (RFC 1035 4.1.3).
const FixedRRLen = 10

const (
	headerLen   = 12 // RFC 1035 4.1.1
	qtypeLen    = 4  // QTYPE and QCLASS
	pointerMark = 0xC000
)

// Section is a section of a message that holds records, in the order on the wire.
type Section int

// The sections (RFC 1035 4.1).
const (
	Answer Section = iota
	Authority
	Additional
)

// Message is a prepared answer. Immutable.
type Message struct {
	wire    []byte
	nameLen int       // octets of the name in the question
	rcode   uint16    // of the header
	refers  bool      // a referral: not authoritative (RFC 1035 4.1.1)
	begins  time.Time // from when on it may be served; zero for ever
	refresh time.Time // when its first signature wants renewal; zero for none
	expires time.Time // until when it may be served; zero for ever
}

// Fresh reports whether the message may be served without looking at its signatures again.
func (m *Message) Fresh(now time.Time) bool {
	return m.refresh.IsZero() || now.Before(m.refresh) && !now.Before(m.begins)
}

// Alive reports whether every signature in the message has begun, and outlives the TTL that goes with it,
// also for a clock that is an hour ahead.
func (m *Message) Alive(now time.Time) bool {
	return m.expires.IsZero() || now.Before(m.expires) && !now.Before(m.begins)
}

// buffers hold messages while they are made.
var buffers = sync.Pool{New: func() any {
	buf := make([]byte, 0, 1024)
	return &buf
}}

// Builder packs a message. Owner names at or above the name asked become pointers into the
// question, so that they follow the case of each query (RFC 1035 4.1.4).
type Builder struct {
	message Message
	buf     *[]byte // to be given back; wire begins in it
	counts  [3]uint16
}

// NewBuilder begins an answer to a question about a canonical name; Finish or Release ends it. The error is for a name
// that cannot be packed.
func NewBuilder(name string) (*Builder, error) {
	buf := buffers.Get().(*[]byte)
	wire, err := zonesign.AppendName(append((*buf)[:0], make([]byte, headerLen)...), name)
	if err != nil {
		return nil, err
	}
	b := &Builder{message: Message{nameLen: len(wire) - headerLen}, buf: buf}
	b.message.wire = append(wire, 0, 0, 0, dns.ClassINET)
	return b, nil
}

// Add appends an RRset and the RRSIGs over it to a section, with a TTL that is at most the RRset's:
// a negative answer lowers that of SOA (RFC 2308 3).
func (b *Builder) Add(in Section, set zonesign.RRset, ttl uint32, sigs zonesign.Signatures) error {
	for _, rdata := range set.RDATA {
		if err := b.record(in, set.Owner, set.Type, ttl, rdata); err != nil {
			return err
		}
	}
	return b.Signatures(in, set, ttl, sigs)
}

// Signatures appends only the RRSIGs over an RRset, and keeps the times at which all of them hold.
func (b *Builder) Signatures(in Section, set zonesign.RRset, ttl uint32, sigs zonesign.Signatures) error {
	for _, rdata := range sigs.RDATA {
		if err := b.record(in, set.Owner, dns.TypeRRSIG, ttl, rdata); err != nil {
			return err
		}
	}
	if len(sigs.RDATA) == 0 {
		return nil
	}
	if sigs.Begins.After(b.message.begins) {
		b.message.begins = sigs.Begins
	}
	b.message.refresh = earliest(b.message.refresh, sigs.Refresh)
	b.message.expires = earliest(b.message.expires, sigs.Until(set.TTL))
	return nil
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func (b *Builder) record(in Section, owner string, rrtype uint16, ttl uint32, rdata []byte) error {
	if err := b.owner(owner); err != nil {
		return err
	}
	w := binary.BigEndian.AppendUint16(b.message.wire, rrtype)
	w = binary.BigEndian.AppendUint16(w, dns.ClassINET)
	w = binary.BigEndian.AppendUint32(w, ttl)
	w = binary.BigEndian.AppendUint16(w, uint16(len(rdata)))
	b.message.wire = append(w, rdata...)
	b.counts[in]++
	return nil
}

// RR appends a record as another server wrote it.
func (b *Builder) RR(in Section, rr dns.RR) error {
	wire, err := zonesign.AppendRR(b.message.wire, rr)
	if err != nil {
		return err
	}
	b.message.wire = wire
	b.counts[in]++
	return nil
}

// owner appends an owner name, as a pointer where the question ends in it.
func (b *Builder) owner(name string) error {
	start := len(b.message.wire)
	wire, err := zonesign.AppendName(b.message.wire, name)
	if err != nil {
		return err
	}
	b.message.wire = wire
	if at, ok := b.suffix(wire[start:]); ok {
		b.message.wire = binary.BigEndian.AppendUint16(wire[:start], pointerMark|uint16(at))
	}
	return nil
}

// suffix finds where in the message the question's name ends in another one. The root is shorter
// than a pointer to it.
func (b *Builder) suffix(name []byte) (at int, ok bool) {
	end := headerLen + b.message.nameLen
	for at = headerLen; end-at > len(name); {
		at += 1 + int(b.message.wire[at])
	}
	return at, len(name) > 1 && bytes.Equal(b.message.wire[at:end], name)
}

// SetRcode sets the code of the answer, which is NOERROR without it. Extended codes do not fit.
func (b *Builder) SetRcode(rcode uint16) { b.message.rcode = rcode }

// Refer makes the answer a referral, which is not authoritative (RFC 1035 4.1.1).
func (b *Builder) Refer() { b.message.refers = true }

// Finish returns the message, to be kept, and ends the building.
func (b *Builder) Finish() *Message {
	m := *b.Borrow()
	m.wire = slices.Clone(m.wire)
	b.Release()
	return &m
}

// Borrow returns the message, which lasts until Release.
func (b *Builder) Borrow() *Message {
	binary.BigEndian.PutUint16(b.message.wire[4:], 1)
	for i, n := range b.counts {
		binary.BigEndian.PutUint16(b.message.wire[6+2*i:], n)
	}
	return &b.message
}

// Release ends the building. What Borrow returned must not be used after it.
func (b *Builder) Release() {
	*b.buf = b.message.wire
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

// Rcode is the code in the answer's header.
func (m *Message) Rcode() int { return int(m.rcode) }

// Reply packs the answer to query r and calls write with it; the octets last as long as the call. Over limit octets it
// is a truncated answer without records, so that no RRset is ever seen without its signatures (RFC 2181 9). The error
// is write's, or for a question that cannot be packed.
func (m *Message) Reply(r *dns.Msg, limit int, write func(wire []byte) error) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	wire, err := m.appendReply((*buf)[:0], r, limit)
	if err != nil {
		return err
	}
	*buf = wire
	return write(wire)
}

func (m *Message) appendReply(buf []byte, r *dns.Msg, limit int) ([]byte, error) {
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

const optLen = 1 + FixedRRLen

// appendOPT appends an OPT record without options: DO and CO copied (RFC 3225 3, RFC 9824 5.1), the
// rest of the flags clear, our own limit as the size (RFC 6891 6.1.2, 6.2.3).
func appendOPT(buf []byte, asked *dns.OPT) []byte {
	flags := bit(asked.Do(), flagDO) | bit(asked.Co(), flagCO)
	buf = append(buf, 0, 0, byte(dns.TypeOPT), MaxUDP>>8, MaxUDP&0xFF, 0, 0)
	return append(binary.BigEndian.AppendUint16(buf, flags), 0, 0)
}
