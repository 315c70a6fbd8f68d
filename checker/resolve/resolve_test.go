package resolve_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/test/lab"
)

// world is a root, a TLD and a few zones below it.
func world() []lab.Zone {
	return []lab.Zone{
		{Name: "test.", Servers: []string{"a.nic.test."}},
		{Name: "example.test.", Servers: []string{"ns1.example.test.", "ns2.example.test."}, Text: `
@        CAA 0 issue "ca.example"
www      CAA 0 issue ";"
host     A 192.0.2.1
alias    CNAME www
away     CNAME www.other.test.
tree     DNAME other.test.
loop     CNAME loop2
loop2    CNAME loop
*.wild   CAA 0 issue "wild.example"
a.b.c    TXT "deep"
`},
		{Name: "sub.example.test.", Servers: []string{"ns1.example.test."}, Text: `@ CAA 0 issue "sub.example"`},
		{Name: "other.test.", Servers: []string{"ns.other.test."}, Unsigned: true, Text: `www CAA 0 issue "other.example"`},
		{Name: "glueless.test.", Servers: []string{"ns1.example.test."}, Text: `@ CAA 0 issue "ca.example"`},
		{Name: "left.test.", Servers: []string{"ns.right.test."}, Text: `@ CAA 0 issue "ca.example"`},
		{Name: "right.test.", Servers: []string{"ns.left.test."}, Text: `@ CAA 0 issue "ca.example"`},
	}
}

func resolver(t testing.TB, l *lab.Lab, edit func(*resolve.Config)) *resolve.Resolver {
	t.Helper()
	cfg := resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: 5 * time.Second, NoIPv6: true}
	if edit != nil {
		edit(&cfg)
	}
	r, err := resolve.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// values are the CAA values of an answer.
func values(a resolve.Answer) string {
	var out []string
	for _, rr := range a.RRset.RRs {
		out = append(out, rr.(*dns.CAA).Value)
	}
	return strings.Join(out, " ")
}

func TestLookup(t *testing.T) {
	t.Parallel()
	r := resolver(t, lab.New(t, nil, world()...), nil)
	tests := []struct {
		name, at string
		kind     resolve.Kind
		values   string
		status   dnssec.Status
		zone     string
	}{
		{"at the apex", "example.test.", resolve.Data, "ca.example", dnssec.Secure, "example.test."},
		{"below it, in another case", "WWW.Example.TEST.", resolve.Data, ";", dnssec.Secure, "example.test."},
		{"no such type", "host.example.test.", resolve.NoData, "", dnssec.Secure, "example.test."},
		{"no such name", "nothing.example.test.", resolve.NoName, "", dnssec.Secure, "example.test."},
		{"an empty non-terminal", "b.c.example.test.", resolve.NoData, "", dnssec.Secure, "example.test."},
		{"below a name that is not", "x.y.z.example.test.", resolve.NoName, "", dnssec.Secure, "example.test."},
		{"an alias", "alias.example.test.", resolve.Data, ";", dnssec.Secure, "example.test."},
		{"an alias into an unsigned zone", "away.example.test.", resolve.Data, "other.example", dnssec.Insecure, "other.test."},
		{"below a DNAME", "www.tree.example.test.", resolve.Data, "other.example", dnssec.Insecure, "other.test."},
		{"a DNAME's owner is no alias", "tree.example.test.", resolve.NoData, "", dnssec.Secure, "example.test."},
		{"from a wildcard", "x.wild.example.test.", resolve.Data, "wild.example", dnssec.Secure, "example.test."},
		{"a zone whose server has its parent, too", "sub.example.test.", resolve.Data, "sub.example", dnssec.Secure, "sub.example.test."},
		{"a zone with servers elsewhere", "glueless.test.", resolve.Data, "ca.example", dnssec.Secure, "glueless.test."},
		{"an unsigned zone", "other.test.", resolve.NoData, "", dnssec.Insecure, "other.test."},
		{"a TLD", "test.", resolve.NoData, "", dnssec.Secure, "test."},
		{"a TLD that does not exist", "nowhere.", resolve.NoName, "", dnssec.Secure, "."},
		{"aliases in a circle", "loop.example.test.", resolve.Failed, "", dnssec.Indeterminate, "example.test."},
		{"servers in a circle", "left.test.", resolve.Failed, "", dnssec.Indeterminate, "left.test."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := r.Lookup(t.Context(), tt.at, dns.TypeCAA)
			if got.Kind != tt.kind || values(got) != tt.values || got.Result.Status != tt.status || got.Zone.Name != tt.zone {
				t.Errorf("got %v %q, %v, in %s, error %v", got.Kind, values(got), got.Result, got.Zone.Name, got.Err)
			}
		})
	}
}

