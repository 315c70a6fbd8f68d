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

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/policydiff"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// explainCommand is caacheck explain.
func explainCommand(f *flags) action {
	o := new(options)
	o.jsonFlag(f, "write one JSON document")
	return func(ctx context.Context, args []string, std stdio) (int, error) {
		return explain(ctx, args[0], args[1], o.json, std)
	}
}

// explain shows what a policy means for one name.
func explain(ctx context.Context, file, name string, asJSON bool, std stdio) (int, error) {
	p, err := load(ctx, file)
	if err != nil {
		return 0, err
	}
	s, err := certname.Parse(name)
	if err != nil {
		return 0, err
	}
	e, err := policydiff.Explain(p, s, time.Now())
	if err != nil {
		return 0, err
	}
	if asJSON {
		return report.ExitFine, terminal.WriteJSON(std.out, e)
	}
	return report.ExitFine, writeExplanation(std.out, e)
}

func writeExplanation(w io.Writer, e policydiff.Explanation) error {
	var out bytes.Buffer
	switch {
	case e.Alias != "":
		writeLine(&out, "challenge makes %s an alias of %s, whose CAA decides", e.Name, dnsname.Bare(e.Alias))
	case e.FromDefault:
		writeLine(&out, "no zone of the file covers %s: if the server serves its zone, default governs it (%v)", e.Name, e.Pos)
	case dnsname.Bare(e.Node) == strings.TrimPrefix(e.Name, "*."):
		writeLine(&out, "%s has a policy of its own (%v)", e.Name, e.Pos)
	default:
		writeLine(&out, "%s is governed by %s (%v), the closest name with a policy", e.Name, dnsname.Bare(e.Node), e.Pos)
	}
	for _, r := range e.Records {
		writeLine(&out, "    %d %s %q    %v", r.Flags, r.Tag, r.Value, r.Pos)
	}
	if len(e.Permissions) > 0 {
		writeLine(&out, "who may issue")
	}
	for _, permission := range e.Permissions {
		who := "nobody"
		switch {
		case slices.Contains(permission.Issuers, policydiff.AnyoneElse): // nothing restricts it, whoever is named
			who = "any CA"
		case len(permission.Issuers) > 0:
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
		writeLine(&out, "required")
	}
	for _, required := range e.Required {
		writeLine(&out, "    %s", required)
	}
	_, err := out.WriteTo(w)
	return err
}

// diffCommand is caacheck diff.
func diffCommand(f *flags) action {
	o := new(options)
	var zone, origin string
	f.group(toCompare).StringVar(&zone, "zone", "", "compare the zone file `FILE`, or - for standard input, with the policy")
	f.group(toCompare).StringVar(&origin, "origin", "", "the `NAME` that names in the zone file are relative to, where it has no $ORIGIN; by default the only zone of the policy")
	o.jsonFlag(f, "write one JSON document")
	return func(ctx context.Context, args []string, std stdio) (int, error) {
		switch {
		case zone != "" && len(args) == 1:
			return diffZone(ctx, zone, origin, args[0], o.json, std)
		case zone != "":
			return 0, errors.New("--zone compares one zone file with one policy: caacheck diff --zone FILE POLICY")
		case origin != "":
			return 0, errors.New("--origin is for --zone")
		case len(args) != 2:
			return 0, errors.New("usage: caacheck diff OLD NEW, or caacheck diff --zone FILE POLICY")
		}
		return diff(ctx, args[0], args[1], o.json, std)
	}
}

// diff compares two policies.
func diff(ctx context.Context, older, newer string, asJSON bool, std stdio) (int, error) {
	before, err := load(ctx, older)
	if err != nil {
		return 0, err
	}
	after, err := load(ctx, newer)
	if err != nil {
		return 0, err
	}
	changes, err := unlessEnded(ctx, func() ([]policydiff.Change, error) {
		return policydiff.Diff(before, after, time.Now()), nil
	})
	if err != nil {
		return 0, err
	}
	return showChanges(changes, asJSON, std)
}

// diffZone compares a zone file with a policy.
func diffZone(ctx context.Context, file, origin, newer string, asJSON bool, std stdio) (int, error) {
	after, err := load(ctx, newer)
	if err != nil {
		return 0, err
	}
	changes, err := unlessEnded(ctx, func() ([]policydiff.Change, error) {
		data, err := readZone(file, origin, after, std.in)
		if err != nil {
			return nil, err
		}
		return policydiff.DiffZone(data, after, time.Now())
	})
	if err != nil {
		return 0, err
	}
	return showChanges(changes, asJSON, std)
}

// showChanges writes who gains and who loses. The exit status is 1 where somebody loses permission.
func showChanges(changes []policydiff.Change, asJSON bool, std stdio) (int, error) {
	code := report.ExitFine
	for _, c := range changes {
		if len(c.Lost) > 0 {
			code = report.ExitWrong
		}
	}
	if asJSON {
		return code, terminal.WriteJSON(std.out, append([]policydiff.Change{}, changes...))
	}
	return code, writeDiff(std.out, changes)
}

// writeDiff writes a summary, who loses permission and who gains it.
func writeDiff(w io.Writer, changes []policydiff.Change) error {
	var out, lost, gained bytes.Buffer
	loses, gains := map[string]bool{}, map[string]bool{}
	for _, c := range changes {
		name := dnsname.Bare(c.Name)
		if c.Name == guard.Unlisted {
			name = "every zone that is not listed"
		}
		for _, who := range c.Lost {
			loses[name] = true
			writeLine(&lost, "- %s  %s  %s", name, c.Kind, who)
		}
		for _, who := range c.Gained {
			gains[name] = true
			writeLine(&gained, "+ %s  %s  %s", name, c.Kind, who)
		}
		for _, who := range c.Left {
			writeLine(&lost, "= %s  %s  %s (remains)", name, c.Kind, who)
		}
	}
	switch {
	case len(changes) == 0:
		writeLine(&out, "Nobody gains or loses permission.")
	case len(loses) == 0:
		writeLine(&out, "Nobody loses permission. Permission is gained at %s:", places(len(gains)))
	case len(gains) == 0:
		writeLine(&out, "Permission is lost at %s, and gained at none:", places(len(loses)))
	default:
		writeLine(&out, "Permission is lost at %s, and gained at %d:", places(len(loses)), len(gains))
	}
	lost.WriteTo(&out)
	gained.WriteTo(&out)
	_, err := out.WriteTo(w)
	return err
}

// places is a number of names, or of default's zones.
func places(n int) string {
	if n == 1 {
		return "1 name"
	}
	return fmt.Sprintf("%d names", n)
}
