package resolve

import (
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// What a server says of its answer (RFC 8914) steers no terminal, passes for nothing of ours, and fills no page.
func TestWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		errors []EDE
		want   string
	}{
		{nil, ""},
		{[]EDE{{dns.ExtendedErrorCodeNetworkError, ""}}, "EDE 23 Network Error"},
		{[]EDE{{dns.ExtendedErrorCodeDNSBogus, "no key"}, {49999, ""}}, `EDE 6 DNSSEC Bogus: "no key"; EDE 49999`},
		{[]EDE{{0, "\x1b[2J\u202e\x00\n\xff\" (fine)"}}, `EDE 0 Other: "\x1b[2J\u202e\x00\n\xff\" (fine)"`},
		{[]EDE{{0, strings.Repeat("ü", 40000)}}, `EDE 0 Other: "` + strings.Repeat("ü", mostWords/2) + `"…`},
		{[]EDE{{0, "x" + strings.Repeat("ü", 40000)}}, `EDE 0 Other: "x` + strings.Repeat("ü", mostWords/2-1) + `"…`},
	} {
		if got := (Observation{Errors: tt.errors}).Words(); got != tt.want {
			t.Errorf("got %s\nwant %s", got, tt.want)
		}
	}
}

// Of several tries an observation is the last: an answer has no error of the try before, and silence no message.
func TestObservationIsOfTheLastTry(t *testing.T) {
	t.Parallel()
	answer := func(m *dns.Msg) []byte {
		raw, err := m.SetReply(m).Pack()
		if err != nil {
			t.Error(err)
		}
		return raw
	}
	malformed := func(m *dns.Msg) []byte { return []byte{byte(m.Id >> 8), byte(m.Id), 0x80, 0, 0, 1, 0, 9, 0, 0, 0, 0} }
	silence := func(*dns.Msg) []byte { return nil }
	for name, tt := range map[string]struct {
		tries   [2]func(*dns.Msg) []byte
		failure Failure
		message bool
	}{
		"silence, then an answer":           {[2]func(*dns.Msg) []byte{silence, answer}, "", true},
		"what is no message, then one":      {[2]func(*dns.Msg) []byte{malformed, answer}, "", true},
		"what is no message, then silence":  {[2]func(*dns.Msg) []byte{malformed, silence}, Offline, false}, // there is no other server to ask
		"silence, then what is no message":  {[2]func(*dns.Msg) []byte{silence, malformed}, Malformed, true},
		"what is no message, and once more": {[2]func(*dns.Msg) []byte{malformed, malformed}, Malformed, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			go func() {
				buf := make([]byte, dns.MaxMsgSize)
				for _, try := range tt.tries {
					n, from, err := conn.ReadFrom(buf)
					m := new(dns.Msg)
					if err != nil || m.Unpack(buf[:n]) != nil {
						return
					}
					if raw := try(m); raw != nil {
						_, _ = conn.WriteTo(raw, from)
					}
				}
			}()
			addr := conn.LocalAddr().(*net.UDPAddr).AddrPort()
			r, err := New(Config{Only: addr, Timeout: 300 * time.Millisecond, Rate: -1, Anchors: []dns.RR{}})
			if err != nil {
				t.Fatal(err)
			}
			o := r.exchange(t.Context(), Address{Addr: addr}, UDP, question{name: "example.", rrtype: dns.TypeCAA, buffer: DefaultBuffer})
			if o.Failure != tt.failure || (o.Error == "") != (tt.failure == "") || (len(o.Raw) > 0) != tt.message || o.Size != len(o.Raw) || o.Tries != 2 {
				t.Errorf("got %q (%s), %d octets of %d, after %d tries", o.Failure, o.Error, len(o.Raw), o.Size, o.Tries)
			}
		})
	}
}

// An observation without an answer says nothing of one.
func TestObservationAsJSON(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	answer := new(dns.Msg).SetQuestion("a.test.", dns.TypeCAA)
	for _, tt := range []struct {
		o    Observation
		want string
	}{
		{Observation{Name: "a.test.", Type: dns.TypeCAA, Transport: UDP, Failure: Unreachable, Error: "left alone"},
			`{"zone":"","address":"","transport":"udp","name":"a.test.","tries":0,"failure":"unreachable","error":"left alone","size":0,"type":"CAA"}`},
		{Observation{Name: "a.test.", Type: dns.TypeCAA, Transport: TCP, At: at, Tries: 1, Failure: Unreachable, Offered: 1232},
			`{"zone":"","address":"","transport":"tcp","name":"a.test.","tries":1,"failure":"unreachable","size":0,"type":"CAA","at":"2026-11-25T00:00:00Z","rtt_ns":0,"edns_offered":1232}`},
		{Observation{Name: "a.test.", Type: dns.TypeCAA, Transport: TCP, At: at, RTT: 5, Tries: 1, Authoritative: true, Msg: answer, Raw: []byte("raw"), Size: 3},
			`{"zone":"","address":"","transport":"tcp","name":"a.test.","tries":1,"size":3,"type":"CAA","at":"2026-11-25T00:00:00Z","rtt_ns":5,"rcode":0,"aa":true,"tc":false,"ad":false,"edns":false,"case_kept":false,"raw":"cmF3"}`},
	} {
		got, err := json.Marshal(tt.o)
		if err != nil || string(got) != tt.want {
			t.Errorf("got %s, %v\nwant %s", got, err, tt.want)
		}
	}
}