// What is wrong with a zone or its servers decides what becomes of its data (RFC 4035 5).
// A child on its parent's server, which answers for the child's NS records and leaves the addresses out, as BIND does with
// minimal-responses: the server gives them when it is asked (RFC 1034 4.3.2).
func TestAChildOnItsParentsServerWithoutAddresses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		what     string
		unsigned bool
		servers  []string
	}{
		{"one server", false, []string{"ns.child.test."}},
		{"one server, unsigned", true, []string{"ns.child.test."}},
		{"two servers, one of them the parent's", false, []string{"ns.child.test.", "ns2.child.test."}},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, nil, lab.Zone{Name: "test.", Servers: []string{"ns.child.test."}},
				lab.Zone{Name: "child.test.", Servers: test.servers, Unsigned: test.unsigned, Text: `@ CAA 0 issue "ca.example"`})
			r := resolver(t, l, nil)
			if a := r.Lookup(t.Context(), "child.test.", dns.TypeCAA); a.Err != nil || values(a) != "ca.example" {
				t.Fatalf("got %v, %v", values(a), a.Err)
			}
			zone, err := r.Zone(t.Context(), "child.test.")
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range r.Addresses(t.Context(), zone) {
				if !a.Addr.IsValid() {
					t.Errorf("%s has no address: %s", a.Server, a.Why)
				}
			}
		})
	}
}

func TestLookupInABrokenWorld(t *testing.T) {
	t.Parallel()
	const record = `@ CAA 0 issue "ca.example"`
	servers := []string{"ns.bad.test."}
	old := func(sig *dns.RRSIG) { sig.Inception, sig.Expiration = sig.Inception-7200, sig.Inception }
	answer := func(rcode int) lab.Hook {
		return func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
			if q.Qtype == dns.TypeCAA {
				m.Rcode, m.Answer, m.Ns = rcode, nil, nil
			}
			return m
		}
	}
	tests := []struct {
		name   string
		zone   lab.Zone
		hook   lab.Hook
		kind   resolve.Kind
		status dnssec.Status
		fails  resolve.Failure
		trust  dnssec.Status // of the zone that fails
	}{
		{"healthy", lab.Zone{Text: record}, nil, resolve.Data, dnssec.Secure, "", 0},
		{"unsigned", lab.Zone{Text: record, Unsigned: true}, nil, resolve.Data, dnssec.Insecure, "", 0},
		{"signed, and the parent does not know", lab.Zone{Text: record, NoDS: true}, nil, resolve.Data, dnssec.Insecure, "", 0},
		{"expired", lab.Zone{Text: record, Sign: old}, nil, resolve.Data, dnssec.Bogus, "", 0},
		{"the parent names another key", lab.Zone{Text: record, DS: func(ds *dns.DS) { ds.KeyTag++ }}, nil, resolve.Data, dnssec.Bogus, "", 0},
		{"an algorithm that nobody knows", lab.Zone{Text: record, DS: func(ds *dns.DS) { ds.Algorithm = 200 }}, nil, resolve.Data, dnssec.Insecure, "", 0},
		{"a denial that contradicts", lab.Zone{Text: "", Bitmap: func(_ string, types []uint16) []uint16 { return append(types, dns.TypeCAA) }}, nil, resolve.NoData, dnssec.Bogus, "", 0},
		{"a denial without its proof", lab.Zone{Text: ""}, func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
			if q.Qtype == dns.TypeCAA {
				m.Ns = nil
			}
			return m
		}, resolve.NoData, dnssec.Bogus, "", 0},
		{"CAA answered SERVFAIL", lab.Zone{Text: record}, answer(dns.RcodeServerFailure), resolve.Failed, 0, resolve.ServFail, dnssec.Secure},
		{"CAA answered SERVFAIL, unsigned", lab.Zone{Text: record, Unsigned: true}, answer(dns.RcodeServerFailure), resolve.Failed, 0, resolve.ServFail, dnssec.Insecure},
		{"CAA answered REFUSED", lab.Zone{Text: record}, answer(dns.RcodeRefused), resolve.Failed, 0, resolve.Refused, dnssec.Secure},
		{"CAA answered NOTIMP", lab.Zone{Text: record}, answer(dns.RcodeNotImplemented), resolve.Failed, 0, resolve.NotImp, dnssec.Secure},
		{"lame", lab.Zone{Text: record}, func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg { m.Authoritative = false; return m }, resolve.Failed, 0, resolve.NotAuthoritative, dnssec.Bogus},
		{"truncated without an end", lab.Zone{Text: record}, func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
			m.Truncated = q.Qtype == dns.TypeCAA
			return m
		}, resolve.Failed, 0, resolve.Truncated, dnssec.Secure},
		{"a server that knows no EDNS", lab.Zone{Text: record, Unsigned: true}, func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
			if m.IsEdns0() != nil {
				m.Rcode, m.Extra, m.Answer, m.Ns = dns.RcodeFormatError, nil, nil, nil
			}
			return m
		}, resolve.Data, dnssec.Insecure, "", 0},
		{"case not kept", lab.Zone{Text: record}, func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
			m.Question[0].Name = dns.CanonicalName(m.Question[0].Name)
			return m
		}, resolve.Data, dnssec.Secure, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.zone.Name, tt.zone.Servers = "bad.test.", servers
			l := lab.New(t, map[string]lab.Hook{"ns.bad.test.": tt.hook}, lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}}, tt.zone)
			got := resolver(t, l, nil).Lookup(t.Context(), "bad.test.", dns.TypeCAA)
			if got.Kind != tt.kind || got.Result.Status != tt.status {
				t.Errorf("got %v, %v, error %v; want %v, %v", got.Kind, got.Result, got.Err, tt.kind, tt.status)
			}
			if tt.fails != "" && (got.Err == nil || got.Err.Failure != tt.fails || got.Err.Trust().Status != tt.trust) {
				t.Errorf("error %v in a zone that is %v; want %s, %v", got.Err, got.Err.Trust(), tt.fails, tt.trust)
			}
		})
	}
}

