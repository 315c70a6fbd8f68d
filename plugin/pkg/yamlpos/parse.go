package yamlpos

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	"github.com/coredns-caa/caa/plugin/pkg/steps"
)

// Rules bound a kind of file, and are the words for what is out of bounds.
type Rules struct {
	Size     int // in octets
	TooLarge string

	Entries     int // of lists and mappings: the tree has no more than three nodes for each
	TooMany     string
	Depth       int // of the values in each other
	TooDeep     string
	Instead     string // of an anchor, an alias
	EmptyAdvice string // how such a file begins
}

// File is what was read of a file.
type File struct {
	Name string
	Size int // of its text, in octets
	Root *Node
}

// Pos is the place of a node.
func (f *File) Pos(n *Node) Position { return Position{f.Name, int(n.line), int(n.column)} }

// Parse reads a file's text. The error is an ErrorList; a File beside it is what could be read all the same, so that
// its reader can say what else is wrong. Each octet and each node is a step of work; where that ends, so does the
// reading, with any error.
func Parse(work *steps.Counter, name string, data []byte, rules *Rules) (*File, error) {
	var sink Sink
	if pos, message := unreadable(name, data, rules); message != "" {
		sink.Add(pos, "%s", message)
		return nil, sink.Err()
	}
	data = bytes.TrimPrefix(data, byteOrderMark)
	decoder := yaml.NewDecoder(&whileWanted{bytes.NewReader(data), work})
	var first, second yaml.Node
	switch err := decode(decoder, &first); {
	case errors.Is(err, io.EOF):
		sink.Add(Position{name, 1, 1}, "the file is empty; %s", rules.EmptyAdvice)
		return nil, sink.Err()
	case err != nil:
		sink.Add(syntaxError(name, data, err))
		return nil, sink.Err()
	}
	if err := decode(decoder, &second); !errors.Is(err, io.EOF) {
		sink.Add(Position{name, max(second.Line, 1), 1}, "the file has more than one YAML document; keep one")
		return nil, sink.Err()
	}
	b := builder{file: &File{Name: name, Size: len(data)}, rules: rules}
	b.file.Root = b.tree(first.Content[0], 0)
	b.file.checkKeys(work, &sink, b.file.Root)
	sink.also(&b.sink)
	return b.file, sink.Err()
}

// decode has the module read a document. Where the module meets an event that it does not expect, it panics: the file
// of a running server must not end the process by that.
func decode(decoder interface{ Decode(any) error }, into *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return decoder.Decode(into)
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

// builder makes our tree of the module's, and gathers what that has that our files have not.
type builder struct {
	file  *File
	rules *Rules
	nodes []Node // those made together, of which the next are taken
	sink  Sink
}

// made is how many nodes are made together in a large file.
const made = 1024

// tree is our tree of a node at a depth. It lets go of the module's nodes as it goes, which are larger.
func (b *builder) tree(from *yaml.Node, depth int) *Node {
	n := b.node(from)
	if tooDeep := b.refuse(from, n, depth); tooDeep {
		return n // what is in it is not kept
	}
	var last *Node
	for i, child := range from.Content {
		from.Content[i] = nil
		next := b.tree(child, depth+1)
		if last == nil {
			n.first = next
		} else {
			last.next = next
		}
		last = next
		n.children++
	}
	return n
}

// node makes a node without its children.
func (b *builder) node(from *yaml.Node) *Node {
	if len(b.nodes) == cap(b.nodes) {
		b.nodes = make([]Node, 0, min(max(2*cap(b.nodes), 16), made))
	}
	b.nodes = append(b.nodes, Node{line: uint32(from.Line), column: uint32(from.Column)})
	n := &b.nodes[len(b.nodes)-1]
	switch from.Kind {
	case yaml.AliasNode:
		n.Kind, n.Value = Alias, from.Value
	case yaml.SequenceNode:
		n.Kind = Sequence
	case yaml.MappingNode:
		n.Kind = Mapping
	default:
		n.Value, n.Type = from.Value, types[from.ShortTag()]
	}
	return n
}

// refuse says what our files have not, and reports whether a node is so deep that what is in it is not looked at.
func (b *builder) refuse(from *yaml.Node, n *Node, depth int) (tooDeep bool) {
	pos := b.file.Pos(n)
	switch {
	case from.Kind == yaml.AliasNode:
		b.sink.Add(pos, "an alias (*%s); %s", Shorten(from.Value), b.rules.Instead)
	case from.Anchor != "":
		b.sink.Add(pos, "an anchor (&%s); %s", Shorten(from.Anchor), b.rules.Instead)
	case from.Style&yaml.TaggedStyle != 0:
		b.sink.Add(pos, "a YAML tag (%s); the language needs none", Shorten(from.Tag))
	case depth > b.rules.Depth:
		b.sink.Add(pos, "nested more than %d deep; %s", b.rules.Depth, b.rules.TooDeep)
		return true
	}
	return false
}

// checkKeys refuses duplicate keys of a mapping.
func (f *File) checkKeys(work *steps.Counter, sink *Sink, n *Node) {
	if !work.Take(1 + int(n.children)) {
		return
	}
	if n.Kind == Mapping {
		f.checkMapping(sink, n)
	}
	for child := n.first; child != nil; child = child.next {
		f.checkKeys(work, sink, child)
	}
}

func (f *File) checkMapping(sink *Sink, n *Node) {
	first := make(map[string]uint32, n.Len()) // the line of each
	for key := range n.Pairs() {
		if line, twice := first[key.Value]; twice {
			sink.Add(f.Pos(key), "duplicate key %q; the first is on line %d", Shorten(key.Value), line)
		} else {
			first[key.Value] = key.line
		}
	}
}
