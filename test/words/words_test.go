// Package words searches the repository for words that a reader stops at: in strings, names and comments, and in
// documents. It reads files and runs nothing of them.
package words

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// pending are folders and files whose words are still to be changed. A line is removed when its folder is done; the test
// fails for a line that has nothing left to change.
var pending = []string{}

// exempt are files that must have such words, this table and the list of old names, and one that is generated from the
// others.
var exempt = []string{"test/words/", "CHANGELOG.md", "docs/reference.md"}

// kinds are the endings of the files that are searched.
var kinds = []string{".go", ".md", ".yaml", ".json", ".html", ".txt", ".example", ".sh"}

// avoid are the words, as whole words, in names too: MendZone has "mend".
var avoid = []struct {
	word    string
	instead string
	unless  string // the words before it with which it is plain
}{
	{word: `mend(s|ed|ing)?`, instead: "fix"},
	{word: `amiss`, instead: "wrong, a problem"},
	{word: `anew`, instead: "again"},
	{word: `(is|are|was) none`, instead: "is not one, invalid, is not ours", unless: "there "},
	{word: `stands? (at|there|twice|alone|for itself|below|above)`, instead: "is at"},
	{word: `lies? (in|at|beside)`, instead: "is in, is next to"},
	{word: `lying (in|at|beside)`, instead: "in, next to"},
	{word: `but for (a|an|the|its|one|two|their|that|those|what)`, instead: "except"},
	{word: `none the less`, instead: "still"},
	{word: `more than nothing`, instead: "positive"},
	{word: `(has|have) (appeared|gone) (from )?below`, instead: "the next plugin now serves, no longer serves"},
	{word: `from below`, instead: "by the next plugin"},
	{word: `the data below`, instead: "the data of the next plugin"},
	{word: `(whoever|who) asks`, instead: "the client, the caller, the operator"},
	{word: `he ought to`, instead: "the operator"},
	{word: `told|heard|said`, instead: "reported, logged, observed, notified, reply"},
	{word: `tells? of`, instead: "reports"},
	{word: `outlives not`, instead: "expires before"},
	{word: `lenders?|borrowers?`, instead: "owning block, shared keys"},
	{word: `shy|candid`, instead: "hidesCNAME, passThrough"},
	{word: `could not find out|not found out`, instead: "unknown, could not be determined"},
}

func TestWords(t *testing.T) {
	t.Parallel()
	for i, file := range pending {
		if slices.Contains(pending[:i], file) {
			t.Errorf("%s is pending twice", file)
		}
	}
	used := map[string]bool{}
	files := tracked(t)
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		found := search(string(text))
		if i := slices.IndexFunc(pending, func(p string) bool { return strings.HasPrefix(file, p) }); i >= 0 {
			used[pending[i]] = used[pending[i]] || len(found) > 0
			continue
		}
		for _, line := range found {
			t.Errorf("%s:%s", file, line)
		}
	}
	if len(files) < 300 {
		t.Errorf("only %d files were searched", len(files))
	}
	for _, p := range pending {
		if !used[p] {
			t.Errorf("%s has no such word left: it is no longer pending", p)
		}
	}
}

// The search finds what it is for, in every form, and nothing else.
func TestSearch(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"must be mended": 1, "func MendZone()": 1, "a recommended value": 0, "x_anew": 1, "what was told": 1, "--type \"x\" is none: tls": 1,
		"0 if there is none": 0, "key-amiss": 1, "the best, but for one": 1, "not for A but for B": 0, "fix it": 0, "NAMES are listed": 0, "saidOf": 1,
	} {
		if got := search(text); len(got) != want {
			t.Errorf("%q: %q, want %d", text, got, want)
		}
	}
}

const root = "../.."

// tracked returns the files of the repository that are searched.
func tracked(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("git", "-C", root, "ls-files").Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	return slices.DeleteFunc(strings.Fields(string(out)), func(file string) bool {
		_, gone := os.Stat(filepath.Join(root, file))
		return gone != nil || !slices.Contains(kinds, filepath.Ext(file)) || strings.Contains(file, "testdata/fuzz/") ||
			slices.ContainsFunc(exempt, func(e string) bool { return strings.HasPrefix(file, e) })
	})
}

var patterns = func() (out []*regexp.Regexp) {
	for _, a := range avoid {
		out = append(out, regexp.MustCompile(`\b(?:`+a.word+`)\b`))
	}
	return out
}()

// anyOf matches a line that has one of the words: few lines have.
var anyOf = func() *regexp.Regexp {
	var all []string
	for _, a := range avoid {
		all = append(all, a.word)
	}
	return regexp.MustCompile(`\b(?:` + strings.Join(all, "|") + `)\b`)
}()

// search returns the words to avoid of a text, each with its line and what to write.
func search(text string) (out []string) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		words := spaced(line)
		if !anyOf.MatchString(words) {
			continue
		}
		for i, p := range patterns {
			for _, at := range p.FindAllStringIndex(words, -1) {
				if avoid[i].unless == "" || !strings.HasSuffix(words[:at[0]], avoid[i].unless) {
					out = append(out, fmt.Sprintf("%d: %q: write %s", number, words[at[0]:at[1]], avoid[i].instead))
				}
			}
		}
	}
	return out
}

// spaced returns a line in lower case, with the words of names apart.
func spaced(line string) string {
	var out strings.Builder
	was := ' '
	for _, c := range line {
		if unicode.IsUpper(c) && unicode.IsLower(was) {
			out.WriteByte(' ')
		}
		if was = c; c == '_' || c == '-' {
			c = ' '
		}
		out.WriteRune(unicode.ToLower(c))
	}
	return out.String()
}
