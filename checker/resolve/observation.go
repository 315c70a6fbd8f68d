package resolve

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// Failure is the stable code of why an answer cannot be used. The zero value is no failure.
type Failure string

// Failures.
const (
	Unreachable      Failure = "unreachable"       // no reply within the time limit, or an error of the system
	TCPFailed        Failure = "tcp-failed"        // the answer over UDP is truncated, and TCP gives none (RFC 7766 5)
	Malformed        Failure = "malformed"         // the reply is not a DNS message
	Mismatched       Failure = "mismatched"        // only messages with another id or question arrived
	Truncated        Failure = "truncated"         // truncated over TCP, too, or over another stream
	ServFail         Failure = "servfail"          // RCODE 2
	FormErr          Failure = "formerr"           // RCODE 1
	NotImp           Failure = "notimp"            // RCODE 4
	Refused          Failure = "refused"           // RCODE 5
	OtherRcode       Failure = "rcode"             // any other but NOERROR and NXDOMAIN
	NotAuthoritative Failure = "not-authoritative" // without the AA flag, and no referral downwards
	NoServer         Failure = "no-server"         // no name server of the zone has an address
	NotAsked         Failure = "not-asked"         // its addresses are IPv6, and this machine has none
	Offline          Failure = "offline"           // no reply, and none from any other server, not even the root's
	AliasLoop        Failure = "alias-loop"        // aliases without an end
	TooMany          Failure = "too-many-queries"  // the lookup needs more queries than are allowed
	Cancelled        Failure = "cancelled"         // the caller's context ended
)

// Silent reports whether nothing came back at all.
func (f Failure) Silent() bool {
	return f == Unreachable || f == NoServer || f == NotAsked || f == Offline || f == Cancelled
}

// Transport is how a question was asked.
type Transport string

// The transports.
const (
	UDP     Transport = "udp"
	TCP     Transport = "tcp"
	Carried Transport = "carried" // by Config.Carry
)

// EDE is an Extended DNS Error that came along (RFC 8914).
type EDE struct {
	Code uint16 `json:"code"`
	Text string `json:"text,omitempty"`
}

// Observation is one question put to one address, and what came back.
type Observation struct {
	Perspective string `json:"perspective,omitempty"` // that saw it, where it is not this machine

	Zone      string         `json:"zone"`
	Server    string         `json:"server,omitempty"` // the name server's name; "" where only its address was given
	Addr      netip.AddrPort `json:"address"`
	Transport Transport      `json:"transport"`
	Name      string         `json:"name"`
	Type      uint16         `json:"-"`
	At        time.Time      `json:"at"`
	RTT       time.Duration  `json:"rtt_ns"`
	Tries     int            `json:"tries"`
	Checked   bool           `json:"checked,omitempty"` // a resolver was asked to validate (CD clear)

	Failure Failure `json:"failure,omitempty"`
	Error   string  `json:"error,omitempty"` // the system's or the parser's words

	Rcode         int    `json:"rcode"`
	Authoritative bool   `json:"aa"`
	Truncated     bool   `json:"tc"`
	Authentic     bool   `json:"ad"`
	EDNS          bool   `json:"edns"`               // the answer has an OPT record
	UDPSize       uint16 `json:"udp_size,omitempty"` // that it announces
	Errors        []EDE  `json:"ede,omitempty"`
	CaseKept      bool   `json:"case_kept"` // the question came back in the case it was asked in (0x20)
	Ignored       int    `json:"ignored,omitempty"`
	Size          int    `json:"size"` // octets of the answer
	Offered       uint16 `json:"-"`    // the EDNS size that was offered

	Msg *dns.Msg `json:"-"`
	Raw []byte   `json:"-"`
}

// Source is the server and its address, for people.
func (o Observation) Source() string {
	switch {
	case o.Server == "":
		return o.Addr.String()
	case !o.Addr.IsValid():
		return dnsname.Bare(o.Server)
	}
	return fmt.Sprintf("%s (%s)", dnsname.Bare(o.Server), o.Addr.Addr())
}

// MarshalJSON returns the observation with the type's name, the size that was offered, and the message as it arrived,
// in base64. The fields of a reply are omitted without one, and the times where nothing was sent.
func (o Observation) MarshalJSON() ([]byte, error) {
	type plain Observation
	asked, answered := !o.At.IsZero(), o.Msg != nil
	return json.Marshal(struct {
		plain
		Type          string         `json:"type"`
		At            *time.Time     `json:"at,omitempty"`
		RTT           *time.Duration `json:"rtt_ns,omitempty"`
		Offered       uint16         `json:"edns_offered,omitempty"`
		Rcode         *int           `json:"rcode,omitempty"`
		Authoritative *bool          `json:"aa,omitempty"`
		Truncated     *bool          `json:"tc,omitempty"`
		Authentic     *bool          `json:"ad,omitempty"`
		EDNS          *bool          `json:"edns,omitempty"`
		CaseKept      *bool          `json:"case_kept,omitempty"`
		Raw           []byte         `json:"raw,omitempty"`
	}{
		plain(o), dns.Type(o.Type).String(), known(asked, o.At), known(asked, o.RTT), o.Offered,
		known(answered, o.Rcode), known(answered, o.Authoritative), known(answered, o.Truncated), known(answered, o.Authentic),
		known(answered, o.EDNS), known(answered, o.CaseKept), o.Raw,
	})
}

// known is a value to be written, or nothing.
func known[T any](is bool, value T) *T {
	if !is {
		return nil
	}
	return &value
}

// mostWords is how many octets of an error's text are shown: a server may send 64 KiB of it.
const mostWords = 200

// Words returns the errors' codes and texts for people, "" for none. A text is quoted: what a server sends must not pass
// for ours, nor control a terminal.
func (o Observation) Words() string {
	var out []string
	for _, e := range o.Errors {
		words := fmt.Sprintf("EDE %d", e.Code)
		if name := dns.ExtendedErrorCodeToString[e.Code]; name != "" {
			words += " " + name
		}
		if e.Text != "" {
			words += ": " + quote(e.Text)
		}
		out = append(out, words)
	}
	return strings.Join(out, "; ")
}

func quote(text string) string {
	if len(text) > mostWords {
		return strconv.Quote(strings.ToValidUTF8(text[:mostWords], "")) + "…"
	}
	return strconv.Quote(text)
}

var rcodeFailures = map[int]Failure{
	dns.RcodeSuccess: "", dns.RcodeNameError: "",
	dns.RcodeServerFailure: ServFail, dns.RcodeFormatError: FormErr, dns.RcodeNotImplemented: NotImp, dns.RcodeRefused: Refused,
}

// take reads a message into the observation.
func (o *Observation) take(m *dns.Msg, raw []byte, asked string) {
	o.Msg, o.Raw, o.Size = m, raw, len(raw)
	o.Rcode, o.Authoritative, o.Truncated, o.Authentic = m.Rcode, m.Authoritative, m.Truncated, m.AuthenticatedData
	o.CaseKept = m.Question[0].Name == asked
	if opt := m.IsEdns0(); opt != nil {
		o.EDNS, o.UDPSize = true, opt.UDPSize()
		for _, option := range opt.Option {
			if ede, ok := option.(*dns.EDNS0_EDE); ok {
				o.Errors = append(o.Errors, EDE{ede.InfoCode, ede.ExtraText})
			}
		}
	}
	failure, known := rcodeFailures[m.Rcode]
	if !known {
		failure = OtherRcode
	}
	o.Failure = failure
}
