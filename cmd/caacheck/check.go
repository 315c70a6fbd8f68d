package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/dnssec"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/signing"
	"github.com/coredns-caa/caa/checker/subject"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// options are what the command line says.
type options struct {
	issuers                         []string
	account, method, kind, at       string
	names, policy                   string
	hints, anchor, server, resolver string
	perspectives                    string
	port                            uint
	concurrency                     int     // as in resolve.Config
	rate                            float64 // as in resolve.Config
	timeout, patience               time.Duration
	json, verbose                   bool
	junit, sarif, html              string
	observations, history           string
}

func (o *options) flags() *flag.FlagSet {
	fs := newFlags(&o.json)
	fs.Func("issuer", "", o.addIssuer)
	fs.Func("account", "", func(s string) (err error) { o.account, err = subject.ParseAccount(s); return err })
	fs.Func("method", "", func(s string) (err error) { o.method, err = subject.ParseMethod(s); return err })
	fs.StringVar(&o.kind, "type", "tls", "")
	fs.StringVar(&o.at, "at", "", "")
	fs.StringVar(&o.names, "names", "", "")
	fs.StringVar(&o.policy, "policy", "", "")
	fs.StringVar(&o.server, "server", "", "")
	fs.StringVar(&o.resolver, "resolver", "", "")
	fs.StringVar(&o.perspectives, "perspectives", "", "")
	fs.DurationVar(&o.patience, "perspective-timeout", perspective.DefaultLimit, "")
	o.worldFlags(fs)
	fs.BoolVar(&o.verbose, "verbose", false, "")
	fs.BoolVar(&o.verbose, "v", false, "")
	fs.StringVar(&o.junit, "junit", "", "")
	fs.StringVar(&o.sarif, "sarif", "", "")
	fs.StringVar(&o.html, "html", "", "")
	fs.StringVar(&o.observations, "observations", "", "")
	fs.StringVar(&o.history, "history", "", "")
	return fs
}

// addIssuer adds one that was not given yet.
func (o *options) addIssuer(text string) error {
	issuer, err := subject.ParseIssuer(text)
	if err == nil && !slices.Contains(o.issuers, issuer) {
		o.issuers = append(o.issuers, issuer)
	}
	return err
}

// worldFlags say where look-ups start and how they are made.
func (o *options) worldFlags(fs *flag.FlagSet) {
	fs.StringVar(&o.hints, "root-hints", "", "")
	fs.StringVar(&o.anchor, "trust-anchor", "", "")
	fs.UintVar(&o.port, "port", resolve.DefaultPort, "")
	fs.Func("concurrency", "", func(s string) (err error) { o.concurrency, err = concurrency(s); return err })
	fs.Func("rate", "", func(s string) (err error) { o.rate, err = rate(s); return err })
	fs.DurationVar(&o.timeout, "timeout", resolve.DefaultTimeout, "")
}

func concurrency(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, errors.New("it is one or more")
	}
	return n, nil
}

// rate is what resolve.Config has for it: no limit is less than nothing.
func rate(text string) (float64, error) {
	n, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || !(n >= 0):
		return 0, errors.New("it is a number, 0 for no limit")
	case n == 0:
		return -1, nil
	}
	return n, nil
}

