package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxSize is the largest policy file that is read, in octets: four times what 100,000 names need.
// More is a mistake, and its syntax tree would take a hundred times as much memory.
const MaxSize = 16 << 20

// maxDepth is deeper than the language ever nests.
const maxDepth = 16

// byteOrderMark begins files of some editors. It is none of the text, nor of its columns.
var byteOrderMark = []byte("\uFEFF")

// File is a file's syntax tree.
type File struct {
	name string
	root *yaml.Node
}

// Load parses and compiles a policy. The error is an ErrorList with everything that is wrong.
func Load(name string, data []byte) (*Snapshot, error) {
	file, unread := Parse(name, data)
	if file == nil {
		return nil, unread
	}
	s, wrong := Compile(file)
	if err := joined(unread, wrong); err != nil {
		return nil, err
	}
	return s, nil
}

// Parse reads a policy file's text. The error is an ErrorList; a File beside it is what could be read
// all the same, so that Compile can say what else is wrong.
func Parse(name string, data []byte) (*File, error) {
	var sink errorSink
	if pos, message := unreadable(name, data); message != "" {
		sink.add(pos, "%s", message)
		return nil, sink.err()
	}
	data = bytes.TrimPrefix(data, byteOrderMark)
	decoder := yaml.NewDecoder(bytes.NewReader(data))
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
	file := &File{name, doc.Content[0]}
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
	return pos, "%s", "not YAML: " + text
}

// checkYAML refuses what YAML has and the language has not: anchors and aliases, with which a small
// file becomes a large one, tags, merge keys, and keys that stand twice.
func (f *File) checkYAML(sink *errorSink, n *yaml.Node, depth int) {
	switch {
	case n.Kind == yaml.AliasNode:
		sink.add(f.pos(n), "an alias (*%s); write the value out, or put it into default", n.Value)
		return
	case n.Anchor != "":
		sink.add(f.pos(n), "an anchor (&%s); write the value out, or put it into default", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		sink.add(f.pos(n), "a YAML tag (%s); the language needs none", n.Tag)
	case depth > maxDepth:
		sink.add(f.pos(n), "nested more than %d deep", maxDepth)
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
