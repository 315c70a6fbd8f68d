package terminal

import (
	"encoding/json"
	"strings"
	"testing"
)

// What a CAA record or a name server says may hold whatever steers a terminal: CSI as one character, a right-to-left
// override, a line separator, DEL, a tag beyond the basic plane.
const hostile = "a\u009b31m\u202eb\u2028c\x7fd\x1b[0m\U000e0041é\n\t\"\\"

func TestJSONSteersNothingAndComesBack(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := WriteJSON(&out, map[string]string{hostile: hostile}); err != nil {
		t.Fatal(err)
	}
	for _, c := range out.String() {
		if c != '\n' && steers(c) {
			t.Errorf("%q has %U", out.String(), c)
		}
	}
	if !strings.Contains(out.String(), "é") {
		t.Errorf("letters are escaped, too: %s", out.String())
	}
	var back map[string]string
	if err := json.Unmarshal([]byte(out.String()), &back); err != nil || back[hostile] != hostile {
		t.Errorf("%v: %q came back", err, back)
	}
}

func TestJSONThatCannotBeWrittenIsNotBegun(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := WriteJSON(&out, []any{1, func() {}}); err == nil || out.Len() > 0 {
		t.Errorf("%v; written is %q", err, out.String())
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	if got, want := Clean(hostile), `a\u009b31m\u202eb\u2028c\x7fd\x1b[0m\U000e0041é\n\t"\`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := CleanLines("a\nb\tc\xff"); got != "a\nb\\tc\\xff" {
		t.Errorf("got %q", got)
	}
}

// FuzzJSON: whatever is in a string, it comes back, and steers nothing on the way.
func FuzzJSON(f *testing.F) {
	f.Add(hostile)
	f.Fuzz(func(t *testing.T, text string) {
		var out strings.Builder
		if err := WriteJSON(&out, text); err != nil {
			t.Fatal(err)
		}
		plain, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var want, got string
		if json.Unmarshal(plain, &want) != nil || json.Unmarshal([]byte(out.String()), &got) != nil || want != got {
			t.Errorf("%q came back as %q", want, got)
		}
		if strings.ContainsFunc(strings.TrimSuffix(out.String(), "\n"), steers) {
			t.Errorf("%q steers", out.String())
		}
	})
}
