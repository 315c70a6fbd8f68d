package parent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

const zone = "example.org."

// serve answers questions over TCP at an address of this machine.
func serve(t *testing.T, addr string, answer dns.HandlerFunc) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: listener, Handler: answer}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.ActivateAndServe()
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// says answers with authority, records of the zone org below.
func says(rcode int, authoritative bool, answer, authority []string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetRcode(q, rcode)
		m.Authoritative = authoritative
		m.Answer, m.Ns = records(answer), records(authority)
		w.WriteMsg(m)
	}
}

func records(lines []string) (rrs []dns.RR) {
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			panic(err)
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

// resolver is a resolver that knows some RRsets, and the zones' SOA.
func resolver(t *testing.T, data ...string) netip.AddrPort {
	known := records(data)
	return serve(t, "127.0.0.1:0", func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		for _, rr := range known {
			if h := rr.Header(); h.Name == q.Question[0].Name && h.Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		if len(m.Answer) == 0 {
			m.Ns = records([]string{"org. 60 IN SOA a.example. h.example. 1 2 3 4 5"})
		}
		w.WriteMsg(m)
	})
}

const (
	soaOrg     = "org. 60 IN SOA a.example. h.example. 1 2 3 4 5"
	soaExample = "example.org. 60 IN SOA a.example. h.example. 1 2 3 4 5"
	ds         = "example.org. 3600 IN DS 1 13 2 00"
	otherDS    = "example.org. 7200 IN DS 2 13 2 00"
)

// nameserver makes org have one server, at a port of 127.0.0.1.
func nameserver(t *testing.T, addr netip.AddrPort) Asker {
	t.Helper()
	return Asker{Port: addr.Port(), Resolvers: []netip.AddrPort{resolver(t, soaOrg, "org. 60 IN NS ns.example.", "ns.example. 60 IN A 127.0.0.1")}}
}

// unused is an address at which nobody listens.
var unused = netip.MustParseAddrPort("127.0.0.1:1")

// Each server says what it says, and only an answer of the parent's counts.
func TestWhatServersSay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer dns.HandlerFunc
		ds     int
		ttl    time.Duration
		err    string
	}{
		"a DS":                  {says(0, true, []string{ds}, nil), 1, time.Hour, ""},
		"two":                   {says(0, true, []string{ds, otherDS}, nil), 2, 2 * time.Hour, ""},
		"in another case":       {says(0, true, []string{strings.ToUpper(ds)}, nil), 1, time.Hour, ""},
		"one of another zone":   {says(0, true, []string{ds, strings.Replace(ds, "example", "other", 1)}, nil), 1, time.Hour, ""},
		"none, by the parent":   {says(0, true, nil, []string{soaOrg}), 0, 0, ""},
		"none, by the child":    {says(0, true, nil, []string{soaExample}), 0, 0, "the parent's denial"},
		"none, without a proof": {says(0, true, nil, nil), 0, 0, "the parent's denial"},
		"a referral":            {says(0, false, nil, []string{"example.org. 60 IN NS a.example."}), 0, 0, "not authoritative"},
		"a resolver's answer":   {says(0, false, []string{ds}, nil), 0, 0, "not authoritative"},
		"REFUSED":               {says(dns.RcodeRefused, false, nil, nil), 0, 0, "REFUSED"},
		"SERVFAIL":              {says(dns.RcodeServerFailure, true, nil, nil), 0, 0, "SERVFAIL"},
		"NXDOMAIN":              {says(dns.RcodeNameError, true, nil, []string{soaOrg}), 0, 0, "NXDOMAIN"},
		"another question": {func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			m.Authoritative, m.Question[0].Name, m.Answer = true, "example.net.", records([]string{ds})
			w.WriteMsg(m)
		}, 0, 0, "another question"},
		"another message": {func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			m.Authoritative, m.Id, m.Answer = true, q.Id+1, records([]string{ds})
			w.WriteMsg(m)
		}, 0, 0, "without a query"},
		"nothing": {func(w dns.ResponseWriter, _ *dns.Msg) { w.Close() }, 0, 0, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := nameserver(t, serve(t, "127.0.0.1:0", c.answer))
			got := a.DS(t.Context(), []string{"Example.org"})["Example.org"]
			if len(got) != 1 {
				t.Fatalf("%+v", got)
			}
			o := got[0]
			if len(o.Named) != 0 || len(o.Others) != c.ds || o.TTL != c.ttl || o.Server != "ns.example. (127.0.0.1)" {
				t.Errorf("%+v", o)
			}
			wantError(t, o.Err, c.err)
		})
	}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

