package perspective

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/spelling"
)

// Kind is how a perspective is asked.
type Kind string

// The kinds.
const (
	Self  Kind = "self"  // this machine, from the root
	UDP   Kind = "udp"   // a resolver
	TCP   Kind = "tcp"   // a resolver
	DoT   Kind = "dot"   // a resolver (RFC 7858)
	DoH   Kind = "doh"   // a resolver (RFC 8484)
	DoQ   Kind = "doq"   // a resolver (RFC 9250)
	Agent Kind = "agent" // what speaks the Open MPIC API: `caacheck agent`, or a CA's installation
)

// addressing is what a kind's address is.
type addressing struct {
	read func(text string) (string, error) // nil: it has none
	tls  bool
}

var kinds = map[Kind]addressing{
	Self:  {},
	UDP:   {hostPort(53), false},
	TCP:   {hostPort(53), false},
	DoT:   {hostPort(853), true},
	DoQ:   {hostPort(853), true},
	DoH:   {httpsURL, true},
	Agent: {httpsURL, true},
}

// hostPort reads an IP address, whose port may be given.
func hostPort(port uint16) func(string) (string, error) {
	return func(text string) (string, error) {
		if addr, err := netip.ParseAddr(text); err == nil {
			return netip.AddrPortFrom(addr, port).String(), nil
		}
		addr, err := netip.ParseAddrPort(text)
		if err != nil {
			return "", fmt.Errorf("%q is not an IP address: write 192.0.2.1, 192.0.2.1:5353 or \"[2001:db8::1]:53\"", text)
		}
		return addr.String(), nil
	}
}

// httpsURL reads a URL. What is asked there has to come authenticated and encrypted (BR 3.2.2.9).
func httpsURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return "", fmt.Errorf("%q is not a URL: write https://host.example/path", text)
	case u.Scheme != "https":
		return "", fmt.Errorf("%q is not encrypted: only https:// will do (BR 3.2.2.9)", text)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("%q has more than a host and a path; a token belongs into a file of its own", u.Redacted())
	}
	return u.String(), nil
}

// Spec is one perspective as the file declares it.
type Spec struct {
	Name    string
	Kind    Kind
	Address string // host:port or URL; "" of Self
	Region  quorum.Region
	Place   quorum.Coordinates

	ServerName string // that a resolver's certificate has to prove; "" for its address
	CA         string // file of the certificates that are trusted, PEM; "" for the system's
	Token      string // file of an agent's token
	Header     string // of HTTP that the token goes into; "" for Authorization, as a bearer's
	Code       string // which of the agent's own perspectives it is; "" for its only one

	Pos policy.Position
}

// File is a perspectives file.
type File struct {
	Name    string
	Primary int // index in Specs
	Specs   []Spec
}

// Parse reads a perspectives file. The error is a policy.ErrorList with everything that is wrong.
func Parse(name string, data []byte) (*File, error) {
	tree, err := policy.Parse(name, data)
	if tree == nil {
		return nil, err
	}
	r := &reader{file: name}
	if err != nil { // what YAML has and our files have not
		errors.As(err, &r.wrong)
	}
	f := r.read(tree.Root())
	if len(r.wrong) > 0 {
		slices.SortStableFunc(r.wrong, func(a, b *policy.Error) int {
			return cmp.Or(a.Pos.Line-b.Pos.Line, a.Pos.Column-b.Pos.Column)
		})
		return nil, r.wrong
	}
	return f, nil
}

// reader gathers what is wrong.
type reader struct {
	file  string
	wrong policy.ErrorList
}

func (r *reader) pos(n *yaml.Node) policy.Position {
	return policy.Position{File: r.file, Line: n.Line, Column: n.Column}
}

func (r *reader) refuse(n *yaml.Node, format string, args ...any) {
	r.wrong = append(r.wrong, &policy.Error{Pos: r.pos(n), Message: fmt.Sprintf(format, args...)})
}

// fields hands each value of a mapping to the row of its key, and returns the values by their keys.
func (r *reader) fields(n *yaml.Node, what string, rows map[string]func(*yaml.Node)) map[string]*yaml.Node {
	given := map[string]*yaml.Node{}
	if n.Kind != yaml.MappingNode {
		r.refuse(n, "%s is a mapping of keys to values", what)
		return given
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read := rows[key.Value]
		if read == nil {
			known := slices.Sorted(maps.Keys(rows))
			hint := "known here: " + strings.Join(known, ", ")
			if near := spelling.Nearest(key.Value, known, spelling.AThird(key.Value)); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			r.refuse(key, "unknown key %q in %s; %s", key.Value, what, hint)
			continue
		}
		given[key.Value] = value
		read(value)
	}
	return given
}

func (r *reader) text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || n.Value == "" {
		r.refuse(n, "%s is a text", what)
		return ""
	}
	return n.Value
}

