// Package world starts the real programs that an end-to-end test needs, each a process of its own
// on loopback: CoreDNS from this repository, BIND's named, etcd, and the validating resolvers unbound
// and knot-resolver.
//
// In go a Corefile or a list of zones with their trust anchors; out comes a running Process with
// its address and its log. A process is ready when it says so in its log, so nothing here sleeps (but
// for a port that something else has for a moment), and it ends with the test. The resolvers know the
// zones they are given and nothing else: their sockets are bound to loopback, so that no query can leave
// the machine.
//
// A program that is missing skips the test with a word of what to install; with CI=true it fails,
// since test/all has installed it.
package world

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// patience is how long a step may take on a loaded machine with the race detector. It is a limit,
// never a pause: it passes only when a test fails.
const patience = 30 * time.Second

// FreeAddr finds a loopback address and port that are free for UDP and TCP, and gives them to nobody else until the
// test has ended. The port is the kernel's choice.
func FreeAddr(t testing.TB) netip.AddrPort {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().(*net.TCPAddr).AddrPort()
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		l.Close()
		if err == nil {
			u.Close()
			if reserve(t, addr.Port()) {
				return addr
			}
		}
	}
	t.Fatal("no port of 127.0.0.1 is free for UDP and TCP")
	return netip.AddrPort{}
}

// register is an address at which each port that is given away is listened to, so that no other test is given it, of
// whatever process. Servers do not see to that themselves: unbound, BIND and CoreDNS bind with SO_REUSEPORT, so that
// two of them share a port in silence, and each has half of the questions.
const register = "127.255.255.254"

// reserve reports whether a port is this test's from now on.
func reserve(t testing.TB, port uint16) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", register, port))
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return true // a system that has no more than 127.0.0.1
	}
	if err == nil {
		t.Cleanup(func() { l.Close() })
	}
	return err == nil
}

// debianPackages are what to install for a program.
var debianPackages = map[string]string{
	"unbound": "unbound",
	"nsd":     "nsd",
	"knotd":   "knot",
	"kresd":   "knot-resolver",
	"dig":     "bind9-dnsutils",
	"delv":    "bind9-dnsutils",
	"kdig":    "knot-dnsutils",
	"dnsperf": "dnsperf",

	"named": "bind9",
	"etcd":  "etcd-server",

	"dnssec-keygen":   "bind9-utils",
	"dnssec-signzone": "bind9-utils",
	"dnssec-cds":      "bind9-utils",
}

// Program finds a program, also in the folders of the system's services, which a user's PATH may
// lack. It skips the test when there is none.
func Program(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	say := t.Skipf
	if os.Getenv("CI") == "true" {
		say = t.Fatalf
	}
	say("%s is not installed: on Debian, apt-get install %s", name, debianPackages[name])
	return ""
}

// WriteFile puts a file in its place as a whole: a reader sees the old text or the new.
func WriteFile(t testing.TB, path, text string) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// Ask sends one question with the DO bit, as a CA's resolver would, and returns the answer. A
// truncated answer is asked for again over TCP.
func Ask(t testing.TB, server netip.AddrPort, name string, qtype uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	m.SetEdns0(1232, true)
	m.AuthenticatedData = true
	return Exchange(t, server, m)
}

// Exchange is Query where no answer at all fails the test.
func Exchange(t testing.TB, server netip.AddrPort, m *dns.Msg) *dns.Msg {
	t.Helper()
	answer, again, err := Query(server, m)
	if err != nil {
		t.Fatal(err)
	}
	if again > 0 {
		t.Logf("the resolver at %v was asked %d times for %s %s", server, again+1, m.Question[0].Name, dns.Type(m.Question[0].Qtype))
	}
	return answer
}

// Texts are the rdata of the records of one type in a section, in zone file syntax.
func Texts(section []dns.RR, rrtype uint16) []string {
	var texts []string
	for _, rr := range section {
		if rr.Header().Rrtype == rrtype {
			texts = append(texts, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
	}
	return texts
}

// ExchangeWire is Exchange with the answer as it came.
func ExchangeWire(t testing.TB, server netip.AddrPort, m *dns.Msg) []byte {
	t.Helper()
	answer, err := Send(server, m)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// Send is ExchangeWire for where a failure is not to end a test.
func Send(server netip.AddrPort, m *dns.Msg) (answer []byte, err error) {
	for _, network := range []string{"udp", "tcp"} {
		answer, err = exchangeOnce(network, server, m)
		if err != nil {
			return nil, fmt.Errorf("%s %s at %v over %s: %w", m.Question[0].Name, dns.Type(m.Question[0].Qtype), server, network, err)
		}
		if answer[2]&2 == 0 { // TC
			break
		}
	}
	return answer, nil
}

func exchangeOnce(network string, server netip.AddrPort, m *dns.Msg) ([]byte, error) {
	conn, err := dns.DialTimeout(network, server.String(), patience)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if err := conn.WriteMsg(m); err != nil {
		return nil, err
	}
	conn.UDPSize = dns.MaxMsgSize
	return conn.ReadMsgHeader(nil)
}
