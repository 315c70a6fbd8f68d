package main

import (
	"bufio"
	"encoding/json"
	"io"
	"sync"

	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// observations writes every question with its reply, a JSON object a line, as they arrive.
type observations struct {
	mu     sync.Mutex
	out    *bufio.Writer
	closed bool
	err    error // the first
}

func newObservations(w io.Writer) *observations { return &observations{out: bufio.NewWriter(w)} }

// add is for resolve.Config.Observe.
func (s *observations) add(o resolve.Observation) {
	line, err := json.Marshal(o)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.err != nil {
		return
	}
	if err == nil {
		_, err = s.out.Write(append(terminal.EscapeJSON(line), '\n'))
	}
	s.err = err
}

// close flushes the file; later observations are not written.
func (s *observations) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.err == nil {
		s.err = s.out.Flush()
	}
	return s.err
}