func (r *reader) read(root *yaml.Node) *File {
	f := &File{Name: r.file}
	var primary *yaml.Node
	given := r.fields(root, "a perspectives file", map[string]func(*yaml.Node){
		"version": func(n *yaml.Node) {
			if n.Value != "1" {
				r.refuse(n, "version is 1")
			}
		},
		"primary":      func(n *yaml.Node) { primary = n },
		"perspectives": func(n *yaml.Node) { f.Specs = r.specs(n) },
	})
	for _, key := range []string{"version", "perspectives"} {
		if given[key] == nil && root.Kind == yaml.MappingNode {
			r.refuse(root, "%s is missing", key)
		}
	}
	if primary != nil {
		f.Primary = slices.IndexFunc(f.Specs, func(s Spec) bool { return s.Name == primary.Value })
		if f.Primary < 0 {
			r.refuse(primary, "primary names a perspective of this file, which %q is not", primary.Value)
		}
	}
	return f
}

func (r *reader) specs(n *yaml.Node) []Spec {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		r.refuse(n, "perspectives is a list of one or more")
		return nil
	}
	var out []Spec
	for _, item := range n.Content {
		s := r.spec(item)
		if i := slices.IndexFunc(out, func(o Spec) bool { return o.Name == s.Name && s.Name != "" }); i >= 0 {
			r.refuse(item, "the perspective %q stands twice; the first is in line %d", s.Name, out[i].Pos.Line)
		}
		out = append(out, s)
	}
	return out
}

// needed are the keys that every perspective has.
var needed = []string{"name", "kind", "region", "coordinates"}

var headerPattern = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

func (r *reader) spec(n *yaml.Node) Spec {
	s := Spec{Pos: r.pos(n)}
	text := func(into *string, what string) func(*yaml.Node) {
		return func(n *yaml.Node) { *into = r.text(n, what) }
	}
	given := r.fields(n, "a perspective", map[string]func(*yaml.Node){
		"name":           text(&s.Name, "name"),
		"kind":           func(n *yaml.Node) { s.Kind = r.kind(n) },
		"address":        text(&s.Address, "address"),
		"region":         func(n *yaml.Node) { s.Region = r.region(n) },
		"coordinates":    func(n *yaml.Node) { s.Place = r.place(n) },
		"tls_servername": text(&s.ServerName, "tls_servername"),
		"ca":             text(&s.CA, "ca"),
		"token":          text(&s.Token, "token"),
		"header":         text(&s.Header, "header"),
		"code":           text(&s.Code, "code"),
	})
	for _, key := range needed {
		if given[key] == nil && n.Kind == yaml.MappingNode {
			r.refuse(n, "this perspective has no %s", key)
		}
	}
	if s.Header != "" && !headerPattern.MatchString(s.Header) {
		r.refuse(given["header"], "%q is not the name of an HTTP header", s.Header)
	}
	kind, known := kinds[s.Kind]
	if !known {
		return s
	}
	r.address(n, &s, given["address"], kind)
	agent, resolver := s.Kind == Agent, kind.tls && s.Kind != Agent && s.Kind != DoH
	for key, fits := range map[string]bool{"tls_servername": resolver, "ca": kind.tls, "token": agent, "header": agent, "code": agent} {
		if given[key] != nil && !fits {
			r.refuse(given[key], "a perspective of the kind %s has no %s", s.Kind, key)
		}
	}
	if s.Header != "" && s.Token == "" {
		r.refuse(given["header"], "header without token: there is nothing to put into it")
	}
	return s
}

func (r *reader) kind(n *yaml.Node) Kind {
	kind := Kind(r.text(n, "kind"))
	if _, known := kinds[kind]; !known && kind != "" {
		r.refuse(n, "%q is no kind of perspective: self, udp, tcp, dot, doh, doq or agent", string(kind))
	}
	return kind
}

func (r *reader) address(n *yaml.Node, s *Spec, given *yaml.Node, kind addressing) {
	switch {
	case kind.read == nil && given != nil:
		r.refuse(given, "a perspective of the kind %s has no address", s.Kind)
	case kind.read != nil && given == nil:
		r.refuse(n, "a perspective of the kind %s has an address", s.Kind)
	case kind.read != nil && s.Address != "":
		address, err := kind.read(s.Address)
		if err != nil {
			r.refuse(given, "%v", err)
		}
		s.Address = address
	}
}

// region reads a registry's name: RIPE and RIPE NCC are one.
func (r *reader) region(n *yaml.Node) quorum.Region {
	text := r.text(n, "region")
	for _, region := range quorum.Regions() {
		short, _, _ := strings.Cut(string(region), " ")
		if strings.EqualFold(text, string(region)) || strings.EqualFold(text, short) {
			return region
		}
	}
	if text != "" {
		r.refuse(n, "%q is no regional Internet registry: AFRINIC, APNIC, ARIN, LACNIC or RIPE NCC", text)
	}
	return ""
}

func (r *reader) place(n *yaml.Node) quorum.Coordinates {
	var pair []float64
	if n.Kind != yaml.SequenceNode || n.Decode(&pair) != nil || len(pair) != 2 {
		r.refuse(n, "coordinates are [latitude, longitude] in degrees, such as [50.11, 8.68]")
		return quorum.Coordinates{}
	}
	place := quorum.Coordinates{Latitude: pair[0], Longitude: pair[1]}
	if err := place.Valid(); err != nil {
		r.refuse(n, "%v", err)
	}
	return place
}

// host is the host of an address: what a certificate has to prove where no other name is given.
func (s Spec) host() string {
	host, _, _ := net.SplitHostPort(s.Address)
	return host
}
