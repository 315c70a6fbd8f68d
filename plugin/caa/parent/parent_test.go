package parent

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
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
	foreignDS  = "example.org. 7200 IN DS 1 13 2 00"
)

func newKey(t *testing.T) *dns.DNSKEY {
	t.Helper()
	key := &dns.DNSKEY{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET}, Flags: 257, Protocol: 3, Algorithm: 13}
	if _, err := key.Generate(256); err != nil {
		t.Fatal(err)
	}
	return key
}

// Each server says what it says, and only an answer of the parent's counts.
func TestWhatServersSay(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	set := key.ToDS(dns.SHA256)
	set.Hdr.Ttl = 3600
	ds := set.String()
	for name, c := range map[string]struct {
		answer dns.HandlerFunc
		named  int
		others int
		ttl    time.Duration
		err    string
	}{
		"our DS":                {says(0, true, []string{ds}, nil), 1, 0, time.Hour, ""},
		"ours and another":      {says(0, true, []string{ds, foreignDS}, nil), 1, 1, 2 * time.Hour, ""},
		"another":               {says(0, true, []string{foreignDS}, nil), 0, 1, 2 * time.Hour, ""},
		"none, by the parent":   {says(0, true, nil, []string{soaOrg}), 0, 0, 0, ""},
		"none, by the child":    {says(0, true, nil, []string{soaExample}), 0, 0, 0, "as the parent"},
		"none, without a proof": {says(0, true, nil, nil), 0, 0, 0, "as the parent"},
		"a referral":            {says(0, false, nil, []string{"example.org. 60 IN NS a.example."}), 0, 0, 0, "authority"},
		"a resolver's answer":   {says(0, false, []string{ds}, nil), 0, 0, 0, "authority"},
		"REFUSED":               {says(dns.RcodeRefused, false, nil, nil), 0, 0, 0, "REFUSED"},
		"SERVFAIL":              {says(dns.RcodeServerFailure, true, nil, nil), 0, 0, 0, "SERVFAIL"},
		"NXDOMAIN":              {says(dns.RcodeNameError, true, nil, []string{soaOrg}), 0, 0, 0, "NXDOMAIN"},
		"another question": {func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			m.Authoritative, m.Question[0].Name, m.Answer = true, "example.net.", records([]string{ds})
			w.WriteMsg(m)
		}, 0, 0, 0, "another question"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := serve(t, "127.0.0.1:0", c.answer)
			a := Asker{Port: addr.Port(), Resolvers: []netip.AddrPort{resolver(t, soaOrg, "org. 60 IN NS ns.example.", "ns.example. 60 IN A 127.0.0.1")}}
			got, err := a.DS(t.Context(), "Example.org", []*dns.DNSKEY{newKey(t), key})
			if err != nil || len(got) != 1 {
				t.Fatalf("%+v, %v", got, err)
			}
			o := got[0]
			if len(o.Named) != c.named || len(o.Others) != c.others || o.TTL != c.ttl || o.Server != "ns.example. (127.0.0.1)" {
				t.Errorf("%+v", o)
			}
			if (o.Err != nil) != (c.err != "") || o.Err != nil && !strings.Contains(o.Err.Error(), c.err) {
				t.Errorf("error %v, want %q", o.Err, c.err)
			}
		})
	}
}

// Every address of every server is asked; one that cannot be found or asked is an observation, too.
func TestEveryServerIsAsked(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	ds := key.ToDS(dns.SHA256).String()
	first := serve(t, "127.0.0.1:0", says(0, true, []string{ds}, nil))
	serve(t, fmt.Sprintf("127.0.0.2:%d", first.Port()), says(0, true, []string{foreignDS}, nil))
	a := Asker{Port: first.Port(), Resolvers: []netip.AddrPort{
		netip.MustParseAddrPort("127.0.0.1:1"), // nobody is there: the next one is asked
		resolver(t, "sub.org. 60 IN TXT nothing",
			"org. 60 IN NS a.example.", "org. 60 IN NS b.example.", "org. 60 IN NS c.example.",
			"a.example. 60 IN A 127.0.0.1", "a.example. 60 IN A 127.0.0.2", "b.example. 60 IN A 127.0.0.3"),
	}}
	// sub.org is no zone of its own, so that the parent of example.sub.org is org.
	for _, of := range []string{zone, "example.sub.org."} {
		got, err := a.DS(t.Context(), of, []*dns.DNSKEY{key})
		if err != nil || len(got) != 4 {
			t.Fatalf("%+v, %v", got, err)
		}
		silent := 0
		for _, o := range got {
			if o.Err != nil {
				silent++
			}
		}
		if want := map[string]int{zone: 2, "example.sub.org.": 4}[of]; silent != want { // theirs are of example.org
			t.Errorf("%s: %d could not be asked, want %d: %+v", of, silent, want, got)
		}
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
		"it is not there":   {[]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}, "refused"},
		"it says no zone":   {[]netip.AddrPort{serve(t, "127.0.0.1:0", says(0, false, nil, nil))}, "which zone"},
		"it has other SOAs": {[]netip.AddrPort{serve(t, "127.0.0.1:0", says(0, false, nil, []string{"net. 1 IN SOA a. b. 1 2 3 4 5"}))}, "which zone"},
	} {
		a := Asker{Resolvers: c.resolvers}
		if got, err := a.DS(t.Context(), zone, nil); err == nil || !strings.Contains(err.Error(), c.says) || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := (&Asker{}).DS(t.Context(), ".", nil); got != nil || err != nil {
		t.Errorf("the root has no parent: %v, %v", got, err)
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
	if _, err := a.DS(t.Context(), zone, nil); err == nil || !strings.Contains(err.Error(), "33 servers") {
		t.Error(err)
	}
}

// A family of addresses that this machine has no way to counts only for a server that has no other.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	four, six, alone := server{name: "a.", addr: netip.MustParseAddrPort("192.0.2.1:53")}, server{name: "a.", addr: netip.MustParseAddrPort("[2001:db8::1]:53")}, server{name: "b.", addr: netip.MustParseAddrPort("[2001:db8::2]:53")}
	unreachable := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
	said := map[server]keyroll.Observation{four: {}, six: {Err: unreachable}, alone: {Err: unreachable}}
	if elsewhere(four, said) || !elsewhere(six, said) || elsewhere(alone, said) {
		t.Error("only the IPv6 address beside one that answered is elsewhere")
	}
	said[four] = keyroll.Observation{Err: context.DeadlineExceeded}
	if elsewhere(six, said) || elsewhere(four, said) {
		t.Error("a server of which no address answers is silent")
	}
}
