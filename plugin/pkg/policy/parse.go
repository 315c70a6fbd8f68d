package policy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/coredns-caa/caa/plugin/pkg/steps"
)

// byteOrderMark begins files of some editors. It is none of the text, nor of its columns.
var byteOrderMark = []byte("\uFEFF")

// File is a file's syntax tree.
type File struct {
	name string
	size int // of its text, in octets
	root *yaml.Node
	work *steps.Counter
}

// Load parses and compiles a policy. The error is an ErrorList with everything that is wrong.
func Load(name string, data []byte) (*Snapshot, error) {
	return LoadContext(context.Background(), name, data)
}

// LoadContext is Load until the context ends, whose error is then the error.
func LoadContext(ctx context.Context, name string, data []byte) (*Snapshot, error) {
	work := steps.Of(ctx)
	file, unread := parse(work, name, data)
	if file == nil {
		return nil, cmp.Or(work.Err(), unread)
	}
	s, wrong := Compile(file)
	if err := cmp.Or(work.Err(), joined(unread, wrong)); err != nil {
		return nil, err
	}
	return s, nil
}

// Parse reads a policy file's text. The error is an ErrorList; a File beside it is what could be read
// all the same, so that Compile can say what else is wrong.
func Parse(name string, data []byte) (*File, error) {
	return parse(steps.Of(context.Background()), name, data)
}

func parse(work *steps.Counter, name string, data []byte) (*File, error) {
	var sink errorSink
	if pos, message := unreadable(name, data); message != "" {
		sink.add(pos, "%s", message)
		return nil, sink.err()
	}
	data = bytes.TrimPrefix(data, byteOrderMark)
	decoder := yaml.NewDecoder(&whileWanted{bytes.NewReader(data), work})
	var doc, second yaml.Node
	if err := decoder.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			sink.add(Position{name, 1, 1}, "the file is empty; it begins with version: 1")
		} else {
			sink.add(syntaxError(name, data, err))
		}
		return nil, sink.err()
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		sink.add(Position{name, max(second.Line, 1), 1}, "the file holds more than one YAML document; keep one")
		return nil, sink.err()
	}
	file := &File{name, len(data), doc.Content[0], work}
	file.checkYAML(&sink, file.root, 0)
	return file, sink.err()
}

func (f *File) pos(n *yaml.Node) Position { return Position{f.name, n.Line, n.Column} }

// Root is the syntax tree. Other files of the project are read by the same rules: no anchors, no tags,
// no key twice.
func (f *File) Root() *yaml.Node { return f.root }

// unreadable finds what no parser should see.
func unreadable(name string, data []byte) (Position, string) {
	if len(data) > MaxSize {
		return Position{name, 1, 1}, fmt.Sprintf("the file is larger than %d MiB; split the policy over several servers", MaxSize>>20)
	}
	if at := directive(data); at >= 0 {
		return positionAt(name, data, at), "a YAML directive (%TAG); the language needs none"
	}
	if entries(data) > MaxEntries {
		return Position{name, 1, 1}, limitEntries.over(len(data))
	}
	if at := bytes.IndexByte(data, 0); at >= 0 {
		return positionAt(name, data, at), "a NUL octet; the file is damaged or no text"
	}
	for at := 0; at < len(data); {
		r, size := utf8.DecodeRune(data[at:])
		switch {
		case r == utf8.RuneError && size == 1:
			return positionAt(name, data, at), "not UTF-8; save the file as UTF-8"
		case unicode.IsControl(r) && !strings.ContainsRune("\t\n\r\u0085", r):
			return positionAt(name, data, at), fmt.Sprintf("a control character, %U; take it out", r)
		}
		at += size
	}
	return Position{}, ""
}

// directive finds one that gives tags a long prefix, which the parser would then write out at each tag;
// -1 when there is none.
func directive(data []byte) int {
	const tag = "%TAG"
	if bytes.HasPrefix(data, []byte(tag)) {
		return 0
	}
	for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
		if at := bytes.Index(data, []byte(end+tag)); at >= 0 {
			return at + len(end)
		}
	}
	return -1
}

