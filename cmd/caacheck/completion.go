package main

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/pflag"

	"github.com/coredns-caa/caa/checker/report"
)

//go:embed completion.tmpl
var completionText string

// completions are the scripts, one template for each shell.
var completions = template.Must(template.New("").Funcs(template.FuncMap{
	"single": func(text string) string { return strings.ReplaceAll(text, "'", `'\''`) },
	"fish":   strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace,
	"zsh":    strings.NewReplacer(`\`, `\\`, "'", `'\''`, ":", `\:`, "[", `\[`, "]", `\]`).Replace,
}).Parse(completionText))

// shells are those that have one.
var shells = []string{"bash", "fish", "zsh"}

// completedCommand is a command as completion scripts need it.
type completedCommand struct {
	Words []string // its name
	Does  string
	Flags []completedFlag
}

// completedFlag is a flag as completion scripts need it.
type completedFlag struct {
	Name, Short, Does string
	Value             string   // what it takes; "" for a switch
	Choices           []string // the values, where they are few
}

// File reports whether the flag takes the name of a file or folder.
func (f completedFlag) File() bool { return slices.Contains([]string{"FILE", "FOLDER"}, f.Value) }

// completed returns the table of commands for completion scripts. What takes two words comes first, so that the first match of
// a command line is the right one.
func completed() (all []completedCommand) {
	for _, c := range commands() {
		f := new(flags)
		c.setUp(f)
		out := completedCommand{Words: strings.Fields(c.name), Does: c.does}
		f.all().VisitAll(func(flag *pflag.Flag) {
			kind, does := pflag.UnquoteUsage(flag)
			one := completedFlag{Name: flag.Name, Short: flag.Shorthand, Does: does, Value: kind}
			if v, ok := flag.Value.(*value); ok {
				one.Choices = v.choices
			}
			out.Flags = append(out.Flags, one)
		})
		all = append(all, out)
	}
	slices.SortStableFunc(all, func(a, b completedCommand) int { return len(b.Words) - len(a.Words) })
	return all
}

// completionCommand is caacheck completion.
func completionCommand(*flags) action {
	return func(_ context.Context, args []string, std stdio) (int, error) {
		if !slices.Contains(shells, args[0]) {
			return 0, fmt.Errorf("no completion for the shell %q: want %s", args[0], strings.Join(shells, ", "))
		}
		all := completed()
		first := map[string]string{} // words that a command line may begin with
		for _, c := range all {
			first[c.Words[0]] = c.Does // of the one with a single word, which comes last
		}
		return report.ExitFine, completions.ExecuteTemplate(std.out, args[0], map[string]any{
			"Commands": all, "First": first, "Names": slices.Sorted(maps.Keys(first)), "Implicit": implicit,
		})
	}
}