// An answer that does not fit comes over TCP, and a server that refuses TCP has not answered.
func TestTruncationLeadsToTCP(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for range 60 {
		text.WriteString(`@ CAA 0 issue "` + strings.Repeat(string(rune('a'+text.Len()%26)), 40) + "." + "x" + strings.Repeat("y", text.Len()%40) + `"` + "\n")
	}
	zone := lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}, Text: text.String()}
	got := resolver(t, lab.New(t, nil, zone), nil).Lookup(t.Context(), "test.", dns.TypeCAA)
	if got.Kind != resolve.Data || len(got.RRset.RRs) < 2 || got.Seen[0].Transport != resolve.TCP {
		t.Errorf("got %v with %d records: %v", got.Kind, len(got.RRset.RRs), got.Err)
	}
	deaf := map[string]lab.Hook{"a.nic.test.": func(transport string, _ dns.Question, m *dns.Msg) *dns.Msg {
		if transport == "tcp" {
			return nil
		}
		return m
	}}
	short := func(c *resolve.Config) { c.Timeout = 300 * time.Millisecond }
	got = resolver(t, lab.New(t, deaf, zone), short).Lookup(t.Context(), "test.", dns.TypeCAA)
	if got.Err == nil || got.Err.Failure != resolve.TCPFailed {
		t.Errorf("with TCP refused: %v %v", got.Kind, got.Err)
	}
}

// Of two servers one is dead, and then one is wrong: a resolver takes the other's answer.
func TestTheOtherServerIsAsked(t *testing.T) {
	t.Parallel()
	for name, hook := range map[string]lab.Hook{
		"dead":  func(string, dns.Question, *dns.Msg) *dns.Msg { return nil },
		"bogus": func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg { m.Answer, m.Ns = nil, nil; return m },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, map[string]lab.Hook{"ns1.example.test.": hook}, world()...)
			r := resolver(t, l, func(c *resolve.Config) { c.Timeout = 300 * time.Millisecond })
			got := r.Lookup(t.Context(), "example.test.", dns.TypeCAA)
			if got.Kind != resolve.Data || got.Result.Status != dnssec.Secure {
				t.Errorf("got %v, %v, error %v", got.Kind, got.Result, got.Err)
			}
		})
	}
}

