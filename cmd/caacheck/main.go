// Command caacheck asks DNS as CAs do and decides as they do: who may issue certificates for a name, who is locked
// out, and what must be fixed. `caacheck --help` shows how it is used.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

func main() {
	signal.Ignore(syscall.SIGPIPE) // output that nobody reads is dropped, and files are written all the same
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop)         // the second Ctrl-C ends the process at once
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		// A terminal that is closed sends several: all except the first are ignored.
		ctx, _ = signal.NotifyContext(ctx, syscall.SIGHUP)
	}
	os.Exit(run(ctx, os.Args[1:], terminalOr(os.Stdin, os.Stdout, os.Stderr)))
}

func run(ctx context.Context, args []string, std stdio) int {
	code, err := dispatch(ctx, args, std)
	if wrong, ok := errors.AsType[wrongWord](err); ok {
		if moved := commandFirst(args, wrong.word); moved != "" {
			err = fmt.Errorf("the command comes first: %s", moved)
		} else {
			err = meant(wrong.err, wrong.word, "caacheck", wordsAfter(""))
		}
	}
	switch {
	case errors.Is(err, syscall.EPIPE):
		return code // the reader has what it wanted
	case err != nil:
		fmt.Fprintf(std.err, "caacheck: %s\n", terminal.Text(err))
		return report.ExitUnknown
	}
	return code
}

// dispatch runs the command that a command line begins with.
func dispatch(ctx context.Context, args []string, std stdio) (int, error) {
	if c, rest, ok := find(args); ok {
		return c.run(ctx, rest, std)
	}
	if len(args) > 0 && args[0] == "--version" {
		return dispatch(ctx, []string{"version"}, std)
	}
	if slices.ContainsFunc(args, func(arg string) bool { return arg == "--help" || arg == "-h" }) {
		_, err := io.WriteString(std.out, overview(std.helpColumns()))
		return report.ExitFine, err
	}
	c, _, _ := find([]string{implicit})
	return c.run(ctx, args, std)
}
