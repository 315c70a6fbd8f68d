package perspective_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"

	"github.com/coredns-caa/caa/checker/agent"
	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/test/lab"
	"github.com/coredns-caa/caa/test/world"
)

const token = "s3cret-of-the-test"

var today = time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)

// stage is a DNS with a folder for the files that a perspectives file names. One server has all zones,
// so that it does for a resolver, too.
type stage struct {
	*lab.Lab
	dir  string
	cert tls.Certificate
	wait time.Duration // for one try; 0 for longer than a loaded machine takes
}

func newStage(t *testing.T) *stage {
	t.Helper()
	silent := func(string, dns.Question, *dns.Msg) *dns.Msg { return nil }
	servers := []string{"a.root."}
	l := lab.New(t, map[string]lab.Hook{"ns.silent.test.": silent},
		lab.Zone{Name: ".", Servers: servers},
		lab.Zone{Name: "test.", Servers: servers},
		lab.Zone{Name: "silent.test.", Servers: []string{"ns.silent.test."}},
		lab.Zone{Name: "ok.test.", Servers: servers, Text: `
@     CAA 0 issue "ca.example"
bound CAA 0 issue "ca.example; accounturi=https://ca.example/1"
upper CAA 0 issue "CA.example"
`},
	)
	pem := world.NewCertificate(t)
	cert, err := tls.X509KeyPair([]byte(pem.Cert), []byte(pem.Key))
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{Lab: l, dir: t.TempDir(), cert: cert}
	world.WriteFile(t, filepath.Join(s.dir, "ca.pem"), pem.Cert)
	world.WriteFile(t, filepath.Join(s.dir, "token"), token+"\n")
	return s
}

func (s *stage) resolver() *resolve.Resolver {
	r, err := resolve.New(s.config())
	if err != nil {
		panic(err)
	}
	return r
}

func (s *stage) config() resolve.Config {
	return resolve.Config{Hints: s.Hints, Anchors: s.Anchors, Port: s.Port, Rate: -1, Timeout: cmp.Or(s.wait, 5*time.Second)}
}

// serve runs a handler with the stage's certificate, and returns its host:port.
func (s *stage) serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{s.cert}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func (s *stage) agent(t *testing.T) string {
	t.Helper()
	a, err := agent.New(agent.Config{Code: "it", Token: token, Looker: func() climb.Looker { return s.resolver() }, Limit: 20 * time.Second, Now: func() time.Time { return today }})
	if err != nil {
		t.Fatal(err)
	}
	return s.serve(t, a)
}

// dot is TLS before the DNS's own TCP.
func (s *stage) dot(t *testing.T) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{s.cert}, NextProtos: []string{"dot"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				back, err := net.Dial("tcp", s.AddrPort("a.root.").String())
				if err != nil {
					return
				}
				defer back.Close()
				go func() { _, _ = io.Copy(back, conn); back.Close() }()
				_, _ = io.Copy(conn, back)
			}()
		}
	}()
	return l.Addr().String()
}

// relay forwards a message with its length over TCP, and the reply with its own.
func (s *stage) relay(framed []byte) []byte {
	back, err := net.Dial("tcp", s.AddrPort("a.root.").String())
	if err != nil {
		return nil
	}
	defer back.Close()
	if _, err := back.Write(framed); err != nil {
		return nil
	}
	var length [2]byte
	if _, err := io.ReadFull(back, length[:]); err != nil {
		return nil
	}
	answer := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(back, answer); err != nil {
		return nil
	}
	return append(length[:], answer...)
}

func (s *stage) doh(t *testing.T) string {
	t.Helper()
	return s.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/dns-message")
		if answer := s.relay(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); len(answer) > 2 {
			_, _ = w.Write(answer[2:])
		}
	}))
}

func (s *stage) doq(t *testing.T) string {
	t.Helper()
	l, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{s.cert}, NextProtos: []string{"doq"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			go func() {
				for {
					stream, err := conn.AcceptStream(context.Background())
					if err != nil {
						return
					}
					go func() {
						defer stream.Close()
						query, _ := io.ReadAll(stream)
						_, _ = stream.Write(s.relay(query))
					}()
				}
			}()
		}
	}()
	return l.Addr().String()
}

