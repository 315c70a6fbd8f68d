package resolve

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// hostile is a name server that answers each question with raw messages of a test's making.
func hostile(t testing.TB, answer func(q *dns.Msg, tcp bool, send func(raw []byte) error)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); u.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := u.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if q.Unpack(buf[:n]) == nil {
				answer(q, false, func(raw []byte) error { _, err := u.WriteToUDPAddrPort(raw, from); return err })
			}
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				raw, err := receiveTCP(c)
				q := new(dns.Msg)
				if err == nil && q.Unpack(raw) == nil {
					answer(q, true, func(raw []byte) error { return sendTCP(c, raw) })
				}
			}()
		}
	}()
	return addr
}

func pack(m *dns.Msg) []byte {
	raw, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return raw
}

// header is a reply's, with the question: 1 question, n answers, truncated or not.
func header(q *dns.Msg, answers int, truncated bool) []byte {
	m := new(dns.Msg).SetReply(q)
	m.Authoritative, m.Truncated = true, truncated
	raw := pack(m)
	binary.BigEndian.PutUint16(raw[6:], uint16(answers))
	return raw
}

// Whatever comes, a look-up ends within its time and without an answer.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	forged := func(q *dns.Msg) *dns.Msg {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		m.Answer = []dns.RR{&dns.CAA{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeCAA, Class: dns.ClassINET}, Tag: "issue", Value: "evil.example"}}
		return m
	}
	tests := []struct {
		name   string
		answer func(q *dns.Msg, tcp bool, send func([]byte) error)
		want   Failure
	}{
		{"nothing, and there is no other server", func(*dns.Msg, bool, func([]byte) error) {}, Offline},
		{"no message", func(_ *dns.Msg, _ bool, send func([]byte) error) { _ = send([]byte("hello")) }, Mismatched},
		{"another id", func(q *dns.Msg, tcp bool, send func([]byte) error) {
			m := forged(q)
			m.Id++
			_ = send(pack(m))
		}, Mismatched},
		{"another question", func(q *dns.Msg, tcp bool, send func([]byte) error) {
			m := forged(q)
			m.Question[0].Name = "other."
			_ = send(pack(m))
		}, Mismatched},
		{"another type", func(q *dns.Msg, tcp bool, send func([]byte) error) {
			m := forged(q)
			m.Question[0].Qtype = dns.TypeA
			_ = send(pack(m))
		}, Mismatched},
		{"the question itself", func(q *dns.Msg, tcp bool, send func([]byte) error) { _ = send(pack(q)) }, Mismatched},
		{"no question", func(q *dns.Msg, tcp bool, send func([]byte) error) {
			m := forged(q)
			m.Question = nil
			_ = send(pack(m))
		}, Mismatched},
		{"a pointer to itself", func(q *dns.Msg, tcp bool, send func([]byte) error) {
			raw := header(q, 1, false)
			_ = send(append(raw, 0xC0, byte(len(raw)), 1, 1, 0, 1, 0, 0, 0, 0, 0, 0))
		}, Malformed},
		{"a pointer forwards", func(q *dns.Msg, tcp bool, send func([]byte) error) {
			_ = send(append(header(q, 1, false), 0xFF, 0xFF, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0))
		}, Malformed},
		{"fewer answers than it says", func(q *dns.Msg, tcp bool, send func([]byte) error) { _ = send(header(q, 65535, false)) }, Malformed},
		{"a record longer than the message", func(q *dns.Msg, tcp bool, send func([]byte) error) {
			_ = send(append(header(q, 1, false), 0, 1, 1, 0, 1, 0, 0, 0, 0, 0xFF, 0xFF))
		}, Malformed},
		{"truncated for ever", func(q *dns.Msg, tcp bool, send func([]byte) error) { _ = send(header(q, 0, true)) }, Truncated},
		{"wrong answers without an end, truncated over UDP", func(q *dns.Msg, tcp bool, send func([]byte) error) {
			if !tcp {
				_ = send(header(q, 0, true))
				return
			}
			m := forged(q)
			m.Id++
			raw := pack(m)
			for send(raw) == nil {
			}
		}, Mismatched},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := resolverAt(t, hostile(t, tt.answer))
			begin := time.Now()
			got := r.Lookup(t.Context(), "www.example.", dns.TypeCAA)
			if got.Kind != Failed || got.Err.Failure != tt.want {
				t.Errorf("got %v, error %v; want %s", got.Kind, got.Err, tt.want)
			}
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func resolverAt(t testing.TB, addr netip.AddrPort) *Resolver {
	t.Helper()
	r, err := New(Config{Only: addr, Anchors: []dns.RR{}, Timeout: 200 * time.Millisecond, Tries: 1, Rate: -1})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Over TCP a message may say that it is longer than what comes, or come an octet at a time. There is no
// other server to tell that the network is there.
func TestSlowTCPEndsInTime(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte{0xFF, 0xFF, 0})
			t.Cleanup(func() { c.Close() })
		}
	}()
	r := resolverAt(t, l.Addr().(*net.TCPAddr).AddrPort())
	begin := time.Now()
	o := r.exchange(t.Context(), Address{Addr: l.Addr().(*net.TCPAddr).AddrPort()}, TCP, question{name: "example.", rrtype: dns.TypeCAA})
	if o.Failure != Offline || time.Since(begin) > 10*time.Second {
		t.Errorf("got %q after %v", o.Failure, time.Since(begin))
	}
}

