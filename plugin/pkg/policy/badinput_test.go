package policy

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// Input that is made to hurt, or that a broken tool writes. Each is refused with a place, or read, and
// takes memory in proportion to its size: limit is what may be allocated for an octet of it.
func TestBadInput(t *testing.T) {
	const many, million = 30_000, 1_000_000
	keys := func(n int, key func(int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(key(i))
		}
		return b.String()
	}
	laughs := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'z'; c++ {
		laughs += fmt.Sprintf("%c: &%[1]c [%s]\n", c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 10), ","))
	}
	for _, c := range []struct {
		name  string
		data  []byte
		limit int // octets allocated for one of the input
		want  string
	}{
		{"a file of 100 MB", make([]byte, 100<<20), 0, "1:1: the file is larger than 16 MiB"},
		{"a file of NUL octets", make([]byte, MaxSize), 0, "1:1: a NUL octet"},
		{"a bomb of aliases", []byte(laughs), 400, "1:1: unknown key"},
		{"30,000 aliases", []byte("version: &a 1\nzones: [" + strings.Repeat("*a,", many) + "]\n"), 400, "1:10: an anchor"},
		{"30,000 anchors", []byte("version: 1\nzones: [" + keys(many, func(i int) string { return fmt.Sprintf("&a%d x,", i) }) + "]\n"), 400, "2:8: zones must be a mapping"},
		{"a million levels of lists", []byte("version: " + strings.Repeat("[", million)), 400, "1:1: not YAML: exceeded max depth"},
		{"a million levels in one line", []byte(strings.Repeat("- ", million)), 400, "1:1: not YAML: exceeded max depth"},
		{"a million unknown keys", []byte("version: 1\nzones: {}\n" + keys(million, func(i int) string { return fmt.Sprintf("k%d: 1\n", i) })), 400, `3:1: unknown key "k0"`},
		{"30,000 equal keys", []byte("zones: {}\n" + strings.Repeat("version: 1\n", many)), 400, `3:1: duplicate key "version"; the first is on line 2`},
		{"30,000 zones in one line", []byte("{version: 1, default: {issue: none}, zones: {" + keys(many, func(i int) string { return fmt.Sprintf("z%d: {},", i) }) + "}}"), 400, ""},
		{"a key of 2 MB", []byte("version: 1\n" + strings.Repeat("k", 2*million) + ": 1\nzones: {}\n"), 20, "2:1: not YAML"},
		{"a text of 2 MB", []byte("version: 1\nzones: {a.example: {issue: " + strings.Repeat("x", 2*million) + "}}\n"), 20, "2:28: issue must be none"},
		{"a comment of 2 MB", []byte("# " + strings.Repeat("x", 2*million) + "\nversion: 1\nzones: {}\n"), 20, ""},
		{"30,000 comments", []byte(strings.Repeat("# x\n", many) + "version: 1\nzones: {}\n"), 400, ""},
		{"30,000 empty lines", []byte(strings.Repeat("\r\n", many) + "version: 1\nzones: {}\n"), 20, ""},
		{"spaces alone", bytes.Repeat([]byte(" "), 2*million), 20, "1:1: the file is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Load("caa.yaml", c.data)
			runtime.ReadMemStats(&after)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if (err != nil) != (c.want != "") || !strings.HasPrefix(text, "caa.yaml:"+c.want) && c.want != "" {
				t.Errorf("got %.300s, want %s", text, c.want)
			}
			if len(text) > 100_000 {
				t.Errorf("the error has %d octets", len(text))
			}
			if spent := int(after.TotalAlloc - before.TotalAlloc); spent > c.limit*len(c.data)+1<<20 {
				t.Errorf("%d octets allocated for %d (%d each)", spent, len(c.data), spent/len(c.data))
			}
		})
	}
}
