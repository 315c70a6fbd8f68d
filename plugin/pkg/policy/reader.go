package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"go.yaml.in/yaml/v3"
	"golang.org/x/net/idna"

	"github.com/coredns-caa/caa/plugin/pkg/spelling"
)

// reader takes values out of YAML nodes and gathers what is wrong with them.
type reader struct {
	*File
	errorSink
	notes   []Note
	speller spelling.Budget
}

// cellsPerOctet is how much looking for what somebody meant may cost, for each octet of the file: some
// hundred words in a usual policy, and no more than the rest of the work in a file full of slips.
const cellsPerOctet = 16

// cellsAtLeast is what it may cost in any file: a hundred slips among a hundred words.
const cellsAtLeast = 1 << 20

func newReader(f *File) reader {
	return reader{File: f, speller: spelling.NewBudget(cellsAtLeast+cellsPerOctet*f.size, func(n int) { f.work.Take(n) })}
}

func (r *reader) wrong(n *yaml.Node, format string, args ...any) {
	r.add(r.pos(n), format, args...)
}

// row reads the value of one key of a mapping into T. A mapping's keys are a table of rows.
type row[T any] func(c *compiler, into *T, key, v *yaml.Node)

// fields hands each value of a mapping to the row that its key names, and reports whether all was fine.
func fields[T any](c *compiler, n *yaml.Node, what string, rows map[string]row[T], into *T) bool {
	before := c.found()
	if n.Kind != yaml.MappingNode {
		hint := ""
		if n.Tag == "!!null" {
			hint = "; write {} if there is nothing to say"
		}
		c.wrong(n, "%s is a mapping of keys to values, not %s%s", what, kind(n), hint)
		return false
	}
	var known []string // made when it is needed: a mapping may hold a million unknown keys
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !c.work.Take(1) {
			return false
		}
		if read, ok := rows[key.Value]; ok && key.Kind == yaml.ScalarNode {
			read(c, into, key, value)
			continue
		}
		if known == nil {
			known = slices.Sorted(maps.Keys(rows))
		}
		c.wrong(key, "unknown key %s in %s%s", kind(key), what, c.meant(key.Value, known))
	}
	return c.found() == before
}

// pairs iterates over a mapping whose keys are the user's. Keys are texts whatever they look like,
// for a host may well be called 10.
func (r *reader) pairs(n *yaml.Node, what string, each func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.wrong(n, "%s is a mapping, not %s", what, kind(n))
		return
	}
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		if !r.work.Take(1) {
			return
		}
		if key.Kind != yaml.ScalarNode || key.Value == "" || key.Tag == "!!null" {
			r.wrong(key, "a key of %s is a name, not %s", what, kind(key))
			continue
		}
		each(key, n.Content[i+1])
	}
}

// list reads a list. An empty one has a meaning of its own only where it takes back what is inherited.
func (r *reader) list(n *yaml.Node, what string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		r.wrong(n, "%s is a list, not %s; write [...]", what, kind(n))
		return nil
	}
	if !r.work.Take(len(n.Content)) {
		return nil
	}
	return n.Content
}

// distinct are values of which each is met once. Few are looked for one by one.
type distinct[T comparable] struct {
	few  []T
	many map[T]bool
}

// fewValues is how many values are found sooner one by one than in a map.
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
func isText(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && !slices.Contains([]string{"!!null", "!!int", "!!float", "!!bool"}, n.Tag)
}

// text reads a text that is not empty; "" when there is none.
func (r *reader) text(n *yaml.Node, what string) string {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag != "!!null" && !isText(n):
		r.wrong(n, "%s is a text, which %s is not unless it is quoted", what, shorten(n.Value))
	case !isText(n) || n.Value == "":
		r.wrong(n, "%s is a text, not %s", what, kind(n))
	default:
		return n.Value
	}
	return ""
}

// grammar is what a text has to look like, and what it is called when it does not.
type grammar struct {
	pattern *regexp.Regexp
	wrong   string
}

// matching reads a text of a grammar; "" when it is none.
func (r *reader) matching(n *yaml.Node, what string, g grammar) string {
	s := r.text(n, what)
	if s != "" && !g.pattern.MatchString(s) {
		r.wrong(n, "%q is %s", shorten(s), g.wrong)
		return ""
	}
	return s
}

// texts reads a list of one text or more of a grammar, none of them twice.
func (r *reader) texts(n *yaml.Node, what string, g grammar) []string {
	var out []string
	var seen distinct[string]
	for _, item := range r.list(n, what) {
		s := r.matching(item, "an entry of "+what, g)
		if s != "" && !seen.add(s) {
			r.wrong(item, "%q stands twice in %s", shorten(s), what)
		}
		out = append(out, s)
	}
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		r.wrong(n, "%s is an empty list; leave it out if there is nothing to name", what)
	}
	return out
}

