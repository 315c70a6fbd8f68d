package perspective

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/plugin/pkg/spelling"
	"github.com/coredns-caa/caa/plugin/pkg/steps"
	"github.com/coredns-caa/caa/plugin/pkg/yamlpos"
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
	Agent Kind = "agent" // a server of the Open MPIC API: `caacheck agent`, or a CA's installation
)

// addressing is the form of a kind's address.
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
			return "", fmt.Errorf("invalid address %q: want an IP address, 192.0.2.1, 192.0.2.1:5353 or \"[2001:db8::1]:53\"", text)
		}
		return addr.String(), nil
	}
}

// httpsURL reads a URL. Its server must be authenticated, and the connection encrypted (BR 3.2.2.9).
func httpsURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return "", fmt.Errorf("invalid address %q: want a URL, https://host.example/path", text)
	case u.Scheme != "https":
		return "", fmt.Errorf("invalid address %q: want https://, which is encrypted (BR 3.2.2.9)", text)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("invalid address %q: want only a host and a path; put a token into a file of its own", u.Redacted())
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

	ServerName string // the name in a resolver's certificate; "" for its address
	CA         string // file of the certificates that are trusted, PEM; "" for the system's
	Token      string // file of an agent's token
	Header     string // the HTTP header for the token; "" for Authorization, as a bearer token
	Code       string // which of the agent's own perspectives it is; "" for its only one

	Pos yamlpos.Position
}

// File is a perspectives file.
type File struct {
	Name    string
	Primary int // index in Specs
	Specs   []Spec
}

// MaxSize is the largest perspectives file, in octets: a perspective takes 300.
const MaxSize = 1 << 20

// rules are those of perspectives files.
var rules = yamlpos.Rules{
	Size: MaxSize, TooLarge: fmt.Sprintf("the file is larger than %d MiB; is it a perspectives file?", MaxSize>>20),
	Entries: 100_000, TooMany: "the file has more than 100,000 entries of lists and mappings; that is no perspectives file",
	Depth: 8, TooDeep: "check the indentation and the brackets",
	Instead:     "write the value out",
	EmptyAdvice: "it begins with version: 1",
}

// Parse reads a perspectives file. The error is a yamlpos.ErrorList with everything that is wrong.
func Parse(name string, data []byte) (*File, error) {
	tree, unread := yamlpos.Parse(steps.Of(context.Background()), name, data, &rules)
	if tree == nil {
		return nil, unread
	}
	r := &reader{tree: tree}
	f := r.read(tree.Root)
	if err := yamlpos.Joined(unread, r.wrong.Err()); err != nil {
		return nil, err
	}
	return f, nil
}

// reader gathers what is wrong.
type reader struct {
	tree  *yamlpos.File
	wrong yamlpos.Sink
}

func (r *reader) refuse(n *yamlpos.Node, format string, args ...any) {
	r.wrong.Add(r.tree.Pos(n), format, args...)
}

