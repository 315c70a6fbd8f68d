package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/plugin/pkg/spelling"
)

// This file tells names from other words of a command line, so that no slip is asked of the DNS root.

// errWord says that a word is not a name.
var errWord = errors.New("is not a domain name")

// fileTypes are how the names of files end that people have beside them. None is a top-level domain.
var fileTypes = []string{".yaml", ".yml", ".json", ".txt", ".csv"}

// notAWord is an error for what people write where a name belongs. A name has a dot; a top-level domain has a final one.
func notAWord(text string) error {
	ending := filepath.Ext(strings.TrimSuffix(text, "."))
	switch {
	case text == "": // which the parser of names says better
	case !strings.ContainsAny(text, ".。．｡"): // IDNA knows four dots (RFC 3490 3.1)
		return fmt.Errorf("%q %w, because it has no dot; a top-level domain is written with one at its end, %s", text, errWord, text+".")
	case slices.Contains(fileTypes, strings.ToLower(ending)):
		return fmt.Errorf("%q %w: there is no top-level domain %s", text, errWord, strings.TrimPrefix(ending, "."))
	}
	return nil
}

// meant adds to an error about a word of the command line what was probably meant: a file, or one of the words that may
// follow those before it.
func meant[T any](err error, word, before string, words map[string]T) error {
	info, missing := os.Stat(word)
	isFile := missing == nil && info.Mode().IsRegular()
	ending := strings.ToLower(filepath.Ext(word))
	switch near := spelling.Nearest(word, slices.Sorted(maps.Keys(words)), spelling.AThird(word)); {
	case (isFile || errors.Is(err, errWord)) && (ending == ".yaml" || ending == ".yml"):
		return fmt.Errorf("%w; did you mean caacheck lint %s, or caacheck --policy %[2]s?", err, word)
	case isFile || errors.Is(err, errWord) && slices.Contains(fileTypes, ending):
		return fmt.Errorf("%w; did you mean caacheck --names %s?", err, word)
	case errors.Is(err, errWord) && near != "":
		return fmt.Errorf("%w; did you mean %s %s?", err, before, near)
	}
	return err
}

// showHelp is `caacheck help`, of all or of a command.
func showHelp(_ context.Context, args []string, std stdio) (int, error) {
	text := help
	if len(args) > 0 && args[0] == "keys" {
		text = keysHelp
	}
	_, err := io.WriteString(std.out, text)
	return report.ExitFine, err
}

// showVersion is `caacheck version`.
func showVersion(_ context.Context, _ []string, std stdio) (int, error) {
	version, revision := "(unknown)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				revision = ", revision " + setting.Value
			}
		}
		revision += ", " + info.GoVersion
	}
	_, err := fmt.Fprintf(std.out, "caacheck %s%s\n", version, revision)
	return report.ExitFine, err
}