// open reads a perspectives file of entries in flow style, without their region and coordinates, which
// are made up.
func (s *stage) open(t *testing.T, limit time.Duration, entries ...string) (*perspective.Set, error) {
	t.Helper()
	places := []string{"ARIN, coordinates: [40, -83]", "RIPE, coordinates: [50, 9]", "APNIC, coordinates: [1, 104]", "LACNIC, coordinates: [-24, -47]", "AFRINIC, coordinates: [-34, 18]", "ARIN, coordinates: [46, -123]", "RIPE, coordinates: [59, 18]"}
	text := "version: 1\nperspectives:\n"
	for i, e := range entries {
		text += fmt.Sprintf("  - {name: p%d, %s, region: %s}\n", i, e, places[i])
	}
	file := filepath.Join(s.dir, "perspectives.yaml")
	f, err := perspective.Parse(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	set, err := f.Open(perspective.Options{Resolve: s.config(), Limit: limit})
	if err == nil {
		t.Cleanup(set.Close)
	}
	return set, err
}

func (s *stage) ask(t *testing.T, r guard.Requirement, limit time.Duration, entries ...string) perspective.Judged {
	t.Helper()
	set, err := s.open(t, limit, entries...)
	if err != nil {
		t.Fatal(err)
	}
	r.Name, r.Wildcard = strings.CutPrefix(dns.CanonicalName(r.Name), "*.")
	return set.Ask(t.Context(), r, today)
}

func agentEntry(addr, more string) string {
	return fmt.Sprintf("kind: agent, address: \"https://%s\", ca: ca.pem, token: token%s", addr, more)
}

// Every kind of perspective sees the same of the same DNS.
func TestKinds(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	dns := s.AddrPort("a.root.").String()
	kinds := []string{
		"kind: self",
		fmt.Sprintf("kind: udp, address: %q", dns),
		fmt.Sprintf("kind: tcp, address: %q", dns),
		fmt.Sprintf("kind: dot, address: %q, ca: ca.pem", s.dot(t)),
		fmt.Sprintf("kind: doh, address: \"https://%s/dns-query\", ca: ca.pem", s.doh(t)),
		fmt.Sprintf("kind: doq, address: %q, ca: ca.pem", s.doq(t)),
		agentEntry(s.agent(t), ""),
	}
	tests := []struct {
		name   string
		req    guard.Requirement
		view   quorum.View
		reason issuance.Reason
	}{
		{"permitted", guard.Requirement{Name: "www.ok.test.", Domain: "ca.example"}, quorum.Permits, issuance.Authorized},
		{"denied", guard.Requirement{Name: "www.ok.test.", Domain: "other.example"}, quorum.Denies, issuance.IssuerNotListed},
		{"a wildcard", guard.Requirement{Name: "*.ok.test.", Domain: "ca.example"}, quorum.Permits, issuance.Authorized},
		{"no CAA", guard.Requirement{Name: "none.test.", Domain: "ca.example"}, quorum.Permits, issuance.NoRRset},
		{"readings differ", guard.Requirement{Name: "upper.ok.test.", Domain: "ca.example"}, quorum.Disputed, issuance.NameNotExact},
		{"an account, which the API has not", guard.Requirement{Name: "bound.ok.test.", Domain: "ca.example", Account: "https://ca.example/2"}, quorum.Disputed, issuance.AccountMismatch},
		{"a type that the API has not", guard.Requirement{Name: "ok.test.", Domain: "ca.example", Type: issuance.VMC}, quorum.Permits, issuance.NoProperty},
		{"anybody", guard.Requirement{Name: "ok.test."}, quorum.Denies, issuance.IssuerNotListed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for i, got := range s.ask(t, tt.req, 30*time.Second, kinds...).Observations {
				if got.View != tt.view || got.Reason != tt.reason {
					t.Errorf("%s: %v (%s) %s, want %v (%s)", kinds[i], got.View, got.Reason, got.Detail, tt.view, tt.reason)
				}
				if tt.reason == issuance.Authorized && (!slices.Equal(got.Records, []string{`0 issue "ca.example"`}) || strings.TrimSuffix(got.FoundAt, ".") != "ok.test") {
					t.Errorf("%s: found %q at %q", kinds[i], got.Records, got.FoundAt)
				}
			}
		})
	}
}

// Servers that are silent deny, wherever they are asked from; a resolver or an agent that is silent
// says nothing.
func TestSilence(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.wait = time.Second
	hangs := s.serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	closed, err := net.ListenPacket("udp", "127.0.0.1:0") // answers nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed.Close() })
	refusing := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 9).String() // nobody listens
	got := s.ask(t, guard.Requirement{Name: "silent.test.", Domain: "ca.example"}, 8*time.Second,
		"kind: self", agentEntry(s.agent(t), ""), agentEntry(hangs, ""), fmt.Sprintf("kind: udp, address: %q", closed.LocalAddr()), agentEntry(refusing, ""), fmt.Sprintf("kind: dot, address: %q", refusing))
	want := []quorum.View{quorum.Denies, quorum.Denies, quorum.Unknown, quorum.Unknown, quorum.Unknown, quorum.Unknown}
	for i, seen := range got.Observations {
		if seen.View != want[i] || (want[i] == quorum.Unknown) != (seen.Reason == perspective.NoAnswer) {
			t.Errorf("%s: %v (%s) %s, want %v", seen.Perspective, seen.View, seen.Reason, seen.Detail, want[i])
		}
	}
	if got.Quorum.Outcome != quorum.NotCorroborated {
		t.Errorf("%+v", got.Quorum)
	}
}