// fields hands each value of a mapping to the row of its key, and returns the values by their keys.
func (r *reader) fields(n *yamlpos.Node, what string, rows map[string]func(*yamlpos.Node)) map[string]*yamlpos.Node {
	given := map[string]*yamlpos.Node{}
	if n.Kind != yamlpos.Mapping {
		r.refuse(n, "%s must be a mapping of keys to values", what)
		return given
	}
	for key, value := range n.Pairs() {
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

func (r *reader) text(n *yamlpos.Node, what string) string {
	if n.Kind != yamlpos.Scalar || n.Type != yamlpos.Text || n.Value == "" {
		r.refuse(n, "%s must be a string", what)
		return ""
	}
	return n.Value
}

func (r *reader) read(root *yamlpos.Node) *File {
	f := &File{Name: r.tree.Name}
	var primary *yamlpos.Node
	given := r.fields(root, "a perspectives file", map[string]func(*yamlpos.Node){
		"version": func(n *yamlpos.Node) {
			if n.Value != "1" {
				r.refuse(n, "version must be 1")
			}
		},
		"primary":      func(n *yamlpos.Node) { primary = n },
		"perspectives": func(n *yamlpos.Node) { f.Specs = r.specs(n) },
	})
	for _, key := range []string{"version", "perspectives"} {
		if given[key] == nil && root.Kind == yamlpos.Mapping {
			r.refuse(root, "%s is missing", key)
		}
	}
	if primary != nil {
		f.Primary = slices.IndexFunc(f.Specs, func(s Spec) bool { return s.Name == primary.Value })
		if f.Primary < 0 {
			r.refuse(primary, "primary: no perspective of this file is named %q", primary.Value)
		}
	}
	return f
}

func (r *reader) specs(n *yamlpos.Node) []Spec {
	if n.Kind != yamlpos.Sequence || n.Len() == 0 {
		r.refuse(n, "perspectives must be a list of one or more")
		return nil
	}
	var out []Spec
	for item := range n.Items() {
		s := r.spec(item)
		if i := slices.IndexFunc(out, func(o Spec) bool { return o.Name == s.Name && s.Name != "" }); i >= 0 {
			r.refuse(item, "two perspectives are named %q; the first is in line %d", s.Name, out[i].Pos.Line)
		}
		out = append(out, s)
	}
	return out
}

// needed are the keys that every perspective has.
var needed = []string{"name", "kind", "region", "coordinates"}

var headerPattern = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

func (r *reader) spec(n *yamlpos.Node) Spec {
	s := Spec{Pos: r.tree.Pos(n)}
	text := func(into *string, what string) func(*yamlpos.Node) {
		return func(n *yamlpos.Node) { *into = r.text(n, what) }
	}
	given := r.fields(n, "a perspective", map[string]func(*yamlpos.Node){
		"name":           text(&s.Name, "name"),
		"kind":           func(n *yamlpos.Node) { s.Kind = r.kind(n) },
		"address":        text(&s.Address, "address"),
		"region":         func(n *yamlpos.Node) { s.Region = r.region(n) },
		"coordinates":    func(n *yamlpos.Node) { s.Place = r.place(n) },
		"tls_servername": text(&s.ServerName, "tls_servername"),
		"ca":             text(&s.CA, "ca"),
		"token":          text(&s.Token, "token"),
		"header":         text(&s.Header, "header"),
		"code":           text(&s.Code, "code"),
	})
	for _, key := range needed {
		if given[key] == nil && n.Kind == yamlpos.Mapping {
			r.refuse(n, "the perspective needs the key %s", key)
		}
	}
	if s.Header != "" && !headerPattern.MatchString(s.Header) {
		r.refuse(given["header"], "invalid header %q: want the name of an HTTP header", s.Header)
	}
	kind, known := kinds[s.Kind]
	if !known {
		return s
	}
	r.address(n, &s, given["address"], kind)
	agent, resolver := s.Kind == Agent, kind.tls && s.Kind != Agent && s.Kind != DoH
	for key, fits := range map[string]bool{"tls_servername": resolver, "ca": kind.tls, "token": agent, "header": agent, "code": agent} {
		if given[key] != nil && !fits {
			r.refuse(given[key], "a perspective of the kind %s does not take %s", s.Kind, key)
		}
	}
	if s.Header != "" && s.Token == "" {
		r.refuse(given["header"], "header needs token")
	}
	return s
}

func (r *reader) kind(n *yamlpos.Node) Kind {
	kind := Kind(r.text(n, "kind"))
	if _, known := kinds[kind]; !known && kind != "" {
		r.refuse(n, "invalid kind %q: want self, udp, tcp, dot, doh, doq or agent", string(kind))
	}
	return kind
}

func (r *reader) address(n *yamlpos.Node, s *Spec, given *yamlpos.Node, kind addressing) {
	switch {
	case kind.read == nil && given != nil:
		r.refuse(given, "a perspective of the kind %s does not take an address", s.Kind)
	case kind.read != nil && given == nil:
		r.refuse(n, "a perspective of the kind %s needs an address", s.Kind)
	case kind.read != nil && s.Address != "":
		address, err := kind.read(s.Address)
		if err != nil {
			r.refuse(given, "%v", err)
		}
		s.Address = address
	}
}

// region reads a registry's name: RIPE and RIPE NCC are one.
func (r *reader) region(n *yamlpos.Node) quorum.Region {
	text := r.text(n, "region")
	for _, region := range quorum.Regions() {
		short, _, _ := strings.Cut(string(region), " ")
		if strings.EqualFold(text, string(region)) || strings.EqualFold(text, short) {
			return region
		}
	}
	if text != "" {
		r.refuse(n, "invalid region %q: want AFRINIC, APNIC, ARIN, LACNIC or RIPE NCC", text)
	}
	return ""
}

func (r *reader) place(n *yamlpos.Node) quorum.Coordinates {
	var pair []float64
	for item := range n.Items() {
		if degrees, ok := item.Float(); ok {
			pair = append(pair, degrees)
		}
	}
	if len(pair) != 2 || n.Len() != 2 {
		r.refuse(n, "coordinates must be [latitude, longitude] in degrees, such as [50.11, 8.68]")
		return quorum.Coordinates{}
	}
	place := quorum.Coordinates{Latitude: pair[0], Longitude: pair[1]}
	if err := place.Valid(); err != nil {
		r.refuse(n, "%v", err)
	}
	return place
}

// host returns the host of an address: the name in the certificate where no other one is given.
func (s Spec) host() string {
	host, _, _ := net.SplitHostPort(s.Address)
	return host
}
