//go:build unix

package regularfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/regularfile/regularfiletest"
)

func TestRead(t *testing.T) {
	t.Parallel()
	path, link := filepath.Join(t.TempDir(), "f"), filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.WriteFile(path, []byte("text"), 0o640), os.Symlink(path, link)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, text string
		most       int64
		err        error
	}{
		{path, "text", 100, nil},
		{path, "text", 4, nil},
		{path, "text", 3, ErrTooLarge},
		{path, "te", 1, ErrTooLarge},
		{link, "text", 4, nil},
		{path + "x", "", 4, fs.ErrNotExist},
	} {
		text, info, err := Read(c.path, c.most)
		if string(text) != c.text || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s, at most %d octets: %q, %v; want %q, %v", c.path, c.most, text, err, c.text, c.err)
		}
		if err == nil && (info.Mode() != 0o640 || info.Size() != 4) {
			t.Errorf("%s: the state is %v", c.path, info)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	regularfiletest.Refuses(t, "file", 1000, func(_, path string) error {
		_, _, err := Read(path, 1000)
		return err
	})
}

func TestChangedWhileRead(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"longer":  func(path string) error { return os.WriteFile(path, []byte("longer text"), 0) },
		"shorter": func(path string) error { return os.Truncate(path, 1) },
		"another": func(path string) error { return os.Chtimes(path, time.Time{}, time.Unix(1, 0)) },
	} {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
		file, info, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := change(path); err != nil {
			t.Fatal(err)
		}
		if text, err := readWhole(file, info, 100); !errors.Is(err, ErrChanged) || text != nil {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

// A pipe on a command line has a writer, and no more of it is read than of a file.
func TestReadOrPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		want string
		err  error
	}{{"text", "text", nil}, {"", "", nil}, {strings.Repeat("x", 5), "xxxxx", ErrTooLarge}, {strings.Repeat("x", 1<<20), "xxxxx", ErrTooLarge}} {
		written := make(chan error, 1)
		go func() {
			w, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = w.WriteString(c.text)
				err = errors.Join(err, w.Close())
			}
			written <- err
		}()
		text, err := ReadOrPipe(path, 4)
		if string(text) != c.want || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%d octets: %q, %v; want %q, %v", len(c.text), text, err, c.want, c.err)
		}
		if err := <-written; err != nil && !errors.Is(err, syscall.EPIPE) {
			t.Error(err)
		}
	}
}
