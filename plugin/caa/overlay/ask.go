package overlay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/metrics/vars"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnswire"
)

// patience is how long the next plugin may take where the policy can answer without it: shorter
// than the time after which resolvers ask again, so that the answer comes at the first question.
const patience = 1500 * time.Millisecond

// asker asks the plugin after caa, on behalf of one query. It asks without DNSSEC, since what is signed
// there is signed again here, and returns whole messages or an error, whatever that plugin does: it may
// fail, panic, hang, truncate or write nothing.
type asker struct {
	next  plugin.Handler
	w     dns.ResponseWriter
	r     *dns.Msg
	opt   dns.OPT
	extra [1]dns.RR // opt, with every question
}

func newAsker(next plugin.Handler, w dns.ResponseWriter, r *dns.Msg) *asker {
	a := new(asker)
	a.init(next, w, r)
	return a
}

// init makes an asker where it is, for it refers to itself.
func (a *asker) init(next plugin.Handler, w dns.ResponseWriter, r *dns.Msg) {
	a.next, a.w, a.r, a.opt = next, w, r, dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	a.opt.SetUDPSize(dnswire.MaxUDP)
	if asked := r.IsEdns0(); asked != nil {
		a.opt.Option = asked.Option // such as the client's subnet (RFC 7871)
	}
	a.extra[0] = &a.opt
}

// ErrNobody says that no plugin after caa has anything to say of a name: none wrote an answer, and the
// last one's code is that of a server that does not hold the zone.
var ErrNobody = errors.New("no plugin after caa has data for the name")

// ask puts one question. The name is canonical.
func (a *asker) ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	m, err := a.once(ctx, name, qtype, false)
	if err == nil && m.Truncated {
		m, err = a.once(ctx, name, qtype, true)
		if err == nil && m.Truncated {
			return nil, errors.New("its answer is truncated even over TCP")
		}
	}
	return m, err
}

// askBriefly is ask with an end to waiting.
func (a *asker) askBriefly(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	type outcome struct {
		m   *dns.Msg
		err error
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	done := make(chan outcome, 1)
	go func() {
		m, err := a.ask(ctx, name, qtype)
		done <- outcome{m, err}
	}()
	select {
	case o := <-done:
		return o.m, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("it did not answer: %w", ctx.Err())
	}
}

func (a *asker) once(ctx context.Context, name string, qtype uint16, stream bool) (m *dns.Msg, err error) {
	defer func() {
		if p := recover(); p != nil {
			vars.Panic.Inc()
			m, err = nil, fmt.Errorf("it panicked: %v", p)
		}
	}()
	w := &Capture{ResponseWriter: a.w, stream: stream}
	code, err := plugin.NextOrFailure("caa", a.next, ctx, w, a.question(name, qtype))
	switch {
	case w.Msg != nil:
		return w.Msg, nil
	case err != nil:
		return nil, err
	case code == dns.RcodeRefused:
		return nil, ErrNobody
	}
	return nil, fmt.Errorf("it wrote no answer and returned %s", dns.RcodeToString[code])
}

// question is the query with another question.
func (a *asker) question(name string, qtype uint16) *dns.Msg {
	var r struct { // in one piece
		dns.Msg
		question [1]dns.Question
	}
	r.MsgHdr, r.Extra = a.r.MsgHdr, a.extra[:]
	r.question[0] = dns.Question{Name: name, Qtype: qtype, Qclass: dns.ClassINET}
	r.Msg.Question = r.question[:]
	return &r.Msg
}

// Capture keeps what a plugin writes. CoreDNS's nonwriter does so too, but shows the plugin the real
// transport, and for an answer that was truncated over UDP we ask again as over TCP.
type Capture struct {
	dns.ResponseWriter
	stream bool
	Msg    *dns.Msg // nil while nothing was written
}

func (c *Capture) WriteMsg(m *dns.Msg) error {
	c.Msg = m
	return nil
}

func (c *Capture) Write(wire []byte) (int, error) {
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil {
		return 0, err
	}
	c.Msg = m
	return len(wire), nil
}

func (c *Capture) RemoteAddr() net.Addr {
	addr := c.ResponseWriter.RemoteAddr()
	if !c.stream {
		return addr
	}
	return &net.TCPAddr{IP: net.ParseIP((&request.Request{W: c.ResponseWriter}).IP())}
}
