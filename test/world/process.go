package world

import (
	"bufio"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a running server.
type Process struct {
	Addr netip.AddrPort // where it answers, UDP and TCP
	Dir  string         // its folder, which ends with the test

	name   string
	cmd    *exec.Cmd
	log    *journal
	exited chan struct{} // closed when the process has ended and its log is complete
}

// faults are what no server may say, whatever it answers: a race (the server is built with the
// detector when the test is) and a panic, from which CoreDNS recovers.
var faults = []string{"WARNING: DATA RACE", "panic: ", "Recovered from panic"}

// starts is how often a program is started that finds its port taken: between FreeAddr and its own bind, some
// resolver's question may go out by it.
const starts = 5

// start runs a program and waits until its log has the text that says it is ready.
func start(t testing.TB, addr netip.AddrPort, dir, ready string, program string, args ...string) *Process {
	t.Helper()
	for n := 1; ; n++ {
		p := launch(t, addr, dir, program, args...)
		if p.log.wait(ready, 1, patience) {
			return p
		}
		if n == starts || !strings.Contains(strings.ToLower(p.Log()), "in use") {
			t.Fatalf("%s did not say %q", program, ready)
		}
		p.Stop(t)
		time.Sleep(time.Duration(n) * 100 * time.Millisecond)
	}
}

func launch(t testing.TB, addr netip.AddrPort, dir, program string, args ...string) *Process {
	t.Helper()
	p := &Process{Addr: addr, Dir: dir, name: program, log: newJournal(), exited: make(chan struct{})}
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir = dir
	p.cmd.SysProcAttr = ownGroup()
	reader, writer := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = writer, writer
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	go p.log.collect(reader)
	go func() {
		_ = p.cmd.Wait() // how it ended shows in its log
		writer.Close()
		<-p.log.closed
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.Stop(t)
		for _, fault := range faults {
			if strings.Contains(p.Log(), fault) {
				t.Errorf("%s wrote %q", program, fault)
			}
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", program, p.Log())
		}
	})
	return p
}

// Log is what the process has written so far.
func (p *Process) Log() string { return p.log.text() }

// WaitLog waits until the log holds text. It fails the test if the process ends without it.
func (p *Process) WaitLog(t testing.TB, text string) {
	t.Helper()
	p.WaitLogs(t, text, 1)
}

// WaitLogs waits until the log holds text n times.
func (p *Process) WaitLogs(t testing.TB, text string, n int) {
	t.Helper()
	if !p.log.wait(text, n, patience) {
		t.Fatalf("%s did not say %q, or not %d times", p.name, text, n)
	}
}

// Signal sends a signal to the process itself.
func (p *Process) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// Stop ends the process, and whatever it started, and waits until it has gone. It may be called
// twice.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	select {
	case <-p.exited:
		return
	default:
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM) // it may have ended this moment
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGQUIT) // a Go program then says where it waits
		select {
		case <-p.exited:
		case <-time.After(patience):
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
			<-p.exited
		}
		t.Errorf("%s did not end within %v of SIGTERM", p.name, patience)
	}
}

// journal collects what a process writes and wakes up who waits for a text.
type journal struct {
	mu     sync.Mutex
	all    strings.Builder
	grown  chan struct{} // closed, and replaced, whenever there is more
	closed chan struct{} // closed at the end
}

func newJournal() *journal {
	return &journal{grown: make(chan struct{}), closed: make(chan struct{})}
}

func (j *journal) collect(r io.Reader) {
	defer close(j.closed)
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadString('\n')
		j.append(line)
		if err != nil {
			return
		}
	}
}

func (j *journal) append(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.all.WriteString(line)
	close(j.grown)
	j.grown = make(chan struct{})
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.all.String()
}

// wait reports whether the text appears n times before the journal's end and the limit.
func (j *journal) wait(text string, n int, limit time.Duration) bool {
	deadline := time.After(limit)
	for {
		j.mu.Lock()
		found, grown := strings.Count(j.all.String(), text) >= n, j.grown
		j.mu.Unlock()
		if found {
			return true
		}
		select {
		case <-grown:
		case <-j.closed:
			return strings.Count(j.text(), text) >= n
		case <-deadline:
			return false
		}
	}
}
