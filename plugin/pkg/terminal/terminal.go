// Package terminal keeps what others wrote, in a zone, a policy or a file's name, from steering the terminal, forging a
// line of the log, or changing the page that shows it. Text of others goes in, text that is safe to show comes out:
// characters that are obeyed and not shown, and octets that are not UTF-8, are escaped as in a Go string.
//
// Whoever composes several lines cleans their parts first ([Clean], [Text]): afterwards nobody can tell a newline of
// ours from one of others.
package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// steers reports whether a character is obeyed, not shown: control characters, and those that turn the direction of
// text, join or break lines.
func steers(c rune) bool { return unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }

// Clean is a text of one line with such characters escaped.
func Clean(text string) string { return escape(text, steers) }

// CleanLines is Clean for a text of several lines.
func CleanLines(text string) string {
	return escape(text, func(c rune) bool { return c != '\n' && steers(c) })
}

func escape(text string, which func(rune) bool) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, which) {
		return text
	}
	var out strings.Builder
	for len(text) > 0 {
		c, n := utf8.DecodeRuneInString(text)
		if which(c) || c == utf8.RuneError && n == 1 {
			quoted := strconv.QuoteToASCII(text[:n])
			out.WriteString(quoted[1 : len(quoted)-1])
		} else {
			out.WriteString(text[:n])
		}
		text = text[n:]
	}
	return out.String()
}

// Lines is a text of several lines whose parts are clean.
type Lines string

// Text is an error's text, clean. Lines in it are those of errors.Join, and of errors that have the method Lines.
func Text(err error) Lines {
	text := err.Error()
	switch e := err.(type) {
	case interface{ Lines() []string }:
		return join(e.Lines())
	case interface{ Unwrap() []error }:
		var raw, clean []string
		for _, part := range e.Unwrap() {
			raw, clean = append(raw, part.Error()), append(clean, string(Text(part)))
		}
		if text == strings.Join(raw, "\n") { // not fmt.Errorf's
			return Lines(strings.Join(clean, "\n"))
		}
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil && strings.HasSuffix(text, inner.Error()) {
			return Lines(Clean(strings.TrimSuffix(text, inner.Error()))) + Text(inner)
		}
	}
	return Lines(Clean(text))
}

func join(lines []string) Lines {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = Clean(line)
	}
	return Lines(strings.Join(out, "\n"))
}

// Error is an error whose text is clean, for who will print it as it is; nil for nil.
func Error(err error) error {
	if err == nil {
		return nil
	}
	if text := Text(err); string(text) != err.Error() {
		return &cleanError{string(text), err}
	}
	return err
}

type cleanError struct {
	text string
	err  error
}

func (e *cleanError) Error() string { return e.text }
func (e *cleanError) Unwrap() error { return e.err }

// WriteJSON writes a value as one indented JSON document, or nothing. What steers a terminal is escaped (RFC 8259 7),
// and so comes back as it was.
func WriteJSON(w io.Writer, value any) error {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		return err
	}
	_, err := w.Write(EscapeJSON(out.Bytes()))
	return err
}

// EscapeJSON escapes in a JSON text what steers a terminal. Outside of strings JSON has ASCII only, and its lines and
// indents stay.
func EscapeJSON(text []byte) []byte {
	var out bytes.Buffer
	for len(text) > 0 {
		c, n := utf8.DecodeRune(text)
		switch {
		case c < ' ' || !steers(c):
			out.Write(text[:n])
		case c > 0xFFFF:
			high, low := utf16.EncodeRune(c)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, c)
		}
		text = text[n:]
	}
	return out.Bytes()
}
