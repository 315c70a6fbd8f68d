package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/test/world"
)

// The Internet of this test is of network namespaces. In the middle, in core, are the servers of the
// root and of victim.test; six agents reach them over a link each, but not all of them:
//
//	a1, a2, a3  see what is there
//	a4          has a hole where victim.test's server is
//	a5          is led to liar, whose victim.test has another CAA
//	a6          is led to slow, where answers take a while, the first of them longer than anybody waits
const (
	rootServer   = "10.53.0.1"
	victimServer = "10.53.0.53"
)

var agents = []struct{ name, region, place string }{
	{"a1", "ARIN", "[39.96, -83.00]"},
	{"a2", "ARIN", "[45.52, -122.68]"},
	{"a3", "RIPE NCC", "[59.33, 18.07]"},
	{"a4", "APNIC", "[1.35, 103.82]"},
	{"a5", "LACNIC", "[-23.55, -46.63]"},
	{"a6", "AFRINIC", "[-33.92, 18.42]"},
}

// internet is the namespaces, with the files that agents and their clients need.
type internet struct {
	t      *testing.T
	prefix string // of the namespaces' names
	dir    string
	addrs  map[string]string // of agents, host:port
}

func newInternet(t *testing.T) *internet {
	t.Helper()
	ip := world.Program(t, "ip")
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root: run the tests as root to see agents with different routes")
	}
	n := &internet{t: t, prefix: fmt.Sprintf("caa%d-", os.Getpid()), dir: t.TempDir(), addrs: map[string]string{}}
	if out, err := exec.Command(ip, "netns", "add", n.prefix+"core").CombinedOutput(); err != nil {
		t.Skipf("this machine makes no network namespaces (%s): they take the capability CAP_SYS_ADMIN", bytes.TrimSpace(out))
	}
	n.drop("core")
	for _, name := range []string{"liar", "slow"} {
		n.ip("netns add %s", name)
		n.drop(name)
	}
	for _, name := range []string{"core", "liar", "slow"} {
		n.in(name, "link set lo up")
		n.in(name, "addr add "+rootServer+"/32 dev lo")
		n.in(name, "addr add "+victimServer+"/32 dev lo")
	}
	for i, a := range agents {
		n.ip("netns add %s", a.name)
		n.drop(a.name)
		n.in(a.name, "link set lo up")
		n.link("core", a.name, 10+i)
		n.in(a.name, fmt.Sprintf("route add default via 10.53.%d.1", 10+i))
	}
	n.in("a4", "route add blackhole "+victimServer+"/32")
	n.link("liar", "a5", 21)
	n.in("a5", "route add "+victimServer+"/32 via 10.53.21.1")
	n.link("slow", "a6", 22)
	for _, server := range []string{rootServer, victimServer} {
		n.in("a6", "route add "+server+"/32 via 10.53.22.1")
	}
	return n
}

// ip runs `ip`; names of namespaces get the test's prefix.
func (n *internet) ip(format string, args ...any) {
	n.t.Helper()
	for i, a := range args {
		args[i] = n.prefix + fmt.Sprint(a)
	}
	words := strings.Fields(fmt.Sprintf(format, args...))
	if out, err := exec.Command("ip", words...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v: %s", strings.Join(words, " "), err, out)
	}
}

func (n *internet) in(name, command string) {
	n.t.Helper()
	n.ip("-n %s "+command, name)
}

func (n *internet) drop(name string) {
	n.t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", n.prefix+name).Run() })
}

// link joins two namespaces by 10.53.NET.1 and 10.53.NET.2.
func (n *internet) link(one, other string, net int) {
	n.t.Helper()
	left, right := fmt.Sprintf("l%d", net), fmt.Sprintf("r%d", net)
	n.ip("link add "+left+" netns %s type veth peer name "+right+" netns %s", one, other)
	n.in(one, fmt.Sprintf("addr add 10.53.%d.1/24 dev %s", net, left))
	n.in(other, fmt.Sprintf("addr add 10.53.%d.2/24 dev %s", net, right))
	n.in(one, "link set "+left+" up")
	n.in(other, "link set "+right+" up")
}