// A perspective that does not answer is not waited for name by name.
func TestSilentPerspectiveIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var requests atomic.Int32
	hangs := s.serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		requests.Add(1)
		<-r.Context().Done()
	}))
	set, err := s.open(t, time.Second, agentEntry(hangs, ""))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		got := set.Ask(t.Context(), guard.Requirement{Name: fmt.Sprintf("n%d.ok.test.", i), Domain: "ca.example"}, today)
		if s := got.Observations[0]; s.View != quorum.Unknown || s.Reason != perspective.NoAnswer {
			t.Errorf("%+v", s)
		}
	}
	if n := requests.Load(); n != 3 {
		t.Errorf("it was asked %d times, want 3", n)
	}
}

// A resolver that does not answer for a zone's keys makes the zone bogus: that is no answer about the zone.
func TestResolverWithoutKeys(t *testing.T) {
	t.Parallel()
	withhold := func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if q.Qtype == dns.TypeDNSKEY && strings.EqualFold(q.Name, "test.") {
			return nil
		}
		return m
	}
	l := lab.New(t, map[string]lab.Hook{"a.root.": withhold}, lab.Zone{Name: ".", Servers: []string{"a.root."}},
		lab.Zone{Name: "test.", Servers: []string{"a.root."}, Text: `@ CAA 0 issue "ca.example"`})
	s := &stage{Lab: l, dir: t.TempDir(), wait: 500 * time.Millisecond}
	got := s.ask(t, guard.Requirement{Name: "test.", Domain: "ca.example"}, 10*time.Second, fmt.Sprintf("kind: udp, address: %q", l.AddrPort("a.root.")), "kind: self")
	if s := got.Observations[0]; s.View != quorum.Unknown || s.Reason != perspective.NoAnswer || !strings.Contains(s.Detail, "keys of test.") {
		t.Errorf("%+v", s)
	}
	if s := got.Observations[1]; s.View != quorum.Denies { // asked itself, the zone's server is at fault
		t.Errorf("%+v", s)
	}
}

// A resolver that strips signatures makes all signed names bogus. That is its fault, and says nothing of them.
func TestResolverWithoutSignatures(t *testing.T) {
	t.Parallel()
	strip := func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
		m = m.Copy()
		for _, section := range []*[]dns.RR{&m.Answer, &m.Ns} {
			*section = slices.DeleteFunc(*section, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeRRSIG })
		}
		return m
	}
	l := lab.New(t, map[string]lab.Hook{"a.root.": strip}, lab.Zone{Name: ".", Servers: []string{"a.root."}},
		lab.Zone{Name: "test.", Servers: []string{"a.root."}, Text: `@ CAA 0 issue "ca.example"`})
	s := &stage{Lab: l, dir: t.TempDir()}
	got := s.ask(t, guard.Requirement{Name: "test.", Domain: "ca.example"}, 10*time.Second, fmt.Sprintf("kind: udp, address: %q", l.AddrPort("a.root.")))
	if s := got.Observations[0]; s.View != quorum.Unknown || s.Reason != perspective.NoAnswer || !strings.Contains(s.Detail, "root's keys") {
		t.Errorf("%+v", s)
	}
}

