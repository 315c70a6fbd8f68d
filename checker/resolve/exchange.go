package resolve

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// maxIgnored is how many messages that do not answer the query are ignored, so that neither a
// forger nor a server that never stops keeps the caller waiting; the timeout applies as well.
const maxIgnored = 64

// maxUDP is more than any server sends over UDP that keeps to the size we announce.
const maxUDP = 8192

// question is what is asked, apart from whom.
type question struct {
	name    string
	rrtype  uint16
	buffer  uint16 // EDNS UDP size; 0 for no EDNS
	recurse bool
	check   bool   // the resolver is to validate: CD is clear (RFC 4035 3.2.2)
	zone    string // that it is about; "" for none
}

// message is the query with a random id, and with the case of its name mixed (0x20).
func (q question) message() *dns.Msg {
	m := new(dns.Msg)
	m.Id = dns.Id()
	m.RecursionDesired = q.recurse
	m.CheckingDisabled = !q.check
	m.Question = []dns.Question{{Name: mixCase(q.name), Qtype: q.rrtype, Qclass: dns.ClassINET}}
	if q.buffer > 0 {
		m.SetEdns0(q.buffer, true)
	}
	return m
}

func mixCase(name string) string {
	out := []byte(name)
	for i, c := range out {
		if 'a' <= c && c <= 'z' && rand.Uint32()&1 == 0 {
			out[i] = c - 'a' + 'A'
		}
	}
	return string(out)
}

// exchange puts a question to an address over one transport, within the limits for that address.
func (r *Resolver) exchange(ctx context.Context, a Address, transport Transport, q question) Observation {
	o := r.try(ctx, a.Addr, transport, q)
	o.Zone, o.Server, o.Offered, o.Checked = q.zone, a.Server, q.buffer, q.check
	if r.cfg.Observe != nil {
		r.cfg.Observe(o)
	}
	return o
}

// try sends the query until a usable reply comes, or as often as is allowed.
func (r *Resolver) try(ctx context.Context, addr netip.AddrPort, transport Transport, q question) Observation {
	o := Observation{Addr: addr, Transport: transport, Name: q.name, Type: q.rrtype}
	if r.skips(&o) {
		return o
	}
	tries := r.cfg.Tries
	if transport != UDP || r.known.conduct(addr, "").failed > 0 {
		tries = 1
	}
	retried := false
	for o.Tries = 1; ; o.Tries++ {
		release, err := r.limits.enter(ctx, addr)
		if err != nil {
			o.Failure, o.Error = Cancelled, err.Error()
			return o
		}
		if o.Tries == 1 && r.skips(&o) { // it began to be skipped while many queries waited for it
			release()
			return o
		}
		o.At = time.Now()
		err = r.once(ctx, &o, q)
		o.RTT = time.Since(o.At)
		release()
		if len(o.Raw) > 0 {
			r.network.replied(r.lull())
		}
		if err == nil {
			r.known.answer(addr, transport)
			return o
		}
		o.Error = err.Error()
		if ctx.Err() != nil {
			o.Failure = Cancelled
			return o
		}
		if o.Failure == "" {
			o.Failure = Unreachable
		}
		if o.Tries < tries {
			continue
		}
		if !r.retries(ctx, &o, err, retried) {
			return o
		}
		retried, tries = true, o.Tries+1
	}
}

// retries reports whether a query without a reply is to be sent again: the network is up now, and may have been down.
// A silence that lasts is the server's, and recorded.
func (r *Resolver) retries(ctx context.Context, o *Observation, err error, retried bool) bool {
	since := r.lately(o.At)
	switch {
	case o.Failure != Unreachable:
		r.known.answer(o.Addr, o.Transport)
	case errors.Is(err, syscall.ECONNREFUSED), !retried && r.network.alive(since, o.At):
		r.known.mute(o.Addr, o.Transport, 1)
	case !r.reachable(ctx, since):
		o.Failure = Offline
	case ctx.Err() != nil: // before the root had its time to answer
		o.Failure = Cancelled
	case retried, r.known.conduct(o.Addr, "").leftAlone():
		r.known.mute(o.Addr, o.Transport, 2)
	default:
		return true
	}
	return false
}

