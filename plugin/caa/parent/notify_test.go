package parent

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// target is the wire form of a name.
func target(t testing.TB, name string) []byte {
	t.Helper()
	wire := make([]byte, 256)
	n, err := dns.PackDomainName(name, wire, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return wire[:n]
}

// dsyncRR is a DSYNC record in the syntax for types that the library does not know (RFC 3597 5).
func dsyncRR(t testing.TB, owner string, rrtype uint16, scheme byte, port uint16, name string) string {
	t.Helper()
	rdata := append([]byte{byte(rrtype >> 8), byte(rrtype), scheme, byte(port >> 8), byte(port)}, target(t, name)...)
	return fmt.Sprintf("%s 60 IN TYPE66 \\# %d %s", owner, len(rdata), hex.EncodeToString(rdata))
}

// RFC 9859 2.1.
func TestParseDSYNC(t *testing.T) {
	t.Parallel()
	good := append([]byte{0, 59, 1, 0x14, 0xE9}, target(t, "CDS.nic.Example.")...)
	for name, c := range map[string]struct {
		rdata []byte
		want  string
		cds   bool
	}{
		"NOTIFY(CDS)":         {good, "{59 1 5353 cds.nic.example.}", true},
		"NOTIFY(CSYNC)":       {append([]byte{0, 62}, good[2:]...), "{62 1 5353 cds.nic.example.}", false},
		"an unknown scheme":   {slices.Concat(good[:2], []byte{128}, good[3:]), "{59 128 5353 cds.nic.example.}", false},
		"scheme 0 (2.3)":      {slices.Concat(good[:2], []byte{0}, good[3:]), "{59 0 5353 cds.nic.example.}", false},
		"port 0":              {slices.Concat(good[:3], []byte{0, 0}, good[5:]), "{59 1 0 cds.nic.example.}", false},
		"the root as target":  {append(slices.Clone(good[:5]), 0), "{59 1 5353 .}", true},
		"nothing":             {nil, "", false},
		"no target":           {good[:5], "", false},
		"half a target":       {good[:9], "", false},
		"more than a target":  {append(slices.Clone(good), 0), "", false},
		"a compressed target": {append(slices.Clone(good[:5]), 0xC0, 5), "", false},
	} {
		d, err := parseDSYNC(c.rdata)
		if got := fmt.Sprint(d); (err == nil) != (c.want != "") || err == nil && (got != c.want || d.wantsCDS() != c.cds) {
			t.Errorf("%s: %s, %v; want %q, %v", name, got, err, c.want, c.cds)
		}
	}
}

func FuzzParseDSYNC(f *testing.F) {
	f.Add(append([]byte{0, 59, 1, 0, 53}, target(f, "a.example.")...))
	f.Add([]byte{0, 59, 1, 0, 53, 0xC0, 5})
	f.Fuzz(func(t *testing.T, rdata []byte) {
		d, err := parseDSYNC(rdata)
		if err != nil {
			return
		}
		again := append([]byte{byte(d.rrtype >> 8), byte(d.rrtype), d.scheme, byte(d.port >> 8), byte(d.port)}, target(t, d.target)...)
		if !strings.EqualFold(string(again), string(rdata)) {
			t.Errorf("%x was read as %+v, which is %x", rdata, d, again)
		}
	})
}

// RFC 9859 4.1: the names at which DSYNC is looked for, and when the search ends.
func TestEndpoint(t *testing.T) {
	t.Parallel()
	const jp, org = "jp. 60 IN SOA a. h. 1 2 3 4 5", "org. 60 IN SOA a. h. 1 2 3 4 5"
	record := func(owner string) string { return dsyncRR(t, owner, dns.TypeCDS, 1, 5353, "nic.example.") }
	for name, c := range map[string]struct {
		zone  string
		data  []string
		soa   string
		asked string
		want  string
	}{
		"of the child":                      {"example.org.", []string{record("example._dsync.org.")}, org, "example._dsync.org.", "nic.example."},
		"of the parent":                     {"example.org.", []string{record("_dsync.org.")}, org, "example._dsync.org. _dsync.org.", "nic.example."},
		"none":                              {"example.org.", nil, org, "example._dsync.org. _dsync.org.", ""},
		"a parent some labels up":           {"city.ise.mie.jp.", []string{record("city.ise.mie._dsync.jp.")}, jp, "city._dsync.ise.mie.jp. city.ise.mie._dsync.jp.", "nic.example."},
		"and without a record of the child": {"city.ise.mie.jp.", []string{record("_dsync.jp.")}, jp, "city._dsync.ise.mie.jp. city.ise.mie._dsync.jp. _dsync.jp.", "nic.example."},
		"for something else":                {"example.org.", []string{dsyncRR(t, "example._dsync.org.", dns.TypeCSYNC, 1, 53, "nic.example."), record("_dsync.org.")}, org, "example._dsync.org.", ""},
		"for that, too":                     {"example.org.", []string{dsyncRR(t, "example._dsync.org.", dns.TypeCSYNC, 1, 53, "x.example."), record("example._dsync.org.")}, org, "example._dsync.org.", "nic.example."},
		"below the root":                    {"org.", []string{record("org._dsync.")}, ". 60 IN SOA a. h. 1 2 3 4 5", "org._dsync.", "nic.example."},
		"the root itself":                   {".", nil, ". 60 IN SOA a. h. 1 2 3 4 5", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			known := records(c.data)
			var mu sync.Mutex
			var asked []string
			a := Asker{Resolvers: []netip.AddrPort{serve(t, "127.0.0.1:0", func(w dns.ResponseWriter, q *dns.Msg) {
				mu.Lock()
				asked = append(asked, q.Question[0].Name)
				mu.Unlock()
				m := new(dns.Msg).SetReply(q)
				for _, rr := range known {
					if rr.Header().Name == q.Question[0].Name {
						m.Answer = append(m.Answer, rr)
					}
				}
				if len(m.Answer) == 0 {
					m.Rcode, m.Ns = dns.RcodeNameError, records([]string{c.soa})
				}
				w.WriteMsg(m)
			})}}
			d, ok, err := newRound(&a).endpoint(t.Context(), c.zone)
			if err != nil || ok != (c.want != "") || d.target != c.want {
				t.Errorf("%+v, %v, %v; want %q", d, ok, err, c.want)
			}
			mu.Lock()
			defer mu.Unlock()
			if got := strings.Join(asked, " "); got != c.asked {
				t.Errorf("asked for %s, want %s", got, c.asked)
			}
		})
	}
}

