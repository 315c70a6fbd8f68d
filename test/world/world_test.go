package world_test

import (
	"maps"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

func TestMain(m *testing.M) { os.Exit(world.Main(m)) }

const zoneFile = `$ORIGIN example.org.
$TTL 3600
@    SOA ns1 hostmaster 1 7200 3600 1209600 300
@    NS  ns1
@    CAA 0 issue "letsencrypt.org"
ns1  A   127.0.0.1
www  A   192.0.2.1
www  CAA 0 issue ";"
`

// stock is CoreDNS as it comes: the plugin dnssec over the plugin file.
func stock(t *testing.T) world.Zone {
	t.Helper()
	key := world.NewKey(t, "example.org")
	files := map[string]string{"example.org.db": zoneFile}
	maps.Copy(files, key.Files)
	server := world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    dnssec {
        key file $DIR/`+key.Name+`
    }
    file $DIR/example.org.db
}
`, files)
	return world.Zone{Name: "example.org", Server: server.Addr, Anchor: key.DS}
}

// The harness itself: with the right anchor the resolvers say that an answer is authentic, with
// another key's anchor they refuse to give it.
func TestResolversValidate(t *testing.T) {
	t.Parallel()
	zone := stock(t)
	other := zone
	other.Anchor = world.NewKey(t, zone.Name).DS
	for name, start := range world.Resolvers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := world.Ask(t, start(t, zone).Addr, "www.example.org", dns.TypeA)
			if got := world.Texts(answer.Answer, dns.TypeA); !answer.AuthenticatedData || len(got) != 1 || got[0] != "192.0.2.1" {
				t.Errorf("want the address, authentic; got\n%v", answer)
			}
			answer = world.Ask(t, start(t, other).Addr, "www.example.org", dns.TypeA)
			if answer.Rcode != dns.RcodeServerFailure {
				t.Errorf("with another key's anchor: want SERVFAIL, got\n%v", answer)
			}
		})
	}
}

// A resolver of a world knows the zones that it is given; for any other it asks nobody.
func TestResolversKnowNothingElse(t *testing.T) {
	t.Parallel()
	zone := stock(t)
	for name, start := range world.Resolvers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if answer := world.Ask(t, start(t, zone).Addr, "example.net", dns.TypeA); answer.Rcode != dns.RcodeRefused {
				t.Errorf("want REFUSED, got\n%v", answer)
			}
		})
	}
}

func TestRefusedCorefileSaysWhy(t *testing.T) {
	t.Parallel()
	output := world.RunCoreDNS(t, ".:$PORT {\n    kubernetes\n}\n", nil)
	if !strings.Contains(output, "Corefile:2") || !strings.Contains(output, "build with -tags full") {
		t.Errorf("CoreDNS wrote:\n%s", output)
	}
}

// A port that is taken when a server starts, and free a moment later, fails no test.
func TestAPortTakenForAMoment(t *testing.T) {
	t.Parallel()
	addr, conn := world.TakenAddr(t)
	time.AfterFunc(300*time.Millisecond, func() { conn.Close() })
	world.NSD(t, addr, map[string]string{"example.": "example. 60 SOA . . 1 1 1 1 1\nexample. 60 NS ns.example.\n"})
	if m := world.Ask(t, addr, "example.", dns.TypeSOA); len(m.Answer) == 0 {
		t.Errorf("got %v", m)
	}
}

// A resolver that gives up without a word of DNSSEC (RFC 8914) is asked again, as is one that is silent; what it says of
// DNSSEC is its answer, and what a server says that is no resolver. That it gives up each time is its answer, too.
func TestQuery(t *testing.T) {
	t.Parallel()
	servFail := func(codes ...uint16) *dns.Msg {
		m := new(dns.Msg)
		m.Rcode = dns.RcodeServerFailure
		m.SetEdns0(1232, true)
		for _, code := range codes {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: code})
		}
		return m
	}
	fine := new(dns.Msg)
	for name, c := range map[string]struct {
		answers  []*dns.Msg // in turn, the last again and again; nil: silence
		resolver bool
		again    int
		rcode    int
	}{
		"fine":                      {[]*dns.Msg{fine}, true, 0, dns.RcodeSuccess},
		"it gave up":                {[]*dns.Msg{servFail(), fine}, true, 1, dns.RcodeSuccess},
		"without EDNS":              {[]*dns.Msg{{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeServerFailure}}, servFail(), fine}, true, 2, dns.RcodeSuccess},
		"no reachable authority":    {[]*dns.Msg{servFail(dns.ExtendedErrorCodeNoReachableAuthority), fine}, true, 1, dns.RcodeSuccess},
		"it gives up each time":     {[]*dns.Msg{servFail()}, true, 2, dns.RcodeServerFailure},
		"bogus":                     {[]*dns.Msg{servFail(dns.ExtendedErrorCodeDNSBogus), fine}, true, 0, dns.RcodeServerFailure},
		"bogus, and no server":      {[]*dns.Msg{servFail(dns.ExtendedErrorCodeNoReachableAuthority, dns.ExtendedErrorCodeDNSKEYMissing), fine}, true, 0, dns.RcodeServerFailure},
		"a server, no resolver":     {[]*dns.Msg{servFail(), fine}, false, 0, dns.RcodeServerFailure},
		"REFUSED":                   {[]*dns.Msg{{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeRefused}}, fine}, true, 0, dns.RcodeRefused},
		"silent once, 20 s, and up": {[]*dns.Msg{nil, fine}, true, 1, dns.RcodeSuccess},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var n atomic.Int32
			server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
				if answer := c.answers[min(int(n.Add(1)), len(c.answers))-1]; answer != nil {
					reply := answer.Copy()
					reply.Id, reply.Response, reply.Question = r.Id, true, r.Question
					_ = w.WriteMsg(reply)
				}
			})}
			go func() { _ = server.ActivateAndServe() }()
			t.Cleanup(func() { _ = server.Shutdown() })
			addr := conn.LocalAddr().(*net.UDPAddr).AddrPort()
			if c.resolver {
				world.IsResolver(t, addr, "the test's resolver")
			}
			answer, again, err := world.Query(addr, new(dns.Msg).SetQuestion("example.org.", dns.TypeCAA))
			if err != nil || again != c.again || answer.Rcode != c.rcode {
				t.Errorf("%v, asked again %d times, want %d: %v", err, again, c.again, answer)
			}
		})
	}
}
