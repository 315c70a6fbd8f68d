package guard

import (
	"fmt"

	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// Edit is a change of the policy file that a tool can make. Fixes are written from it, and the tests apply it, so that
// each fix works. Refusals with one fix have equal edits; a tool makes each once.
//
// At Pos is a key, with the mapping or the list that is its value, or an entry of a list.
type Edit struct {
	Pos   policy.Position `json:"position"`
	Op    Op              `json:"op"`
	Key   string          `json:"key"`
	Value string          `json:"value"` // YAML in flow style
}

// Op is what an Edit does.
type Op string

// The kinds of edits.
const (
	Set    Op = "set"    // write Key: Value, where Key is at Pos or into the mapping there
	Add    Op = "add"    // put Value into the list Key, of which an entry is at Pos or which the mapping there has
	Remove Op = "remove" // remove the entry at Pos, which is Value, from the list Key
)

// String returns the edit for people, without its position.
func (e Edit) String() string {
	switch e.Op {
	case Add:
		return fmt.Sprintf("add %s to %s", e.Value, e.Key)
	case Remove:
		return fmt.Sprintf("remove %s from %s", e.Value, e.Key)
	}
	return fmt.Sprintf("write %s: %s", e.Key, e.Value)
}
