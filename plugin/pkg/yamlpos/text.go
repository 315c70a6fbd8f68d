package yamlpos

import (
	"bytes"
	"fmt"
	"iter"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// byteOrderMark begins files of some editors. It belongs neither to the text nor to its columns.
var byteOrderMark = []byte("\uFEFF")

// unreadable finds what no parser should see.
func unreadable(name string, data []byte, rules *Rules) (Position, string) {
	if len(data) > rules.Size {
		return Position{name, 1, 1}, rules.TooLarge
	}
	if at := directive(data); at >= 0 {
		return positionAt(name, data, at), "a YAML directive (%TAG); the language needs none"
	}
	if entries(data) > rules.Entries {
		return Position{name, 1, 1}, rules.TooMany
	}
	if at := bytes.IndexByte(data, 0); at >= 0 {
		return positionAt(name, data, at), "a NUL octet; the file is damaged or not text"
	}
	for at := 0; at < len(data); {
		r, size := utf8.DecodeRune(data[at:])
		switch {
		case r == utf8.RuneError && size == 1:
			return positionAt(name, data, at), "not UTF-8; save the file as UTF-8"
		case unicode.IsControl(r) && !strings.ContainsRune("\t\n\r\u0085", r):
			return positionAt(name, data, at), fmt.Sprintf("a control character, %U; remove it", r)
		}
		at += size
	}
	return Position{}, ""
}

// directive finds one that gives tags a long prefix, which the parser would then write out at each tag;
// -1 when there is none.
func directive(data []byte) int {
	const tag = "%TAG"
	if bytes.HasPrefix(data, []byte(tag)) {
		return 0
	}
	for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
		if at := bytes.Index(data, []byte(end+tag)); at >= 0 {
			return at + len(end)
		}
	}
	return -1
}

// entries bounds the entries of lists and mappings in a text without parsing it: what could begin one is
// counted, wherever it stands. The syntax tree has no more than three nodes for each.
func entries(data []byte) int {
	n := 0
	for i, octet := range data {
		switch octet {
		case ',', '[', '{':
			n++
		case '-', '?', ':':
			// In flow style a value may follow its quoted key at once, and a key its colon.
			if i+1 == len(data) || strings.IndexByte(" \t\r\n,[]{}\"'&*!|>\xc2\xe2", data[i+1]) >= 0 ||
				octet == ':' && i > 0 && strings.IndexByte("\"'}] \t\n", data[i-1]) >= 0 {
				n++
			}
		}
	}
	return n
}

func positionAt(name string, data []byte, at int) Position {
	line := bytes.Count(data[:at], []byte("\n"))
	column := utf8.RuneCount(data[bytes.LastIndexByte(data[:at], '\n')+1 : at]) // characters, as YAML's parser counts
	return Position{name, line + 1, column + 1}
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

// syntaxError gives a YAML error a column: that of the line's tab, if one indents it, else of its text.
func syntaxError(name string, data []byte, err error) (Position, string, string) {
	pos, text := Position{name, 1, 1}, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		pos.Line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	if lines := bytes.Count(data, []byte("\n")) + 1; pos.Line < 1 || pos.Line > lines {
		pos.Line = lines
	}
	// The parser counts from 0 in some of its errors: a tab is in this line or the next.
	for n, line := range linesFrom(data, pos.Line) {
		indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
		if tab := bytes.IndexByte(indent, '\t'); tab >= 0 {
			return Position{name, n, tab + 1}, "%s", "this line is indented with a tab; use spaces"
		}
		if n == pos.Line {
			pos.Column = len(line) - len(bytes.TrimLeft(line, " ")) + 1
		} else {
			break
		}
	}
	if strings.Contains(text, "exceeded max depth") {
		return pos, "%s", "not YAML: " + text
	}
	if line, column, problem, found := misplaced(data); found {
		return Position{name, line, column}, "%s", problem
	}
	return pos, "%s", "not YAML: " + Shorten(text)
}

// linesFrom are the lines of a text with their numbers, from one of them on.
func linesFrom(data []byte, from int) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for n, more := 1, true; more; n++ {
			var line []byte
			if line, data, more = bytes.Cut(data, []byte("\n")); n >= from && !yield(n, line) {
				return
			}
		}
	}
}
