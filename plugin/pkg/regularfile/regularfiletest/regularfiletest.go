//go:build unix

// Package regularfiletest holds readers of files against what may be in a file's place.
package regularfiletest

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a reader that waits for a pipe is waited for.
const patience = 2 * time.Minute

// place is what may be in a file's place, with what the reader says of it. most is the reader's limit.
type place struct {
	name, want string
	put        func(path string, most int64) error
}

var places = []place{
	{"a pipe", "not a regular file but a pipe", func(path string, _ int64) error { return syscall.Mkfifo(path, 0o600) }},
	{"a device", "not a regular file but a device", func(path string, _ int64) error { return os.Symlink("/dev/zero", path) }},
	{"a directory", "not a regular file but a directory", func(path string, _ int64) error { return os.Mkdir(path, 0o700) }},
	{"a socket", "not a regular file but a socket", func(path string, _ int64) error {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err != nil {
			return err
		}
		l.SetUnlinkOnClose(false)
		return l.Close()
	}},
	{"a large file", "(longer|larger) than", func(path string, most int64) error {
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		defer file.Close()
		return file.Truncate(most + 1)
	}},
}

// Refuses checks that a reader refuses what is no regular file, and a file of more than most octets. read reads what is
// at path, which is called name in the new folder dir.
func Refuses(t *testing.T, name string, most int64, read func(dir, path string) error) {
	t.Helper()
	for i := range places {
		places[i].refused(t, name, most, read)
	}
}

// RefusesAllButPipes is Refuses for a reader that waits for pipes.
func RefusesAllButPipes(t *testing.T, name string, most int64, read func(dir, path string) error) {
	t.Helper()
	for i := range places {
		if places[i].name != "a pipe" {
			places[i].refused(t, name, most, read)
		}
	}
}

func (p *place) refused(t *testing.T, name string, most int64, read func(dir, path string) error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "file") // not t.TempDir, which is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, name)
	if err := p.put(path, most); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- read(dir, path) }()
	select {
	case err := <-done:
		if err == nil || !regexp.MustCompile(p.want).MatchString(err.Error()) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s in the place of %s: error %v, want %q with the path", p.name, name, err, p.want)
		}
	case <-time.After(patience):
		t.Fatalf("%s in the place of %s: it is waited for", p.name, name)
	}
}