// silent counts the servers that could not be asked.
func silent(observed []keyroll.Observation) (n int) {
	for _, o := range observed {
		if o.Err != nil {
			n++
		}
	}
	return n
}

// Every address of every server is asked; one that cannot be found or asked is an observation, too.
func TestEveryServerIsAsked(t *testing.T) {
	t.Parallel()
	first := serve(t, "127.0.0.1:0", says(0, true, []string{ds}, nil))
	serve(t, fmt.Sprintf("127.0.0.2:%d", first.Port()), says(0, true, []string{otherDS}, nil))
	a := Asker{Port: first.Port(), Resolvers: []netip.AddrPort{
		unused, // the next one is asked
		resolver(t, "sub.org. 60 IN TXT nothing",
			"org. 60 IN NS a.example.", "org. 60 IN NS b.example.", "org. 60 IN NS c.example.",
			"a.example. 60 IN A 127.0.0.1", "a.example. 60 IN A 127.0.0.2", "b.example. 60 IN A 127.0.0.3"),
	}}
	// sub.org is no zone of its own, so that the parent of example.sub.org is org.
	got := a.DS(t.Context(), []string{zone, "example.sub.org.", "."})
	if len(got) != 2 {
		t.Errorf("the root has no parent: %v", got["."])
	}
	for of, want := range map[string]int{zone: 2, "example.sub.org.": 4} { // their answers are of example.org
		if observed := got[of]; len(observed) != 4 || silent(observed) != want {
			t.Errorf("%s: want 4, of which %d could not be asked: %+v", of, want, observed)
		}
	}
}

// The servers of the parent may be given, with their ports. Then no resolver is needed.
func TestGivenServers(t *testing.T) {
	t.Parallel()
	a := Asker{Servers: []netip.AddrPort{serve(t, "127.0.0.1:0", says(0, true, []string{ds}, nil)), unused}}
	got := a.DS(t.Context(), []string{zone})[zone]
	if len(got) != 2 || got[0].Err != nil || len(got[0].Others) != 1 || got[0].Server != a.Servers[0].String() || got[1].Err == nil {
		t.Errorf("%+v", got)
	}
}

func TestParentThatCannotBeFound(t *testing.T) {
	t.Parallel()
	refuses := serve(t, "127.0.0.1:0", says(dns.RcodeRefused, false, nil, nil))
	for name, c := range map[string]struct {
		resolvers []netip.AddrPort
		says      string
	}{
		"no resolver":       {nil, "no resolver"},
		"it refuses":        {[]netip.AddrPort{refuses}, "REFUSED"},
		"it knows no NS":    {[]netip.AddrPort{resolver(t, soaOrg)}, "no NS"},
		"it is not there":   {[]netip.AddrPort{unused}, "refused"},
		"it says no zone":   {[]netip.AddrPort{serve(t, "127.0.0.1:0", says(0, false, nil, nil))}, "which zone"},
		"it has other SOAs": {[]netip.AddrPort{serve(t, "127.0.0.1:0", says(0, false, nil, []string{"net. 1 IN SOA a. b. 1 2 3 4 5"}))}, "which zone"},
	} {
		a := Asker{Resolvers: c.resolvers}
		got := a.DS(t.Context(), []string{zone})[zone]
		if len(got) != 1 {
			t.Errorf("%s: %+v", name, got)
			continue
		}
		wantError(t, got[0].Err, c.says)
	}
}

