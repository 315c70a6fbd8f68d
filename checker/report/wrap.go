package report

import (
	"strings"
	"unicode/utf8"
)

// MinColumns is the least width that text is laid out for: in less, nearly every word would have a line of its own.
const MinColumns = 40

// Wrap breaks a text at spaces into lines of at most so many columns, 0 for no limit. The first line begins with first,
// the others with indent. A word that no line holds is not broken, so that it can be copied.
func Wrap(first, text, indent string, columns int) string {
	if columns == 0 {
		return first + text
	}
	var out strings.Builder
	out.WriteString(first)
	used := utf8.RuneCountInString(first)
	for i, word := range strings.Split(text, " ") { // as many spaces as there are: a CAA value may have several
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case used+1+n > columns:
			out.WriteString("\n" + indent)
			used = utf8.RuneCountInString(indent)
		default:
			out.WriteByte(' ')
			used++
		}
		out.WriteString(word)
		used += n
	}
	return out.String()
}

// Hang is Wrap with the other lines as far in as the first one's text.
func Hang(first, text string, columns int) string {
	return Wrap(first, text, strings.Repeat(" ", utf8.RuneCountInString(first)), columns)
}
