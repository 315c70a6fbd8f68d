package yamlpos

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

const (
	// MaxErrors is how many errors are kept.
	MaxErrors = 1000
	// ShownErrors is how many errors are printed.
	ShownErrors = 100
)

// Position is a place in a file; the zero Position is nowhere (a Corefile's line has its own).
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`   // from 1
	Column int    `json:"column"` // from 1, in characters
}

// String is `file:line:column`.
func (p Position) String() string {
	return fmt.Sprintf("%s:%d:%d", terminal.Clean(p.File), p.Line, p.Column)
}

// Error is one thing wrong with a file.
type Error struct {
	Pos     Position
	Message string

	omitted int // how many errors this one stands for, which were not kept; 0 where it is one itself
}

// Error implements error. It is one line: what the file's author wrote is escaped.
func (e *Error) Error() string { return fmt.Sprintf("%v: %s", e.Pos, terminal.Clean(e.Message)) }

// ErrorList is everything wrong with a file, in the file's order.
type ErrorList []*Error

// Error implements error: one line for each.
func (l ErrorList) Error() string { return strings.Join(l.Lines(), "\n") }

// Lines are those of the error's text.
func (l ErrorList) Lines() []string {
	lines := make([]string, 0, min(len(l), ShownErrors+1))
	for i, e := range l {
		if i == ShownErrors {
			lines = append(lines, fmt.Sprintf("%s: %d more errors", terminal.Clean(e.Pos.File), l.count()-ShownErrors))
			break
		}
		lines = append(lines, e.Error())
	}
	return lines
}

// count is how many errors there were, those that were not kept among them.
func (l ErrorList) count() int {
	n := 0
	for _, e := range l {
		n += max(e.omitted, 1)
	}
	return n
}

// Joined are two lists in the file's order. What the second says of a place that the first has
// refused is a consequence, and left out.
func Joined(first, second error) error {
	var refused, consequent ErrorList
	errors.As(first, &refused)
	errors.As(second, &consequent)
	places := make(map[Position]bool, len(refused))
	for _, e := range refused {
		places[e.Pos] = true
	}
	var all Sink
	for i, e := range slices.Concat(refused, consequent) {
		switch {
		case e.omitted > 0:
			all.omitted += e.omitted
		case i < len(refused) || !places[e.Pos]:
			all.errors = append(all.errors, e)
		}
	}
	return all.Err()
}

// Sink gathers what is wrong: the first MaxErrors, and how many there are besides.
type Sink struct {
	errors  ErrorList
	omitted int
}

// Add adds an error.
func (s *Sink) Add(pos Position, format string, args ...any) {
	if s.Full() {
		s.omitted++
		return
	}
	s.errors = append(s.errors, &Error{Pos: pos, Message: fmt.Sprintf(format, args...)})
}

// Full reports whether no more errors are kept.
func (s *Sink) Full() bool { return len(s.errors) >= MaxErrors }

// Found is how many errors there were so far.
func (s *Sink) Found() int { return len(s.errors) + s.omitted }

// Err is an ErrorList of what was gathered, nil where that is nothing.
func (s *Sink) Err() error {
	if len(s.errors) == 0 {
		return nil
	}
	slices.SortStableFunc(s.errors, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	if more := len(s.errors) - MaxErrors; more > 0 { // of two lists
		s.errors, s.omitted = s.errors[:MaxErrors], s.omitted+more
	}
	if s.omitted == 0 {
		return s.errors
	}
	last := s.errors[len(s.errors)-1].Pos
	return append(s.errors, &Error{last, fmt.Sprintf("%d more errors; only the first %d are shown", s.omitted, MaxErrors), s.omitted})
}

// also adds what another sink has gathered.
func (s *Sink) also(other *Sink) {
	for _, e := range other.errors {
		if s.Full() {
			s.omitted++
		} else {
			s.errors = append(s.errors, e)
		}
	}
	s.omitted += other.omitted
}

// Shorten cuts a text for a message.
func Shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	end := most - 3
	for end > 0 && s[end]&0xC0 == 0x80 { // not within a character
		end--
	}
	return s[:end] + "..."
}