// serve answers DNS in a namespace on both addresses, over UDP and TCP. A socket belongs to the
// namespace of the thread that made it, so one thread goes there, and is not used again.
func (n *internet) serve(name, victimCAA string, wait func()) {
	n.t.Helper()
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this
		failed <- func() error {
			ns, err := os.Open("/var/run/netns/" + n.prefix + name)
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			for _, host := range []string{rootServer, victimServer} {
				if err := n.listen(host, responder{host == victimServer, victimCAA, wait}); err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	if err := <-failed; err != nil {
		n.t.Fatal(err)
	}
}

func (n *internet) listen(host string, h dns.Handler) error {
	udp, err := net.ListenPacket("udp", host+":53")
	if err != nil {
		return err
	}
	tcp, err := net.Listen("tcp", host+":53")
	if err != nil {
		return err
	}
	for _, s := range []*dns.Server{{PacketConn: udp, Handler: h}, {Listener: tcp, Handler: h}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { _ = s.ActivateAndServe() }()
		n.t.Cleanup(func() { _ = s.Shutdown() })
		<-started
	}
	return nil
}

// responder is the server of the root and test, or of victim.test. Nothing is signed: remote
// perspectives need not validate, and here they cannot.
type responder struct {
	victim bool
	caa    string
	wait   func() // before it answers
}

func (r responder) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	r.wait()
	name, qtype := dns.CanonicalName(q.Question[0].Name), q.Question[0].Qtype
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	zone, server, addr := ".", "ns.test.", rootServer
	switch below := dns.IsSubDomain("victim.test.", name); {
	case r.victim && !below:
		m.Rcode = dns.RcodeRefused
	case r.victim:
		zone, server, addr = "victim.test.", "ns.victim.test.", victimServer
	case below && !(name == "victim.test." && qtype == dns.TypeDS):
		m.Authoritative = false
		m.Ns = append(m.Ns, rr("victim.test. 60 IN NS ns.victim.test."))
		m.Extra = append(m.Extra, rr("ns.victim.test. 60 IN A "+victimServer))
	case dns.IsSubDomain("test.", name):
		zone = "test."
	}
	if m.Rcode == dns.RcodeSuccess && len(m.Ns) == 0 {
		for _, record := range []string{zone + " 60 IN NS " + server, server + " 60 IN A " + addr, "victim.test. 60 IN CAA " + r.caa, zone + " 60 IN SOA " + server + " a. 1 60 60 60 60"} {
			if rr := rr(record); rr.Header().Name == name && rr.Header().Rrtype == qtype && (r.victim || qtype != dns.TypeCAA) {
				m.Answer = append(m.Answer, rr)
			}
		}
		if len(m.Answer) > 0 && qtype == dns.TypeNS {
			m.Extra = append(m.Extra, rr(server+" 60 IN A "+addr))
		}
		if len(m.Answer) == 0 {
			m.Ns = append(m.Ns, rr(zone+" 60 IN SOA "+server+" a. 1 60 60 60 60"))
		}
	}
	if q.IsEdns0() != nil {
		m.SetEdns0(1232, true)
	}
	_ = w.WriteMsg(m)
}

func rr(text string) dns.RR {
	rr, err := dns.NewRR(text)
	if err != nil {
		panic(err)
	}
	return rr
}

func (n *internet) file(name, text string) string {
	n.t.Helper()
	path := filepath.Join(n.dir, name)
	world.WriteFile(n.t, path, text)
	return path
}

// caacheck is one in a namespace.
func (n *internet) caacheck(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(n.t.Context(), "ip", append([]string{"netns", "exec", n.prefix + name, os.Args[0]}, args...)...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// startAgents starts `caacheck agent` in each namespace.
func (n *internet) startAgents() {
	n.t.Helper()
	hints := n.file("hints", ". NS ns.test.\nns.test. A "+rootServer+"\n")
	n.file("token", "secret\n")
	for i, a := range agents {
		cert := world.NewCertificateFor(n.t, fmt.Sprintf("10.53.%d.2", 10+i))
		cmd := n.caacheck(a.name, "agent", "--root-hints", hints, "--token", filepath.Join(n.dir, "token"), "--code", a.name, "--rate", "0", "--timeout", "20s",
			"--listen", fmt.Sprintf("10.53.%d.2:0", 10+i), "--cert", n.file(a.name+".pem", cert.Cert), "--key", n.file(a.name+".key", cert.Key))
		out, err := cmd.StderrPipe()
		if err != nil {
			n.t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			n.t.Fatal(err)
		}
		n.t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
		lines := bufio.NewScanner(out)
		for lines.Scan() && n.addrs[a.name] == "" {
			if _, addr, ok := strings.Cut(lines.Text(), "listening on "); ok {
				n.addrs[a.name] = addr
				break
			}
		}
		if n.addrs[a.name] == "" {
			n.t.Fatalf("the agent %s did not start", a.name)
		}
		go func() {
			for lines.Scan() { // so that it is never held up
			}
		}()
	}
}

// perspectives writes a file of some agents; core itself is the primary.
func (n *internet) perspectives(of string) string {
	n.t.Helper()
	text := "version: 1\nperspectives:\n  - {name: here, kind: self, region: RIPE NCC, coordinates: [50.11, 8.68]}\n"
	for _, a := range agents {
		if slices.Contains(strings.Fields(of), a.name) {
			text += fmt.Sprintf("  - {name: %s, kind: agent, address: %q, region: %s, coordinates: %s, token: token, ca: %s.pem}\n", a.name, n.addrs[a.name], a.region, a.place, a.name)
		}
	}
	return n.file("with "+of, text)
}

// ask runs caacheck in the middle, and returns the one verdict with the exit code.
func (n *internet) ask(t *testing.T, file, at, patience string) (string, quorum.Result, int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := n.caacheck("core", "www.victim.test", "--issuer", "ca.example", "--root-hints", filepath.Join(n.dir, "hints"), "--rate", "0", "--perspectives", file, "--at", at, "--perspective-timeout", patience, "--json")
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	var r struct {
		Names []struct {
			Verdicts []struct {
				Outcome       string
				Corroboration struct {
					Observations []struct{ Perspective, View, Reason string }
					Quorum       struct {
						Outcome string
						Failed  []quorum.Clause
						Pivotal []string
					}
				}
			}
		}
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || len(r.Names) != 1 || len(r.Names[0].Verdicts) != 1 {
		t.Fatalf("%v: %s%s", err, out.Bytes(), errs.Bytes())
	}
	v := r.Names[0].Verdicts[0]
	q := v.Corroboration.Quorum
	result := quorum.Result{Failed: q.Failed, Pivotal: q.Pivotal}
	for _, s := range v.Corroboration.Observations {
		result.Others = append(result.Others, fmt.Sprintf("%s %s (%s)", s.Perspective, s.View, s.Reason))
	}
	return v.Outcome + ", " + q.Outcome, result, cmd.ProcessState.ExitCode()
}

// Six agents with different routes give the rule's verdict at each of its dates (BR 3.2.2.9).
func TestQuorumOverNamespaces(t *testing.T) {
	t.Parallel()
	n := newInternet(t)
	const permitted, lie = `0 issue "ca.example"`, `0 issue "attacker.example"`
	patience := make(chan struct{})
	late := func() { <-patience; time.Sleep(100 * time.Millisecond) }
	n.serve("core", permitted, func() {})
	n.serve("liar", lie, func() {})
	n.serve("slow", permitted, late)
	n.startAgents()
	const (
		fine   = "may issue, corroborated"
		denied = "locked out, not corroborated"
		open   = "unknown, undetermined"
	)
	codes := map[string]int{fine: report.ExitFine, denied: report.ExitWrong, open: report.ExitUnknown}
	dates := []string{"2025-09-15", "2026-03-15", "2026-06-15", "2026-12-15"}
	judge := func(t *testing.T, agents, limit string, want []string, failed quorum.Clause, seen ...string) {
		t.Helper()
		file := n.perspectives(agents)
		for i, at := range dates {
			t.Run(at, func(t *testing.T) {
				t.Parallel()
				got, q, code := n.ask(t, file, at, limit)
				if got != want[i] || code != codes[want[i]] {
					t.Errorf("got %q (%v) and exit status %d, want %q and %d\nseen: %q", got, q.Failed, code, want[i], codes[want[i]], q.Others)
				}
				if i == len(dates)-1 && (failed != "") != slices.Contains(q.Failed, cmp.Or(failed, quorum.EnoughRemotes)) {
					t.Errorf("failed %v, want %q", q.Failed, failed)
				}
				if len(seen) > 0 && !slices.Equal(q.Others, seen) {
					t.Errorf("seen was %q\nwant %q", q.Others, seen)
				}
			})
		}
	}

	// One blocked, one lied to, and one that has not answered yet: that decides, at every date.
	t.Run("impatient", func(t *testing.T) {
		judge(t, "a1 a2 a3 a4 a5 a6", "6s", []string{open, open, open, open}, quorum.NonCorroborations,
			"here permits (authorized)", "a1 permits (authorized)", "a2 permits (authorized)", "a3 permits (authorized)",
			"a4 denies (lookup-failed-signed)", "a5 denies (issuer-not-listed)", "a6 unknown (no-answer)")
	})
	close(patience)
	for _, tt := range []struct {
		agents string
		want   []string      // at each date
		failed quorum.Clause // at the last
	}{
		{"a1 a2", []string{fine, open, open, open}, quorum.EnoughRemotes},
		{"a1 a4", []string{fine, open, open, open}, quorum.EnoughRemotes},
		{"a4 a5", []string{denied, denied, denied, denied}, quorum.NonCorroborations},
		{"a1 a2 a4", []string{fine, denied, open, open}, quorum.EnoughRemotes},
		{"a1 a3 a5", []string{fine, fine, open, open}, quorum.EnoughRemotes},
		{"a1 a2 a3 a4", []string{fine, fine, fine, open}, quorum.EnoughRemotes},
		{"a1 a2 a3 a4 a5", []string{denied, denied, denied, denied}, quorum.NonCorroborations},
		{"a1 a2 a3 a4 a6", []string{fine, fine, fine, fine}, ""},
		{"a1 a2 a3 a4 a5 a6", []string{fine, fine, fine, fine}, ""},
	} {
		t.Run(tt.agents, func(t *testing.T) {
			judge(t, tt.agents, "60s", tt.want, tt.failed)
		})
	}
}
