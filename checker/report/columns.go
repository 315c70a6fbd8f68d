package report

import (
	"strings"
	"unicode/utf8"
)

// cell is a part of a line of text, in a colour; "" for none.
type cell struct{ text, colour string }

// columns are lines of cells below one another, two spaces apart. Each row has the same number of cells.
func (s Style) columns(rows [][]cell) []string {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	var out []string
	for _, row := range rows {
		var line strings.Builder
		for i, c := range row {
			line.WriteString(s.paint(c.colour, c.text))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2))
			}
		}
		out = append(out, line.String())
	}
	return out
}
