package overlay

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

const (
	randomNames    = 10_000
	perRandomName  = 1.1 // questions to the backend about an address of a random name, at most
	perUnknownName = 4.0 // about another type: an address of each family and CNAME decide whether it is an alias
)

// Over forward nobody knows whether a name that it denies has another type. That costs NOERROR in place of NXDOMAIN, and
// questions: none but the one asked where it is for an address, as it is for most names that are made up.
func TestWhatRandomNamesCost(t *testing.T) {
	t.Parallel()
	backend := denying(t)
	key := world.NewKey(t, "example.test.")
	files := map[string]string{"policy.yaml": "version: 1\nissuers:\n  letsencrypt: {domain: letsencrypt.org}\nzones:\n  example.test: {issue: [letsencrypt]}\n"}
	maps.Copy(files, key.Files)
	ours := world.CoreDNS(t, "example.test:$PORT {\n    bind $ADDR\n    errors\n    caa $DIR/policy.yaml {\n        key file $DIR/"+key.Name+
		"\n        reload off\n    }\n    forward . "+backend.addr.String()+"\n}\n", files).Addr

	random := rand.New(rand.NewPCG(8020, 8198))
	for _, c := range []struct {
		qtype uint16
		names int
		most  float64
	}{
		{dns.TypeA, randomNames, perRandomName},
		{dns.TypeAAAA, randomNames / 10, perRandomName},
		{dns.TypeHTTPS, randomNames / 50, perUnknownName},
		{dns.TypeTXT, randomNames / 50, perUnknownName},
		{dns.TypeCAA, randomNames / 50, perUnknownName},
	} {
		before, codes := backend.asked.Load(), map[int]int{}
		for _, m := range askAll(t, ours, random, c.qtype, c.names) {
			codes[m.Rcode]++
		}
		asked := backend.asked.Load() - before
		t.Logf("%s of %d random names: %d questions to the backend, which answered NXDOMAIN; NOERROR to %d, NXDOMAIN to %d",
			dns.Type(c.qtype), c.names, asked, codes[dns.RcodeSuccess], codes[dns.RcodeNameError])
		if each := float64(asked) / float64(c.names); each > c.most {
			t.Errorf("%s: %.2f questions a name, want %.1f at most", dns.Type(c.qtype), each, c.most)
		}
		if codes[dns.RcodeSuccess] != c.names {
			t.Errorf("%s: answers by code: %v", dns.Type(c.qtype), codes)
		}
	}
}

// atOnce are the questions that are under way at the same time.
const atOnce = 8

// askAll asks for names that nobody has asked for before, and returns the answers.
func askAll(t *testing.T, server netip.AddrPort, random *rand.Rand, qtype uint16, n int) (answers []*dns.Msg) {
	t.Helper()
	names := make(chan string, n)
	for range n {
		names <- fmt.Sprintf("%016x.example.test.", random.Uint64())
	}
	close(names)
	var all sync.WaitGroup
	var mu sync.Mutex
	for range atOnce {
		all.Go(func() {
			for name := range names {
				r := new(dns.Msg).SetQuestion(name, qtype)
				r.SetEdns0(1232, true)
				m, _, err := world.Query(server, r)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				answers = append(answers, m)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return answers
}

// denyingServer is a backend that counts questions.
type denyingServer struct {
	addr  netip.AddrPort
	asked atomic.Int64
}

// denying starts a server that has nothing but the apex of example.test.
func denying(t *testing.T) *denyingServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &denyingServer{addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	soa, err := dns.NewRR("example.test. 300 SOA ns.example.test. h.example.test. 1 7200 3600 1209600 60")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		s.asked.Add(1)
		m := new(dns.Msg).SetReply(r)
		m.Authoritative = true
		switch q := r.Question[0]; {
		case q.Name == "example.test." && q.Qtype == dns.TypeSOA:
			m.Answer = []dns.RR{soa}
		case q.Name == "example.test.":
			m.Ns = []dns.RR{soa}
		default:
			m.Rcode, m.Ns = dns.RcodeNameError, []dns.RR{soa}
		}
		_ = w.WriteMsg(m) // who asked may have gone
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return s
}
