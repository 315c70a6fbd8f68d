// Package caa is the CoreDNS plugin: it publishes CAA from one declarative policy, signs what it
// answers, and refuses a policy that would lock out a configured issuer.
//
// The Corefile's block (config.go) names a policy file and keys. When all plugins are set up, each block gets a loader
// (loader.go). Package source follows the file and says which policy is to be served; the loader has the layout
// (layout.go) make a serving of it: zones, keys and prepared answers, immutable, swapped in by one atomic pointer.
// ServeDNS finds the zone of a question (routes.go says which block it is for) and answers from its contents (package
// zones) or lays these over the data of the next plugin (package overlay). Nothing is served that the guard has not
// accepted; nothing unsigned leaves a signed zone.
package caa

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/metrics"
	"github.com/coredns/coredns/plugin/pkg/transport"
	"github.com/coredns/coredns/plugin/tsig"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/dnswire"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// CAA is the handler of one `caa` block. It answers from the serving, and knows nothing of how that came about.
type CAA struct {
	Next plugin.Handler

	cfg *config
	// serving is never nil while CoreDNS asks: a server does not start without a policy.
	serving atomic.Pointer[serving]
	// ready says that the self-check found every required issuance possible, once.
	ready atomic.Bool
}

// Name implements plugin.Handler.
func (c *CAA) Name() string { return pluginName }

// Ready implements ready.Readiness: a policy is in service and, once since the start, the self-check
// has found every required issuance possible in what is served. Later findings do not take it back:
// an answer that locks out one issuer is better than none for all.
func (c *CAA) Ready() bool { return c.ready.Load() }

// ServeDNS implements plugin.Handler. Its error is for the log of the plugin errors.
func (c *CAA) ServeDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	code, err := c.serveDNS(ctx, w, r)
	return code, terminal.Error(err)
}

func (c *CAA) serveDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	s := c.serving.Load()
	q := r.Question[0]
	name := lower(q.Name)
	if q.Qtype == dns.TypeDS {
		if parent := s.parentBlock(name); parent != nil {
			return parent.ServeDNS(ctx, w, r)
		}
	}
	z := s.zones.ForQuestion(name, q.Qtype)
	if z != nil {
		if owner := s.owner(z); owner != nil {
			return owner.ServeDNS(ctx, w, r)
		}
		s.meter(z).query(metrics.WithServer(ctx), q.Qtype)
	}
	return c.respond(ctx, w, r, s, z, name)
}

// respond answers a question about a name of a zone, nil for one that we know of none.
func (c *CAA) respond(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, s *serving, z *zones.Zone, name string) (int, error) {
	q := r.Question[0]
	if r.Opcode == dns.OpcodeQuery && transfers[q.Qtype] && (z != nil || s.zones.Discovers() && c.cfg.covers(name)) {
		return c.refuse(w, r, metaRefusals[q.Qtype])
	}
	if z == nil || q.Qclass != dns.ClassINET {
		return c.elsewhere(ctx, w, r, s, name)
	}
	limitSize(ctx, w, r)
	if s.withoutKeys(z, name, q.Qtype) {
		return c.refuse(w, r, s.notServed(z, metrics.WithServer(ctx)))
	}
	if !z.PolicyOnly() {
		return c.overlay(ctx, w, r, s, z, name)
	}
	if no, ok := refusalOf(r); ok {
		return c.refuse(w, r, no)
	}
	v := z.At(name)
	m, err := s.zones.Answer(ctx, v, v.Key(q.Qtype, wantsDNSSEC(r)))
	if err != nil {
		s.meter(z).failed(metrics.WithServer(ctx))
		code, _ := c.refuse(w, r, refused{dns.RcodeServerFailure, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeOther, ExtraText: "no valid signature can be made"}})
		return code, fmt.Errorf("answer %s %s: %w", q.Name, dns.TypeToString[q.Qtype], err)
	}
	return dns.RcodeSuccess, s.write(ctx, w, r, m)
}

// withoutKeys reports whether a question is about a zone that must not be answered for: unsigned answers would be
// bogus, and so would a denial of its DS by the zone above.
func (s *serving) withoutKeys(z *zones.Zone, name string, qtype uint16) bool {
	if z.Keys.Refused != nil {
		return true
	}
	if qtype != dns.TypeDS {
		return false
	}
	child := s.zones.Zone(name)
	return child != nil && child.Keys.Refused != nil
}

// notServed counts and is the answer for a zone whose keys are missing.
func (s *serving) notServed(z *zones.Zone, server string) refused {
	s.meter(z).failed(server)
	return refused{dns.RcodeServerFailure, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeNotReady, ExtraText: "the zone's keys are missing"}}
}

// refused is an answer without data, and why.
type refused struct {
	rcode int
	ede   *dns.EDNS0_EDE // RFC 8914; nil for none
}