func TestSurveyAsksEveryAddressOverBothTransports(t *testing.T) {
	t.Parallel()
	l := lab.New(t, nil, world()...)
	r := resolver(t, l, nil)
	zone, err := r.Zone(t.Context(), "host.example.test.")
	if err != nil || zone.Name != "example.test." {
		t.Fatal(zone, err)
	}
	var got []string
	for _, o := range r.Survey(t.Context(), zone, resolve.Question{Name: "www.example.test.", Type: dns.TypeCAA}) {
		if reading := zone.Read(o, o.Name, o.Type); reading.Kind != resolve.Data || reading.Result.Status != dnssec.Secure || !o.CaseKept || !o.EDNS || o.Size == 0 {
			t.Errorf("%+v: %v %v", o, reading.Kind, reading.Result)
		}
		got = append(got, o.Server+" "+o.Addr.Addr().String()+" "+string(o.Transport))
	}
	var want []string
	for _, server := range zone.Servers {
		for _, transport := range []string{"udp", "tcp"} {
			want = append(want, server.Name+" "+l.Addr(server.Name).String()+" "+transport)
		}
	}
	if len(want) != 4 || !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A survey says of a name server without an address whether it has none, or nobody knows.
func TestSurveyOfServersWithoutAddress(t *testing.T) {
	t.Parallel()
	fails := func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
		m.Rcode, m.Answer, m.Ns = dns.RcodeServerFailure, nil, nil
		return m
	}
	l := lab.New(t, map[string]lab.Hook{"ns.broken.test.": fails},
		lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}, Text: "example NS ns.none.test.\nexample NS ns1.broken.test.\n"},
		lab.Zone{Name: "broken.test.", Servers: []string{"ns.broken.test."}},
		lab.Zone{Name: "example.test.", Servers: []string{"ns1.example.test."}})
	r := resolver(t, l, nil)
	zone, err := r.Zone(t.Context(), "example.test.")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, o := range r.Survey(t.Context(), zone, resolve.Question{Name: "example.test.", Type: dns.TypeSOA}) {
		if again := r.Again(t.Context(), zone, o); o.Failure != "" && (again.Failure != o.Failure || again.Error != o.Error) {
			t.Errorf("asked again: %+v, before: %+v", again, o)
		}
		got[o.Server] = string(o.Failure) + " " + o.Error
	}
	if got["ns.none.test."] != "no-server it has no address" || !strings.HasPrefix(got["ns1.broken.test."], "no-server its addresses cannot be looked up: ns1.broken.test. A: servfail") || got["ns1.example.test."] != " " {
		t.Errorf("got %q", got)
	}
}

// One server alone is asked: an authoritative one, with the anchor of its zone.
func TestOneServer(t *testing.T) {
	t.Parallel()
	l := lab.New(t, nil, world()...)
	r := resolver(t, l, func(c *resolve.Config) {
		c.Only, c.Anchors = l.AddrPort("ns1.example.test."), []dns.RR{l.DS("example.test.")}
	})
	if got := r.Lookup(t.Context(), "www.example.test.", dns.TypeCAA); values(got) != ";" || got.Result.Status != dnssec.Secure {
		t.Errorf("got %q, %v, error %v", values(got), got.Result, got.Err)
	}
	if got := r.Lookup(t.Context(), "test.", dns.TypeCAA); got.Err == nil {
		t.Errorf("what the server does not serve: %v", got.Kind)
	}
	r = resolver(t, l, func(c *resolve.Config) { c.Only, c.Anchors = l.AddrPort("ns1.example.test."), []dns.RR{} })
	if got := r.Lookup(t.Context(), "www.example.test.", dns.TypeCAA); values(got) != ";" || got.Result.Status != dnssec.Indeterminate {
		t.Errorf("without an anchor: %q, %v, error %v", values(got), got.Result, got.Err)
	}
}

// An anchor says that a zone begins at its name: where the server denies that, or fails, nothing below it is believed
// without a signature (RFC 4035 4.3).
func TestAnchoredZoneIsDenied(t *testing.T) {
	t.Parallel()
	for what, rcode := range map[string]int{"SERVFAIL": dns.RcodeServerFailure, "NXDOMAIN": dns.RcodeNameError, "no data": dns.RcodeSuccess} {
		forge := func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
			m.Answer, m.Ns, m.Rcode = nil, nil, rcode
			if q.Qtype == dns.TypeCAA {
				m.Rcode, m.Answer = dns.RcodeSuccess, []dns.RR{&dns.CAA{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeCAA, Class: dns.ClassINET, Ttl: 60}, Tag: "issue", Value: "evil.example"}}
			}
			return m
		}
		l := lab.New(t, map[string]lab.Hook{"ns1.example.test.": forge}, world()...)
		r := resolver(t, l, func(c *resolve.Config) {
			c.Only, c.Anchors = l.AddrPort("ns1.example.test."), []dns.RR{l.DS("example.test.")}
		})
		if got := r.Lookup(t.Context(), "www.example.test.", dns.TypeCAA); got.Err == nil && got.Result.Status != dnssec.Bogus {
			t.Errorf("%s: believed %q, %v", what, values(got), got.Result)
		}
	}
}