// newFlags are those of every command. What is wrong with a flag is told once, by run.
func newFlags(json *bool) *flag.FlagSet {
	fs := flag.NewFlagSet("caacheck", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.BoolVar(json, "json", false, "")
	return fs
}

// parse reads flags and arguments in any order.
func parse(fs *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for {
		if err := fs.Parse(args); err == flag.ErrHelp {
			return nil, errHelp
		} else if err != nil {
			return nil, fmt.Errorf("%w; caacheck --help lists all flags", err)
		}
		if fs.NArg() == 0 {
			return rest, nil
		}
		rest, args = append(rest, fs.Arg(0)), fs.Args()[1:]
	}
}

func ask(ctx context.Context, args []string, std stdio) (int, error) {
	var o options
	names, err := parse(o.flags(), args)
	if err != nil {
		return 0, err
	}
	at, err := o.date()
	if err != nil {
		return 0, err
	}
	jobs, err := o.jobs(ctx, names, std.in)
	if err != nil {
		return 0, err
	}
	cfg, notes, err := o.config(ctx)
	if err != nil {
		return 0, err
	}
	flags := []fileFlag{{"--junit", o.junit}, {"--sarif", o.sarif}, {"--html", o.html}, {"--observations", o.observations}, {"--history", o.history}}
	instead, err := shown(flags, o.json)
	if err != nil {
		return 0, err
	}
	history, err := o.signed()
	if err != nil {
		return 0, err
	}
	files, err := openReports(flags...)
	if err != nil {
		return 0, err
	}
	defer files.cleanUp(ctx)()
	var log *observations
	if file, ok := files.file("--observations"); ok {
		log = newObservations(file)
		cfg.Observe = log.add
	}
	r, err := resolve.New(cfg)
	if err != nil {
		return 0, err
	}
	perspectives, err := o.set(cfg, r)
	if err != nil {
		return 0, err
	}
	defer perspectives.Close()
	progress := startProgress(std.err, len(jobs))
	corroborating := sync.OnceFunc(func() {
		progress.stop()
		progress = startProgress(std.err, len(jobs))
	})
	found := check.Run(ctx, r, jobs, check.Options{At: at, Progress: progress.report, Perspectives: perspectives, Corroborated: func(done, total int) {
		corroborating()
		progress.report(done, total)
	}})
	progress.stop()
	found.Notes = slices.Concat(notes, o.remarks(jobs), found.Notes)
	if o.history != "" {
		var late []report.Finding
		history, late = history.Step(found, time.Now())
		found.Rank(late...)
	}
	write := map[string]func(io.Writer) error{
		"--junit": found.WriteJUnit, "--sarif": found.WriteSARIF, "--html": found.WriteHTML,
		"--observations": func(io.Writer) error { return log.close() }, // it has been written as it came
		"--history":      history.Write,
		"":               func(w io.Writer) error { return o.show(found, w, colourful(std.out)) },
	}
	err = files.save(write) // first: who reads standard output may go
	return found.ExitCode(), errors.Join(err, toStandardOutput(std.out, write[instead]))
}

// show writes what a report has for people or, by --json, for programs.
func (o options) show(found *report.Report, w io.Writer, colour bool) error {
	if o.json {
		return found.WriteJSON(w)
	}
	return found.WriteText(w, report.Style{Colour: colour, Verbose: o.verbose})
}

// signed is what earlier runs saw of when zones sign anew.
func (o options) signed() (signing.History, error) {
	if o.history == "" {
		return nil, nil
	}
	data, err := os.ReadFile(o.history)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out signing.History
	if err == nil {
		out, err = signing.Parse(data)
	}
	if err != nil {
		return nil, fmt.Errorf("--history %s: %w", o.history, withoutPath(err))
	}
	return out, nil
}

func (o options) date() (time.Time, error) {
	if o.at == "" {
		return time.Now().UTC(), nil
	}
	at, err := time.Parse(time.DateOnly, o.at)
	if err != nil {
		return at, fmt.Errorf("--at %q is not a date: write it as 2027-03-15", o.at)
	}
	return at, nil
}

var kinds = map[string]issuance.CertificateType{"tls": issuance.TLS, "smime": issuance.SMIME, "vmc": issuance.VMC}

// jobs are what the names and the policy ask for.
func (o options) jobs(ctx context.Context, args []string, stdin io.Reader) ([]check.Job, error) {
	kind, ok := kinds[o.kind]
	if !ok {
		return nil, fmt.Errorf("--type %q is none: tls, smime or vmc", o.kind)
	}
	subjects, err := o.subjects(args, stdin, func(text string) (subject.Subject, error) {
		if err := notAWord(text); err != nil {
			return subject.Subject{}, err
		}
		if o.policy != "" {
			return subject.Parse(text) // its nodes may be of names that no certificate has, such as _acme-challenge
		}
		return subject.ParseFor(text, kind)
	})
	if err != nil {
		return nil, err
	}
	if o.policy == "" {
		if len(subjects) == 0 {
			return nil, fmt.Errorf("no names: caacheck NAME..., --names FILE or --policy FILE; caacheck --help says more")
		}
		return check.Jobs(subjects, o.issuers, guard.Requirement{Type: kind, Account: o.account, Method: o.method}), nil
	}
	if len(o.issuers) > 0 || o.account != "" || o.method != "" || o.kind != "tls" {
		return nil, fmt.Errorf("--policy says for whom: leave --issuer, --account, --method and --type out")
	}
	p, err := load(ctx, o.policy)
	if err != nil {
		return nil, err
	}
	jobs := check.PolicyJobs(p, subjects)
	for _, s := range subjects {
		if !slices.ContainsFunc(jobs, func(j check.Job) bool { return j.Subject == s }) {
			return nil, fmt.Errorf("%s requires nothing for %s, and has no policy of its own for it", o.policy, s)
		}
	}
	if len(jobs) == 0 {
		return nil, fmt.Errorf("%s has no zones and no certificates: there is nothing to check", o.policy)
	}
	return jobs, nil
}

// subjects are the names given, each once.
func (o options) subjects(args []string, stdin io.Reader, parse func(string) (subject.Subject, error)) ([]subject.Subject, error) {
	var out []subject.Subject
	for _, arg := range args {
		s, err := parse(arg)
		if err != nil {
			return nil, meant(err, arg, "caacheck", commands)
		}
		out = append(out, s)
	}
	if o.names == "" {
		return subject.Unique(out), nil
	}
	in, name := stdin, "standard input"
	if o.names != "-" {
		file, err := os.Open(o.names)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in, name = file, o.names
	}
	listed, err := subject.List(in, name, parse)
	return subject.Unique(append(out, listed...)), err
}

// remarks are what the reader has to know about what was asked.
func (o options) remarks(jobs []check.Job) []string {
	var out []string
	for _, issuer := range o.issuers {
		status, near := issuers.Lookup(issuer).Status, issuers.Misspelt(issuer)
		switch {
		case near != "":
			out = append(out, fmt.Sprintf("No public CA is known by the name %s, which was asked about, and one is by %s.", issuer, near))
		case status == issuers.Retired || status == issuers.Reseller:
			out = append(out, fmt.Sprintf("No CA is known to issue under the name %s, which was asked about.", issuer))
		}
	}
	for _, job := range jobs {
		if job.Subject.TopLevel() {
			out = append(out, fmt.Sprintf("%s is of a top-level domain: CAs issue for it at most to whoever holds all of it (Baseline Requirements 3.2.2.6).", job.Subject))
		}
	}
	return out
}

// load reads a policy. A signal ends it.
func load(ctx context.Context, file string) (*policy.Snapshot, error) {
	return unlessEnded(ctx, func() (*policy.Snapshot, error) {
		data, err := readPolicy(file)
		if err != nil {
			return nil, err
		}
		return loadText(ctx, file, data)
	})
}

// readPolicy reads a policy's text, and no more of it than a policy may have and an octet.
func readPolicy(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, policy.MaxSize+1))
}

