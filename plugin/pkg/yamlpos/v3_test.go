package yamlpos

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/coredns-caa/caa/plugin/pkg/policy/policygen"
	"github.com/coredns-caa/caa/plugin/pkg/steps"
)

// rules are those of the tests.
var rules = Rules{Size: 16 << 20, TooLarge: "too large", Entries: 1_500_000, TooMany: "too many", Depth: 16, TooDeep: "too deep",
	Instead: "write it out", EmptyAdvice: "write"}

func parse(data []byte) (*File, error) { return Parse(new(steps.Counter), "f.yaml", data, &rules) }

// reference reads a text by the module itself, whose tree it holds to the same rules.
func reference(data []byte) (root *yaml.Node, err error) {
	var sink Sink
	defer func() {
		if p := recover(); p != nil { // on an event for a comment that it does not expect
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	data = bytes.TrimPrefix(data, byteOrderMark)
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		sink.Add(Position{"f.yaml", 1, 1}, "the file is empty; write")
		return nil, sink.Err()
	} else if err != nil {
		sink.Add(syntaxError("f.yaml", data, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))))
		return nil, sink.Err()
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		sink.Add(Position{"f.yaml", max(second.Line, 1), 1}, "the file has more than one YAML document; keep one")
		return nil, sink.Err()
	}
	judge(&sink, doc.Content[0], 0)
	return doc.Content[0], sink.Err()
}

func judge(sink *Sink, n *yaml.Node, depth int) {
	pos := Position{"f.yaml", n.Line, n.Column}
	switch {
	case n.Kind == yaml.AliasNode:
		sink.Add(pos, "an alias (*%s); write it out", Shorten(n.Value))
		return
	case n.Anchor != "":
		sink.Add(pos, "an anchor (&%s); write it out", Shorten(n.Anchor))
	case n.Style&yaml.TaggedStyle != 0:
		sink.Add(pos, "a YAML tag (%s); the language needs none", Shorten(n.Tag))
	case depth > 16:
		sink.Add(pos, "nested more than 16 deep; too deep")
		n.Content = nil
		return
	}
	if n.Kind == yaml.MappingNode {
		first := map[string]int{}
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i]
			if line, twice := first[key.Value]; twice {
				sink.Add(Position{"f.yaml", key.Line, key.Column}, "duplicate key %q; the first is on line %d", Shorten(key.Value), line)
			} else {
				first[key.Value] = key.Line
			}
		}
	}
	for _, child := range n.Content {
		judge(sink, child, depth+1)
	}
}

