package report

import (
	"strings"
	"unicode/utf8"
)

// cell is a part of a line of text, in a color; "" for none.
type cell struct{ text, color string }

const (
	// leastLast is the width at which a last column is wrapped next to the others.
	leastLast = 30
	// hanging is the indent of a last column that has not that much.
	hanging = 8
)

// table lays out rows of cells, two spaces between the columns. Each row has the same number of cells; the last one is
// wrapped.
func (s Style) table(indent string, rows [][]cell) (out []string) {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, row := range rows {
		line, used := indent, utf8.RuneCountInString(indent)
		last := row[len(row)-1]
		for i, c := range row[:len(row)-1] {
			line += s.paint(c.color, c.text) + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2)
			used += widths[i] + 2
		}
		rest := strings.Repeat(" ", used)
		if s.Columns > 0 && s.Columns-used < leastLast {
			rest = indent + strings.Repeat(" ", hanging)
		}
		text := Wrap(strings.Repeat(" ", used), last.text, rest, s.Columns)[used:]
		out = append(out, strings.TrimRight(line+s.paint(last.color, text), " "))
	}
	return out
}
