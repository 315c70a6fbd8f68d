package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/coredns-caa/caa/checker/report"
)

// command is one thing that caacheck does. Its help is made from it and from its flags.
type command struct {
	name  string    // its words, such as "keys roll"
	usage []string  // what follows the name, one for each form
	does  string    // what it does, for the list of commands
	about string    // paragraphs of its help; "" for none
	exit  [3]string // what each exit status means
	min   int       // how many arguments it takes at least
	max   int       // and at most; unlimited for no limit
	// setUp declares its flags, and returns what runs it after they are parsed.
	setUp func(*flags) action
}

// action runs a command with the arguments that are not flags. It returns the exit code, or an error, which is wrong
// usage or a file that cannot be used.
type action func(ctx context.Context, args []string, std stdio) (int, error)

// unlimited is how many arguments a command takes that has no limit.
const unlimited = -1

// The exit statuses of commands, for their help.
var (
	exitCheck = [3]string{"every CA that was checked may issue", "a CA is locked out or at risk, or something must be fixed", "it could not be determined, or the command line or a file is wrong"}
	exitKeys  = [3]string{"all is well, or the request was taken up", "something must be fixed, or the request was refused", "it could not be determined, no server has answered yet, or the command line is wrong"}
	exitServe = [3]string{"it was ended by a signal", "", "it could not start: the command line or a file is wrong"}
	exitPlain = [3]string{"done", "", "the command line or a file is wrong"}
)

// implicit is the command of a command line that begins with no command's name.
const implicit = "check"

// commands returns all of them, in the order of the help. It is a function because help is one of them.
func commands() []command {
	return slices.Concat([]command{
		{
			name: implicit, usage: []string{"NAME...", "--policy FILE [NAME...]"}, max: unlimited,
			does: "check which CAs may issue for names, from the DNS root, as a CA does", about: aboutCheck, exit: exitCheck, setUp: checkCommand,
		},
		{
			name: "lint", usage: []string{"FILE"}, min: 1, max: 1,
			does: "check a policy file without a network, as the plugin does when it loads it", setUp: lintCommand,
			exit: [3]string{"the policy is accepted", "the policy is refused", "the command line or a file is wrong"},
		},
		{
			name: "explain", usage: []string{"FILE NAME"}, min: 2, max: 2,
			does: "show which line of a policy governs a name, and who may issue", exit: exitPlain, setUp: explainCommand,
		},
		{
			name: "diff", usage: []string{"OLD NEW", "--zone FILE POLICY"}, min: 1, max: 2,
			does: "compare two policies, or a zone file with a policy: who gains and who loses permission", setUp: diffCommand,
			exit: [3]string{"nobody loses permission", "somebody loses permission", "the command line or a file is wrong"},
		},
		{
			name: "watch", usage: []string{"NAME...", "--policy FILE [NAME...]"}, max: unlimited,
			does: "check at intervals: metrics, and a notification of each change", about: aboutWatch, exit: exitServe, setUp: watchCommand,
		},
		{
			name: "agent", does: "answer CAA checks of others, as one of their perspectives", about: aboutAgent, exit: exitServe, setUp: agentCommand,
		},
	}, keyCommands(), []command{
		{name: "help", usage: []string{"[COMMAND]"}, max: 2, does: "show the commands, or the flags of one", exit: exitPlain, setUp: helpCommand},
		{name: "completion", usage: []string{strings.Join(shells, "|")}, min: 1, max: 1, does: "print a completion script for a shell", exit: exitPlain, setUp: completionCommand},
		{name: "version", does: "show which caacheck this is", exit: exitPlain, setUp: versionCommand},
	})
}

// find returns the command that a command line begins with, and what follows its name.
func find(args []string) (c command, rest []string, ok bool) {
	for words := min(2, len(args)); words > 0; words-- {
		name := strings.Join(args[:words], " ")
		if i := slices.IndexFunc(commands(), func(c command) bool { return c.name == name }); i >= 0 {
			return commands()[i], args[words:], true
		}
	}
	return command{}, args, false
}

// commandFirst returns a command line with the command moved to its beginning from where it is: at a word that is no name. It
// returns "" if that is no command.
func commandFirst(args []string, word string) string {
	i := slices.Index(args, word)
	if i < 0 {
		return ""
	}
	c, rest, ok := find(args[i:])
	if !ok {
		return ""
	}
	return strings.Join(slices.Concat([]string{"caacheck", c.name}, rest, args[:i]), " ")
}

// wordsAfter returns the words that may follow others, such as "keys ", in a command line.
func wordsAfter(before string) (out []string) {
	for _, c := range commands() {
		if rest, ok := strings.CutPrefix(c.name, before); ok && rest != "" {
			out = append(out, strings.TrimSpace(rest))
		}
	}
	return out
}

