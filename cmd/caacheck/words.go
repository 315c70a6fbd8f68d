package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coredns-caa/caa/plugin/pkg/spelling"
)

// This file keeps words that are not names from being asked of the DNS root.

// errWord says that a word is not a name.
var errWord = errors.New("is not a domain name")

// wrongWord is an error about a word of the command line that is not a name.
type wrongWord struct {
	word string
	err  error
}

func (w wrongWord) Error() string { return w.err.Error() }

// fileTypes are endings of file names. None is a top-level domain.
var fileTypes = []string{".yaml", ".yml", ".json", ".txt", ".csv"}

// notAWord returns an error for a word that is not a name. A name has a dot; a top-level domain has a final one.
func notAWord(text string) error {
	ending := filepath.Ext(strings.TrimSuffix(text, "."))
	switch {
	case text == "": // which the parser of names says better
	case !strings.ContainsAny(text, ".。．｡"): // IDNA knows four dots (RFC 3490 3.1)
		return fmt.Errorf("%q %w, because it has no dot; write a top-level domain with a final dot, %s", text, errWord, text+".")
	case slices.Contains(fileTypes, strings.ToLower(ending)):
		return fmt.Errorf("%q %w: there is no top-level domain %s", text, errWord, strings.TrimPrefix(ending, "."))
	}
	return nil
}

// meant adds to an error about a word of the command line what was probably meant: a file, or one of the words that may
// follow "before" in a command line.
func meant(err error, word, before string, words []string) error {
	info, missing := os.Stat(word)
	isFile := missing == nil && info.Mode().IsRegular()
	ending := strings.ToLower(filepath.Ext(word))
	switch near := spelling.Nearest(word, words, spelling.AThird(word)); {
	case (isFile || errors.Is(err, errWord)) && (ending == ".yaml" || ending == ".yml"):
		return fmt.Errorf("%w; did you mean caacheck lint %s, or caacheck --policy %[2]s?", err, word)
	case isFile || errors.Is(err, errWord) && slices.Contains(fileTypes, ending):
		return fmt.Errorf("%w; did you mean caacheck --names %s?", err, word)
	case errors.Is(err, errWord) && near != "":
		return fmt.Errorf("%w; did you mean %s %s?", err, before, near)
	}
	return err
}

// didYouMean returns what was probably meant by a word that follows others, as the end of an error; "" if nothing was.
func didYouMean(word, before string, words []string) string {
	if near := spelling.Nearest(word, words, spelling.AThird(word)); near != "" {
		return fmt.Sprintf("; did you mean %s %s?", before, near)
	}
	return ""
}
