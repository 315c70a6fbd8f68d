package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/coredns-caa/caa/plugin/pkg/spelling"
)

// flags are those of a command, in groups.
type flags struct{ groups []flagGroup }

// flagGroup is what its title says.
type flagGroup struct {
	title string
	set   *pflag.FlagSet
}

// group returns the flags under a title.
func (f *flags) group(title string) *pflag.FlagSet {
	i := slices.IndexFunc(f.groups, func(g flagGroup) bool { return g.title == title })
	if i < 0 {
		i = len(f.groups)
		f.groups = append(f.groups, flagGroup{title, newFlagSet()})
	}
	return f.groups[i].set
}

// The groups.
const (
	whatToCheck = "What to check"
	toCompare   = "What to compare"
	whereToAsk  = "Where to ask"
	howToAsk    = "How to ask"
	output      = "Output"
	service     = "Service"
	requests    = "Request"
)

func newFlagSet() *pflag.FlagSet {
	fs := pflag.NewFlagSet("caacheck", pflag.ContinueOnError)
	fs.SortFlags = false // the order in which they are declared
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return fs
}

// parse reads flags and arguments in any order, and returns the arguments.
func (f *flags) parse(args []string) ([]string, error) {
	all := f.all()
	err := all.Parse(args)
	return all.Args(), err
}

// all are the flags of all groups.
func (f *flags) all() *pflag.FlagSet {
	out := newFlagSet()
	for _, g := range f.groups {
		out.AddFlagSet(g.set)
	}
	return out
}

// value is a flag's value that a function reads.
type value struct {
	text string // that was read last; the default before
	kind string // what the help calls it, unless the help names it between backquotes
	set  func(text string) error
	// choices are all that it can be; none where they are many.
	choices []string
}

func (v *value) String() string { return v.text }
func (v *value) Type() string   { return v.kind }
func (v *value) Set(text string) error {
	if err := v.set(text); err != nil {
		return err
	}
	v.text = text
	return nil
}

// variable declares a flag that a function reads.
func variable(fs *pflag.FlagSet, name, kind, preset, help string, set func(text string) error) {
	fs.Var(&value{text: preset, kind: kind, set: set}, name, help)
}

// want is an error for a value that cannot be read: what to write instead.
type want string

func (w want) Error() string { return "want " + string(w) }

// mustBe is an error for a value outside its range.
type mustBe string

func (m mustBe) Error() string { return "must be " + string(m) }

// duration declares a flag for a positive duration.
func duration(fs *pflag.FlagSet, to *time.Duration, name string, preset time.Duration, help string) {
	*to = preset
	variable(fs, name, "DURATION", short(preset), help, func(text string) error {
		d, err := time.ParseDuration(text)
		switch {
		case err == nil && d > 0:
			*to = d
			return nil
		case err == nil:
			return mustBe("positive")
		}
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return want(fmt.Sprintf("a unit: %ss or %[1]sm", text))
		}
		return want("a duration, such as 5s or 1m30s")
	})
}

// short is a duration without zero units: 1h for 1h0m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// count declares a flag for a whole number between two.
func count[T int | uint16](fs *pflag.FlagSet, to *T, least, most int, name, preset, help string) {
	variable(fs, name, "NUMBER", preset, help, func(text string) error {
		n, err := strconv.Atoi(text)
		switch {
		case err != nil:
			return want("a whole number")
		case n < least || n > most:
			if most == noLimit {
				return mustBe(fmt.Sprintf("%d or more", least))
			}
			return mustBe(fmt.Sprintf("between %d and %d", least, most))
		}
		*to = T(n)
		return nil
	})
}

// noLimit is the upper bound of a number without one.
const noLimit = 1<<31 - 1

// rate declares a flag for what resolve.Config has as Rate, where no limit is negative.
func rate(fs *pflag.FlagSet, to *float64, name, help string) {
	variable(fs, name, "NUMBER", "", help, func(text string) error {
		n, err := strconv.ParseFloat(text, 64)
		switch {
		case err != nil || n != n:
			return want("a number, 0 for no limit")
		case n < 0:
			return mustBe("positive, or 0 for no limit")
		case n == 0:
			n = -1
		}
		*to = n
		return nil
	})
}

// choice declares a flag for one of some words.
func choice[T comparable](fs *pflag.FlagSet, to *T, name, preset, help string, among ...word[T]) {
	var words []string
	for _, w := range among {
		words = append(words, w.text)
	}
	last := len(words) - 1
	fs.Var(&value{text: preset, kind: "TYPE", choices: words, set: func(text string) error {
		i := slices.Index(words, text)
		if i < 0 {
			return want(strings.Join(words[:last], ", ") + " or " + words[last])
		}
		*to = among[i].value
		return nil
	}}, name, help)
}

// word is one that a flag takes, with what it means.
type word[T any] struct {
	text  string
	value T
}

// flagError says what is wrong with a flag, and what to write instead.
func (c command) flagError(err error, f *flags) error {
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return badValue(bad.GetFlag().Name, bad.GetValue(), bad.Unwrap())
	}
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return err
	}
	written, name := "--"+unknown.GetSpecifiedName(), unknown.GetSpecifiedName()
	if letters := unknown.GetSpecifiedShortnames(); letters != "" {
		name, _, _ = strings.Cut(letters, "=")
		written = "-" + name
	}
	var known []string
	f.all().VisitAll(func(flag *pflag.Flag) { known = append(known, flag.Name) })
	if near := spelling.Nearest(name, known, spelling.AThird(name)); near != "" {
		return fmt.Errorf("unknown flag %s; did you mean --%s?", written, near)
	}
	for _, other := range commands() {
		of := new(flags)
		other.setUp(of)
		if of.all().Lookup(name) != nil {
			return fmt.Errorf("caacheck %s has no flag --%s, caacheck %s has it; caacheck %[1]s --help lists the flags", c.name, name, other.name)
		}
	}
	return fmt.Errorf("unknown flag %s; caacheck %s --help lists the flags", written, c.name)
}

// badValue says what is wrong with a flag's value. The errors of package certname begin with the value.
func badValue(flag, text string, cause error) error {
	if _, ok := errors.AsType[*strconv.NumError](cause); ok {
		cause = want("true or false")
	}
	if _, ok := errors.AsType[want](cause); ok {
		return fmt.Errorf("invalid --%s %q: %w", flag, text, cause)
	}
	return fmt.Errorf("--%s %w", flag, cause)
}
