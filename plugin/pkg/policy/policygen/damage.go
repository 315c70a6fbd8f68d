package policygen

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// damager damages nodes of a tree.
type damager struct {
	*rand.Rand
	share   float64
	hostile bool
	anchors int
	last    *yaml.Node // that got an anchor
}

func (d *damager) walk(n *yaml.Node) {
	content := n.Content
	if d.Float64() < d.share {
		d.damage(n)
	}
	for _, child := range content {
		d.walk(child)
	}
}

func (d *damager) damage(n *yaml.Node) {
	switch {
	case n.Kind == yaml.ScalarNode && d.hostile:
		pick(d.Rand, hostileTexts)(d, n)
	case d.hostile:
	case n.Kind == yaml.ScalarNode:
		pick(d.Rand, scalarDamages)(d, n)
	case n.Kind == yaml.MappingNode:
		pick(d.Rand, mappingDamages)(d, n)
	case n.Kind == yaml.SequenceNode:
		pick(d.Rand, listDamages)(d, n)
	}
}

type damage func(d *damager, n *yaml.Node)

// replace makes a node another one where it is: its parents keep it.
func replace(by func() *yaml.Node) damage {
	return func(_ *damager, n *yaml.Node) { *n = *by() }
}

func insert(octets string) damage {
	return func(d *damager, n *yaml.Node) {
		at := d.IntN(len(n.Value) + 1)
		for at < len(n.Value) && !utf8.RuneStart(n.Value[at]) {
			at++
		}
		n.Value, n.Tag, n.Style = n.Value[:at]+octets+n.Value[at:], "!!str", yaml.DoubleQuotedStyle
	}
}

// hostileTexts steer a terminal or forge a line where they are written out as they are.
var hostileTexts = []damage{
	insert("\n2026-01-01T00:00:00Z [INFO] plugin/caa: forged"), insert("\r"), insert("\n"), insert("\t"), insert("\x1b[2J"), insert("\x1b]0;title\a"),
	insert("\b\b\b"), insert("\x7f"), insert("\u0085"), insert("\u009b31m"), insert("\u2028"), insert("\u202e"), insert("\u2066"), insert("\ufeff"), insert("\u200b"),
}

// everywhere are the damages that any node may get: what YAML has and the language has not.
var everywhere = []damage{
	replace(func() *yaml.Node { return scalar("null") }),
	replace(func() *yaml.Node { return scalar("") }),
	replace(func() *yaml.Node { return list() }),
	replace(func() *yaml.Node { return mapping() }),
	replace(func() *yaml.Node { return scalar("1") }),
	replace(func() *yaml.Node { return list(mapping(text("a"), list(text("b")))) }),
	func(d *damager, n *yaml.Node) {
		d.anchors++
		n.Anchor, d.last = fmt.Sprintf("a%d", d.anchors), n
	},
	func(d *damager, n *yaml.Node) {
		// An anchor must come before its alias, and an alias into the node that it is in has no end.
		if d.last != nil && d.last.Kind == yaml.ScalarNode && d.last != n && d.last.Anchor != "" {
			*n = yaml.Node{Kind: yaml.AliasNode, Value: d.last.Anchor, Alias: d.last}
		}
	},
	func(_ *damager, n *yaml.Node) { n.Tag, n.Style = "!mine", yaml.TaggedStyle },
	func(d *damager, n *yaml.Node) {
		inner := *n
		for range 1 + d.IntN(20) {
			wrapped := inner
			inner = *list(&wrapped)
		}
		*n = inner
	},
}

var scalarDamages = append(append([]damage{
	// slips: a letter too many, missing, wrong, swapped, in the other case
	func(d *damager, n *yaml.Node) {
		at := d.IntN(len(n.Value) + 1)
		n.Value = strings.ToValidUTF8(n.Value[:at]+string(rune('a'+d.IntN(26)))+n.Value[at:], "")
	},
	func(d *damager, n *yaml.Node) {
		if len(n.Value) > 1 {
			at := d.IntN(len(n.Value))
			n.Value = strings.ToValidUTF8(n.Value[:at]+n.Value[at+1:], "")
		}
	},
	func(d *damager, n *yaml.Node) {
		if len(n.Value) > 1 {
			at := d.IntN(len(n.Value) - 1)
			n.Value = strings.ToValidUTF8(n.Value[:at]+n.Value[at+1:at+2]+n.Value[at:at+1]+n.Value[at+2:], "")
		}
	},
	func(_ *damager, n *yaml.Node) { n.Value = strings.ToUpper(n.Value) },
	func(_ *damager, n *yaml.Node) { n.Value += "." },
	func(_ *damager, n *yaml.Node) { n.Value = "*." + n.Value },
	func(d *damager, n *yaml.Node) { n.Value = strings.Repeat(n.Value+"x", 1+d.IntN(200)) },
	func(d *damager, n *yaml.Node) { n.Value = strings.Repeat(n.Value+".", 1+d.IntN(200)) },
}, everywhere...), hostileTexts...)

var mappingDamages = append([]damage{
	func(d *damager, n *yaml.Node) {
		put(n, pick(d.Rand, []string{"isue", "name", "x", "<<", "10", "None"}), text("x"))
	},
	func(d *damager, n *yaml.Node) { // a key twice
		if pairs := len(n.Content) / 2; pairs > 0 {
			at := 2 * d.IntN(pairs)
			put(n, n.Content[at].Value, scalar("again"))
		}
	},
	func(d *damager, n *yaml.Node) { // a key missing
		if pairs := len(n.Content) / 2; pairs > 0 {
			at := 2 * d.IntN(pairs)
			n.Content = append(n.Content[:at:at], n.Content[at+2:]...)
		}
	},
}, everywhere...)

var listDamages = append([]damage{
	func(_ *damager, n *yaml.Node) { n.Content = nil },
	func(d *damager, n *yaml.Node) { // an entry twice
		if len(n.Content) > 0 {
			n.Content = append(n.Content, pick(d.Rand, n.Content))
		}
	},
	func(_ *damager, n *yaml.Node) { n.Content = append(n.Content, text("nobody-declared-this")) },
}, everywhere...)
