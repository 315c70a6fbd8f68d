package yamlpos

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"
)

// The YAML module names the line where a structure begins that does not end as it should, or the next token that does not
// fit. People need the line that they have to change: one that is indented like none above it, or deeper than a line that
// has its value already, or the bracket that nobody closes.

// misplaced finds what most likely makes a text no YAML, if that is in its indentation or its brackets: the place, in
// characters, and what is wrong there. found is false where it is something else. It is for texts that the module has
// refused: by itself it does not know all that may be right.
func misplaced(data []byte) (line, column int, problem string, found bool) {
	var o outline
	for n, text := range linesFrom(data, 1) {
		if column, problem := o.line(n, bytes.TrimRight(text, "\r")); problem != "" {
			return n, column, problem, true
		}
	}
	if len(o.open) > 0 {
		first := o.open[0]
		for _, text := range linesFrom(data, first.line) {
			column = utf8.RuneCount(text[:first.at]) + 1
			break
		}
		return first.line, column, fmt.Sprintf("this %c is closed nowhere; write the closing bracket", first.bracket), true
	}
	return 0, 0, "", false
}

// outline follows the indentation of a text, line by line.
type outline struct {
	indents []int // of the open mappings and lists, from the outside
	takes   bool  // the last line may have deeper ones below it: it has no value yet
	last    int   // the indentation of the last line
	scalar  int   // the indentation of the key whose literal text goes on; -1 for none
	quote   byte  // in which a text goes on, 0 for none
	open    []bracket
}

type bracket struct {
	bracket  byte
	line, at int // the octet in the line, from 0
}

// line takes the next line, and says what is wrong with it, "" for nothing.
func (o *outline) line(n int, text []byte) (column int, problem string) {
	if n == 1 {
		o.scalar = -1
	}
	rest := bytes.TrimLeft(text, " ")
	indent := len(text) - len(rest)
	switch {
	case len(rest) == 0 || o.within(indent):
		return 0, ""
	case len(o.open) > 0 || o.quote != 0:
		o.scan(n, text, 0)
		return 0, ""
	case rest[0] == '#' || bytes.HasPrefix(text, []byte("---")) || bytes.HasPrefix(text, []byte("...")) || text[0] == '%':
		return 0, ""
	}
	if problem := o.enter(indent, bytes.Contains(rest, []byte(":")) || rest[0] == '-'); problem != "" {
		return indent + 1, problem
	}
	o.last = indent
	for len(rest) > 0 && rest[0] == '-' && (len(rest) == 1 || rest[1] == ' ') { // an entry of a list, and what is in it
		rest = bytes.TrimLeft(rest[1:], " ")
		if indent = len(text) - len(rest); len(rest) > 0 && rest[0] != '#' {
			o.indents = append(o.indents, indent)
		}
	}
	value := o.scan(n, text, len(text)-len(rest))
	o.takes = len(value) == 0 || bytes.HasSuffix(value, []byte(":"))
	if i := bytes.LastIndexAny(value, " :"); len(value) > i+1 && (value[i+1] == '|' || value[i+1] == '>') && o.quote == 0 {
		o.scalar = o.last
	}
	return 0, ""
}

// within reports whether a line belongs to a literal text.
func (o *outline) within(indent int) bool {
	if o.scalar >= 0 && indent > o.scalar {
		return true
	}
	o.scalar = -1
	return false
}

// enter goes to the mapping or list that a line of some indentation is in. structured is whether the line is more than the
// text that the line above it may be continued with.
func (o *outline) enter(indent int, structured bool) (problem string) {
	top := -1
	if len(o.indents) > 0 {
		top = o.indents[len(o.indents)-1]
	}
	switch {
	case indent > top && (o.takes || top < 0):
		o.indents = append(o.indents, indent)
	case indent > top && structured:
		return fmt.Sprintf("this line is indented deeper than the line above it, which has its value already; indent it by %s", spaces(o.last))
	case indent < top:
		i := slices.Index(o.indents, indent)
		if i < 0 {
			return fmt.Sprintf("this line is indented by %s, like none above it; indent it by %s", spaces(indent), o.near(indent))
		}
		o.indents = o.indents[:i+1]
	}
	return ""
}

// near are the indentations that may be meant by another one.
func (o *outline) near(indent int) string {
	i := slices.IndexFunc(o.indents, func(known int) bool { return known > indent })
	if i <= 0 {
		return spaces(o.indents[0])
	}
	return fmt.Sprintf("%d or %s", o.indents[i-1], spaces(o.indents[i]))
}

func spaces(n int) string {
	switch n {
	case 0:
		return "no space"
	case 1:
		return "1 space"
	}
	return fmt.Sprintf("%d spaces", n)
}

// scan follows quotes and brackets through a line from an octet on, and returns what is in it before a comment.
func (o *outline) scan(n int, text []byte, from int) []byte {
	end := len(text)
	for i := from; i < end; i++ {
		c := text[i]
		switch {
		case o.quote == '"' && c == '\\', o.quote == '\'' && c == '\'' && i+1 < end && text[i+1] == '\'':
			i++ // an escape
		case o.quote != 0:
			if c == o.quote {
				o.quote = 0
			}
		case c == '#' && (i == 0 || text[i-1] == ' '):
			end = i
		case (c == '"' || c == '\'') && (i == from || bytes.IndexByte([]byte(" [{,:-"), text[i-1]) >= 0):
			o.quote = c
		case c == '[' || c == '{':
			if len(o.open) > 0 || i == from || text[i-1] == ' ' {
				o.open = append(o.open, bracket{c, n, i})
			}
		case (c == ']' || c == '}') && len(o.open) > 0:
			o.open = o.open[:len(o.open)-1]
		}
	}
	return bytes.TrimRight(text[from:end], " \t")
}