// Ten thousand look-ups at once need the zones on their way once.
func TestLookupsShareZones(t *testing.T) {
	t.Parallel()
	r := resolver(t, lab.New(t, nil, world()...), nil)
	done := make(chan *resolve.Zone)
	for range 50 {
		go func() { done <- r.Lookup(context.Background(), "www.example.test.", dns.TypeCAA).Zone }()
	}
	first := <-done
	for range 49 {
		if z := <-done; z != first || z == nil {
			t.Fatal("the zone was made twice")
		}
	}
}

func TestCancelledLookups(t *testing.T) {
	t.Parallel()
	silent := func(string, dns.Question, *dns.Msg) *dns.Msg { return nil }
	l := lab.New(t, map[string]lab.Hook{"ns1.example.test.": silent, "ns2.example.test.": silent}, world()...)
	r := resolver(t, l, func(c *resolve.Config) { c.Timeout = time.Hour })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if got := r.Lookup(ctx, "example.test.", dns.TypeCAA); got.Err == nil || got.Err.Failure != resolve.Cancelled {
		t.Errorf("got %v, error %v", got.Kind, got.Err)
	}
}

func TestBadConfig(t *testing.T) {
	t.Parallel()
	records := func(text string) []dns.RR {
		rrs, err := resolve.Records(text, "test")
		if err != nil {
			t.Fatal(err)
		}
		return rrs
	}
	for name, cfg := range map[string]resolve.Config{
		"hints without a name server": {Hints: records("a.root. A 192.0.2.1")},
		"hints without an address":    {Hints: records(". NS a.root.")},
		"an anchor of another type":   {Anchors: records("example. A 192.0.2.1")},
	} {
		if _, err := resolve.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, text := range []string{"", "; nothing", "example. DS x", "$INCLUDE /etc/passwd"} {
		if _, err := resolve.Records(text, "file"); err == nil {
			t.Errorf("%q: accepted", text)
		}
	}
	if r, err := resolve.New(resolve.Config{}); err != nil || r == nil {
		t.Errorf("the Internet's own: %v", err)
	}
}

func TestPolitenessToOneAddress(t *testing.T) {
	t.Parallel()
	l := lab.New(t, nil, world()...)
	r := resolver(t, l, func(c *resolve.Config) {
		c.Rate = 100
		c.Only = netip.AddrPortFrom(l.Addr("ns1.example.test."), l.Port)
		c.Anchors = []dns.RR{}
	})
	begin := time.Now()
	zone, err := r.Zone(t.Context(), ".")
	if err != nil {
		t.Fatal(err)
	}
	questions := make([]resolve.Question, 10)
	for i := range questions {
		questions[i] = resolve.Question{Name: "www.example.test.", Type: dns.TypeCAA}
	}
	r.Survey(t.Context(), zone, questions...) // twenty questions: UDP and TCP
	if took := time.Since(begin); took < 190*time.Millisecond {
		t.Errorf("twenty questions at a hundred a second took %v", took)
	}
}

// Many questions to a zone are spread over its servers, rather than waiting for the first one's turn.
func TestServersShareTheLoad(t *testing.T) {
	t.Parallel()
	var first, second atomic.Int32
	count := func(n *atomic.Int32) lab.Hook {
		return func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg { n.Add(1); return m }
	}
	l := lab.New(t, map[string]lab.Hook{"ns1.example.test.": count(&first), "ns2.example.test.": count(&second)}, world()...)
	r := resolver(t, l, func(c *resolve.Config) { c.Rate = 200 })
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() { r.Lookup(t.Context(), fmt.Sprintf("x%d.example.test.", i), dns.TypeCAA) })
	}
	wg.Wait()
	if a, b := first.Load(), second.Load(); a < b/2 || b < a/2 {
		t.Errorf("one server was asked %d times and the other %d times", a, b)
	}
}