// same checks that two readings of a text are one: the same errors, or the same tree with the same places.
func same(t *testing.T, data []byte) {
	t.Helper()
	if _, message := unreadable("f.yaml", data, &rules); message != "" {
		return // no parser sees it
	}
	want, wantErr := reference(data)
	got, err := parse(data)
	switch {
	case wantErr != nil && strings.HasPrefix(wantErr.Error(), "panic: "):
		if err == nil {
			t.Errorf("read, where the module panics:\n%q", data)
		}
	case wantErr != nil && strings.Contains(wantErr.Error(), "more than one YAML document"):
		// The module looks for mistakes in the second one, and then does not say where that begins.
		if err == nil || !strings.Contains(err.Error(), "more than one YAML document") {
			t.Errorf("error %v, want %v:\n%q", err, wantErr, data)
		}
	case (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error():
		t.Errorf("error\n%v\nwant\n%v\n%q", err, wantErr, data)
	case (got == nil) != (want == nil):
		t.Errorf("a tree: %v, want one: %v:\n%q", got != nil, want != nil, data)
	case got != nil:
		if difference := compare(got.Root, want); difference != "" {
			t.Errorf("%s:\n%q", difference, data)
		}
	}
}

// compare says what two trees differ in, "" for nothing.
func compare(got *Node, want *yaml.Node) string {
	kinds := map[yaml.Kind]Kind{yaml.ScalarNode: Scalar, yaml.SequenceNode: Sequence, yaml.MappingNode: Mapping, yaml.AliasNode: Alias}
	at := fmt.Sprintf("%d:%d", want.Line, want.Column)
	switch {
	case got.Kind != kinds[want.Kind]:
		return fmt.Sprintf("%s: the kind is %v, want %v", at, got.Kind, want.Kind)
	case int(got.line) != want.Line || int(got.column) != want.Column:
		return fmt.Sprintf("%d:%d, want %s", got.line, got.column, at)
	case int(got.children) != len(want.Content):
		return fmt.Sprintf("%s: %d children, want %d", at, got.children, len(want.Content))
	case got.Kind == Scalar && (got.Value != want.Value || got.Type != types[want.Tag]):
		return fmt.Sprintf("%s: %q of type %d, want %q, %s", at, got.Value, got.Type, want.Value, want.Tag)
	case got.Kind == Scalar && want.Style&yaml.TaggedStyle == 0:
		if difference := decoded(got, want); difference != "" {
			return at + ": " + difference
		}
	}
	child := got.first
	for _, wanted := range want.Content {
		if difference := compare(child, wanted); difference != "" {
			return difference
		}
		child = child.next
	}
	return ""
}

// decoded says what the values of two scalars differ in.
func decoded(got *Node, want *yaml.Node) string {
	var i int64
	var f float64
	var b bool
	plain := want.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	wantInt := want.Tag == "!!int" && want.Decode(&i) == nil
	wantFloat := (want.Tag == "!!int" || want.Tag == "!!float") && want.Decode(&f) == nil
	wantBool := plain && want.Tag == "!!bool" && want.Decode(&b) == nil
	if v, ok := got.Int(); ok != wantInt || ok && v != i {
		return fmt.Sprintf("%q is the int %d (%v), want %d (%v)", got.Value, v, ok, i, wantInt)
	}
	if v, ok := got.Float(); ok != wantFloat || ok && v != f && v == v {
		return fmt.Sprintf("%q is the float %v (%v), want %v (%v)", got.Value, v, ok, f, wantFloat)
	}
	if v, ok := got.Bool(); ok != wantBool || ok && v != b {
		return fmt.Sprintf("%q is the bool %v (%v), want %v (%v)", got.Value, v, ok, b, wantBool)
	}
	return ""
}

// texts have each of YAML's forms, right and wrong.
var texts = []string{
	"", "\n", "# nothing\n", "---\n", "---\n...\n", "...\n", "--- a\n", "a", "a: b", "a: b\n...\n", "a: b\n...\nc: d\n", "a: 1\n---\nb: 2\n", "a: 1\n---\n[", "a: 1\n}", "%YAML 1.2\n---\na: b\n",
	"a:\n- b\n-\tc\n-\n- d: e\n", "{a: b, c: d}", "{a,b,c}", "[a: b, c: d]", "[\"a\":b,'c':d]", "{\"a\":b,\"c\":[d]}", "? a\n: b\n?\tc\n:\td\n", "- - - - a\n", "[[],[],{}]",
	"{a :b, c : d}", "{? a : b, ? c}", "? [a, b]\n: c\n? {d: e}\n", "? [a]\n: b\n? [c]\n: d\n", "- ? a\n  : - b\n    - c\n", "[a,,b]", "{\"a\"\n:b}", "{[a]:b}", "{{a: b}:c}", "-\u00a0a",
	// anchors, aliases, tags, merge keys
	"a: &b c\nd: *b\n", "a: *b\n", "a: &b\n  c: *b\n", "&a [&b {&c d: *a}, *b]", "base: &b {x: 1}\nc:\n  <<: *b\n", "<<: a\n", "\"<<\": a\n", "!!map {a: b}", "!!int \"5\"", "!!int x", "!local a", "! 5", "! \"5\"", "!<tag:yaml.org,2002:str> 5", "a: !!null\n", "&a !!str b", "&x a: 1\n&x a: 2\n", "a: &b c\n*b : d\n*b : e\n",
	// keys twice
	"a: 1\na: 2\n\"a\": 3\n", "{a, a, b: {c: 1, c: 2}}", "1: a\n\"1\": b\n",
	// scalars
	"[~, null, Null, NULL, nUll, '', \"\", true, True, TRUE, yes, on, y, false]", "[0, -0, +1, 010, 0o10, 0x1F, 0b11, -0b11, 1_000, 9223372036854775807, 9223372036854775808, 18446744073709551616, 1:30]",
	"[1.5, .5, 5., 1e3, -1E-3, .inf, -.Inf, .nan, 1_0.5, 0x, 0o9, 1.2.3, '1.5']", "[2001-01-01, 2001-12-14t21:59:43.10-05:00, 2001-1-1 1:1:1, '2001-01-01']", "[a#b, a #b\n]", "[a: ]", "[-, -1, - a]",
	"a: |\n  b\n   c\n\n  d\n", "a: |+\n  b\n\n", "a: >-\n  b\n  c\n\n  d\n", "a: |2\n   b\n", "a: |\n\tb\n", "a: 'b\n  c'\n", "a: \"b\\\n  c\\u00e9\\x41\"\n", "a: \"\\q\"\n", "a: 'b''c'\n", "a: b\n  c\n  d\n", "a: \"b", "a: 'b",
	"\"a\": b # c\n# d\n\n# e\nf: g # h\n# i\n", "a:\n  # b\n  - c\n  # d\n", "{a: b # c\n, d: e}", "a: # b\n  c\n",
	// indentation and brackets
	"a:\n\tb: c\n", "a:\n  b: c\n d: e\n", "a: b: c\n", "a\nb: c\n", "a: [b\n", "a: {b\n", "a: ]\n", "a: }\n", "- a\nb: c\n", "a:\n- b\n c\n", "  a: b\n", "\ta: b\n", "a: @b\n", "a: `b\n", "a: %b\n", "- !\n", "a: &\n", "a: *\n",
	"é: ü\nß: [ö, ä]\n", "\ufeffa: b\n", "a: b\r\nc: d\r\n", "a: b\rc: d\r", "a: b\u0085c: d\u2028e: f\n", "a: \ufeffb\n",
	strings.Repeat("[", 20) + strings.Repeat("]", 20), strings.Repeat("- ", 20) + "a\n", strings.Repeat("&a [", 20) + strings.Repeat("]", 20), strings.Repeat("{a: ", 18) + "{b: 1, b: 2, c: &x y}" + strings.Repeat("}", 18),
	strings.Repeat("[", 20_000), strings.Repeat("a: &a b\n", 1100), strings.Repeat("x", 2000) + ": y\n",
}

// Every text is read as go.yaml.in/yaml/v3 reads it, which the schema's users and other tools have: the same values,
// in the same places, and the same mistakes.
func TestReadsAsTheModuleDoes(t *testing.T) {
	t.Parallel()
	for _, text := range texts {
		same(t, []byte(text))
	}
	for _, shape := range policygen.Shapes {
		same(t, []byte(shape.Text(3000)))
	}
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 5))
		text := policygen.Text(r, policygen.Options{Damage: float64(seed%4) / 20, Hostile: seed%8 == 7})
		same(t, text)
		same(t, broken(r, text))
	}
}

// broken is a text with some octets removed, doubled or replaced by those that have a meaning in YAML.
func broken(r *rand.Rand, text []byte) []byte {
	text = bytes.Clone(text)
	for range 1 + r.IntN(3) {
		if len(text) < 2 {
			break
		}
		at := r.IntN(len(text) - 1)
		switch r.IntN(3) {
		case 0:
			text = append(text[:at], text[at+1:]...)
		case 1:
			text[at] = "ab:,-?[]{}\"'&*!|># \n\t%@"[r.IntN(22)]
		default:
			text = append(text[:at], text[r.IntN(at+1):]...)
		}
	}
	return text
}

func FuzzReadsAsTheModuleDoes(f *testing.F) {
	for _, text := range texts {
		if len(text) < 5000 {
			f.Add([]byte(text), uint64(0))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		same(t, data)
		r := rand.New(policygen.Source(data))
		text := policygen.Text(r, policygen.Options{Damage: float64(seed%5) / 20})
		same(t, text)
		same(t, broken(r, text))
	})
}
