package reference

import (
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/coredns-caa/caa/"

// The map in CONTRIBUTING.md has every package of every module here, each once, and imports point down it. What is in test
// may import from anywhere, and only tests and the rest of test import it.
func TestMap(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(root + "/CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "\n## The map\n")
	section, _, _ := strings.Cut(after, "\n## ")
	var rows []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1) {
		if slices.Contains(rows, m[1]) {
			t.Errorf("%s has two rows", m[1])
		}
		rows = append(rows, m[1])
	}
	imports := packages(t)
	if len(imports) < 50 {
		t.Fatalf("only %d packages", len(imports))
	}
	for _, row := range rows {
		_, isPackage := imports[row]
		if _, noModule := os.Stat(filepath.Join(root, row, "go.mod")); !isPackage && noModule != nil {
			t.Errorf("%s has a row and is no package", row)
		}
	}
	for _, wrong := range wrongImports(rows, imports) {
		t.Error(wrong)
	}
}

// wrongImports returns what is wrong with imports by the order of the rows.
func wrongImports(rows []string, imports map[string][]string) (wrong []string) {
	for from, targets := range imports {
		at := slices.Index(rows, from)
		if at < 0 {
			wrong = append(wrong, from+" has no row")
			continue
		}
		for _, to := range targets {
			if tests(from) && !tests(to) {
				continue
			}
			if slices.Index(rows, to) < at || tests(to) && !tests(from) {
				wrong = append(wrong, from+" imports "+to)
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

func tests(folder string) bool { return strings.HasPrefix(folder, "test/") }

func TestWrongImports(t *testing.T) {
	t.Parallel()
	got := wrongImports([]string{"a", "b", "test/c", "test/d"}, map[string][]string{
		"a": {"b"}, "b": {"a", "test/c"}, "test/c": {"test/d", "b"}, "test/d": {"test/c"}, "e": nil,
	})
	want := []string{"b imports a", "b imports test/c", "e has no row", "test/d imports test/c"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// packages returns the folders with Go files, of all modules, and what their files that are not tests import from here, on
// whatever system.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	listed, err := exec.Command("git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "*.go").Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	out := map[string][]string{}
	for _, file := range strings.Fields(string(listed)) {
		folder := path.Dir(file)
		if strings.Contains(file, "/testdata/") {
			continue
		}
		name := filepath.Join(root, file)
		if _, err := os.Stat(name); err != nil {
			continue // removed, and not yet from the index
		}
		imports := out[folder]
		if !strings.HasSuffix(file, "_test.go") {
			parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range parsed.Imports {
				of, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if ours, ok := strings.CutPrefix(of, module); ok && !slices.Contains(imports, ours) {
					imports = append(imports, ours)
				}
			}
		}
		out[folder] = imports
	}
	return out
}
