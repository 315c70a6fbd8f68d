// Package terminal keeps what others wrote, in a zone, a policy or a folder's name, from steering the terminal or the
// page that shows it.
package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// steers reports whether a character is obeyed, not shown: control characters, and those that turn the direction of
// text, join or break lines.
func steers(c rune) bool { return unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }

// Clean shows such characters, and bytes that are no UTF-8, as U+FFFD.
func Clean(text string) string { return replace(text, steers) }

// CleanLines is Clean for a text of several lines.
func CleanLines(text string) string {
	return replace(text, func(c rune) bool { return c != '\n' && steers(c) })
}

func replace(text string, which func(rune) bool) string {
	return strings.Map(func(c rune) rune {
		if which(c) {
			return unicode.ReplacementChar
		}
		return c
	}, text)
}

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
