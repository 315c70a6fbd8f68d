// Command caacheck asks as CAs ask and decides as they decide: who may issue certificates for a name,
// who is locked out, and what must be mended. `caacheck --help` says how it is used.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

func main() {
	signal.Ignore(syscall.SIGPIPE) // who reads no more is told nothing, and files are written all the same
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop)         // the second Ctrl-C waits for nothing
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		// A terminal that is closed sends several: all but the first are for nothing.
		ctx, _ = signal.NotifyContext(ctx, syscall.SIGHUP)
	}
	os.Exit(run(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
}

// ends are the signals of who wants an end: the first of them has what is known shown.
var ends = []os.Signal{os.Interrupt, syscall.SIGTERM}

// stdio is where a command reads and writes. Nothing but the result goes to out.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// logTo is for services. What others wrote, such as an issuer's name in CAA, steers no terminal and makes no line.
func logTo(w io.Writer) func(line string) {
	logger := log.New(w, "caacheck: ", 0)
	return func(line string) { logger.Print(terminal.Clean(line)) }
}

// cleanWriter is for what a library logs, of which a stack trace has several lines.
type cleanWriter struct{ w io.Writer }

func (c cleanWriter) Write(text []byte) (int, error) {
	_, err := io.WriteString(c.w, terminal.CleanLines(string(text)))
	return len(text), err
}

// command is one way to use caacheck. It returns the exit code, or an error, which is wrong usage.
type command func(ctx context.Context, args []string, io stdio) (int, error)

var commands map[string]command

func init() { // these lead to what lists all commands
	commands = map[string]command{"check": ask, "lint": lint, "explain": explain, "diff": diff, "agent": offer, "watch": watchFor, "keys": keysOf,
		"help": showHelp, "version": showVersion}
}

// errHelp is that of a question for help.
var errHelp = errors.New("help")

func run(ctx context.Context, args []string, std stdio) int {
	cmd := command(ask)
	switch {
	case len(args) == 0:
	case commands[args[0]] != nil:
		cmd, args = commands[args[0]], args[1:]
	case args[0] == "--version":
		cmd = showVersion
	}
	code, err := cmd(ctx, args, std)
	switch {
	case errors.Is(err, errHelp):
		fmt.Fprint(std.out, help)
		return report.ExitFine
	case errors.Is(err, syscall.EPIPE):
		return code // whoever read it has what he wanted
	case err != nil:
		fmt.Fprintf(std.err, "caacheck: %s\n", terminal.Text(err))
		return report.ExitUnknown
	}
	return code
}

const help = `caacheck asks as CAs ask, and decides as they decide.

    caacheck NAME...             who may issue for each name, and what must be fixed; in full,
                                 caacheck check NAME...
    caacheck --policy FILE       all that the policy's certificates require, and whether each
                                 server says what the policy says
    caacheck lint FILE           the policy's own check, without asking anybody
    caacheck explain FILE NAME   which line of the policy governs a name, and who may issue
    caacheck diff OLD NEW        who gains and who loses permission between two policies
    caacheck agent               be a perspective of others: the Open MPIC API, POST /mpic
    caacheck watch NAME...       check again and again, and tell what has changed: metrics, webhook,
                                 Alertmanager
    caacheck keys DIR|ZONE       the life of a zone's keys, and requests to roll them; see
                                 caacheck keys --help
    caacheck help, version       this text, and which caacheck it is

A NAME is what a certificate is for: example.org, *.example.org, bücher.example; for --type smime a
mail address will do. A word without a dot is not a name: a top-level domain is written org. with one. Without --issuer each issuer that the name's CAA names is checked, also for
whether a CA is known to issue under that name.

What is asked about:
    --issuer DOMAIN         an Issuer Domain Name, such as letsencrypt.org, or a private CA's; may be
                            repeated
    --account URI           the account's URI (RFC 8657); if not given, whatever the CAA names
    --method LABEL          the validation method, such as dns-01 or ca-tbr-7; if not given, whatever
                            the CAA names
    --type tls|smime|vmc    the kind of certificate (default tls)
    --names FILE            more names, one a line; - is standard input. Each is checked once
    --policy FILE           a policy file of the plugin caa; NAMEs then leave out all others
    --at DATE               the rules of that day, such as 2027-03-15 (default today)

From where:
    --root-hints FILE       the root's NS records and addresses (default: the Internet's)
    --trust-anchor FILE     DS or DNSKEY records, of the root or another zone (default: the Internet's)
    --server ADDR           ask that authoritative server alone, 192.0.2.1 or 192.0.2.1:5353
    --resolver ADDR         ask that resolver alone; it is not relied on, its answers are validated
    --perspectives FILE     ask from all that the file declares, and hold them against the quorum
                            that CAs have to reach (Baseline Requirements 3.2.2.9)
    --perspective-timeout DURATION  for one answer of one of them (default 30s)
    --port N                the port of name servers, for test networks (default 53)

How:
    --timeout DURATION      of one try (default 2s); over UDP there are two
    --rate N                questions to one address a second, 0 for no limit (default 50, to a
                            resolver 1000)
    --concurrency N         questions to one address at a time (default 4, to a resolver 32)
    --json                  one JSON document; its schema: checker/report/schema.json
    --junit FILE            test cases for CI: locked out or at risk is a failure, unknown an error
    --sarif FILE            what is wrong as SARIF 2.1.0, with the policy's lines
    --html FILE             one page for people: verdicts, what to mend, each name's chain as a picture
                            (of these three files one may be -, which takes the place of the text)
    --observations FILE     every question and what came back, a JSON object a line, with the message
                            itself in base64; see docs/observations.md
    --history FILE          what earlier runs saw of when zones sign anew, and now this one: a signer
                            that is late by that must be mended (signature-late)
    -v, --verbose           the chain that led to each verdict, and all evidence

caacheck agent takes --root-hints, --trust-anchor, --port, --timeout, --rate and --concurrency, and
    --code NAME             what this perspective is called (default the machine's name)
    --token FILE            the secret that who asks has to show, one line
    --cert FILE, --key FILE the certificate to show, PEM; read anew when it changes
    --listen ADDR           where (default 127.0.0.1:8443)
    --checks N              at a time (default 64)
    --issuer DOMAIN         the CA's name where a request gives none; may be repeated

caacheck watch takes what a single check does, but what writes a report, and
    --interval DURATION     between the starts of two runs (default 1h, at least 1m)
    --state DIR             keeps what was told, so that a restart does not tell it again
    --listen ADDR           where /metrics and /healthz are (default 127.0.0.1:9853)
    --webhook URL           gets each change once, as JSON; --webhook-token FILE is shown to it
    --alertmanager URL      gets alerts by its API, v2; --alertmanager-token FILE is shown to it

lint and explain take --json, and diff does, too; lint takes --sarif FILE. Colour is for terminals, and NO_COLOR stops it.
Ctrl-C shows what was found so far.

Exit status: 0 all may issue; 1 someone is locked out or at risk, or something must be mended (for
lint: the policy is refused; for diff: someone loses permission); 2 it could not be found out, or the
command line or a file is wrong.
`
