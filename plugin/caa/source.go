package caa

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// source is the policy file. It is looked at by its stamp, and read when that says something new.
type source struct {
	path string
	last stamp // of the state that was dealt with last, whether it was served, refused or unreadable
	seen stamp // at the last look

	since    time.Time // the look that saw that state first
	restless time.Time // the first of the last looks of which each saw another state; zero while the file rests
}

// stamp identifies one state of a file, links followed: a Kubernetes ConfigMap changes by a swap of
// a symbolic link, editors rename a new file into place or write into the old one.
type stamp struct {
	info       os.FileInfo // nil where the file cannot be opened
	unreadable string      // why it cannot be opened; "" where it can
}

// stampOf opens the file, since one that may not be read has the same status as one that may. What
// is no file it leaves alone: opening a pipe would wait for its writer.
func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return stamp{info: info}
	}
	file, err := os.Open(path)
	if err != nil {
		return stamp{unreadable: err.Error()}
	}
	defer file.Close()
	return stampOfOpen(file)
}

func stampOfOpen(file *os.File) stamp {
	info, err := file.Stat()
	if err != nil {
		return stamp{unreadable: err.Error()}
	}
	return stamp{info: info}
}

// equal reports whether nothing tells the two states apart.
func (s stamp) equal(other stamp) bool {
	if s.info == nil || other.info == nil {
		return s.info == other.info && s.unreadable == other.unreadable
	}
	return os.SameFile(s.info, other.info) && s.info.Size() == other.info.Size() && s.info.ModTime().Equal(other.info.ModTime())
}

// news reports whether the file is in a new state and rests in it, that is, was in the same one at
// the look before: half a policy may well be a valid one, and an editor that deletes a file to
// write it anew has not taken it away.
func (s *source) news(at time.Time) bool { return s.look(at) && !s.seen.equal(s.last) }

// look reports whether the file is as it was at the look before.
func (s *source) look(at time.Time) (rests bool) {
	now := stampOf(s.path)
	if rests = now.equal(s.seen); rests {
		s.restless = time.Time{}
		return true
	}
	s.seen, s.since = now, at
	if s.restless.IsZero() {
		s.restless = at
	}
	return false
}

// again makes the state that was dealt with news once more.
func (s *source) again() { s.last = stamp{} }

var errUnsettled = errors.New("the file is being written")

// read returns the file's content, and takes its state for dealt with. While somebody writes to it
// the error is errUnsettled, and the state stays news.
func (s *source) read(at time.Time) ([]byte, error) {
	s.look(at)
	s.last = s.seen
	if s.last.info != nil && !s.last.info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: s.path, Err: fmt.Errorf("it is not a regular file but %s", s.last.info.Mode().Type())}
	}
	file, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// One octet more than the parser takes, so that it can refuse the file by its size.
	data, err := io.ReadAll(io.LimitReader(file, policy.MaxSize+1))
	if err != nil {
		return nil, err
	}
	if !s.last.equal(stampOfOpen(file)) {
		s.last = stamp{}
		s.look(at)
		return nil, errUnsettled
	}
	return data, nil
}
