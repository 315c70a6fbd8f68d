package policy

import (
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/spelling"
	"github.com/coredns-caa/caa/plugin/pkg/yamlpos"
)

// reader takes values out of YAML nodes and gathers what is wrong with them.
type reader struct {
	*File
	yamlpos.Sink
	notes   []Note
	speller spelling.Budget
}

// cellsPerOctet is how much looking for near words may cost, for each octet of the file: some hundred words in a usual
// policy, and no more than the rest of the work in a file full of mistyped words.
const cellsPerOctet = 16

// cellsAtLeast is what it may cost in any file: a hundred mistyped words among a hundred known ones.
const cellsAtLeast = 1 << 20

func newReader(f *File) reader {
	return reader{File: f, speller: spelling.NewBudget(cellsAtLeast+cellsPerOctet*f.tree.Size, func(n int) { f.work.Take(n) })}
}

func (r *reader) wrong(n *yamlpos.Node, format string, args ...any) {
	r.Add(r.pos(n), format, args...)
}

// row reads the value of one key of a mapping into T. A mapping's keys are a table of rows.
type row[T any] func(c *compiler, into *T, key, v *yamlpos.Node)

// fields hands each value of a mapping to the row that its key names, and reports whether all was fine.
func fields[T any](c *compiler, n *yamlpos.Node, what string, rows map[string]row[T], into *T) bool {
	before := c.Found()
	if n.Kind != yamlpos.Mapping {
		hint := ""
		if n.Type == yamlpos.Null {
			hint = "; write {} for an empty one"
		}
		c.wrong(n, "%s must be a mapping of keys to values, not %s%s", what, kind(n), hint)
		return false
	}
	var known []string // made when it is needed: a mapping may hold a million unknown keys
	for key, value := range n.Pairs() {
		if !c.work.Take(1) {
			return false
		}
		if read, ok := rows[key.Value]; ok && key.Kind == yamlpos.Scalar {
			read(c, into, key, value)
			continue
		}
		if known == nil {
			known = slices.DeleteFunc(slices.Sorted(maps.Keys(rows)), func(key string) bool { return slices.Contains(reservedKeys, key) })
		}
		c.wrong(key, "unknown key %s in %s%s", kind(key), what, c.meant(key.Value, known))
	}
	return c.Found() == before
}

// pairs iterates over a mapping whose keys are the user's. Keys are texts whatever they look like,
// for a host may well be called 10.
func (r *reader) pairs(n *yamlpos.Node, what string, each func(key, value *yamlpos.Node)) {
	if n.Kind != yamlpos.Mapping {
		r.wrong(n, "%s must be a mapping, not %s", what, kind(n))
		return
	}
	for key, value := range n.Pairs() {
		if !r.work.Take(1) {
			return
		}
		if key.Kind != yamlpos.Scalar || key.Value == "" || key.Type == yamlpos.Null {
			r.wrong(key, "a key of %s must be a name, not %s", what, kind(key))
			continue
		}
		each(key, value)
	}
}

// list reads a list. An empty one has a meaning of its own only where it takes back what is inherited.
func (r *reader) list(n *yamlpos.Node, what string) iter.Seq[*yamlpos.Node] {
	if n.Kind != yamlpos.Sequence {
		r.wrong(n, "%s must be a list, not %s; write [...]", what, kind(n))
	} else if r.work.Take(n.Len()) {
		return n.Items()
	}
	return func(func(*yamlpos.Node) bool) {}
}

// distinct is a set of values. A few are looked for one by one.
type distinct[T comparable] struct {
	few  []T
	many map[T]bool
}

// fewValues is how many values are found faster one by one than in a map.
const fewValues = 8

// add reports whether the value is new.
func (d *distinct[T]) add(v T) bool {
	if d.many == nil {
		if slices.Contains(d.few, v) {
			return false
		}
		if d.few = append(d.few, v); len(d.few) <= fewValues {
			return true
		}
		d.many = make(map[T]bool, 2*len(d.few))
		for _, known := range d.few {
			d.many[known] = true
		}
		return true
	}
	if d.many[v] {
		return false
	}
	d.many[v] = true
	return true
}

// isText reports whether a scalar is a text to every reader of YAML and JSON.
func isText(n *yamlpos.Node) bool {
	return n.Kind == yamlpos.Scalar && (n.Type == yamlpos.Text || n.Type == yamlpos.Other)
}

// text reads a text that is not empty; "" when there is none.
func (r *reader) text(n *yamlpos.Node, what string) string {
	switch {
	case n.Kind == yamlpos.Scalar && n.Type != yamlpos.Null && !isText(n):
		r.wrong(n, "%s must be a text; write %s in quotes", what, yamlpos.Shorten(n.Value))
	case !isText(n) || n.Value == "":
		r.wrong(n, "%s must be a text, not %s", what, kind(n))
	default:
		return n.Value
	}
	return ""
}