// A hostile parent with very many servers is not asked.
func TestTooManyServers(t *testing.T) {
	t.Parallel()
	data := []string{soaOrg}
	for n := range maxServers + 1 {
		data = append(data, fmt.Sprintf("org. 60 IN NS ns%d.example.", n), fmt.Sprintf("ns%d.example. 60 IN A 127.0.0.1", n))
	}
	a := Asker{Resolvers: []netip.AddrPort{resolver(t, data...)}}
	got := a.DS(t.Context(), []string{zone})[zone]
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	wantError(t, got[0].Err, "33")
}

// A family of addresses that this machine has no way to counts only for a server that has no other.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	four, six, alone := server{name: "a.", addr: netip.MustParseAddrPort("192.0.2.1:53")}, server{name: "a.", addr: netip.MustParseAddrPort("[2001:db8::1]:53")}, server{name: "b.", addr: netip.MustParseAddrPort("[2001:db8::2]:53")}
	unreachable := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
	replies := map[netip.AddrPort]answers{four.addr: {}, six.addr: {zone: {err: unreachable}}, alone.addr: {zone: {err: unreachable}}}
	names := func() (all []string) {
		for _, o := range observe(zone, []server{four, six, alone}, replies) {
			all = append(all, o.Server)
		}
		return all
	}
	if got := names(); !slices.Equal(got, []string{four.String(), alone.String()}) {
		t.Errorf("only the IPv6 address beside one that answered is elsewhere: %q", got)
	}
	replies[four.addr] = answers{zone: {err: context.DeadlineExceeded}}
	if got := names(); len(got) != 3 {
		t.Errorf("a server of which no address answers is silent: %q", got)
	}
}

// busy is a server of the parent that counts what it has to bear.
type busy struct {
	connections atomic.Int32
	last        func(connection, question int32, zone string) bool // whether it ends the connection instead of an answer; nil: never
	mu          sync.Mutex
	of          map[dns.ResponseWriter]int32 // questions of each connection: a client's port may be used again at once
}

func (b *busy) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	b.mu.Lock()
	if b.of == nil {
		b.of = map[dns.ResponseWriter]int32{}
	}
	if b.of[w]++; b.of[w] == 1 {
		b.connections.Add(1)
	}
	end := b.last != nil && b.last(b.connections.Load(), b.of[w], q.Question[0].Name)
	b.mu.Unlock()
	if end {
		w.Close()
		return
	}
	m := new(dns.Msg).SetReply(q)
	m.Authoritative, m.Answer = true, records([]string{strings.Replace(ds, zone, q.Question[0].Name, 1)})
	w.WriteMsg(m)
}

// Thousands of zones cost their parent's servers one connection each, and the resolver a question for each
// name.
func TestManyZones(t *testing.T) {
	t.Parallel()
	const many = 2000
	var zones []string
	for n := range many {
		zones = append(zones, fmt.Sprintf("z%d.org.", n))
	}
	for name, c := range map[string]struct {
		last        func(connection, question int32, zone string) bool
		connections int32 // at most
		answered    int
		lost        int // of these at most: a server that closes the connection may lose the replies that it has just sent
	}{
		"one that answers all":                  {nil, many/128 + 1, many, 0}, // the library's limit
		"one that answers a hundred on each":    {func(_, question int32, _ string) bool { return question > 100 }, many/100 + 1, many, 0},
		"one that answers one on each":          {func(_, question int32, _ string) bool { return question > 1 }, 2*many + 2, many, 0},
		"one that answers none at first":        {func(connection, _ int32, _ string) bool { return connection == 1 }, 2 + many, many, 0},
		"one that answers none":                 {func(_, _ int32, _ string) bool { return true }, enough, 0, 0},
		"one that chokes on some zones":         {func(_, _ int32, zone string) bool { return zone == "z0.org." || zone == "z5.org." }, many/128 + 8, many - 2, 0},
		"one that stops after five connections": {func(connection, question int32, _ string) bool { return connection > 5 || question > 100 }, 5 + enough, 500, 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servant, asked := &busy{last: c.last}, &atomic.Int32{}
			a := nameserver(t, serve(t, "127.0.0.1:0", servant.ServeDNS))
			direct := a.Resolvers[0]
			a.Resolvers = []netip.AddrPort{serve(t, "127.0.0.1:0", func(w dns.ResponseWriter, q *dns.Msg) {
				asked.Add(1)
				m, _, err := (&dns.Client{Net: "tcp"}).Exchange(q, direct.String())
				if err != nil {
					m = new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
				}
				w.WriteMsg(m)
			})}
			got := a.DS(t.Context(), zones)
			answered := 0
			for _, zone := range zones {
				o := got[zone]
				if len(o) != 1 {
					t.Fatalf("%s: %+v", zone, o)
				}
				if o[0].Err == nil && len(o[0].Others) == 1 && o[0].Others[0].Hdr.Name == zone {
					answered++
				}
			}
			if answered > c.answered || answered < c.answered-c.lost || asked.Load() != 4 || servant.connections.Load() > c.connections {
				t.Errorf("%d zones answered, want %d; the resolver was asked %d times, want 4; %d connections, want at most %d",
					answered, c.answered, asked.Load(), servant.connections.Load(), c.connections)
			}
		})
	}
}