// Thousands of names of a zone whose servers are dead do not wait for them one by one.
func TestDeadServersAreAskedAFewTimes(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	dead := func(string, dns.Question, *dns.Msg) *dns.Msg { asked.Add(1); return nil }
	l := lab.New(t, map[string]lab.Hook{"ns1.example.test.": dead, "ns2.example.test.": dead}, world()...)
	r := resolver(t, l, func(c *resolve.Config) { c.Timeout = 200 * time.Millisecond })
	for i := range 100 {
		name := fmt.Sprintf("x%d.example.test.", i)
		if a := r.Lookup(t.Context(), name, dns.TypeCAA); a.Err == nil || a.Err.Failure != resolve.Unreachable {
			t.Fatalf("got %v, %v", a.Kind, a.Err)
		}
		if a := r.Lookup(t.Context(), "example.test.", dns.TypeCAA); a.Zone != nil {
			r.Survey(t.Context(), a.Zone, resolve.Question{Name: name, Type: dns.TypeCAA})
		}
	}
	if n := asked.Load(); n > 40 {
		t.Errorf("two dead servers were asked %d times", n)
	}
}

// A resolver that is asked not to validate (CD) hands on what it would not believe itself: a wildcard's answer without its
// proof, as BIND 9.18 does where the message had another zone's denials, too, or the answer of the one server that is
// wrong. It is asked to validate before that is called bogus (RFC 4035 3.2.2, RFC 6840 5.9).
func TestAResolverIsAskedToValidate(t *testing.T) {
	t.Parallel()
	const ns = "ns1.example.test."
	withoutProof := func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
		if m.CheckingDisabled && len(m.Answer) > 0 {
			m.Ns = nil
		}
		return m
	}
	withoutSignatures := func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if m.CheckingDisabled && (q.Qtype == dns.TypeCAA || q.Qtype == dns.TypeDNSKEY && len(q.Name) == len("example.test.")) {
			m.Answer = slices.DeleteFunc(m.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeRRSIG })
		}
		return m
	}
	broken := func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if m = withoutProof("", q, m); !m.CheckingDisabled && q.Qtype == dns.TypeCAA {
			m.Rcode, m.Answer, m.Ns = dns.RcodeServerFailure, nil, nil
		}
		return m
	}
	slow := func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if m = withoutSignatures("", q, m); !m.CheckingDisabled {
			return nil
		}
		return m
	}
	bare := func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
		if len(m.Answer) > 0 {
			m.Ns = nil
		}
		return m
	}
	tests := []struct {
		what   string
		hook   lab.Hook
		name   string
		values string
		status dnssec.Status
		slow   bool
	}{
		{"a wildcard's RRset", withoutProof, "x.wild.example.test.", "wild.example", dnssec.Secure, false},
		{"a wildcard's alias", withoutProof, "x.walias.example.test.", ";", dnssec.Secure, false},
		{"a wildcard's alias to a DNAME", withoutProof, "x.wtree.example.test.", "other.example", dnssec.Insecure, false},
		{"no wildcard", withoutProof, "www.example.test.", ";", dnssec.Secure, false},
		{"a server without signatures", withoutSignatures, "www.example.test.", ";", dnssec.Secure, false},
		{"the resolver finds it bogus, too", broken, "x.wild.example.test.", "wild.example", dnssec.Bogus, false},
		{"the resolver takes its time over a zone without signatures", slow, "www.example.test.", ";", dnssec.Bogus, true},
		{"the resolver does not validate", bare, "x.walias.example.test.", "", dnssec.Bogus, false},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			zones := append(world(), lab.Zone{Name: "."})
			for i := range zones { // one server with every zone is as good as a resolver
				zones[i].Servers = []string{ns}
				if zones[i].Name == "example.test." {
					zones[i].Text += "*.walias CNAME www\n*.wtree CNAME www.tree\n"
				}
			}
			l := lab.New(t, map[string]lab.Hook{ns: tt.hook}, zones...)
			r := resolver(t, l, func(c *resolve.Config) {
				c.Only, c.Recursive, c.Tries = l.AddrPort(ns), true, 1
				if tt.slow {
					c.Timeout = time.Second
				}
			})
			got := r.Lookup(t.Context(), tt.name, dns.TypeCAA)
			if fault := got.ResolverFault(); fault != "" {
				t.Errorf("the resolver is blamed: %s", fault)
			}
			if got.Result.Status != tt.status || got.Err != nil || got.Kind == resolve.Data && values(got) != tt.values {
				t.Errorf("got %v %v, %v, error %v", got.Kind, got.RRset.RRs, got.Result, got.Err)
			}
		})
	}
}
