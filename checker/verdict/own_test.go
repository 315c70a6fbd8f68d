package verdict_test

import (
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/test/lab"
)

// referral answers for a name with a delegation to a server that has an IPv6 address alone.
func referral(zone string) lab.Hook {
	return func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if !dns.IsSubDomain(zone, dns.CanonicalName(q.Name)) || q.Qtype == dns.TypeDS {
			return m
		}
		m = m.Copy()
		m.Authoritative, m.Rcode, m.Answer = false, dns.RcodeSuccess, nil
		m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 300}, Ns: "ns." + zone}}
		m.Extra = append(m.Extra, &dns.AAAA{Hdr: dns.RR_Header{Name: "ns." + zone, Rrtype: dns.TypeAAAA, Class: dns.ClassINET, Ttl: 300}, AAAA: net.ParseIP("2001:db8::1")})
		return m
	}
}

// What is wrong with the machine that looks is no lock-out: nothing was found out.
func TestOwnFaults(t *testing.T) {
	t.Parallel()
	other := &dns.DS{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeDS, Class: dns.ClassINET}, KeyTag: 1, Algorithm: dns.ED25519, DigestType: dns.SHA256, Digest: "00"}
	zones := []lab.Zone{
		{Name: "test.", Servers: []string{"a.nic.test."}, Unsigned: true},
		{Name: "ok.test.", Servers: []string{"ns.ok.test."}, Unsigned: true, Text: `@ CAA 0 issue "ca.example"`},
		{Name: "dead.test.", Servers: []string{"ns.dead.test."}, Unsigned: true},
	}
	silent := func(string, dns.Question, *dns.Msg) *dns.Msg { return nil }
	l := lab.New(t, map[string]lab.Hook{"a.nic.test.": referral("six.test."), "ns.dead.test.": silent}, zones...)
	for _, tt := range []struct {
		what, name string
		edit       func(*resolve.Config)
		want       verdict.Outcome
		reason     issuance.Reason
	}{
		{"nothing is wrong", "ok.test", nil, verdict.MayIssue, issuance.Authorized},
		{"the trust anchor is another's", "ok.test", func(c *resolve.Config) { c.Anchors = []dns.RR{other} }, verdict.Unknown, verdict.AnchorFails},
		{"the clock is years ahead", "ok.test", func(c *resolve.Config) { c.Now = func() time.Time { return time.Now().AddDate(5, 0, 0) } }, verdict.Unknown, verdict.AnchorFails},
		{"IPv6 alone, and the machine has none", "six.test", func(c *resolve.Config) { c.NoIPv6 = true }, verdict.Unknown, verdict.Incomplete},
		{"a zone whose servers are dead", "dead.test", nil, verdict.AtRisk, verdict.FailedUnsigned},
		{"such a zone, and nothing proves it to be unsigned", "dead.test", func(c *resolve.Config) { c.Anchors = []dns.RR{} }, verdict.LockedOut, verdict.FailedSigned},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			cfg := resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: 300 * time.Millisecond, Tries: 1}
			if tt.edit != nil {
				tt.edit(&cfg)
			}
			r, err := resolve.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if got := decide(t, r, guard.Requirement{Name: tt.name + ".", Domain: "ca.example"}, today); got.Outcome != tt.want || got.Reason != tt.reason {
				t.Errorf("got %v (%s): %s, want %v (%s)", got.Outcome, got.Reason, got.Detail, tt.want, tt.reason)
			}
		})
	}
}

// losing are servers of which nothing comes while the network is lost.
func losing(lost *atomic.Bool, servers ...string) map[string]lab.Hook {
	hooks := map[string]lab.Hook{}
	for _, server := range servers {
		hooks[server] = func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
			if lost.Load() {
				return nil
			}
			return m
		}
	}
	return hooks
}

