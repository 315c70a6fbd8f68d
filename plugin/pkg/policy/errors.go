package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// String is `file:line:column`.
func (p Position) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Error is one thing wrong with a policy file.
type Error struct {
	Pos     Position
	Message string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%v: %s", e.Pos, e.Message) }

// ErrorList is everything wrong with a policy file, in the file's order.
type ErrorList []*Error

// Error implements error: one line for each.
func (l ErrorList) Error() string {
	lines := make([]string, len(l))
	for i, e := range l {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// errors gathers what is wrong.
type errorSink struct{ list ErrorList }

func (s *errorSink) add(pos Position, format string, args ...any) {
	s.list = append(s.list, &Error{pos, fmt.Sprintf(format, args...)})
}

func (s *errorSink) err() error {
	if len(s.list) == 0 {
		return nil
	}
	slices.SortStableFunc(s.list, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	return s.list
}

// nearest is the candidate that a word was probably meant to be, "" when none is near.
func nearest(word string, candidates []string) string {
	best, distance := "", len(word)/3+1
	for _, c := range candidates {
		if d := editDistance(strings.ToLower(word), strings.ToLower(c)); d <= distance && (best == "" || d < distance) {
			best, distance = c, d
		}
	}
	return best
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(change, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// meant is the end of a message that names the nearest known word.
func meant(word string, candidates []string) string {
	if near := nearest(word, candidates); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return "; known here: " + strings.Join(candidates, ", ")
}

// Nearest is the candidate that is most like a word, whatever the distance; "" without candidates.
func Nearest(word string, candidates []string) string {
	best, distance := "", -1
	for _, c := range candidates {
		if d := editDistance(word, c); distance < 0 || d < distance {
			best, distance = c, d
		}
	}
	return best
}