// listenBoth answers over UDP and TCP at one port, UDP only where answer has it.
func listenBoth(t *testing.T, answer func(network string, q *dns.Msg) *dns.Msg) netip.AddrPort {
	t.Helper()
	handler := func(network string) dns.HandlerFunc {
		return func(w dns.ResponseWriter, q *dns.Msg) {
			if m := answer(network, q); m != nil {
				w.WriteMsg(m)
			}
		}
	}
	addr := serve(t, "127.0.0.1:0", handler("tcp"))
	packets, err := net.ListenPacket("udp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: packets, Handler: handler("udp"), MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.ActivateAndServe()
	}()
	t.Cleanup(func() { packets.Close(); <-done })
	return addr
}

// RFC 1996 3, RFC 9859 4.2: what goes out, and what counts as acknowledged.
func TestNotify(t *testing.T) {
	t.Parallel()
	ack := func(q *dns.Msg) *dns.Msg { return new(dns.Msg).SetReply(q) }
	for name, c := range map[string]struct {
		answer func(network string, q *dns.Msg) *dns.Msg
		want   string // in the error; "": none
		over   string // how it was received last
	}{
		"acknowledged": {func(_ string, q *dns.Msg) *dns.Msg { return ack(q) }, "", "udp"},
		"over TCP alone": {func(network string, q *dns.Msg) *dns.Msg {
			if network == "udp" {
				m := ack(q)
				m.Opcode = dns.OpcodeQuery // none that counts
				return m
			}
			return ack(q)
		}, "", "tcp"},
		"refused":          {func(_ string, q *dns.Msg) *dns.Msg { m := ack(q); m.Rcode = dns.RcodeRefused; return m }, "answered REFUSED", "udp"},
		"of another zone":  {func(_ string, q *dns.Msg) *dns.Msg { m := ack(q); m.Question[0].Name = "example.net."; return m }, "another zone", "tcp"},
		"no answer at all": {func(_ string, q *dns.Msg) *dns.Msg { m := ack(q); m.Response = false; return m }, "does not answer the NOTIFY", "tcp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			over := ""
			addr := listenBoth(t, func(network string, q *dns.Msg) *dns.Msg {
				mu.Lock()
				defer mu.Unlock()
				over = network
				if q.Opcode != dns.OpcodeNotify || !q.Authoritative || q.Response || len(q.Question) != 1 || q.Question[0] != (dns.Question{Name: zone, Qtype: dns.TypeCDS, Qclass: dns.ClassINET}) {
					t.Errorf("sent %v", q)
				}
				return c.answer(network, q)
			})
			a := Asker{Resolvers: []netip.AddrPort{resolver(t, dsyncRR(t, "example._dsync.org.", dns.TypeCDS, 1, addr.Port(), "nic.example."), "nic.example. 60 IN A 127.0.0.1")}}
			target, err := a.Notify(t.Context(), "Example.org")
			wantError(t, err, c.want)
			mu.Lock()
			defer mu.Unlock()
			if want := fmt.Sprintf("nic.example.:%d", addr.Port()); target != want || over != c.over {
				t.Errorf("notified %q over %q, want %q over %q", target, over, want, c.over)
			}
		})
	}
	none := Asker{Resolvers: []netip.AddrPort{resolver(t)}}
	if target, err := none.Notify(t.Context(), zone); target != "" || err != nil {
		t.Errorf("where nobody wants NOTIFY: %q, %v", target, err)
	}
	lost := Asker{Resolvers: []netip.AddrPort{unused}}
	if target, err := lost.Notify(t.Context(), zone); target != "" || err == nil || !strings.Contains(err.Error(), "cannot find out") {
		t.Errorf("without a resolver: %q, %v", target, err)
	}
}
