package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
	"go.yaml.in/yaml/v3"
	"golang.org/x/net/idna"
)

// reader takes values out of YAML nodes and gathers what is wrong with them.
type reader struct {
	*File
	errorSink
}

func (r *reader) wrong(n *yaml.Node, format string, args ...any) {
	r.add(r.pos(n), format, args...)
}

// fields hands each value of a mapping to the row that its key names.
func (r *reader) fields(n *yaml.Node, what string, rows map[string]func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.wrong(n, "%s is a mapping of keys to values, not %s", what, kind(n))
		return
	}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		row, ok := rows[key.Value]
		if !ok {
			known := make([]string, 0, len(rows))
			for name := range rows {
				known = append(known, name)
			}
			slices.Sort(known)
			r.wrong(key, "unknown key %q in %s%s", key.Value, what, meant(key.Value, known))
			continue
		}
		row(key, value)
	}
}

// pairs iterates over a mapping whose keys are the user's.
func (r *reader) pairs(n *yaml.Node, what string, each func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.wrong(n, "%s is a mapping, not %s", what, kind(n))
		return
	}
	for i := 0; i < len(n.Content); i += 2 {
		each(n.Content[i], n.Content[i+1])
	}
}

func (r *reader) list(n *yaml.Node, what string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		r.wrong(n, "%s is a list, not %s; write [...]", what, kind(n))
		return nil
	}
	return n.Content
}

func (r *reader) text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Value == "" {
		r.wrong(n, "%s is a text, not %s", what, kind(n))
		return ""
	}
	return n.Value
}

func (r *reader) texts(n *yaml.Node, what string) []string {
	var out []string
	for _, item := range r.list(n, what) {
		if s := r.text(item, "an entry of "+what); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func (r *reader) number(n *yaml.Node, what string, maximum int) int {
	v, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 || v > maximum {
		r.wrong(n, "%s is a number from 0 to %d, not %s", what, maximum, kind(n))
		return 0
	}
	return v
}

func (r *reader) truth(n *yaml.Node, what string) bool {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		r.wrong(n, "%s is true or false, not %s", what, kind(n))
		return false
	}
	return strings.EqualFold(n.Value, "true")
}

// TTLs outside these bounds are mistakes: shorter ones make a CA's several look-ups of one issuance
// meet different answers, longer ones keep a mistake alive for days.
const (
	minTTL = 30 * time.Second
	maxTTL = 24 * time.Hour
)

func (r *reader) ttl(n *yaml.Node) uint32 {
	d, err := time.ParseDuration(n.Value)
	if seconds, notNumber := strconv.Atoi(n.Value); notNumber == nil {
		d, err = time.Duration(seconds)*time.Second, nil
	}
	if n.Kind != yaml.ScalarNode || err != nil || d < minTTL || d > maxTTL {
		r.wrong(n, "ttl is a duration from %v to %v such as 1h, not %s", minTTL, maxTTL, kind(n))
		return 0
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

func (r *reader) domain(n *yaml.Node, text, what string) (string, bool) {
	ascii := text
	if strings.ContainsFunc(text, func(c rune) bool { return c > 127 }) {
		var err error
		if ascii, err = profile.ToASCII(text); err != nil {
			r.wrong(n, "%s %q is no internationalised domain name: %v", what, text, err)
			return "", false
		}
	}
	if strings.ContainsAny(ascii, "\\ \t/@:\"") || strings.Contains(ascii, "..") {
		r.wrong(n, "%s %q is not a domain name", what, text)
		return "", false
	}
	canonical := dns.CanonicalName(ascii)
	if _, ok := dns.IsDomainName(canonical); !ok || len(canonical) > 254 {
		r.wrong(n, "%s %q is not a domain name: labels have 1 to 63 octets, names at most 255", what, shorten(text))
		return "", false
	}
	return canonical, true
}

func shorten(s string) string {
	if len(s) > 80 {
		return s[:77] + "..."
	}
	return s
}

// kind describes what stands in the file.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if n.Tag == "!!null" {
		return "nothing"
	}
	return fmt.Sprintf("%q", shorten(n.Value))
}