// A network that is lost after a while locks nobody out, signed or not; what has been found out stands.
func TestTheNetworkIsLost(t *testing.T) {
	t.Parallel()
	var lost atomic.Bool
	l := lab.New(t, losing(&lost, "a.root.", "a.nic.test.", "ns.signed.test.", "ns.unsigned.test."),
		lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}},
		lab.Zone{Name: "signed.test.", Servers: []string{"ns.signed.test."}, Text: `www CAA 0 issue "ca.example"`},
		lab.Zone{Name: "unsigned.test.", Servers: []string{"ns.unsigned.test."}, Unsigned: true, Text: `www CAA 0 issue "ca.example"`})
	r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: 200 * time.Millisecond, Tries: 1})
	if err != nil {
		t.Fatal(err)
	}
	outcome := func(name string) verdict.Verdict {
		return decide(t, r, guard.Requirement{Name: name, Domain: "ca.example"}, today)
	}
	if got := outcome("www.signed.test."); got.Outcome != verdict.MayIssue {
		t.Fatalf("got %v (%s)", got.Outcome, got.Reason)
	}
	lost.Store(true)
	for name, want := range map[string]issuance.Reason{"www.signed.test.": issuance.Authorized, "x.signed.test.": verdict.Offline, "www.unsigned.test.": verdict.Offline, "www.other.test.": verdict.Offline} {
		if got := outcome(name); got.Reason != want || got.Outcome == verdict.LockedOut || got.Outcome == verdict.AtRisk {
			t.Errorf("%s: got %v (%s): %s, want %s", name, got.Outcome, got.Reason, got.Detail, want)
		}
	}
}

// A network that is lost after the first of two servers, whose answer does not validate, leaves open what the second
// would have answered: a CA's resolver asks it.
func TestTheNetworkIsLostAfterOneServer(t *testing.T) {
	t.Parallel()
	for _, rrtype := range []uint16{dns.TypeCAA, dns.TypeDNSKEY} {
		t.Run(dns.TypeToString[rrtype], func(t *testing.T) {
			t.Parallel()
			var lost atomic.Bool
			hooks := losing(&lost, "a.nic.test.", "ns2.signed.test.")
			hooks["a.root."] = func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
				if lost.Swap(false) { // it is back after the question whether it is there
					return nil
				}
				return m
			}
			hooks["ns1.signed.test."] = func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
				if q.Qtype == rrtype {
					lost.Store(true)
					m = m.Copy()
					m.Answer = slices.DeleteFunc(m.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeRRSIG })
				}
				return m
			}
			l := lab.New(t, hooks,
				lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}},
				lab.Zone{Name: "signed.test.", Servers: []string{"ns1.signed.test.", "ns2.signed.test."}, Text: `@ CAA 0 issue "ca.example"`})
			r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: 100 * time.Millisecond, Tries: 1})
			if err != nil {
				t.Fatal(err)
			}
			if got := decide(t, r, guard.Requirement{Name: "signed.test.", Domain: "ca.example"}, today); got.Reason != verdict.Offline {
				t.Errorf("got %v (%s): %s", got.Outcome, got.Reason, got.Detail)
			}
		})
	}
}

// IPv6 counts where one of the root's addresses answers over it, or where the root has none to ask.
func TestWorksIPv6(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		what, hints string
		want        bool
	}{
		{"no address", ". NS a.root.\na.root. A 127.0.0.1", true},
		{"an address where nobody listens", ". NS a.root.\na.root. AAAA ::1", false},
	} {
		hints, err := resolve.Records(tt.hints, "hints")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("[::1]:0")))
		if err != nil {
			t.Skip("this machine has no IPv6")
		}
		port := conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		defer conn.Close()
		r, err := resolve.New(resolve.Config{Hints: hints, Port: port, Timeout: 100 * time.Millisecond, Tries: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.WorksIPv6(t.Context()); got != tt.want {
			t.Errorf("%s: %v", tt.what, got)
		}
	}
}
