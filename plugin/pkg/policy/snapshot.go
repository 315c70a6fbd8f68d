// Package policy reads the policy file: text with positions in, an immutable Snapshot out.
//
// Parse reads YAML and refuses what the language has not (anchors, tags, duplicates); Compile checks
// every value, resolves inheritance and gives each node its complete RRset, for in RFC 8659 the
// closest RRset replaces those above it. All errors are gathered, each with its line and column.
// Nothing here reads a file or looks anything up.
package policy

import (
	"crypto/sha256"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/spelling"
)

// Snapshot is a compiled policy. It is immutable and safe for concurrent use.
// All names in it are canonical: lower case, A-labels, fully qualified with the trailing dot.
type Snapshot struct {
	File         string    // the policy file's name, as its positions have it
	Revision     string    // digest of what the policy means, 16 hexadecimal digits: two servers with equal policies show the same
	Issuers      []*Issuer // in the file's order
	Zones        []*Zone   // sorted by Name
	Certificates []Certificate
	Removed      []Removed // in the file's order
	ZonesPos     Position  // of the key zones or, without it, the file's start
	Notes        []Note    // warnings of the compiler: accepted, but reported
	zones        map[string]*Zone
	fallback     *Node            // `default`, nil when the file has none
	givenUp      map[givenUp]bool // Removed, nil for none
}

// Issuer is one entry of `issuers`. Its accounts and methods bind the tags for TLS; they do not bind issuemail and issuevmc.
type Issuer struct {
	Key      string   // the name that the file gives it
	Domain   string   // Issuer Domain Name as it is emitted, no trailing dot
	Accounts []string // account URIs; empty: any
	Methods  []string // labels of validation methods; empty: any
	Unlisted bool
	Pos      Position // of the key

	DomainPos             Position
	AccountPos, MethodPos []Position // parallel to Accounts and Methods
}

// Zone is one served zone's policy.
type Zone struct {
	Name        string
	Nameservers []Nameserver // empty: an overlay on the next plugin
	FromDefault bool         // made from `default` for a zone that the file does not list
	Pos         Position
	Digest      [sha256.Size]byte // of what the policy says of the zone: equal policies have equal ones
	apex        *Node
	nodes       map[string]*Node // by Node.Name, the apex included; nil when there is no other
}

// Node is a name with its own policy.
type Node struct {
	Name      string
	Zone      *Zone
	TTL       uint32         // seconds, of the CAA RRset
	RRset     issuance.RRset // complete: what the node inherits is in it
	Sources   []*Source      // parallel to RRset: where each Property was written; nodes share what they inherit
	Challenge string         // template of the _acme-challenge alias's target, "" for none
	Pos       Position
}

// Source is the origin of one Property of a Node.
type Source struct {
	Pos      Position
	Owner    string    // the name of the node, or "default" / "report", that it was inherited from or is at
	Key      string    // the policy key that wrote it: issue, issuewild, report, properties, ...
	Issuer   *Issuer   // nil where there is none
	Critical *Position // of the word in a `critical` list that set the flag; nil where none did

	OwnAccounts, OwnMethods bool // whether the entry itself gives them, rather than the issuer
}

// Nameserver is one NS of a policy-only zone, with addresses where the name is in the zone.
type Nameserver struct {
	Name      string
	Addresses []netip.Addr
	Pos       Position
}

// Certificate is one required issuance: a name of an entry of `certificates`.
type Certificate struct {
	Name     string // without the `*.`
	Wildcard bool
	Issuer   *Issuer
	Type     issuance.CertificateType
	Account  string // "" : each account of the issuer that the policy names, or any
	Method   string // "" : each method of the issuer that the policy names, or any
	Pos      Position
}

// Note is a warning with its position.
type Note struct {
	Pos     Position
	Code    string // stable, such as short-ttl
	Message string
}

// acmeLabel begins the names of dns-01 challenges (RFC 8555 8.4).
const acmeLabel = "_acme-challenge."

// Zone returns the policy of the zone with exactly that name, nil when the file has none.
func (s *Snapshot) Zone(name string) *Zone { return s.zones[name] }

// Default returns what `default` says as a node without a name and a zone, nil when the file has none.
func (s *Snapshot) Default() *Node { return s.fallback }

// ZoneOrDefault returns the zone's own policy, or one made from `default`; nil when there is neither.
func (s *Snapshot) ZoneOrDefault(name string) *Zone {
	if z := s.zones[name]; z != nil {
		return z
	}
	d := s.fallback
	if d == nil {
		return nil
	}
	z := &Zone{Name: name, FromDefault: true, Pos: d.Pos}
	apex := *d
	apex.Name, apex.Zone = name, z
	z.apex = &apex
	z.Digest = z.digest()
	return z
}

// Covering returns the closest zone of the file at or above a canonical name, or nil.
func (s *Snapshot) Covering(name string) *Zone {
	for above := range dnsname.Up(name) {
		if z := s.zones[above]; z != nil {
			return z
		}
	}
	return nil
}

const (
	// slipsInZone is how many letters of a zone's name may be wrong for it to be taken for another one.
	slipsInZone = 2
	// maxCandidates bounds the zones among which one is looked for that somebody may have meant.
	maxCandidates = 1000
	// MaxGuesses is how many names of one file are worth the look.
	MaxGuesses = 100
)

// Meant returns the zone of the file that was meant for a name that is in none, if one of the two is misspelt; nil
// where none is near.
func (s *Snapshot) Meant(name string) *Zone {
	for _, z := range s.Zones[:min(len(s.Zones), maxCandidates)] {
		suffix := dnsname.Suffix(name, dns.CountLabel(z.Name))
		if spelling.Nearest(suffix, []string{z.Name}, func(string) int { return slipsInZone }) != "" {
			return z
		}
	}
	return nil
}

// PolicyOnly reports whether the zone is complete without a next plugin (it has nameservers).
func (z *Zone) PolicyOnly() bool { return len(z.Nameservers) > 0 }

// Apex returns the node of the zone's own name.
func (z *Zone) Apex() *Node { return z.apex }

// Names returns how many nodes the zone has in addition to its apex.
func (z *Zone) Names() int { return max(0, len(z.nodes)-1) }

// Node returns the node with exactly that name, or nil.
func (z *Zone) Node(name string) *Node {
	if name == z.Name {
		return z.apex
	}
	return z.nodes[name]
}

// Nodes yields the zone's nodes, sorted by name.
func (z *Zone) Nodes() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		if z.nodes == nil {
			yield(z.apex)
			return
		}
		for _, name := range slices.Sorted(maps.Keys(z.nodes)) {
			if !yield(z.nodes[name]) {
				return
			}
		}
	}
}

// Closest returns the closest node at or above a canonical name in the zone. It allocates
// nothing.
func (z *Zone) Closest(name string) *Node {
	if z.nodes == nil {
		return z.apex
	}
	for above := range dnsname.Up(name) {
		if n := z.nodes[above]; n != nil {
			return n
		}
	}
	return z.apex
}

// Alias returns the target of a name of the zone that is an alias by `challenge`: _acme-challenge.X,
// where the closest node of X has a template. A target that would be no domain name makes no alias.
func (z *Zone) Alias(name string) (target string, ok bool) {
	validated, ok := strings.CutPrefix(name, acmeLabel)
	if !ok || !dns.IsSubDomain(z.Name, validated) {
		return "", false
	}
	template := z.Closest(validated).Challenge
	if template == "" {
		return "", false
	}
	target = strings.ReplaceAll(template, "{name}", strings.TrimSuffix(validated, "."))
	return target, dnsname.Valid(target)
}