// entries bounds the entries of lists and mappings in a text without parsing it: what could begin one is
// counted, wherever it stands. The syntax tree has no more than three nodes for each.
func entries(data []byte) int {
	n := 0
	for i, octet := range data {
		switch octet {
		case ',', '[', '{':
			n++
		case '-', '?', ':':
			// In flow style a value may follow its quoted key at once, and a key its colon.
			if i+1 == len(data) || strings.IndexByte(" \t\r\n,[]{}\"'&*!|>\xc2\xe2", data[i+1]) >= 0 ||
				octet == ':' && i > 0 && strings.IndexByte("\"'}] \t\n", data[i-1]) >= 0 {
				n++
			}
		}
	}
	return n
}

// whileWanted is a text that ends with an error once nobody waits for what becomes of it.
type whileWanted struct {
	text io.Reader
	work *steps.Counter
}

// Read implements io.Reader. Each octet is a step.
func (w *whileWanted) Read(into []byte) (int, error) {
	n, err := w.text.Read(into)
	if !w.work.Take(n) {
		return 0, w.work.Err()
	}
	return n, err
}

func positionAt(name string, data []byte, at int) Position {
	line := bytes.Count(data[:at], []byte("\n"))
	column := utf8.RuneCount(data[bytes.LastIndexByte(data[:at], '\n')+1 : at]) // characters, as YAML's parser counts
	return Position{name, line + 1, column + 1}
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

// syntaxError gives a YAML error a column: that of the line's tab, if one indents it, else of its text.
func syntaxError(name string, data []byte, err error) (Position, string, string) {
	pos, text := Position{name, 1, 1}, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		pos.Line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	lines := bytes.Split(data, []byte("\n"))
	if pos.Line < 1 || pos.Line > len(lines) {
		pos.Line = len(lines)
	}
	// The parser counts from 0 in some of its errors: a tab is in this line or the next.
	for _, n := range []int{pos.Line, pos.Line + 1} {
		if n <= len(lines) {
			line := lines[n-1]
			indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
			if tab := bytes.IndexByte(indent, '\t'); tab >= 0 {
				return Position{name, n, tab + 1}, "%s", "a tab indents this line; YAML takes spaces only"
			}
		}
	}
	line := lines[pos.Line-1]
	pos.Column = len(line) - len(bytes.TrimLeft(line, " ")) + 1
	return pos, "%s", "not YAML: " + shorten(text)
}

// checkYAML refuses what YAML has and the language has not: anchors and aliases, with which a small
// file becomes a large one, tags, merge keys, and keys that stand twice.
func (f *File) checkYAML(sink *errorSink, n *yaml.Node, depth int) {
	if !f.work.Take(1 + len(n.Content)) {
		return
	}
	switch {
	case n.Kind == yaml.AliasNode:
		sink.add(f.pos(n), "an alias (*%s); write the value out, or put it into default", shorten(n.Value))
		return
	case n.Anchor != "":
		sink.add(f.pos(n), "an anchor (&%s); write the value out, or put it into default", shorten(n.Anchor))
	case n.Style&yaml.TaggedStyle != 0:
		sink.add(f.pos(n), "a YAML tag (%s); the language needs none", shorten(n.Tag))
	case depth > maxDepth:
		sink.add(f.pos(n), "nested more than %d deep; %s", maxDepth, limitDepth.Do)
		return
	}
	if n.Kind == yaml.MappingNode {
		first := make(map[string]*yaml.Node, len(n.Content)/2)
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i]
			if other := first[key.Value]; other == nil {
				first[key.Value] = key
			} else {
				sink.add(f.pos(key), "the key %q stands twice; the first is in line %d", shorten(key.Value), other.Line)
			}
		}
	}
	for _, child := range n.Content {
		f.checkYAML(sink, child, depth+1)
	}
}
