package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// lintCommand is caacheck lint.
func lintCommand(f *flags) action {
	o := new(options)
	o.jsonFlag(f, "write one JSON document")
	f.group(output).StringVar(&o.sarif, "sarif", "", "write refusals and warnings to `FILE` as SARIF 2.1.0; - writes them to standard output")
	return func(ctx context.Context, args []string, std stdio) (int, error) { return lint(ctx, args[0], o, std) }
}

// lint is the guard, offline. A mistake in the syntax of the policy is a refusal, too.
func lint(ctx context.Context, file string, o *options, std stdio) (int, error) {
	data, err := unlessEnded(ctx, func() ([]byte, error) { return readPolicy(file) })
	if err != nil {
		return 0, err
	}
	flag := fileFlag{"--sarif", o.sarif}
	instead, err := shown([]fileFlag{flag}, o.json)
	if err != nil {
		return 0, err
	}
	files, err := openReports(flag)
	if err != nil {
		return 0, err
	}
	defer files.cleanUp(ctx)()
	var p *policy.Snapshot // nil where it cannot be parsed
	found, err := unlessEnded(ctx, func() (found guard.Report, err error) {
		p, found, err = judge(ctx, file, data)
		return found, err
	})
	if err != nil {
		return 0, err
	}
	code := report.ExitFine
	if len(found.Refusals) > 0 {
		code = report.ExitWrong
	}
	write := map[string]func(io.Writer) error{
		"--sarif": func(w io.Writer) error { return report.WriteLintSARIF(w, found) },
		"":        func(w io.Writer) error { return writeLint(w, p, found) },
	}
	if o.json {
		write[""] = func(w io.Writer) error { return terminal.WriteJSON(w, found) }
	}
	err = files.save(write)
	return code, errors.Join(err, toStandardOutput(std.out, write[instead]))
}

// judge returns a policy, nil where its text cannot be parsed, and the guard's report on it. The error is the context's.
func judge(ctx context.Context, file string, data []byte) (*policy.Snapshot, guard.Report, error) {
	p, err := policy.LoadContext(ctx, file, data)
	switch {
	case ctx.Err() != nil:
		return nil, guard.Report{}, ctx.Err()
	case err != nil:
		return nil, guard.Report{Refusals: refusalsOf(err), Warnings: []guard.Warning{}}, nil
	}
	found, err := guard.CheckContext(ctx, p, guard.Options{Zones: []string{guard.Unlisted}, At: time.Now()})
	return p, found, err
}

// refusalsOf returns the refusals of a policy that cannot be parsed.
func refusalsOf(err error) []guard.Refusal {
	list, ok := err.(policy.ErrorList)
	if !ok {
		return []guard.Refusal{{Code: guard.Mistake, Text: err.Error()}}
	}
	var out []guard.Refusal
	for _, e := range list {
		out = append(out, guard.Refusal{Pos: e.Pos, Code: guard.Mistake, Text: e.Message})
	}
	return out
}

// reasons counts reasons that are printed above.
func reasons(n int) string {
	if n == 1 {
		return "the reason above"
	}
	return fmt.Sprintf("%d reasons", n)
}

// shownZones is how many zones without name servers are named.
const shownZones = 3

// writeCorefileNote writes what of an accepted policy depends on the Corefile, which only the server reads.
func writeCorefileNote(out *bytes.Buffer, p *policy.Snapshot) {
	var bare []string
	for _, z := range p.Zones {
		if !z.PolicyOnly() {
			bare = append(bare, dnsname.Bare(z.Name))
		}
	}
	n, of := len(bare), strings.Join(bare[:min(len(bare), shownZones)], ", ")
	switch {
	case n == 0:
		return
	case n == 1:
		of += ", which has"
	case n <= shownZones:
		of += ", which have"
	default:
		of += fmt.Sprintf(" and %d more, which have", n-shownZones)
	}
	writeLine(out, "note: lint does not read the Corefile: the server refuses the policy unless a plugin after caa has the data of %s no nameservers", of)
}

// writeLint writes a report on a policy, nil where that cannot be parsed, for people.
func writeLint(w io.Writer, p *policy.Snapshot, found guard.Report) error {
	var out bytes.Buffer
	for _, r := range found.Refusals {
		if r.Code == guard.Mistake {
			writeLine(&out, "%v: %s", r.Pos, r.Text)
			continue
		}
		out.WriteString(r.String() + "\n") // of two lines
	}
	for _, warning := range found.Warnings {
		writeLine(&out, "warning: %v", warning)
	}
	if p != nil && len(found.Refusals) == 0 {
		writeCorefileNote(&out, p)
	}
	switch n := len(found.Refusals); {
	case n == 0 && slices.ContainsFunc(found.Warnings, func(w guard.Warning) bool { return w.Code == guard.NothingRequired }):
		writeLine(&out, "accepted, but it protects nothing (revision %s)", found.Revision)
	case n == 0:
		writeLine(&out, "accepted: all that it requires can be issued (revision %s)", found.Revision)
	case found.Revision == "":
		writeLine(&out, "refused, for %s", reasons(n))
	default:
		writeLine(&out, "refused, for %s (revision %s)", reasons(n), found.Revision)
	}
	_, err := out.WriteTo(w)
	return err
}
