package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile"
)

// File is a policy file. It is looked at by its stamp, and read when that says something new.
type File struct {
	path string
	from string // where the path is written, such as a line of the Corefile
	last stamp  // of the state that was read last, whether it was served, refused or unreadable
	seen stamp  // at the last look

	since    time.Time // the look that saw that state first
	restless time.Time // the first of the last looks of which each saw another state; zero while the file rests
}

// stamp identifies one state of a file, links followed: a Kubernetes ConfigMap changes by a swap of
// a symbolic link, editors rename a new file into place or write into the old one.
type stamp struct {
	info       os.FileInfo // nil where the file cannot be opened
	unreadable string      // why it cannot be opened; "" where it can
}

// stampOf opens the file, since one that may not be read has the same status as one that may.
func stampOf(path string) stamp {
	file, info, err := regularfile.Open(path)
	if err != nil {
		return stamp{unreadable: err.Error()}
	}
	file.Close()
	return stamp{info: info}
}

// equal reports whether nothing tells the two states apart.
func (s stamp) equal(other stamp) bool {
	if s.info == nil || other.info == nil {
		return s.info == other.info && s.unreadable == other.unreadable
	}
	return os.SameFile(s.info, other.info) && s.info.Size() == other.info.Size() && s.info.ModTime().Equal(other.info.ModTime())
}

// NewFile returns the file at a path, which need not be there. Errors say where the path is written.
func NewFile(path, from string) *File { return &File{path: path, from: from} }

// Name implements PolicySource.
func (s *File) Name() string { return s.path }

// State implements PolicySource.
func (s *File) State() State {
	seen := State{Read: s.seen.equal(s.last), Since: s.since, Restless: s.restless}
	if s.seen.info != nil {
		seen.Changed = s.seen.info.ModTime()
	}
	return seen
}

// Look implements PolicySource.
func (s *File) Look(at time.Time) {
	now := stampOf(s.path)
	if now.equal(s.seen) {
		s.restless = time.Time{}
		return
	}
	s.seen, s.since = now, at
	if s.restless.IsZero() {
		s.restless = at
	}
}

// Again implements PolicySource.
func (s *File) Again() { s.last = stamp{} }

// Read implements PolicySource.
func (s *File) Read(at time.Time) ([]byte, error) {
	s.Look(at)
	s.last = s.seen
	data, info, err := regularfile.Read(s.path, policy.MaxSize)
	switch {
	case errors.Is(err, regularfile.ErrChanged) || info != nil && !s.last.equal(stamp{info: info}):
		s.last = stamp{}
		s.Look(at)
		return nil, ErrUnsettled
	case errors.Is(err, regularfile.ErrTooLarge): // the parser refuses it, and says what to do
		return data, nil
	case err != nil:
		return nil, s.unreadable(err)
	}
	return data, nil
}

// unreadable is the error of a file that cannot be read, for people. A PathError of regularfile has the path that was
// tried, whatever the working directory is.
func (s *File) unreadable(err error) error {
	if of := new(fs.PathError); errors.As(err, &of) {
		return fmt.Errorf("%s: cannot open the policy %s: %w", s.from, of.Path, of.Err)
	}
	return fmt.Errorf("%s: cannot read the policy: %w", s.from, err)
}
