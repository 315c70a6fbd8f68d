// Package linelog is the plugin's log. All that it logs goes through here, so that what others wrote, in a policy, in
// zones' data or in a file's name, forges no line and steers no terminal: in go the arguments of a message as they are,
// out come lines that each begin with CoreDNS's level and the plugin's name.
package linelog

import (
	"fmt"
	"strings"

	clog "github.com/coredns/coredns/plugin/pkg/log"

	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// Logger logs in the name of a plugin.
type Logger struct{ out clog.P }

// New returns the log of a plugin.
func New(plugin string) Logger { return Logger{clog.NewWithPlugin(plugin)} }

// Infof logs a message of level INFO, formatted as by fmt.Printf. A newline in the format begins a line, and one in an
// argument of type terminal.Lines; an error has lines as terminal.Text says. In other arguments it is escaped.
func (l Logger) Infof(format string, args ...any) { each(l.out.Info, format, args) }

// Warningf is Infof with the level WARNING.
func (l Logger) Warningf(format string, args ...any) { each(l.out.Warning, format, args) }

// Errorf is Infof with the level ERROR.
func (l Logger) Errorf(format string, args ...any) { each(l.out.Error, format, args) }

// Info logs a message of level INFO, which is what an argument of Infof may be.
func (l Logger) Info(message any) { l.Infof("%v", message) }

// Warning is Info with the level WARNING.
func (l Logger) Warning(message any) { l.Warningf("%v", message) }

// Error is Info with the level ERROR.
func (l Logger) Error(message any) { l.Errorf("%v", message) }

// Count is a number of things, for people: "1 zone", "2 zones".
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func each(log func(...any), format string, args []any) {
	out := make([]any, len(args))
	for i, arg := range args {
		switch arg := arg.(type) {
		case terminal.Lines:
			out[i] = string(arg)
		case error:
			out[i] = string(terminal.Text(arg))
		default:
			out[i] = clean{arg}
		}
	}
	for line := range strings.SplitSeq(fmt.Sprintf(format, out...), "\n") {
		log(terminal.Clean(line))
	}
}

// clean is an argument whose text is escaped after it is formatted, whatever the verb.
type clean struct{ arg any }

// Format implements fmt.Formatter.
func (c clean) Format(f fmt.State, verb rune) {
	fmt.Fprint(f, terminal.Clean(fmt.Sprintf(fmt.FormatString(f, verb), c.arg)))
}
