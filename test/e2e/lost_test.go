package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

const (
	policyChanges = 20
	restarts      = 5
	tcpClients    = 2
	rate          = 2000 // questions a second: plenty in flight at any moment, and room for two cores
)

// No query is lost and none is SERVFAIL while the policy changes, CoreDNS restarts at a signal, and
// its plugin reload restarts it for a change of the Corefile. Over UDP the new instance reads from
// the very socket of the old one, so that what waits in it is answered. Over TCP the listening socket
// passes on as well, but CoreDNS closes the connections that are open, with what they have not read
// yet (miekg/dns, Server.ShutdownContext): whoever had asked there must ask again (RFC 7766 6.2.4),
// and is answered.
func TestNoQueryIsLost(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	world.WriteFile(t, filepath.Join(folder, "policy.yaml"), numbered(0))
	key := world.NewKey(t, "example.org")
	server := world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    errors
    reload 2s 1s
    caa `+folder+`/policy.yaml {
        key file $DIR/`+key.Name+`
        reload 100ms
    }
}
`, key.Files)
	s := &site{Process: server, folder: folder}
	udp := startDNSPerf(t, server.Addr)
	tcp := askOverTCP(t, server.Addr)
	passBy(t, server.Addr)

	for n := range policyChanges {
		accept(t, s, numbered(n+1))
	}
	// The plugin reload first: after a restart by a signal CoreDNS 1.15 looks at its Corefile no more,
	// since caddy forgets the hook that the plugin registers only once (coredns/coredns#6263).
	corefile := filepath.Join(server.Dir, "Corefile")
	text, err := os.ReadFile(corefile)
	must(t, err)
	world.WriteFile(t, corefile, strings.Replace(string(text), "errors", "errors\n    minimal", 1))
	for n := range restarts {
		s.WaitLogs(t, "Reloading complete", n+1)
		s.Signal(t, syscall.SIGUSR1)
	}
	s.WaitLogs(t, "Reloading complete", restarts+1)
	s.wantNumber(t, policyChanges)

	report := udp()
	for what, want := range map[string]string{"lost": "0", "completed": report["sent"]} {
		if report[what] != want {
			t.Errorf("queries %s over UDP: %s, want %s: %v", what, report[what], want, report)
		}
	}
	if codes := report["codes"]; !strings.HasPrefix(codes, "NOERROR ") || strings.Contains(codes, ",") {
		t.Errorf("response codes over UDP: %s", codes)
	}
	asked, again := tcp()
	if again > 2*tcpClients*(restarts+1) {
		t.Errorf("%d connections were closed: more than two for each client and restart", again)
	}
	t.Logf("UDP: %s queries. TCP: %d queries, %d connections closed", report["sent"], asked, again)
}

var perfLines = map[string]*regexp.Regexp{
	"sent":      regexp.MustCompile(`Queries sent: +(\d+)`),
	"completed": regexp.MustCompile(`Queries completed: +(\d+)`),
	"lost":      regexp.MustCompile(`Queries lost: +(\d+)`),
	"codes":     regexp.MustCompile(`Response codes: +(.*)`),
}

// startDNSPerf asks until the function that it returns is called, which returns dnsperf's own report.
func startDNSPerf(t *testing.T, server netip.AddrPort) (stop func() map[string]string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), world.Program(t, "dnsperf"), "-s", server.Addr().String(), "-p", fmt.Sprint(server.Port()),
		"-D", "-Q", fmt.Sprint(rate), "-q", "50", "-t", fmt.Sprint(limit.Seconds()))
	questions, err := cmd.StdinPipe()
	must(t, err)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	must(t, cmd.Start())
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer questions.Close() // dnsperf waits for what is in flight, and reports
		for n := 0; ; n++ {
			select {
			case <-end:
				return
			default:
				// Never ahead by more than the pipe holds.
				if _, err := fmt.Fprintf(questions, "h%d.example.org CAA\nH%d.dev.Example.ORG MX\n", n%1000, n%1000); err != nil {
					return
				}
			}
		}
	}()
	return func() map[string]string {
		t.Helper()
		close(end)
		<-ended
		if err := cmd.Wait(); err != nil {
			t.Fatalf("dnsperf: %v\n%s", err, output.String())
		}
		report := map[string]string{}
		for what, line := range perfLines {
			found := line.FindStringSubmatch(output.String())
			if found == nil {
				t.Fatalf("dnsperf's output has no queries %s:\n%s", what, output.String())
			}
			report[what] = found[1]
		}
		return report
	}
}

// askOverTCP asks one question on each connection, as a resolver does after a truncated answer, until
// the function that it returns is called. A question whose connection was closed is asked again, twice
// at most: the old instance may have accepted the second connection, too, before it stopped listening.
// again says how often that was.
func askOverTCP(t *testing.T, server netip.AddrPort) (stop func() (asked, again int64)) {
	var asked, again atomic.Int64
	var done sync.WaitGroup
	end := make(chan struct{})
	for worker := range tcpClients {
		done.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-end:
					return
				default:
				}
				m := askDO(fmt.Sprintf("t%d.w%d.example.org.", n%100, worker), dns.TypeCAA)
				answer, err := overTCP(server, m)
				for tries := 0; tries < 2 && closed(err); tries++ {
					again.Add(1)
					answer, err = overTCP(server, m)
				}
				asked.Add(1)
				if err != nil || answer.Rcode != dns.RcodeSuccess {
					t.Errorf("over TCP: %v\n%v", err, answer)
					return
				}
			}
		})
	}
	return func() (int64, int64) {
		close(end)
		done.Wait()
		return asked.Load(), again.Load()
	}
}

// passBy connects now and then, as others do to any server. Caddy hands the listening socket on with
// net.FileListener, which makes it blocking for an instant. Has the old instance called accept just
// then, it waits in the kernel, and its shutdown, with the questions that it holds, waits for it:
// until somebody connects.
func passBy(t *testing.T, server netip.AddrPort) {
	t.Helper()
	end := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-end:
				tick.Stop()
				return
			case <-tick.C:
				if c, err := net.Dial("tcp", server.String()); err == nil {
					c.Close()
				}
			}
		}
	})
	t.Cleanup(func() { close(end); done.Wait() })
}

func overTCP(server netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
	client := dns.Client{Net: "tcp", Timeout: limit}
	answer, _, err := client.Exchange(m, server.String())
	return answer, err
}

// closed reports whether the server ended the connection, rather than refuse it or give no answer.
func closed(err error) bool {
	var refused *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.As(err, &refused) && refused.Op == "read" && !refused.Timeout()
}
