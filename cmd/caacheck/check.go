package main

import (
	"context"
	"errors"
	"io"

	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/report"
)

// checkCommand is caacheck check.
func checkCommand(f *flags) action {
	o := new(options)
	o.requestFlags(f.group(whatToCheck))
	o.perspectiveFlags(f.group(whereToAsk))
	o.targetFlags(f.group(whereToAsk))
	o.askFlags(f)
	out := f.group(output)
	out.BoolVarP(&o.verbose, "verbose", "v", false, "show every name, how each verdict was reached, and all evidence")
	out.BoolVarP(&o.quiet, "quiet", "q", false, "print nothing when nothing is wrong")
	o.jsonFlag(f, "write one JSON document; its schema is checker/report/schema.json")
	out.StringVar(&o.junit, "junit", "", "write test cases for CI to `FILE`: locked out or at risk is a failure, unknown an error")
	out.StringVar(&o.sarif, "sarif", "", "write what is wrong to `FILE` as SARIF 2.1.0, with the lines of the policy")
	out.StringVar(&o.html, "html", "", "write one page for people to `FILE`: verdicts, fixes, and how each name was judged (one of --junit, --sarif and --html may be -, which writes to standard output instead of the text)")
	out.StringVar(&o.observations, "observations", "", "write every question and reply to `FILE`, one JSON object a line; see docs/observations.md")
	out.StringVar(&o.history, "history", "", "keep in `FILE` when zones were signed, from run to run, to find a signer that is late (signature-late)")
	return o.check
}

// check checks names once.
func (o *options) check(ctx context.Context, names []string, std stdio) (int, error) {
	plan, err := o.plan(ctx, names, std.in)
	if err != nil {
		return 0, err
	}
	flags := []fileFlag{{"--junit", o.junit}, {"--sarif", o.sarif}, {"--html", o.html}, {"--observations", o.observations}, {"--history", o.history}}
	instead, err := shown(flags, o.json)
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
		plan.Observe = log.add
	}
	session, err := check.Prepare(ctx, plan)
	if err != nil {
		return 0, err
	}
	defer session.Close()
	progress := startStages(std.err, session.Names())
	found := session.Run(ctx, check.Progress{Examined: progress.first, Corroborated: progress.second})
	progress.stop()
	made := report.Of(found)
	write := map[string]func(io.Writer) error{
		"--junit": made.WriteJUnit, "--sarif": made.WriteSARIF, "--html": made.WriteHTML,
		"--observations": func(io.Writer) error { return log.close() }, // it has been written as it came
		"--history":      found.Signing.Write,
		"":               func(w io.Writer) error { return o.show(made, w, std) },
	}
	err = files.save(write) // first: the reader of standard output may be gone
	return report.ExitCode(found), errors.Join(err, toStandardOutput(std.out, write[instead]))
}

// show writes a report to w: as text, or with --json as a document.
func (o *options) show(made *report.Report, w io.Writer, std stdio) error {
	switch {
	case o.json:
		return made.WriteJSON(w)
	case o.quiet && made.Fine():
		return nil
	}
	return made.WriteText(w, report.Style{Colour: std.colour, Verbose: o.verbose, Columns: std.columns})
}
