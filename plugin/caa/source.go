package caa

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// source is the policy file. It is looked at by stat(2), and read when that says something new.
type source struct {
	path string
	last stamp // of the content that was read last
}

// stamp identifies one state of a file, links followed: a Kubernetes ConfigMap changes by a swap of
// a symbolic link, editors rename a new file into place or write into the old one.
type stamp struct {
	dev, ino uint64
	size     int64
	modified time.Time
	missing  string // why there is no file to read; "" when there is one
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{missing: errors.Unwrap(err).Error()}
	}
	s := stamp{size: info.Size(), modified: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.dev, s.ino = uint64(sys.Dev), sys.Ino
	}
	return s
}

// sameFile reports whether two stamps are states of one file, so that a writer may be at work on it.
func (s stamp) sameFile(other stamp) bool { return s.dev == other.dev && s.ino == other.ino }

var errUnsettled = errors.New("the file is being written")

// read returns the file's content. While somebody writes to it the error is errUnsettled.
func (s *source) read() ([]byte, error) {
	file, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: s.path, Err: fmt.Errorf("it is not a regular file but %s", info.Mode().Type())}
	}
	before := stampOf(s.path)
	// One octet more than the parser takes, so that it can refuse the file by its size.
	data, err := io.ReadAll(io.LimitReader(file, policy.MaxSize+1))
	if err != nil {
		return nil, err
	}
	if before != stampOf(s.path) {
		return nil, errUnsettled
	}
	s.last = before
	return data, nil
}
