//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hole is a root that never answers: flags that lead into it, and what waits until it was asked.
func hole(t *testing.T, dir string) (flags []string, asked func()) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	hints := filepath.Join(dir, "hole")
	if err := os.WriteFile(hints, []byte(". NS a.root.test.\na.root.test. A 127.0.0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port := conn.LocalAddr().(*net.UDPAddr).Port
	return []string{"--root-hints", hints, "--port", fmt.Sprint(port), "--timeout", "1m"}, func() {
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		if _, _, err := conn.ReadFrom(make([]byte, 512)); err != nil {
			t.Fatal(err)
		}
	}
}

// A terminal that is closed sends SIGHUP more than once. What was found until the first is written whole.
func TestHangUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	flags, asked := hole(t, dir)
	files := t.TempDir()
	observations, document := filepath.Join(files, "seen.jsonl"), filepath.Join(files, "found.sarif")
	var out bytes.Buffer
	cmd := exec.Command(built(t, dir), append(flags, "--json", "--observations", observations, "--sarif", document, "www.example.test")...)
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	asked()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	for done := false; !done; {
		_ = cmd.Process.Signal(syscall.SIGHUP)
		select {
		case <-ended:
			done = true
		case <-time.After(time.Millisecond):
		}
	}
	if code := cmd.ProcessState.ExitCode(); code != 2 {
		t.Errorf("%v: %s", cmd.ProcessState, &out)
	}
	if text, err := os.ReadFile(document); err != nil || !json.Valid(text) || !bytes.Contains(text, []byte("interrupted")) {
		t.Errorf("%v: %s", err, text)
	}
	for _, file := range []string{observations, document} {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(files, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A second signal ends it in the middle of saving, and leaves no file behind that nobody asked for.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program, names := built(t, dir), filepath.Join(dir, "names")
	var list strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&list, "n%d.example.test\n", i)
	}
	if err := os.WriteFile(names, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		flags, asked := hole(t, dir)
		files := t.TempDir()
		cmd := exec.Command(program, append(flags, "--html", filepath.Join(files, "html"), "--junit", filepath.Join(files, "junit"), "--names", names)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		asked()
		_ = cmd.Process.Signal(syscall.SIGINT)
		time.Sleep(time.Duration(i) * time.Millisecond) // one of these is the middle
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if left, _ := filepath.Glob(filepath.Join(files, ".*")); len(left) > 0 {
			t.Errorf("%v left behind: %v", cmd.ProcessState, left)
		}
	}
}

// Under nohup SIGHUP ends nothing, as POSIX has it.
func TestNoHangUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	flags, asked := hole(t, dir)
	cmd := exec.Command("sh", append([]string{"-c", `trap "" HUP; exec "$@"`, "sh", built(t, dir)}, append(flags, "www.example.test")...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	asked()
	_ = cmd.Process.Signal(syscall.SIGHUP)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	select {
	case <-ended:
		t.Errorf("it ended: %v", cmd.ProcessState)
	case <-time.After(300 * time.Millisecond):
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	<-ended
}

// Who reads no more has what he wanted, of whichever command.
func TestReaderGone(t *testing.T) {
	t.Parallel()
	dir, _ := start(t)
	program, policy := built(t, dir), filepath.Join(dir, "policy.yaml")
	for _, args := range [][]string{{"diff", policy, policy}, {"explain", policy, "www.example.test"}, {"lint", policy}, {"--help"}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		var stderr strings.Builder
		cmd := exec.Command(program, args...)
		cmd.Stdout, cmd.Stderr = w, &stderr
		if err := cmd.Run(); err != nil || stderr.Len() > 0 {
			t.Errorf("%v: %v: %s", args, err, &stderr)
		}
		w.Close()
	}
}

// The first signal ends the commands that only read policies, whatever they are at: a pipe that nobody writes to,
// or a judgement that takes long.
func TestOfflineEndsAtTheFirstSignal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program, pipe := built(t, dir), filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"lint", pipe}, {"explain", pipe, "www.example.test"}, {"diff", pipe, pipe}} {
		var stderr strings.Builder
		cmd := exec.Command(program, args...)
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Opening the pipe for writing waits for its reader, so the signal comes while it is read.
		w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // the test's own time-out is for a command that does not end
		w.Close()
		if code := cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(stderr.String(), "ended by a signal") {
			t.Errorf("%v: exit %d: %s", args, code, &stderr)
		}
	}
	policy := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte("version: 1\nzones: {example.test: {issue: none}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{"lint", policy}, {"explain", policy, "www.example.test"}, {"diff", policy, policy}} {
		var out, stderr strings.Builder
		if code := run(ctx, args, stdio{in: strings.NewReader(""), out: &out, err: &stderr}); code != 2 || out.Len() > 0 {
			t.Errorf("%v after a signal: exit %d: %s%s", args, code, &out, &stderr)
		}
	}
}
