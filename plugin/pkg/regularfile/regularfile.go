// Package regularfile reads files that people and other programs write: policies, keys, certificates, states. It never
// waits for one, as a pipe without a writer would have it do, reads no more than a limit, as /dev/zero or a log put in
// the wrong place would need, opens no device, and notices a file that is written to while it is read. Links are
// followed. The errors name the absolute path and the reason.
package regularfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

var (
	// ErrTooLarge is a file of more octets than the limit.
	ErrTooLarge = errors.New("too large")
	// ErrChanged is a file that was written to while it was read: what was read may be half of each text.
	ErrChanged = errors.New("the file changed while it was read: it is still being written")
)

// tooLarge is ErrTooLarge with the limit, in octets.
type tooLarge int64

func (most tooLarge) Error() string {
	return fmt.Sprintf("the file is longer than %d octets", int64(most))
}

func (tooLarge) Is(target error) bool { return target == ErrTooLarge }

// Read returns the text of a regular file and the file's state, as it was from before the first octet was read until
// after the last one. A file of more than most octets is ErrTooLarge, and text is then its first most+1 octets, for a
// parser that has a better word for it.
func Read(path string, most int64) (text []byte, info fs.FileInfo, err error) {
	file, info, err := Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	text, err = readWhole(file, info, most)
	return text, info, err
}

// Open opens a regular file, and refuses everything else without opening it.
func Open(path string) (*os.File, fs.FileInfo, error) {
	path = absolute(path)
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, nil, notRegular(path, info)
	}
	// Another file may be there by now: a pipe that is opened so waits for nobody.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = notRegular(path, info)
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// ReadOrPipe is the text that Read returns, and that of a pipe, for which it waits: a person who names a file on a
// command line may well write <(git show HEAD:policy.yaml).
func ReadOrPipe(path string, most int64) ([]byte, error) {
	path = absolute(path)
	info, err := os.Stat(path)
	if err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		text, _, err := Read(path, most)
		return text, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readOpen(file, info, most)
}

// absolute returns a path as errors name it: a reader of a log knows no working directory.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil && path != "" {
		return abs
	}
	return path
}

// readWhole reads a file that was in a state when it was opened.
func readWhole(file *os.File, opened fs.FileInfo, most int64) ([]byte, error) {
	text, err := readOpen(file, opened, most)
	after, statErr := file.Stat()
	switch {
	case statErr != nil:
		return nil, statErr
	case after.Size() != opened.Size() || !after.ModTime().Equal(opened.ModTime()):
		return nil, &fs.PathError{Op: "read", Path: file.Name(), Err: ErrChanged}
	}
	return text, err
}

// readOpen reads at most most+1 octets.
func readOpen(file *os.File, info fs.FileInfo, most int64) ([]byte, error) {
	var text bytes.Buffer
	text.Grow(int(min(info.Size(), most)) + bytes.MinRead)
	_, err := text.ReadFrom(io.LimitReader(file, most+1))
	if err == nil && int64(text.Len()) > most {
		err = &fs.PathError{Op: "read", Path: file.Name(), Err: tooLarge(most)}
	}
	return text.Bytes(), err
}

func notRegular(path string, info fs.FileInfo) error {
	kind := "something else"
	switch mode := info.Mode(); {
	case mode.IsDir():
		kind = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		kind = "a pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	case mode&fs.ModeDevice != 0:
		kind = "a device"
	}
	return &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file but " + kind)}
}