// grammar is what a text has to look like, and what an error calls one that does not.
type grammar struct {
	pattern *regexp.Regexp
	wrong   string
}

// matching reads a text of a grammar; "" when it does not match.
func (r *reader) matching(n *yamlpos.Node, what string, g grammar) string {
	s := r.text(n, what)
	if s != "" && !g.pattern.MatchString(s) {
		r.wrong(n, "%q is %s", yamlpos.Shorten(s), g.wrong)
		return ""
	}
	return s
}

// texts reads a list of one text or more of a grammar, none of them twice.
func (r *reader) texts(n *yamlpos.Node, what string, g grammar) []string {
	var out []string
	var seen distinct[string]
	for item := range r.list(n, what) {
		s := r.matching(item, "an entry of "+what, g)
		if s != "" && !seen.add(s) {
			r.wrong(item, "%q is listed twice in %s; remove one", yamlpos.Shorten(s), what)
		}
		out = append(out, s)
	}
	if n.Kind == yamlpos.Sequence && n.Len() == 0 {
		r.wrong(n, "%s is an empty list; list an entry, or leave the key out", what)
	}
	return out
}

// positions returns those of a list's entries.
func (r *reader) positions(n *yamlpos.Node) []Position {
	out := make([]Position, 0, n.Len())
	for item := range n.Items() {
		out = append(out, r.pos(item))
	}
	return out
}

func (r *reader) number(n *yamlpos.Node, what string, maximum int) int {
	v, ok := n.Int()
	if !ok || v < 0 || v > int64(maximum) {
		r.wrong(n, "%s must be a number from 0 to %d, not %s", what, maximum, kind(n))
		return 0
	}
	return int(v)
}

func (r *reader) truth(n *yamlpos.Node, what string) bool {
	v, ok := n.Bool()
	if !ok {
		r.wrong(n, "%s must be true or false, not %s", what, kind(n))
	}
	return v
}

// TTLs outside these bounds are mistakes: longer ones keep a mistake alive for days.
const (
	minTTL = time.Second
	maxTTL = 24 * time.Hour
)

// steadyTTL is the least TTL with which the several lookups of one issuance get one answer.
const steadyTTL = 30 * time.Second

var durationPattern = regexp.MustCompile(`^([0-9]+h)?([0-9]+m)?([0-9]+s)?$`)

// ttl reads a duration of whole seconds, or their number.
func (r *reader) ttl(n *yamlpos.Node) uint32 {
	var d time.Duration
	if seconds, ok := n.Int(); ok {
		d = time.Duration(min(max(seconds, 0), int64(maxTTL/time.Second)+1)) * time.Second
	} else if isText(n) && durationPattern.MatchString(n.Value) {
		d, _ = time.ParseDuration(n.Value)
	}
	if d < minTTL || d > maxTTL {
		r.wrong(n, "ttl must be a duration from 1s to 24h such as 1h or 1h30m, or its seconds, not %s", kind(n))
		return 0
	}
	if d < steadyTTL {
		r.notes = append(r.notes, Note{r.pos(n), "short-ttl", fmt.Sprintf("with a ttl of %v, the lookups of one issuance may get different answers while the policy changes", d)})
	}
	return uint32(d / time.Second)
}

// name reads a domain name into its canonical form, fully qualified.
func (r *reader) name(n *yamlpos.Node, what string) (string, bool) {
	text := r.text(n, what)
	if text == "" {
		return "", false
	}
	return r.domain(n, text, what)
}

// domain makes a name canonical, or reports what is wrong with it and returns false.
func (r *reader) domain(n *yamlpos.Node, text, what string) (string, bool) {
	name, err := dnsname.Parse(text)
	if err != nil {
		r.wrong(n, "%s %q %v", what, yamlpos.Shorten(text), err)
	}
	return name, err == nil
}

// kind describes a value of the file.
func kind(n *yamlpos.Node) string {
	switch {
	case n.Kind == yamlpos.Mapping:
		return "a mapping"
	case n.Kind == yamlpos.Sequence:
		return "a list"
	case n.Kind == yamlpos.Alias:
		return "an alias"
	case n.Type == yamlpos.Null:
		return "nothing"
	}
	return fmt.Sprintf("%q", yamlpos.Shorten(n.Value))
}

// meant returns the end of a message, with the nearest known word; "" where no more messages are kept.
func (r *reader) meant(word string, candidates []string) string {
	if r.Full() {
		return ""
	}
	if near := r.speller.Nearest(word, candidates, spelling.AThird(word)); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	if len(candidates) == 0 {
		return ""
	}
	if len(candidates) > shownCandidates {
		return fmt.Sprintf("; known here: %s and %d more", strings.Join(candidates[:shownCandidates], ", "), len(candidates)-shownCandidates)
	}
	return "; known here: " + strings.Join(candidates, ", ")
}

// shownCandidates is how many known words a message lists: all keys that a mapping may have.
const shownCandidates = 16