// skips reports whether an address is skipped, and fails the query then. A resolver that answers is not skipped: it
// is silent where name servers are.
func (r *Resolver) skips(o *Observation) bool {
	c := r.known.conduct(o.Addr, "")
	if !c.leftAlone() {
		c = r.known.conduct(o.Addr, o.Transport)
	}
	if !c.leftAlone() || c.answered && r.cfg.Recursive {
		return false
	}
	o.Failure, o.Tries = Unreachable, 0
	o.Error = fmt.Sprintf("not asked: it did not reply to %d queries in a row", c.silent)
	return true
}

var (
	errMalformed  = errors.New("the reply is not a DNS message")
	errMismatched = errors.New("only messages with another id or question arrived")
)

// once sends the query one time. An error means that no usable reply came.
func (r *Resolver) once(ctx context.Context, o *Observation, q question) error {
	o.Failure, o.Error, o.Raw, o.Size = "", "", nil, 0 // of the try before
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	m := q.message()
	wire, err := m.Pack()
	if err != nil {
		return err
	}
	if o.Transport == Carried {
		return r.carried(ctx, o, m, wire)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, string(o.Transport), o.Addr.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	send, receive := sendUDP, receiveUDP
	if o.Transport == TCP {
		send, receive = sendTCP, receiveTCP
	}
	if err := send(conn, wire); err != nil {
		return err
	}
	for {
		raw, err := receive(conn)
		if err != nil {
			if o.Ignored > 0 {
				o.Failure = Mismatched
			}
			return err
		}
		if err := o.read(raw, m); !errors.Is(err, errMismatched) || o.Ignored >= maxIgnored {
			return err
		}
		o.Ignored++
	}
}

// carried sends the query by Config.Carry.
func (r *Resolver) carried(ctx context.Context, o *Observation, m *dns.Msg, wire []byte) error {
	raw, err := r.cfg.Carry(ctx, wire)
	if err != nil {
		return err
	}
	return o.read(raw, m)
}

// read takes a message that arrived in reply to m.
func (o *Observation) read(raw []byte, m *dns.Msg) error {
	o.Failure = ""
	answer, err := parse(raw, m)
	if err != nil {
		o.Failure = Malformed
		if errors.Is(err, errMismatched) {
			o.Failure = Mismatched
		}
		o.Raw, o.Size = raw, len(raw)
		return err
	}
	o.take(answer, raw, m.Question[0].Name)
	return nil
}

// parse reads an answer to m. A message that is not one is mismatched; one that has m's id and cannot
// be read is malformed.
func parse(raw []byte, m *dns.Msg) (*dns.Msg, error) {
	if len(raw) < 12 || binary.BigEndian.Uint16(raw) != m.Id {
		return nil, errMismatched
	}
	answer := new(dns.Msg)
	if err := answer.Unpack(raw); err != nil && !answer.Truncated {
		return nil, errors.Join(errMalformed, err)
	}
	if !complete(answer, raw) && !answer.Truncated {
		return nil, errMalformed
	}
	if !answer.Response || answer.Opcode != dns.OpcodeQuery || len(answer.Question) != 1 {
		return nil, errMismatched
	}
	asked, got := m.Question[0], answer.Question[0]
	if got.Qtype != asked.Qtype || got.Qclass != asked.Qclass || !strings.EqualFold(got.Name, asked.Name) {
		return nil, errMismatched
	}
	return answer, nil
}

// complete reports whether a message has all the records that its header counts. The library accepts
// one that ends early, and an answer without its records would pass for one that has none.
func complete(m *dns.Msg, raw []byte) bool {
	count := func(off int) int { return int(binary.BigEndian.Uint16(raw[off:])) }
	return count(4) == len(m.Question) && count(6) == len(m.Answer) && count(8) == len(m.Ns) && count(10) == len(m.Extra)
}

func sendUDP(conn net.Conn, wire []byte) error {
	_, err := conn.Write(wire)
	return err
}

// datagrams are buffers for UDP.
var datagrams = sync.Pool{New: func() any { return new([maxUDP]byte) }}

func receiveUDP(conn net.Conn) ([]byte, error) {
	buf := datagrams.Get().(*[maxUDP]byte)
	defer datagrams.Put(buf)
	n, err := conn.Read(buf[:])
	return bytes.Clone(buf[:n]), err
}

func sendTCP(conn net.Conn, wire []byte) error {
	_, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...))
	return err
}

func receiveTCP(conn net.Conn) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(conn, buf)
	return buf, err
}
