package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/review"
	"github.com/coredns-caa/caa/checker/subject"
	"github.com/coredns-caa/caa/checker/terminal"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
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
	data, err := os.ReadFile(rest[0])
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
	found := guard.Report{Refusals: []guard.Refusal{}, Warnings: []guard.Warning{}}
	if p, err := policy.Load(rest[0], data); err != nil {
		found.Refusals = mistakes(err)
	} else {
		found = guard.Check(p, guard.Options{Zones: []string{guard.Unlisted}, At: time.Now()})
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
			fmt.Fprintf(&out, "%v: %s\n", r.Pos, r.Cause)
			continue
		}
		fmt.Fprintln(&out, r)
	}
	for _, warning := range found.Warnings {
		fmt.Fprintf(&out, "warning: %v\n", warning)
	}
	switch n := len(found.Refusals); {
	case n == 0 && slices.ContainsFunc(found.Warnings, func(w guard.Warning) bool { return w.Code == guard.NothingRequired }):
		fmt.Fprintln(&out, "accepted, but it protects nothing")
	case n == 0:
		fmt.Fprintln(&out, "accepted: all that it requires can be issued")
	case n == 1:
		fmt.Fprintln(&out, "refused, for the reason above")
	default:
		fmt.Fprintf(&out, "refused, for %d reasons\n", n)
	}
	_, err := out.WriteTo(w)
	return err
}

// explain says what a policy means for one name.
func explain(_ context.Context, args []string, std stdio) (int, error) {
	var asJSON bool
	rest, err := parse(newFlags(&asJSON), args)
	if err != nil {
		return 0, err
	}
	if len(rest) != 2 {
		return 0, fmt.Errorf("explain takes a policy file and a name: caacheck explain FILE NAME")
	}
	p, err := load(rest[0])
	if err != nil {
		return 0, err
	}
	s, err := subject.Parse(rest[1])
	if err != nil {
		return 0, err
	}
	e, err := review.Explain(p, s)
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
		fmt.Fprintf(&out, "%s is an alias of %s by challenge, whose CAA decides\n", e.Name, bare(e.Alias))
	case e.FromDefault:
		fmt.Fprintf(&out, "%s lies in no zone of the file: if the server serves its zone, default (%v) governs it\n", e.Name, e.Pos)
	case bare(e.Node) == strings.TrimPrefix(e.Name, "*."):
		fmt.Fprintf(&out, "%s has a policy of its own (%v)\n", e.Name, e.Pos)
	default:
		fmt.Fprintf(&out, "%s is governed by %s (%v), the closest name with a policy\n", e.Name, bare(e.Node), e.Pos)
	}
	for _, r := range e.Records {
		fmt.Fprintf(&out, "    %d %s %q    %v\n", r.Flags, r.Tag, r.Value, r.Pos)
	}
	if len(e.Permissions) > 0 {
		fmt.Fprintln(&out, "who may issue")
	}
	for _, permission := range e.Permissions {
		who := "nobody"
		if len(permission.Issuers) > 0 {
			who = strings.Join(permission.Issuers, ", ")
		}
		fmt.Fprintf(&out, "    %-9s %s\n", permission.Kind, who)
	}
	if len(e.Required) > 0 {
		fmt.Fprintf(&out, "what must stay issuable\n    %s\n", strings.Join(e.Required, "\n    "))
	}
	_, err := out.WriteTo(w)
	return err
}

// diff says who gains and who loses permission. Losing it is what somebody has to have meant.
func diff(_ context.Context, args []string, std stdio) (int, error) {
	var asJSON bool
	rest, err := parse(newFlags(&asJSON), args)
	if err != nil {
		return 0, err
	}
	if len(rest) != 2 {
		return 0, fmt.Errorf("diff takes two policy files: caacheck diff OLD NEW")
	}
	before, err := load(rest[0])
	if err != nil {
		return 0, err
	}
	after, err := load(rest[1])
	if err != nil {
		return 0, err
	}
	changes := append([]review.Change{}, review.Diff(before, after)...)
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
		name := bare(c.Name)
		if c.Name == guard.Unlisted {
			name = "every zone that is not listed"
		}
		for _, who := range c.Gained {
			fmt.Fprintf(&out, "+ %s  %s  %s\n", name, c.Kind, who)
		}
		for _, who := range c.Lost {
			fmt.Fprintf(&out, "- %s  %s  %s\n", name, c.Kind, who)
		}
	}
	if len(changes) == 0 {
		fmt.Fprintln(&out, "nobody gains or loses permission")
	}
	_, err := out.WriteTo(w)
	return err
}

func bare(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}
