package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"syscall"

	"golang.org/x/term"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// stdio is where a command reads and writes. Only the result goes to out.
type stdio struct {
	in       io.Reader
	out, err io.Writer
	columns  int  // of out; 0 for no limit
	colour   bool // of text in out
}

// terminalOr returns the streams of a process, whose output may be a terminal. Text for a pipe or a file is not
// wrapped, so that what belongs together stays on one line, for grep.
func terminalOr(in, out, err *os.File) stdio {
	s := stdio{in: in, out: out, err: err}
	if isTerminal(out) {
		s.colour = os.Getenv("NO_COLOR") == "" // no-color.org
		if width, _, err := term.GetSize(int(out.Fd())); err == nil {
			s.columns = max(width, report.MinColumns)
		}
	}
	return s
}

// helpColumns is the width of help: that of a terminal, and otherwise of most pages.
func (s stdio) helpColumns() int {
	const mostOfHelp, page = 100, 80
	if s.columns == 0 {
		return page
	}
	return min(s.columns, mostOfHelp)
}

// logTo returns the log of a service. It escapes control characters, which an issuer's name in CAA may have.
func logTo(w io.Writer) func(line string) {
	logger := log.New(w, "caacheck: ", 0)
	return func(line string) { logger.Print(terminal.Clean(line)) }
}

// cleanWriter escapes what a library logs, and leaves line feeds, which stack traces have.
type cleanWriter struct{ w io.Writer }

func (c cleanWriter) Write(text []byte) (int, error) {
	_, err := io.WriteString(c.w, terminal.CleanLines(string(text)))
	return len(text), err
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// toStandardOutput writes a report whole. That the reader of a pipe is gone, such as head, is not an error.
func toStandardOutput(w io.Writer, write func(io.Writer) error) error {
	var out bytes.Buffer
	if err := write(&out); err != nil {
		return err
	}
	if _, err := out.WriteTo(w); err != nil && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	return nil
}

// writeLine writes a line, whatever is in its parts.
func writeLine(out *bytes.Buffer, format string, args ...any) {
	out.WriteString(terminal.Clean(fmt.Sprintf(format, args...)) + "\n")
}