// run parses the flags and runs the command.
func (c command) run(ctx context.Context, args []string, std stdio) (int, error) {
	f := new(flags)
	do := c.setUp(f)
	rest, err := f.parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		_, err = io.WriteString(std.out, c.help(std.helpColumns()))
		return report.ExitFine, err
	case err != nil:
		return 0, c.flagError(err, f)
	case len(rest) < c.min, c.max != unlimited && len(rest) > c.max:
		return 0, fmt.Errorf("usage: %s; caacheck %s --help lists the flags", strings.Join(c.forms(), " or "), c.name)
	}
	return do(ctx, rest, std)
}

// forms are the ways to write the command.
func (c command) forms() []string {
	if len(c.usage) == 0 {
		return []string{"caacheck " + c.name}
	}
	var out []string
	for _, args := range c.usage {
		out = append(out, "caacheck "+c.name+" "+args)
	}
	return out
}

// help is the command's help, for a terminal of some columns.
func (c command) help(columns int) string {
	f := new(flags)
	c.setUp(f)
	var out strings.Builder
	out.WriteString(report.Hang("", "caacheck "+c.name+": "+c.does+".", columns) + "\n\nUsage:\n")
	for _, form := range c.forms() {
		out.WriteString("    " + form + "\n")
	}
	if c.about != "" {
		out.WriteString("\n" + paragraphs(c.about, columns))
	}
	writeCommands(&out, c.name+" ", columns)
	for _, group := range f.groups {
		out.WriteString("\n" + group.title + ":\n" + group.set.FlagUsagesWrapped(columns))
	}
	out.WriteString("\nExit status:\n")
	for status, text := range c.exit {
		if text != "" {
			out.WriteString(report.Hang(fmt.Sprintf("    %d  ", status), text, columns) + "\n")
		}
	}
	return out.String()
}

// writeCommands lists the commands whose names begin with some words, such as "keys ".
func writeCommands(out *strings.Builder, before string, columns int) {
	var some []command
	wide := 0
	for _, c := range commands() {
		if strings.HasPrefix(c.name, before) {
			some, wide = append(some, c), max(wide, len(c.name))
		}
	}
	if len(some) > 0 {
		out.WriteString("\nCommands:\n")
	}
	for _, c := range some {
		out.WriteString(report.Hang(fmt.Sprintf("    %-*s  ", wide, c.name), c.does, columns) + "\n")
	}
}

// paragraphs wraps the paragraphs of a text; lines that begin with a space stay as they are.
func paragraphs(text string, columns int) string {
	var out strings.Builder
	for i, p := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			out.WriteString("\n")
		}
		if strings.HasPrefix(p, " ") {
			out.WriteString(p + "\n")
			continue
		}
		out.WriteString(report.Hang("", p, columns) + "\n")
	}
	return out.String()
}

// overview is the help of all commands.
func overview(columns int) string {
	var out strings.Builder
	out.WriteString(paragraphs(aboutCaacheck, columns) + "\nUsage:\n    caacheck NAME...\n    caacheck COMMAND ...\n")
	writeCommands(&out, "", columns)
	out.WriteString("\n" + paragraphs(aboutNames, columns) + "\nExit status:\n")
	for status, text := range exitCheck {
		out.WriteString(report.Hang(fmt.Sprintf("    %d  ", status), text, columns) + "\n")
	}
	out.WriteString("\n" + paragraphs("caacheck COMMAND --help lists the flags of a command and its exit status: caacheck check --help for those of caacheck NAME...", columns))
	return out.String()
}

const aboutCaacheck = `
caacheck checks CAA records (RFC 8659) from outside: it asks DNS as certification authorities (CAs) do, and decides as they do.`

const aboutNames = `
A NAME is what a certificate is for: example.org, *.example.org, bücher.example; with --type smime also a mail address. A word without a dot is not a name: write a top-level domain with a final dot, org.`

const aboutCheck = aboutNames + `

Without --issuer, each issuer that the name's CAA records list is checked, and whether a CA is known to issue under that name. With --policy, everything that the policy's certificates require is checked, and whether each server returns the CAA records of the policy; NAMEs then select some of its names.

The answer is on the first line. Names with something wrong come first; of more than 20 names those that are fine are only counted, and -v lists them. Color is for terminals; NO_COLOR turns it off. Ctrl-C shows what is known so far.`

const aboutWatch = `
It takes the flags of a check except those that write a report. What counts as a change, the metrics and the alert rules: docs/watch.md.`

const aboutAgent = `
It serves the Open MPIC API, POST /mpic, over HTTPS: see docs/perspectives.md. --token, --cert and --key are required.`

// helpCommand is caacheck help.
func helpCommand(*flags) action {
	return func(_ context.Context, args []string, std stdio) (int, error) {
		text := overview(std.helpColumns())
		if len(args) > 0 {
			c, rest, ok := find(args)
			if !ok || len(rest) > 0 {
				word := strings.Join(args, " ")
				return 0, fmt.Errorf("there is no command %q%s", word, didYouMean(word, "caacheck help", wordsAfter("")))
			}
			text = c.help(std.helpColumns())
		}
		_, err := io.WriteString(std.out, text)
		return report.ExitFine, err
	}
}
