package yamlpos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"
)

// What people get wrong is found in the line where it is.
func TestMisplaced(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"a space too few", "a:\n  b: 1\n c: 2\n", "3:2: this line is indented by 1 space, like none above it; indent it by 0 or 2 spaces"},
		{"a space too many", "a:\n  b: 1\n   c: 2\n", "3:4: this line is indented deeper than the line above it, which has its value already; indent it by 2 spaces"},
		{"deeper at the top", "a: 1\n b: 2\n", "2:2: this line is indented deeper than the line above it, which has its value already; indent it by no space"},
		{"after a comment", "a:\n  b: 1 # x: y\n\n # c\n   c: 2\n", "5:4: this line is indented deeper than the line above it, which has its value already; indent it by 2 spaces"},
		{"in an entry of a list", "a:\n  - b: 1\n   c: 2\n", "3:4: this line is indented by 3 spaces, like none above it; indent it by 2 or 4 spaces"},
		{"deeper in an entry", "a:\n  - b: 1\n     c: 2\n", "3:6: this line is indented deeper than the line above it, which has its value already; indent it by 2 spaces"},
		{"after a flow list over lines", "a: [1,\n 2,\n  3]\nb:\n  c: 1\n d: 1\n", "6:2: this line is indented by 1 space, like none above it; indent it by 0 or 2 spaces"},
		{"a bracket", "a:\n  b: [x\n  c: {}\n", "2:6: this [ is closed nowhere; write the closing bracket"},
		{"a brace after others", "a: [{b: c}]\nd: {e: [f]\ng: 1\n", "2:4: this { is closed nowhere; write the closing bracket"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if yaml.Unmarshal([]byte(tt.text), new(any)) == nil {
				t.Fatal("that is YAML")
			}
			line, column, problem, _ := misplaced([]byte(tt.text))
			if got := fmt.Sprintf("%d:%d: %s", line, column, problem); got != tt.want {
				t.Errorf("got %s", got)
			}
		})
	}
}

// A right line is not named where a text is YAML: the word for what is wrong elsewhere would mislead.
func TestNothingIsMisplacedInYAML(t *testing.T) {
	t.Parallel()
	texts := []string{
		"a:\n- b\n- c: 1\n  d: 2\n", "a:\n  - - x\n    - y\n  - z\n", "- a\n-\n  b: 1\n", "a: 'it''s: [x'\nb: \"{ \\\" [\"\n",
		"a: |\n  text: [\n    more\n  less\nb: >-\n  x\nc: 1\n", "a: some words\n  and more\nb: 1\n", "a:\n  [x, # ]\n   y]\nb: {c: d,\ne: f}\n",
		"---\na: 1\n...\n", "a: b[c]\nd: e{f\n", "a: # none yet\n  b: 1\n", "'a b': 1\n\"c\": [2]\n", "a:\r\n  b: 1\r\n", "a: -1\nb: - \n", "? a\n: b\n",
	}
	for _, pattern := range []string{"../../../examples/*.yaml", "../guard/testdata/*.txtar"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Ext(file) == ".yaml" {
				texts = append(texts, string(text))
			}
			for _, part := range txtar.Parse(text).Files {
				if strings.HasSuffix(part.Name, ".yaml") {
					texts = append(texts, string(part.Data))
				}
			}
		}
	}
	for _, text := range texts {
		if yaml.Unmarshal([]byte(text), new(any)) != nil {
			continue
		}
		if line, column, problem, found := misplaced([]byte(text)); found {
			t.Errorf("%d:%d: %s, in\n%s", line, column, problem, text)
		}
	}
}

// A file of brackets, dashes or deeper and deeper lines takes time in proportion to its size: a second for 16 MB, and
// hours if each looked at all before it.
func TestMisplacedIsLinear(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	var deeper strings.Builder
	for n := 0; deeper.Len() < size; n++ {
		deeper.WriteString(strings.Repeat(" ", n) + "a:\n")
	}
	for _, text := range []string{strings.Repeat("[", size), strings.Repeat("a: [\n", size/5), strings.Repeat("- ", size/2) + "\n a", deeper.String(), strings.Repeat("'", size)} {
		misplaced([]byte(text)) // it ends, long before the test's time
	}
}

func FuzzMisplaced(f *testing.F) {
	f.Add("a:\n  - b: [1\n c: {}")
	f.Fuzz(func(t *testing.T, text string) {
		line, column, _, found := misplaced([]byte(text))
		if lines := strings.Count(text, "\n") + 1; found && (line < 1 || line > lines || column < 1 || column > len(text)+1) {
			t.Errorf("%d:%d is not in the text", line, column)
		}
	})
}