// What an agent answers is read by what it says, and never for more.
func TestAgentsAnswers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	passed := func(details string) string { return check("true", "true", details) }
	refused := func(details string) string { return check("true", "false", details) }
	const permitting = `{"caa_record_present": true, "found_at": "ok.test", "records_seen": ["0 issue \"ca.example\""]}`
	long := strings.Repeat("é", 1<<20)
	const denying = `{"caa_record_present": true, "found_at": "ok.test", "records_seen": "0 issue \"other.example\""}`
	tests := []struct {
		name, answer string
		kind         issuance.CertificateType
		view         quorum.View
		reason       issuance.Reason
	}{
		{"records that permit", passed(permitting), issuance.TLS, quorum.Permits, issuance.Authorized},
		{"records that deny, whatever it says", passed(denying), issuance.TLS, quorum.Denies, issuance.IssuerNotListed},
		{"it denies what we read as a permission", refused(permitting), issuance.TLS, quorum.Disputed, perspective.ReadsAnother},
		{"no records there", passed(`{"caa_record_present": false, "found_at": null, "records_seen": null}`), issuance.TLS, quorum.Permits, issuance.NoRRset},
		{"its word alone", passed(`{"caa_record_present": true, "found_at": null, "records_seen": null}`), issuance.TLS, quorum.Permits, perspective.AgentPermits},
		{"its word alone, on another type", passed(`{"caa_record_present": true, "found_at": null, "records_seen": null}`), issuance.VMC, quorum.Unknown, perspective.BadAnswer},
		{"its refusal alone", refused(`{"caa_record_present": true, "found_at": null, "records_seen": null}`), issuance.TLS, quorum.Denies, perspective.AgentDenies},
		{"a refusal for a failure", refused(`{"caa_record_present": false, "found_at": null, "records_seen": null, "outcome": "locked out", "reason": "lookup-failed-signed"}`), issuance.TLS, quorum.Denies, "lookup-failed-signed"},
		{"an invalid reason", refused(`{"caa_record_present": false, "found_at": null, "records_seen": null, "reason": "\u001b[31m"}`), issuance.TLS, quorum.Denies, perspective.AgentDenies},
		{"at risk", refused(`{"caa_record_present": false, "found_at": null, "records_seen": null, "outcome": "at risk", "reason": "lookup-failed-unsigned"}`), issuance.TLS, quorum.Disputed, "lookup-failed-unsigned"},
		{"not completed", check("false", "false", `{"caa_record_present": null, "found_at": null, "records_seen": null}`), issuance.TLS, quorum.Unknown, perspective.NotCompleted},
		{"not completed, and passed all the same", check("false", "true", permitting), issuance.TLS, quorum.Unknown, perspective.NotCompleted},
		{"invalid records", passed(`{"caa_record_present": true, "found_at": null, "records_seen": "what?"}`), issuance.TLS, quorum.Unknown, perspective.BadAnswer},
		{"megabytes of an error", strings.Replace(check("false", "false", `{}`), `"details"`, `"errors": [{"error_type": "x", "error_message": "`+long+`"}], "details"`, 1), issuance.TLS, quorum.Unknown, perspective.NotCompleted},
		{"megabytes of a place", passed(strings.Replace(permitting, "ok.test", long, 1)), issuance.TLS, quorum.Permits, issuance.Authorized},
		{"megabytes of a name", strings.Replace(passed(permitting), "www.ok.test", long, 1), issuance.TLS, quorum.Unknown, perspective.BadAnswer},
		{"another name", strings.Replace(passed(permitting), "www.ok.test", "ok.test", 1), issuance.TLS, quorum.Unknown, perspective.BadAnswer},
		{"another check", strings.Replace(passed(permitting), `"caa"`, `"dcv"`, 1), issuance.TLS, quorum.Unknown, perspective.BadAnswer},
		{"an empty object", `{}`, issuance.TLS, quorum.Unknown, perspective.BadAnswer},
		{"no perspectives", `{"check_type": "caa", "domain_or_ip_target": "www.ok.test", "is_valid": true, "perspectives": []}`, issuance.TLS, quorum.Unknown, perspective.BadAnswer},
		{"no JSON", `<html>`, issuance.TLS, quorum.Unknown, perspective.BadAnswer},
		{"nothing", ``, issuance.TLS, quorum.Unknown, perspective.BadAnswer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			addr := s.serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, tt.answer) }))
			got := s.ask(t, guard.Requirement{Name: "www.ok.test.", Domain: "ca.example", Type: tt.kind}, 5*time.Second, agentEntry(addr, ""))
			if s := got.Observations[0]; s.View != tt.view || s.Reason != tt.reason {
				t.Errorf("got %v (%s) %s, want %v (%s)", s.View, s.Reason, s.Detail, tt.view, tt.reason)
			} else if len(s.Detail)+len(s.FoundAt) > 3000 {
				t.Errorf("the text has %d octets", len(s.Detail)+len(s.FoundAt))
			}
		})
	}
}

func check(completed, passed, details string) string {
	return `{"check_type": "caa", "domain_or_ip_target": "www.ok.test", "perspectives": [{"perspective_code": "x", "check_response": {"check_type": "caa", "check_completed": ` +
		completed + `, "check_passed": ` + passed + `, "timestamp_ns": 1, "details": ` + details + `}}]}`
}

