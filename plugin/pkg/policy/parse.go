package policy

import (
	"cmp"
	"context"
	"fmt"

	"github.com/coredns-caa/caa/plugin/pkg/steps"
	"github.com/coredns-caa/caa/plugin/pkg/yamlpos"
)

type (
	// Position is where something is in a policy file.
	Position = yamlpos.Position
	// Error is one thing wrong with a policy file.
	Error = yamlpos.Error
	// ErrorList is everything wrong with a policy file, in the file's order.
	ErrorList = yamlpos.ErrorList
)

// File is a file's syntax tree.
type File struct {
	tree *yamlpos.File
	work *steps.Counter
}

func (f *File) pos(n *yamlpos.Node) Position { return f.tree.Pos(n) }

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
	if err := cmp.Or(work.Err(), yamlpos.Joined(unread, wrong)); err != nil {
		return nil, err
	}
	return s, nil
}

// Parse reads a policy file's text. The error is an ErrorList; a File returned with it is what could be read
// all the same, so that Compile can say what else is wrong.
func Parse(name string, data []byte) (*File, error) {
	return parse(steps.Of(context.Background()), name, data)
}

// rules are those of policy files.
var rules = yamlpos.Rules{
	Size: MaxSize, TooLarge: fmt.Sprintf("the file is larger than %d MiB; split the policy over several servers", MaxSize>>20),
	Entries: MaxEntries, TooMany: limitEntries.over(0),
	Depth: maxDepth, TooDeep: limitDepth.Do,
	Instead:     "write the value out, or put it into default",
	EmptyAdvice: "it begins with version: 1",
}

func parse(work *steps.Counter, name string, data []byte) (*File, error) {
	tree, err := yamlpos.Parse(work, name, data, &rules)
	if tree == nil {
		return nil, err
	}
	return &File{tree, work}, err
}