// places are those of a list's entries.
func (r *reader) places(n *yaml.Node) []Position {
	out := make([]Position, len(n.Content))
	for i, item := range n.Content {
		out[i] = r.pos(item)
	}
	return out
}

func (r *reader) number(n *yaml.Node, what string, maximum int) int {
	v := -1
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || n.Decode(&v) != nil || v < 0 || v > maximum {
		r.wrong(n, "%s is a number from 0 to %d, not %s", what, maximum, kind(n))
		return 0
	}
	return v
}

func (r *reader) truth(n *yaml.Node, what string) bool {
	var v bool
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Decode(&v) != nil {
		r.wrong(n, "%s is true or false, not %s", what, kind(n))
	}
	return v
}

// TTLs outside these bounds are mistakes: longer ones keep a mistake alive for days.
const (
	minTTL = time.Second
	maxTTL = 24 * time.Hour
)

// steadyTTL is the least TTL by which a CA's several look-ups of one issuance meet one answer.
const steadyTTL = 30 * time.Second

var durationPattern = regexp.MustCompile(`^([0-9]+h)?([0-9]+m)?([0-9]+s)?$`)

// ttl reads a duration of whole seconds, or their number.
func (r *reader) ttl(n *yaml.Node) uint32 {
	var d time.Duration
	var seconds int64
	var err error
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!int":
		err = n.Decode(&seconds)
		d = time.Duration(min(max(seconds, 0), int64(maxTTL/time.Second)+1)) * time.Second
	case isText(n) && durationPattern.MatchString(n.Value):
		d, err = time.ParseDuration(n.Value)
	}
	if err != nil || d < minTTL || d > maxTTL {
		r.wrong(n, "ttl is a duration from 1s to 24h such as 1h or 1h30m, or its seconds, not %s", kind(n))
		return 0
	}
	if d < steadyTTL {
		r.notes = append(r.notes, Note{r.pos(n), "short-ttl", fmt.Sprintf("a ttl of %v: where the policy changes, a CA's several look-ups of one issuance may meet different answers; %v is long enough", d, steadyTTL)})
	}
	return uint32(d / time.Second)
}

// profile turns internationalised labels into A-labels (RFC 5891) and leaves underscores alone.
var profile = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// name reads a domain name into its canonical form, fully qualified.
func (r *reader) name(n *yaml.Node, what string) (string, bool) {
	text := r.text(n, what)
	if text == "" {
		return "", false
	}
	return r.domain(n, text, what)
}

// hostPattern is what certificates and zones are named by: letters, digits and hyphens (RFC 1123
// 2.1), and the underscore of service names.
var hostPattern = regexp.MustCompile(`^[a-zA-Z0-9_.-]*$`)

// longestText is more than a domain name can have in any spelling. Longer ones are not turned into A-labels,
// which takes the square of their length.
const longestText = 4 * 255

// domain makes a name canonical. "" and false when it is none, which is told.
func (r *reader) domain(n *yaml.Node, text, what string) (string, bool) {
	ascii := text
	if len(text) > longestText {
		r.wrong(n, "%s %q is not a domain name: labels have 1 to 63 octets, names at most 255", what, shorten(text))
		return "", false
	}
	if strings.ContainsFunc(text, func(c rune) bool { return c > 127 }) {
		var err error
		if ascii, err = profile.ToASCII(text); err != nil {
			r.wrong(n, "%s %q is no internationalised domain name: %v", what, shorten(text), err)
			return "", false
		}
	}
	if !hostPattern.MatchString(ascii) {
		r.wrong(n, "%s %q is not a domain name: labels are of letters, digits, hyphens and underscores", what, shorten(text))
		return "", false
	}
	canonical := dns.CanonicalName(ascii)
	if _, ok := dns.IsDomainName(canonical); !ok || len(canonical) > maxName {
		r.wrong(n, "%s %q is not a domain name: labels have 1 to 63 octets, names at most 255", what, shorten(text))
		return "", false
	}
	return canonical, true
}

// maxName is the longest name in presentation format, its last dot included, of 255 octets on the
// wire (RFC 1035 2.3.4).
const maxName = 254

// shorten cuts a text for a message.
func shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	end := most - 3
	for end > 0 && s[end]&0xC0 == 0x80 { // not within a character
		end--
	}
	return s[:end] + "..."
}

// kind describes what stands in the file.
func kind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case n.Tag == "!!null":
		return "nothing"
	}
	return fmt.Sprintf("%q", shorten(n.Value))
}