// metaRefusals are the types that no zone can hold and the answer to a question for them.
var metaRefusals = map[uint16]refused{
	dns.TypeNone:   {dns.RcodeFormatError, nil},            // reserved (RFC 6895 3.1)
	dns.TypeOPT:    {dns.RcodeFormatError, invalidType},    // RFC 6891 6.1.1
	dns.TypeNXNAME: {dns.RcodeFormatError, invalidType},    // RFC 9824 3.5
	dns.TypeTKEY:   {dns.RcodeNotImplemented, invalidType}, // RFC 2930
	dns.TypeTSIG:   {dns.RcodeFormatError, invalidType},    // RFC 8945
	dns.TypeMAILB:  {dns.RcodeNotImplemented, invalidType}, // obsolete (RFC 1035 3.2.3)
	dns.TypeMAILA:  {dns.RcodeNotImplemented, invalidType},
	dns.TypeIXFR:   {dns.RcodeRefused, noTransfer},
	dns.TypeAXFR:   {dns.RcodeRefused, noTransfer},
}

var (
	invalidType = &dns.EDNS0_EDE{InfoCode: 30, ExtraText: "this type cannot be queried"} // Invalid Query Type, RFC 9824 9
	// A policy-only zone is synthesised and has no end; an overlay's data alone are a zone without the policy's CAA.
	noTransfer = &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeProhibited, ExtraText: "caa does not transfer its zones"}
)

// refusalOf says which questions about a policy-only zone have no answer.
func refusalOf(r *dns.Msg) (refused, bool) {
	if r.Opcode != dns.OpcodeQuery {
		return refused{rcode: dns.RcodeNotImplemented}, true
	}
	no, ok := metaRefusals[r.Question[0].Qtype]
	return no, ok
}

// refuse writes an answer without data. The code that it returns says that the answer is written.
func (c *CAA) refuse(w dns.ResponseWriter, r *dns.Msg, no refused) (int, error) {
	m := new(dns.Msg).SetRcode(r, no.rcode)
	if opt := r.IsEdns0(); opt != nil {
		m.SetEdns0(dnswire.MaxUDP, opt.Do())
		m.IsEdns0().SetCo(opt.Co())
		if no.ede != nil {
			m.IsEdns0().Option = []dns.EDNS0{no.ede}
		}
	}
	return dns.RcodeSuccess, w.WriteMsg(m)
}

// write answers with a prepared message: as it is where nothing above wants to see it, else as a
// dns.Msg that plugins above can count, log, rewrite or sign.
func (s *serving) write(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, m *dnswire.Message) error {
	server := metrics.WithServer(ctx)
	return m.Reply(r, sizeLimit(w, r, server)-tsigLen(ctx), func(wire []byte) error {
		if s.packed && m.Rcode() == dns.RcodeSuccess && r.IsTsig() == nil {
			return writeWire(w, wire, server)
		}
		msg := new(dns.Msg)
		if err := msg.Unpack(wire); err != nil {
			return err
		}
		msg.Compress = true
		return w.WriteMsg(msg)
	})
}

// How the addresses of CoreDNS's servers begin whose clients have a UDP address, and yet a stream.
const (
	quicServer  = transport.QUIC + "://"
	http3Server = transport.HTTPS3 + "://"
)

func isStream(server string) bool {
	return strings.HasPrefix(server, quicServer) || strings.HasPrefix(server, http3Server)
}

// limitSize has a question say how long its answer may be on the way that it takes (RFC 9715 3.2): what CoreDNS or
// another plugin writes, CoreDNS cuts there, and it packs without compression what fits without. Over a stream there
// is no limit. (Without EDNS it cuts at 512 octets, whatever the way.)
func limitSize(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) {
	opt := r.IsEdns0()
	switch {
	case opt == nil:
	case isStream(metrics.WithServer(ctx)):
		opt.SetUDPSize(dns.MaxMsgSize)
	case opt.UDPSize() > dnswire.MaxUDP && (&request.Request{W: w, Req: r}).Proto() == "udp":
		opt.SetUDPSize(dnswire.MaxUDP)
	}
}

// writeWire writes a packed message. Over QUIC the stream must end with it (RFC 9250 4.2), which
// CoreDNS's writer sees to in WriteMsg, but not in Write: the client would wait for more.
func writeWire(w dns.ResponseWriter, wire []byte, server string) error {
	_, err := w.Write(wire)
	if err == nil && strings.HasPrefix(server, quicServer) {
		err = w.Close()
	}
	return err
}

// sizeLimit is how long an answer may be on the way it takes (RFC 6891 6.2.3, 6.2.5; RFC 9715 3.2).
func sizeLimit(w dns.ResponseWriter, r *dns.Msg, server string) int {
	state := request.Request{W: w, Req: r}
	if state.Proto() == "tcp" || isStream(server) {
		return dns.MaxMsgSize
	}
	return min(state.Size(), dnswire.MaxUDP)
}

// tsigLen is how long a signature may be that the plugin tsig adds to an answer (RFC 8945 4.2).
func tsigLen(ctx context.Context) int {
	key, ok := tsig.ValidatedKeyName(ctx)
	if !ok {
		return 0
	}
	const (
		algorithm = 26 // of HMAC-MD5, which has the longest name
		fields    = 16
		mac       = 64 // of HMAC-SHA512
	)
	return len(key) + 1 + dnswire.FixedRRLen + algorithm + fields + mac
}

func wantsDNSSEC(r *dns.Msg) bool {
	opt := r.IsEdns0()
	return opt != nil && opt.Do()
}

// lower is the canonical form of a name that came in a question (RFC 4034 6.2): such names are
// fully qualified, and the unpacking has escaped every octet that is not ASCII.
func lower(name string) string { return strings.ToLower(name) }