// FuzzRead gives a signed zone's reader any octets: it may say that they are bogus or broken, but never
// believe them, neither data nor a denial.
func FuzzRead(f *testing.F) {
	key := &dns.DNSKEY{Hdr: dns.RR_Header{Name: "example.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300}, Flags: 257, Protocol: 3, Algorithm: dns.ED25519}
	if _, err := key.Generate(256); err != nil {
		f.Fatal(err)
	}
	q := new(dns.Msg).SetQuestion("www.example.", dns.TypeCAA)
	seed := func(section string, texts ...string) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		for _, text := range texts {
			rr, err := dns.NewRR(text)
			if err != nil {
				f.Fatal(err)
			}
			if section == "answer" {
				m.Answer = append(m.Answer, rr)
			} else {
				m.Ns = append(m.Ns, rr)
			}
		}
		f.Add(pack(m)[2:], true)
		f.Add(pack(m)[2:], false)
	}
	seed("answer")
	seed("answer", `www.example. 300 CAA 0 issue "evil.example"`, "www.example. 300 RRSIG CAA 15 2 300 20300101000000 20200101000000 1 example. AAAA")
	seed("answer", `www.example. 300 CNAME evil.example.`)
	seed("answer", `example. 300 DNAME evil.example.`, `example. 300 DNAME other.example.`)
	seed("authority", "example. 300 SOA . . 1 1 1 1 1", "www.example. 300 NSEC a.www.example. A RRSIG NSEC", "www.example. 300 RRSIG NSEC 15 2 300 20300101000000 20200101000000 1 example. AAAA")
	seed("authority", "sub.example. 300 NS ns.evil.example.")
	seed("authority", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example. 300 NSEC3 1 1 65535 AABB 2t7b4g4vsa5smi47k61mv5bv1a22bojr NS SOA")
	now := time.Now()
	f.Fuzz(func(t *testing.T, tail []byte, denied bool) {
		raw := append(binary.BigEndian.AppendUint16(nil, q.Id), tail...)
		m, err := parse(raw, q)
		if err != nil {
			return
		}
		if denied {
			m.Rcode = dns.RcodeNameError
		}
		r := &Resolver{cfg: Config{Now: func() time.Time { return now }}}
		z := &Zone{Name: "example.", resolver: r, Trust: dnssec.Result{Status: dnssec.Secure}, Keys: dnssec.Keys{Zone: "example.", RRs: []*dns.DNSKEY{key}}}
		var o Observation
		o.take(m, raw, "www.example.")
		reading := z.Read(o, "www.example.", dns.TypeCAA)
		if reading.Kind != Failed && reading.Kind != Referral && reading.Result.Status != dnssec.Bogus {
			t.Fatalf("believed: %v %v\n%v", reading.Kind, reading.Result, m)
		}
		if _, result := z.readDS(m, "www.example."); result.Status != dnssec.Bogus {
			t.Fatalf("believed of DS: %v\n%v", result, m)
		}
		z.Trust = dnssec.Result{Status: dnssec.Insecure}
		z.Read(o, "www.example.", dns.TypeCAA)
	})
}

// A resolver is there to be asked; somebody's name server is not.
func TestLimitsByDefault(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		given, want Config
	}{
		{Config{}, Config{Concurrency: DefaultConcurrency, Rate: DefaultRate}},
		{Config{Recursive: true}, Config{Concurrency: DefaultResolverConcurrency, Rate: DefaultResolverRate}},
		{Config{Recursive: true, Concurrency: 1, Rate: -1}, Config{Concurrency: 1, Rate: -1}},
		{Config{Concurrency: 100, Rate: 7}, Config{Concurrency: 100, Rate: 7}},
	} {
		if got := tt.given.withDefaults(); got.Concurrency != tt.want.Concurrency || got.Rate != tt.want.Rate {
			t.Errorf("%+v: %d at a time, %v a second", tt.given, got.Concurrency, got.Rate)
		}
	}
}

// Who gives up while the root is asked whether the network is there does not know whose the silence is.
func TestGivingUpInDoubt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	probes := 0
	root := hostile(t, func(q *dns.Msg, _ bool, send func([]byte) error) {
		if probes++; probes == 1 {
			_ = send(header(q, 0, false))
			return
		}
		cancel()
	})
	dead := hostile(t, func(*dns.Msg, bool, func([]byte) error) {})
	hints, err := Records(". NS a.root.\na.root. A "+root.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{Hints: hints, Anchors: []dns.RR{}, Port: root.Port(), Timeout: 100 * time.Millisecond, Tries: 1, Rate: -1})
	if err != nil {
		t.Fatal(err)
	}
	if o := r.try(ctx, dead, UDP, question{name: "example.test.", rrtype: dns.TypeCAA}); o.Failure != Cancelled {
		t.Errorf("got %q: %s", o.Failure, o.Error)
	}
}

// A look-up whose last question went for the addresses of name servers, as in NXNSAttack, does not know whether
// they have any.
func TestLastQuestionForAnAddress(t *testing.T) {
	t.Parallel()
	r, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	spent := newTask()
	spent.left.Store(0)
	z := &Zone{Name: "z.test.", Servers: []Server{{Name: "ns.elsewhere.test."}}, resolver: r}
	for o := range z.ask(t.Context(), spent, question{name: "z.test.", rrtype: dns.TypeCAA}) {
		if o.Failure != TooMany {
			t.Errorf("got %q: %s", o.Failure, o.Error)
		}
	}
}
