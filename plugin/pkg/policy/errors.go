package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/coredns-caa/caa/plugin/pkg/spelling"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// String is `file:line:column`.
func (p Position) String() string {
	return fmt.Sprintf("%s:%d:%d", terminal.Clean(p.File), p.Line, p.Column)
}

// Error is one thing wrong with a policy file.
type Error struct {
	Pos     Position
	Message string

	omitted int // how many errors this one stands for, which were not kept; 0 where it is one itself
}

// Error implements error. It is one line: what the file's author wrote is escaped.
func (e *Error) Error() string { return fmt.Sprintf("%v: %s", e.Pos, terminal.Clean(e.Message)) }

// ErrorList is everything wrong with a policy file, in the file's order.
type ErrorList []*Error

// Error implements error: one line for each.
func (l ErrorList) Error() string { return strings.Join(l.Lines(), "\n") }

// Lines are those of the error's text.
func (l ErrorList) Lines() []string {
	lines := make([]string, 0, min(len(l), shownErrors+1))
	for i, e := range l {
		if i == shownErrors {
			lines = append(lines, fmt.Sprintf("%s: and %d errors more", terminal.Clean(e.Pos.File), l.count()-shownErrors))
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

// joined are two lists in the file's order. What the second says of a place that the first has
// refused is a consequence, and left out.
func joined(first, second error) error {
	var refused, consequent ErrorList
	errors.As(first, &refused)
	errors.As(second, &consequent)
	places := make(map[Position]bool, len(refused))
	for _, e := range refused {
		places[e.Pos] = true
	}
	var all errorSink
	for i, e := range slices.Concat(refused, consequent) {
		switch {
		case e.omitted > 0:
			all.omitted += e.omitted
		case i < len(refused) || !places[e.Pos]:
			all.errors = append(all.errors, e)
		}
	}
	return all.err()
}

// errorSink gathers what is wrong: the first MaxErrors, and how many there are besides.
type errorSink struct {
	errors  ErrorList
	omitted int
}

func (s *errorSink) add(pos Position, format string, args ...any) {
	if s.full() {
		s.omitted++
		return
	}
	s.errors = append(s.errors, &Error{Pos: pos, Message: fmt.Sprintf(format, args...)})
}

// full reports whether no more errors are kept.
func (s *errorSink) full() bool { return len(s.errors) >= MaxErrors }

// found is how many errors there were so far.
func (s *errorSink) found() int { return len(s.errors) + s.omitted }

func (s *errorSink) err() error {
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
	return append(s.errors, &Error{last, fmt.Sprintf("and %d errors more, of which no more than the first %d are kept", s.omitted, MaxErrors), s.omitted})
}

// meant is the end of a message that names the nearest known word, "" where no message is kept any longer.
func (r *reader) meant(word string, candidates []string) string {
	if r.full() {
		return ""
	}
	if near := r.speller.Nearest(word, candidates, spelling.AThird(word)); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	if len(candidates) == 0 {
		return ""
	}
	if len(candidates) > shownCandidates {
		return fmt.Sprintf("; known here: %s and %d more", strings.Join(candidates[:shownCandidates], ", "), len(candidates)-shownCandidates)
	}
	return "; known here: " + strings.Join(candidates, ", ")
}

// shownCandidates is how many known words a message lists: all keys that a mapping may have.
const shownCandidates = 16
