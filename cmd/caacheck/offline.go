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
	"github.com/coredns-caa/caa/checker/review"
	"github.com/coredns-caa/caa/checker/subject"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// lint is the guard, offline. What the policy's language forbids is a refusal, too.
func lint(ctx context.Context, args []string, std stdio) (int, error) {
	var asJSON bool
	var sarif string
	flags := newFlags(&asJSON)
	flags.StringVar(&sarif, "sarif", "", "")
	rest, err := parse(flags, args)
	if err != nil {
		return 0, err
	}
	if len(rest) != 1 {
		return 0, fmt.Errorf("lint takes one policy file: caacheck lint FILE")
	}
	data, err := unlessEnded(ctx, func() ([]byte, error) { return readPolicy(rest[0]) })
	if err != nil {
		return 0, err
	}
	flag := fileFlag{"--sarif", sarif}
	instead, err := shown([]fileFlag{flag}, asJSON)
	if err != nil {
		return 0, err
	}
	files, err := openReports(flag)
	if err != nil {
		return 0, err
	}
	defer files.cleanUp(ctx)()
	found, err := unlessEnded(ctx, func() (guard.Report, error) { return judge(ctx, rest[0], data) })
	if err != nil {
		return 0, err
	}
	code := report.ExitFine
	if len(found.Refusals) > 0 {
		code = report.ExitMend
	}
	write := map[string]func(io.Writer) error{
		"--sarif": func(w io.Writer) error { return report.WriteLintSARIF(w, found) },
		"":        func(w io.Writer) error { return writeLint(w, found) },
	}
	if asJSON {
		write[""] = func(w io.Writer) error { return terminal.WriteJSON(w, found) }
	}
	err = files.save(write)
	return code, errors.Join(err, toStandardOutput(std.out, write[instead]))
}

// judge is what the guard says of a policy's text. The error is the context's.
func judge(ctx context.Context, file string, data []byte) (guard.Report, error) {
	p, err := policy.LoadContext(ctx, file, data)
	switch {
	case ctx.Err() != nil:
		return guard.Report{}, ctx.Err()
	case err != nil:
		return guard.Report{Refusals: mistakes(err), Warnings: []guard.Warning{}}, nil
	}
	return guard.CheckContext(ctx, p, guard.Options{Zones: []string{guard.Unlisted}, At: time.Now()})
}

// mistakes are a policy's that is not even read, as refusals.
func mistakes(err error) []guard.Refusal {
	list, ok := err.(policy.ErrorList)
	if !ok {
		return []guard.Refusal{{Code: "mistake", Cause: err.Error()}}
	}
	var out []guard.Refusal
	for _, e := range list {
		out = append(out, guard.Refusal{Pos: e.Pos, Code: "mistake", Cause: e.Message})
	}
	return out
}

func writeLint(w io.Writer, found guard.Report) error {
	var out bytes.Buffer
	for _, r := range found.Refusals {
		if r.Code == "mistake" {
			writeLine(&out, "%v: %s", r.Pos, r.Cause)
			continue
		}
		out.WriteString(r.String() + "\n") // of two lines
	}
	for _, warning := range found.Warnings {
		writeLine(&out, "warning: %v", warning)
	}
	switch n := len(found.Refusals); {
	case n == 0 && slices.ContainsFunc(found.Warnings, func(w guard.Warning) bool { return w.Code == guard.NothingRequired }):
		fmt.Fprintln(&out, "accepted, but it protects nothing")
	case n == 0:
		writeLine(&out, "accepted: all that it requires can be issued")
	case n == 1:
		writeLine(&out, "refused, for the reason above")
	default:
		writeLine(&out, "refused, for %d reasons", n)
	}
	_, err := out.WriteTo(w)
	return err
}

