// Package yamlpos reads the YAML files that people write for us, policies and perspectives, into a small tree in which
// each node knows its place. What YAML has and our files have not is refused with its place: anchors and aliases, with
// which a small file becomes a large one, tags, several documents, a key twice, octets that are no text.
//
// The parser is go.yaml.in/yaml/v3. Of its tree, whose nodes take 150 octets and more, a smaller one is made, some 50
// octets a node and the scalar itself, and nothing else is kept. Nothing is read but data, and nothing is decoded: a scalar
// is its text and the kind of value that YAML takes it for. How much a file may cost is bounded before it is parsed
// (Rules). docs/decisions/yaml.md says why.
package yamlpos

import (
	"iter"

	"go.yaml.in/yaml/v3"
)

// Kind is what a node is.
type Kind uint8

// The kinds.
const (
	Scalar Kind = iota
	Sequence
	Mapping
	Alias // which is refused
)

// Type is what YAML takes a scalar for (YAML 1.2 10.3.2, with what go.yaml.in/yaml/v3 keeps of 1.1).
type Type uint8

// The types.
const (
	Other Type = iota // of a tag that is not ours, a timestamp or a merge key; and of what is no scalar
	Null
	Bool
	Int
	Float
	Text
)

var types = map[string]Type{"!!null": Null, "!!bool": Bool, "!!int": Int, "!!float": Float, "!!str": Text}

// Node is a value or a key. Its tree is not to be changed.
type Node struct {
	Value        string // of a scalar; of an alias, the name that it repeats
	first, next  *Node  // the first of its children, and the next of its parent's
	children     uint32
	line, column uint32
	Kind         Kind
	Type         Type // of a scalar
}

// Len is how many items a sequence has, or keys a mapping.
func (n *Node) Len() int {
	if n.Kind == Mapping {
		return int(n.children) / 2
	}
	return int(n.children)
}

// Items are those of a sequence.
func (n *Node) Items() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		if n.Kind != Sequence {
			return
		}
		for item := n.first; item != nil && yield(item); item = item.next {
		}
	}
}

// Pairs are the keys of a mapping, each with its value.
func (n *Node) Pairs() iter.Seq2[*Node, *Node] {
	return func(yield func(key, value *Node) bool) {
		if n.Kind != Mapping {
			return
		}
		for key := n.first; key != nil && yield(key, key.next); key = key.next.next {
		}
	}
}

// Int is the value of an Int, and false if it is not one or does not fit.
func (n *Node) Int() (int64, bool) { return as[int64](n, "!!int", n.Type == Int) }

// Bool is the value of a Bool, and false if it is not one.
func (n *Node) Bool() (value, ok bool) { return as[bool](n, "!!bool", n.Type == Bool) }

// Float is the value of a Float or an Int, and false where it is neither.
func (n *Node) Float() (float64, bool) {
	if n.Type == Int {
		return as[float64](n, "!!int", true)
	}
	return as[float64](n, "!!float", n.Type == Float)
}

// as is the value of a scalar as the module reads it.
func as[T any](n *Node, tag string, is bool) (value T, ok bool) {
	if n.Kind != Scalar || !is {
		return value, false
	}
	err := (&yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: n.Value}).Decode(&value)
	return value, err == nil
}