// errEnded is that of a command that a signal ended before it had a result.
var errEnded = errors.New("ended by a signal before the result was there")

// unlessEnded is the result of f, or errEnded as soon as the context ends: f may wait for a pipe that nobody
// writes to. What it does then is lost with the process.
func unlessEnded[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		if ctx.Err() != nil && errors.Is(r.err, ctx.Err()) {
			r.err = errEnded
		}
		return r.v, r.err
	case <-ctx.Done():
		var none T
		return none, errEnded
	}
}

func loadText(ctx context.Context, file string, data []byte) (*policy.Snapshot, error) {
	p, err := policy.LoadContext(ctx, file, data)
	if err != nil {
		return nil, errors.Join(errors.New("the policy has mistakes"), err)
	}
	return p, nil
}

// config is where to start from, with what the reader has to know about it.
func (o options) config(ctx context.Context) (resolve.Config, []string, error) {
	if o.server != "" && o.resolver != "" {
		return resolve.Config{}, nil, fmt.Errorf("--server and --resolver exclude each other")
	}
	if o.port == 0 || o.port > 65535 {
		return resolve.Config{}, nil, fmt.Errorf("--port %d is none", o.port)
	}
	if o.timeout <= 0 {
		return resolve.Config{}, nil, fmt.Errorf("--timeout is more than nothing")
	}
	cfg := resolve.Config{Port: uint16(o.port), Timeout: o.timeout, Concurrency: o.concurrency, Rate: o.rate, Recursive: o.resolver != "", NoIPv6: !hasIPv6(), Memory: dnssec.NewMemory(dnssec.MemorySize)}
	var err error
	if only := cmp.Or(o.server, o.resolver); only != "" {
		if cfg.Only, err = address(only, uint16(o.port)); err != nil {
			return cfg, nil, err
		}
	}
	if o.hints != "" {
		if cfg.Hints, err = records(o.hints); err != nil {
			return cfg, nil, err
		}
	}
	var notes []string
	switch {
	case o.anchor != "":
		if cfg.Anchors, err = records(o.anchor); err != nil {
			return cfg, nil, err
		}
	case o.server != "" || o.hints != "":
		cfg.Anchors = []dns.RR{}
		notes = append(notes, "No --trust-anchor was given, so nothing is validated: a CA would.")
	}
	if cfg.Only.IsValid() {
		return cfg, notes, nil
	}
	if cfg.NoIPv6 {
		return cfg, append(notes, "This machine has no IPv6: name servers' IPv6 addresses were not asked."), nil
	}
	if cfg.NoIPv6, err = withoutIPv6(ctx, cfg); cfg.NoIPv6 {
		notes = append(notes, "IPv6 leads nowhere from this machine: no root server answers over it, and name servers' IPv6 addresses were not asked.")
	}
	return cfg, notes, err
}

// probeTime is how long a root server may take to answer over IPv6.
const probeTime = 2 * time.Second

// withoutIPv6 reports whether a machine that has IPv6 reaches nobody by it.
func withoutIPv6(ctx context.Context, cfg resolve.Config) (bool, error) {
	cfg.Timeout, cfg.Tries = min(cfg.Timeout, probeTime), 1
	r, err := resolve.New(cfg)
	if err != nil {
		return false, err
	}
	return !r.WorksIPv6(ctx), nil
}

func records(file string) ([]dns.RR, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return resolve.Records(string(data), file)
}

func address(text string, port uint16) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(addr, port), nil
	}
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		return addr, fmt.Errorf("%q is not an address: write 192.0.2.1, 192.0.2.1:5353 or [2001:db8::1]:53", text)
	}
	return addr, nil
}

// hasIPv6 reports whether there is a way to the Internet's IPv6. Nothing is sent.
func hasIPv6() bool {
	conn, err := net.Dial("udp6", "[2001:7fd::1]:53")
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// colourful reports whether colours help: on a terminal whose user has nothing against them.
func colourful(w io.Writer) bool { return isTerminal(w) && os.Getenv("NO_COLOR") == "" }

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
