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
}

// Error implements error. It is one line: what the file's author wrote is escaped.
func (e *Error) Error() string { return fmt.Sprintf("%v: %s", e.Pos, terminal.Clean(e.Message)) }

// ErrorList is everything wrong with a policy file, in the file's order.
type ErrorList []*Error

// shownErrors is how many errors are printed: more are one mistake made often, and drown a log.
const shownErrors = 100

// Error implements error: one line for each.
func (l ErrorList) Error() string { return strings.Join(l.Lines(), "\n") }

// Lines are those of the error's text.
func (l ErrorList) Lines() []string {
	lines := make([]string, 0, min(len(l), shownErrors+1))
	for i, e := range l {
		if i == shownErrors {
			lines = append(lines, fmt.Sprintf("%s: and %d errors more", terminal.Clean(e.Pos.File), len(l)-shownErrors))
			break
		}
		lines = append(lines, e.Error())
	}
	return lines
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
	all := errorSink{slices.Clone(refused)}
	for _, e := range consequent {
		if !places[e.Pos] {
			all.errors = append(all.errors, e)
		}
	}
	return all.err()
}

// errors gathers what is wrong.
type errorSink struct{ errors ErrorList }

func (s *errorSink) add(pos Position, format string, args ...any) {
	s.errors = append(s.errors, &Error{pos, fmt.Sprintf(format, args...)})
}

func (s *errorSink) err() error {
	if len(s.errors) == 0 {
		return nil
	}
	slices.SortStableFunc(s.errors, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	return s.errors
}

// meant is the end of a message that names the nearest known word.
func meant(word string, candidates []string) string {
	if near := spelling.Nearest(word, candidates, spelling.AThird(word)); near != "" {
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