// explain says what a policy means for one name.
func explain(ctx context.Context, args []string, std stdio) (int, error) {
	var asJSON bool
	rest, err := parse(newFlags(&asJSON), args)
	if err != nil {
		return 0, err
	}
	if len(rest) != 2 {
		return 0, fmt.Errorf("explain takes a policy file and a name: caacheck explain FILE NAME")
	}
	p, err := load(ctx, rest[0])
	if err != nil {
		return 0, err
	}
	s, err := subject.Parse(rest[1])
	if err != nil {
		return 0, err
	}
	e, err := review.Explain(p, s, time.Now())
	if err != nil {
		return 0, err
	}
	if asJSON {
		return report.ExitFine, terminal.WriteJSON(std.out, e)
	}
	return report.ExitFine, writeExplanation(std.out, e)
}

func writeExplanation(w io.Writer, e review.Explanation) error {
	var out bytes.Buffer
	switch {
	case e.Alias != "":
		writeLine(&out, "%s is an alias of %s by challenge, whose CAA decides", e.Name, terminal.Bare(e.Alias))
	case e.FromDefault:
		writeLine(&out, "%s lies in no zone of the file: if the server serves its zone, default (%v) governs it", e.Name, e.Pos)
	case terminal.Bare(e.Node) == strings.TrimPrefix(e.Name, "*."):
		writeLine(&out, "%s has a policy of its own (%v)", e.Name, e.Pos)
	default:
		writeLine(&out, "%s is governed by %s (%v), the closest name with a policy", e.Name, terminal.Bare(e.Node), e.Pos)
	}
	for _, r := range e.Records {
		writeLine(&out, "    %d %s %q    %v", r.Flags, r.Tag, r.Value, r.Pos)
	}
	if len(e.Permissions) > 0 {
		writeLine(&out, "who may issue")
	}
	for _, permission := range e.Permissions {
		who := "nobody"
		if len(permission.Issuers) > 0 {
			who = strings.Join(permission.Issuers, ", ")
		}
		for i, risk := range permission.AtRisk {
			mark := ", "
			if i == 0 {
				mark = "; at risk: "
			}
			who += fmt.Sprintf("%s%s (%s)", mark, risk.Issuer, risk.Reason)
		}
		writeLine(&out, "    %-9s %s", permission.Kind, who)
	}
	if len(e.Required) > 0 {
		writeLine(&out, "what must stay issuable")
	}
	for _, required := range e.Required {
		writeLine(&out, "    %s", required)
	}
	_, err := out.WriteTo(w)
	return err
}

// diff says who gains and who loses permission. Losing it is what somebody has to have meant.
func diff(ctx context.Context, args []string, std stdio) (int, error) {
	var asJSON bool
	rest, err := parse(newFlags(&asJSON), args)
	if err != nil {
		return 0, err
	}
	if len(rest) != 2 {
		return 0, fmt.Errorf("diff takes two policy files: caacheck diff OLD NEW")
	}
	before, err := load(ctx, rest[0])
	if err != nil {
		return 0, err
	}
	after, err := load(ctx, rest[1])
	if err != nil {
		return 0, err
	}
	changes, err := unlessEnded(ctx, func() ([]review.Change, error) {
		return append([]review.Change{}, review.Diff(before, after, time.Now())...), nil
	})
	if err != nil {
		return 0, err
	}
	code := report.ExitFine
	for _, c := range changes {
		if len(c.Lost) > 0 {
			code = report.ExitMend
		}
	}
	if asJSON {
		return code, terminal.WriteJSON(std.out, changes)
	}
	return code, writeDiff(std.out, changes)
}

func writeDiff(w io.Writer, changes []review.Change) error {
	var out bytes.Buffer
	for _, c := range changes {
		name := terminal.Bare(c.Name)
		if c.Name == guard.Unlisted {
			name = "every zone that is not listed"
		}
		for _, who := range c.Gained {
			writeLine(&out, "+ %s  %s  %s", name, c.Kind, who)
		}
		for _, who := range c.Lost {
			writeLine(&out, "- %s  %s  %s", name, c.Kind, who)
		}
	}
	if len(changes) == 0 {
		writeLine(&out, "nobody gains or loses permission")
	}
	_, err := out.WriteTo(w)
	return err
}

// writeLine writes a line, whatever is in its parts.
func writeLine(out *bytes.Buffer, format string, args ...any) {
	out.WriteString(terminal.Clean(fmt.Sprintf(format, args...)) + "\n")
}