// Questions are asked before the answers to others have come, and answers may come in any order (RFC 7766 7).
func TestPipelining(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		accepted, err := listener.Accept()
		if err != nil {
			return
		}
		conn := &dns.Conn{Conn: accepted}
		defer conn.Close()
		for {
			var asked []*dns.Msg
			for range inFlight {
				q, err := conn.ReadMsg()
				if err != nil {
					return
				}
				asked = append(asked, q)
			}
			for _, q := range slices.Backward(asked) {
				m := new(dns.Msg).SetReply(q)
				m.Authoritative, m.Answer = true, records([]string{strings.Replace(ds, zone, q.Question[0].Name, 1)})
				conn.WriteMsg(m)
			}
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	a := Asker{Servers: []netip.AddrPort{listener.Addr().(*net.TCPAddr).AddrPort()}}
	var zones []string
	for n := range 3 * inFlight {
		zones = append(zones, fmt.Sprintf("z%d.org.", n))
	}
	for zone, o := range a.DS(t.Context(), zones) {
		if o[0].Err != nil || len(o[0].Others) != 1 || o[0].Others[0].Hdr.Name != zone {
			t.Errorf("%s: %+v", zone, o)
		}
	}
}

// When there is no more time, all that was not answered is an observation with that reason.
func TestTheEndOfTime(t *testing.T) {
	t.Parallel()
	for name, blocked := range map[string]uint16{"a server": dns.TypeDS, "the resolver": dns.TypeSOA} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			reason := errors.New("no more time")
			hang := make(chan struct{})
			hangs := func(w dns.ResponseWriter, q *dns.Msg) {
				if q.Question[0].Qtype == blocked {
					cancel(reason)
					<-hang
					return
				}
				says(0, true, nil, []string{soaOrg})(w, q)
			}
			addr := serve(t, "127.0.0.1:0", hangs)
			t.Cleanup(func() { close(hang) })
			a := Asker{Servers: []netip.AddrPort{addr}}
			if blocked == dns.TypeSOA {
				a = Asker{Resolvers: []netip.AddrPort{addr}}
			}
			got := a.DS(ctx, []string{zone, "example.net."})
			for _, of := range []string{zone, "example.net."} {
				if o := got[of]; len(o) != 1 || o[0].Err == nil {
					t.Errorf("%s: %+v", of, o)
				}
			}
			if err := got[zone][0].Err; err != nil && !errors.Is(err, reason) {
				t.Errorf("it says %v", err)
			}
		})
	}
}

func TestSystemResolvers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want, err string }{
		"two":        {"search example.org\nnameserver 127.0.0.53\nnameserver 2001:db8::53\n", "[127.0.0.53:53 [2001:db8::53]:53]", ""},
		"a scope":    {"nameserver fe80::1%lo\n", "[[fe80::1%lo]:53]", ""},
		"none":       {"search example.org\n", "", "lists no resolver"},
		"no address": {"nameserver resolver.example\n", "", `"resolver.example"`},
		"no file":    {"", "", "no such file"},
	} {
		path := filepath.Join(t.TempDir(), "resolv.conf")
		if c.text != "" {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := resolversIn(path)
		if wantError(t, err, c.err); err == nil && fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}
