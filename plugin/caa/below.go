package caa

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
)

// patienceBelow is how long the next plugin may take where the policy can answer without it: shorter
// than the time after which resolvers ask again, so that the answer comes at the first question.
const patienceBelow = 1500 * time.Millisecond

// prompt are the plugins that answer from memory, or hand on what those under them say. Any other may
// wait for a network, so that waiting for it must end.
var prompt = []string{"auto", "cache", "dnssec", "file", "header", "hosts", "k8s_external", "kubernetes", "loadbalance", "minimal",
	"secondary", "sign", "template", "transfer", "whoami"}

// wholeNames are the plugins for which a name is an alias for all types or for none, and exists for all types
// or for none (RFC 1034 3.6.2, 4.3.2; RFC 8020), or that pass on what the plugins after them answer. Of any
// other one answer says nothing about the other types: etcd and kubernetes show an alias only to a question
// for an address or for CNAME, template and etcd answer NXDOMAIN to a type that they do not know, and behind
// forward and grpc may be any of them.
var wholeNames = []string{"auto", "cache", "dnssec", "dynupdate", "file", "header", "hosts", "loadbalance", "minimal", "secondary", "sign",
	"transfer", "whoami"}

// passOn are the plugins that hold no data, and answer with what the plugins after them do.
var passOn = []string{"cache", "dnssec", "header", "loadbalance", "minimal", "transfer"}

// below asks the plugin under caa, on behalf of one query. It asks without DNSSEC, since what is signed
// there is signed anew here, and returns whole messages or an error, whatever that plugin does: it may
// fail, panic, hang, truncate or write nothing.
type below struct {
	next  plugin.Handler
	w     dns.ResponseWriter
	r     *dns.Msg
	opt   dns.OPT
	extra [1]dns.RR // opt, with every question
}

func newBelow(next plugin.Handler, w dns.ResponseWriter, r *dns.Msg) *below {
	b := &below{next: next, w: w, r: r, opt: dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}}
	b.opt.SetUDPSize(maxUDP)
	if asked := r.IsEdns0(); asked != nil {
		b.opt.Option = asked.Option // such as the client's subnet (RFC 7871)
	}
	b.extra[0] = &b.opt
	return b
}

// errNobody says that no plugin below has anything to say of a name: none wrote an answer, and the
// last one's code is that of a server that does not hold the zone.
var errNobody = errors.New("no plugin below has data for the name")

// ask puts one question. The name is canonical.
func (b *below) ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	m, err := b.once(ctx, name, qtype, false)
	if err == nil && m.Truncated {
		m, err = b.once(ctx, name, qtype, true)
		if err == nil && m.Truncated {
			return nil, errors.New("its answer is truncated, over TCP too")
		}
	}
	return m, err
}

// askBriefly is ask with an end to waiting.
func (b *below) askBriefly(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	type outcome struct {
		m   *dns.Msg
		err error
	}
	ctx, cancel := context.WithTimeout(ctx, patienceBelow)
	defer cancel()
	done := make(chan outcome, 1)
	go func() {
		m, err := b.ask(ctx, name, qtype)
		done <- outcome{m, err}
	}()
	select {
	case o := <-done:
		return o.m, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("it has not answered: %w", ctx.Err())
	}
}

func (b *below) once(ctx context.Context, name string, qtype uint16, stream bool) (m *dns.Msg, err error) {
	defer func() {
		if p := recover(); p != nil {
			vars.Panic.Inc()
			m, err = nil, fmt.Errorf("it panicked: %v", p)
		}
	}()
	w := &capture{ResponseWriter: b.w, stream: stream}
	code, err := plugin.NextOrFailure(pluginName, b.next, ctx, w, b.question(name, qtype))
	switch {
	case w.msg != nil:
		return w.msg, nil
	case err != nil:
		return nil, err
	case code == dns.RcodeRefused:
		return nil, errNobody
	}
	return nil, fmt.Errorf("it wrote no answer, and its code is %s", dns.RcodeToString[code])
}

// question is the query with another question.
func (b *below) question(name string, qtype uint16) *dns.Msg {
	var r struct { // in one piece
		dns.Msg
		question [1]dns.Question
	}
	r.MsgHdr, r.Extra = b.r.MsgHdr, b.extra[:]
	r.question[0] = dns.Question{Name: name, Qtype: qtype, Qclass: dns.ClassINET}
	r.Msg.Question = r.question[:]
	return &r.Msg
}

// capture keeps what a plugin writes. CoreDNS's nonwriter does so too, but shows the plugin the real
// transport, and for an answer that was truncated over UDP we ask again as over TCP.
type capture struct {
	dns.ResponseWriter
	stream bool
	msg    *dns.Msg
}

func (c *capture) WriteMsg(m *dns.Msg) error {
	c.msg = m
	return nil
}

func (c *capture) Write(wire []byte) (int, error) {
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil {
		return 0, err
	}
	c.msg = m
	return len(wire), nil
}

func (c *capture) RemoteAddr() net.Addr {
	addr := c.ResponseWriter.RemoteAddr()
	if !c.stream {
		return addr
	}
	return &net.TCPAddr{IP: net.ParseIP((&request.Request{W: c.ResponseWriter}).IP())}
}