// One installation is several perspectives, and asked once for all of them.
func TestCodes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var requests atomic.Int32
	addr := s.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.Header.Get("X-Api-Key") != token || r.Header.Get("Authorization") != "" {
			t.Errorf("headers %v", r.Header)
		}
		time.Sleep(300 * time.Millisecond) // a slow installation: the others' questions come meanwhile
		one := func(code, passed string) string {
			return `{"perspective_code": "` + code + `", "check_response": {"check_type": "caa", "check_completed": true, "check_passed": ` + passed + `, "details": {"caa_record_present": true}}}`
		}
		fmt.Fprintf(w, `{"check_type": "caa", "domain_or_ip_target": "ok.test", "perspectives": [%s, %s]}`, one("us", "true"), one("eu", "false"))
	}))
	header := ", header: x-api-key"
	got := s.ask(t, guard.Requirement{Name: "ok.test.", Domain: "ca.example"}, 5*time.Second,
		agentEntry(addr, header+", code: us"), agentEntry(addr, header+", code: eu"), agentEntry(addr, header+", code: ap"), agentEntry(addr, header))
	want := []quorum.View{quorum.Permits, quorum.Denies, quorum.Unknown, quorum.Unknown}
	for i, seen := range got.Observations {
		if seen.View != want[i] {
			t.Errorf("%s: %v %s, want %v", seen.Perspective, seen.View, seen.Detail, want[i])
		}
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
}

// The token is shown to nobody but the agent: not to who has no certificate for its name, nor by a redirect.
func TestTokenStaysHome(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	other := newStage(t)
	thief := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token was shown")
		}
	}
	untrusted := other.serve(t, http.HandlerFunc(thief))
	elsewhere := s.serve(t, http.HandlerFunc(thief))
	redirecting := s.serve(t, http.RedirectHandler("https://"+elsewhere+"/mpic", http.StatusTemporaryRedirect))
	got := s.ask(t, guard.Requirement{Name: "ok.test.", Domain: "ca.example"}, 5*time.Second, agentEntry(untrusted, ""), agentEntry(redirecting, ""))
	for _, seen := range got.Observations {
		if seen.View != quorum.Unknown || seen.Reason != perspective.NoAnswer || strings.Contains(seen.Detail, token) {
			t.Errorf("%+v", seen)
		}
	}
}

// The agent refuses a wrong token, and that is no answer about the name.
func TestWrongToken(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	addr := s.agent(t)
	world.WriteFile(t, filepath.Join(s.dir, "token"), "another")
	got := s.ask(t, guard.Requirement{Name: "ok.test.", Domain: "ca.example"}, 5*time.Second, agentEntry(addr, ""))
	if s := got.Observations[0]; s.View != quorum.Unknown || !strings.Contains(s.Detail, "401") {
		t.Errorf("%+v", s)
	}
}

// The error about a file that is missing or is something else has the line that names it.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, entry := range map[string]string{
		"no such token":                 "kind: agent, address: \"https://a.example\", token: nothing",
		"a token of two":                "kind: agent, address: \"https://a.example\", token: two",
		"an empty token":                "kind: agent, address: \"https://a.example\", token: empty",
		"no such certificate":           "kind: dot, address: 192.0.2.1, ca: nothing",
		"a certificate that is a token": "kind: doh, address: \"https://a.example/dns-query\", ca: token",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			world.WriteFile(t, filepath.Join(s.dir, "two"), "a b")
			world.WriteFile(t, filepath.Join(s.dir, "empty"), "\n")
			_, err := s.open(t, time.Second, "kind: self", entry)
			if err == nil || !strings.Contains(err.Error(), "perspectives.yaml:4:5: the perspective p1: ") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What the judge says of the views is in the answer, with what the rule of December will say.
func TestJudged(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	addr := s.agent(t)
	got := s.ask(t, guard.Requirement{Name: "ok.test.", Domain: "ca.example"}, 10*time.Second,
		"kind: self", agentEntry(addr, ""), agentEntry(addr, ""), agentEntry(addr, ""), agentEntry(addr, ""))
	if got.Quorum.Outcome != quorum.Corroborated || got.Quorum.Primary != "p0" || len(got.Quorum.Corroborating) != 4 {
		t.Errorf("%+v", got.Quorum)
	}
	if len(got.Later) != 1 || got.Later[0].Outcome != quorum.Undetermined || got.Later[0].Failed[0] != quorum.EnoughRemotes {
		t.Errorf("%+v", got.Later)
	}
	text, err := json.Marshal(got)
	if err != nil || !strings.Contains(string(text), `"view":"permits"`) || !strings.Contains(string(text), `"outcome":"corroborated"`) {
		t.Errorf("%v: %s", err, text)
	}
}
