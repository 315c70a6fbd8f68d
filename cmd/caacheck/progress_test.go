package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/lab"
)

// asCommand makes the test's own program caacheck.
const asCommand = "CAACHECK_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestProgressLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		done, total int
		took        time.Duration
		want        string
	}{
		{0, 20, 3 * time.Second, "0 of 20 names; "},
		{5, 20, 10 * time.Second, "5 of 20 names, 0.5 a second, 30s left; "},
		{2000, 10000, 10 * time.Second, "2000 of 10000 names, 200 a second, 40s left; "},
		{1, 10000, 36 * time.Second, "1 of 10000 names, 0.0278 a second, 99h59m24s left; "},
		{20, 20, time.Second, "20 of 20 names, 20 a second, 0s left; "},
	} {
		if got := progressLine(tt.done, tt.total, tt.took); got != tt.want+"Ctrl-C shows what is known" {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

// A short run says nothing; a long one keeps one line, also while no name ends, and takes it away.
func TestProgress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		took time.Duration
		want []string
	}{
		{900 * time.Millisecond, nil},
		{1700 * time.Millisecond, []string{"0 of 9 names;", "4 of 9 names, 2.67 a second, 2s left;", ""}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			p := &progress{quit: make(chan struct{}), ended: make(chan struct{})}
			go p.show(&out, 9)
			time.Sleep(min(tt.took, 1200*time.Millisecond)) // the bubble's time
			p.report(4)
			time.Sleep(tt.took - min(tt.took, 1200*time.Millisecond))
			p.stop()
			var got []string
			for _, line := range strings.Split(out.String(), clearLine)[1:] {
				line, _, _ = strings.Cut(line, " Ctrl-C")
				got = append(got, line)
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
				t.Errorf("after %v: %q, want %q", tt.took, got, tt.want)
			}
		})
	}
}

// Nothing is shown where there is no terminal.
func TestProgressIsForTerminals(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := startProgress(&out, 9)
	p.report(1)
	p.stop()
	if out.Len() > 0 {
		t.Errorf("%q", out.String())
	}
}

// Ctrl-C while a server does not answer ends the run at once, with what is known, in every form.
func TestCtrlC(t *testing.T) {
	t.Parallel()
	asked, once := make(chan struct{}), sync.Once{}
	hang := func(string, dns.Question, *dns.Msg) *dns.Msg {
		once.Do(func() { close(asked) })
		return nil
	}
	l := lab.New(t, map[string]lab.Hook{"ns1.slow.test.": hang},
		lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}, Text: `@ CAA 0 issue "letsencrypt.org"`},
		lab.Zone{Name: "slow.test.", Servers: []string{"ns1.slow.test."}})
	dir := t.TempDir()
	html := filepath.Join(dir, "page.html")
	cmd := exec.Command(os.Args[0], append(flagsInto(t, l, dir), "--timeout", "10m", "--html", html, "www.test", "slow.test")...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	<-asked
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 2 || stderr.Len() > 0 {
		t.Errorf("%v: %s", err, stderr.String())
	}
	if !strings.Contains(out.String(), "interrupted: names are missing") || strings.Contains(out.String(), "slow.test\n") {
		t.Errorf("it says\n%s", out.String())
	}
	if text, err := os.ReadFile(html); err != nil || !bytes.Contains(text, []byte("interrupted: names are missing")) {
		t.Errorf("%v: %s", err, text)
	}
}

// Ctrl-C again ends what the first does not, such as reading names that nobody writes.
func TestCtrlCAgain(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "--names", "-")
	cmd.Env = append(os.Environ(), asCommand+"=1")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	again := time.NewTicker(50 * time.Millisecond) // nothing says that it has begun to read
	defer again.Stop()
	limit := time.After(time.Minute)
	for {
		select {
		case err := <-ended:
			if err == nil {
				t.Error("it ended well, and had no names")
			}
			return
		case <-again.C:
			cmd.Process.Signal(os.Interrupt)
		case <-limit:
			cmd.Process.Kill()
			t.Fatal("it does not end")
		}
	}
}
