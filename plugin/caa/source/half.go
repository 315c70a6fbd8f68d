package source

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// This file recognizes texts that may be the first half of a policy. An editor or a copy over the network
// writes into the file that is read, a full disk ends it anywhere, and a half is often a valid policy: one in
// which a name is open that the other half closes. Such a text is taken only when it has rested for a while.

// documentEnd is YAML's mark for the end of a document (YAML 1.2, 9.1.2). What comes before it is whole.
const documentEnd = "..."

// endsDocument reports whether the last line of a text, comments and empty lines aside, is a document's end.
func endsDocument(text []byte) bool {
	for rest := text; len(rest) > 0; {
		start := bytes.LastIndexByte(bytes.TrimSuffix(rest, []byte("\n")), '\n') + 1
		line := strings.TrimRight(string(rest[start:]), " \t\r\n")
		switch {
		case line == documentEnd || strings.HasPrefix(line, documentEnd+" "):
			return bytes.HasSuffix(text, []byte("\n"))
		case line != "" && !strings.HasPrefix(strings.TrimLeft(line, " \t"), "#"):
			return false
		}
		rest = rest[:start]
	}
	return false
}

// halfOf says why a text that was accepted may be half of one that is still being written; "" where nothing speaks for
// it, and where nothing is served that it could be compared with.
func halfOf(text []byte, p *policy.Snapshot, served *Good) string {
	if served == nil || bytes.Equal(text, served.text) {
		return ""
	}
	for _, sign := range halves {
		if why := sign(text, p, served); why != "" {
			return why
		}
	}
	return ""
}

// halves are the signs of a half: what the text that is served has, and its successor has not. Each says what,
// "" for nothing.
var halves = []func(text []byte, p *policy.Snapshot, served *Good) string{
	func(text []byte, _ *policy.Snapshot, served *Good) string {
		if endsDocument(served.text) && !endsDocument(text) {
			return fmt.Sprintf("it does not end with the line %q, as the served text does", documentEnd)
		}
		return ""
	},
	func(text []byte, _ *policy.Snapshot, _ *Good) string {
		if !bytes.HasSuffix(text, []byte("\n")) {
			return "its last line has no newline"
		}
		return ""
	},
	func(text []byte, _ *policy.Snapshot, served *Good) string {
		if bytes.HasPrefix(served.text, text) {
			return "it is the beginning of the served text"
		}
		return ""
	},
	func(_ []byte, p *policy.Snapshot, served *Good) string {
		for _, count := range amounts {
			if has, had := count.of(p), count.of(served.policy); has < had {
				return fmt.Sprintf("it has fewer %s than the served policy (%d instead of %d)", count.what, has, had)
			}
		}
		return ""
	},
	func(_ []byte, p *policy.Snapshot, served *Good) string {
		if what, lost := lastOf(served.policy, p); lost {
			return "it lacks " + what + ", the last entry of the served policy"
		}
		return ""
	},
}

// amounts are what a half has less of.
var amounts = []struct {
	what string
	of   func(*policy.Snapshot) int
}{
	{"zones", func(p *policy.Snapshot) int { return len(p.Zones) }},
	{"names", func(p *policy.Snapshot) int {
		n := 0
		for _, z := range p.Zones {
			n += z.Names()
		}
		return n
	}},
	{"names in certificates", func(p *policy.Snapshot) int { return len(p.Certificates) }},
	{"defaults", func(p *policy.Snapshot) int {
		if p.Default() == nil {
			return 0
		}
		return 1
	}},
}

// lastOf is the zone, name or certificate that stands last in a policy's file, and whether another policy has
// none such: where the other one is a half of an edited text, it lost at least that.
func lastOf(served, p *policy.Snapshot) (what string, lost bool) {
	var last policy.Position
	later := func(pos policy.Position) bool {
		if pos.Line < last.Line || pos.Line == last.Line && pos.Column <= last.Column {
			return false
		}
		last = pos
		return true
	}
	var zone *policy.Zone
	var node *policy.Node
	var cert *policy.Certificate
	for _, z := range served.Zones {
		if later(z.Pos) {
			zone, node = z, z.Apex()
		}
		for n := range z.Nodes() {
			if later(n.Pos) {
				zone, node = z, n
			}
		}
	}
	for i := range served.Certificates {
		if later(served.Certificates[i].Pos) {
			cert = &served.Certificates[i]
		}
	}
	switch {
	case cert != nil:
		return "the certificate of " + dnsname.Bare(cert.Name), !slices.ContainsFunc(p.Certificates, func(other policy.Certificate) bool {
			return other.Name == cert.Name && other.Wildcard == cert.Wildcard
		})
	case zone != nil:
		now := p.Zone(zone.Name)
		return "the name " + dnsname.Bare(node.Name), now == nil || now.Node(node.Name) == nil
	}
	return "", false
}

// rest is for how long a text that may be half of one has to stay unchanged before it is taken: longer than a
// program, or a person who saves again, takes to write the rest, and short beside any TTL.
const rest = time.Minute

// held is a text that may be half of one.
type held struct {
	digest [sha256.Size]byte
	state  time.Time // State.Since of the state that it was read in
	since  time.Time // when that state was first seen, or found to have another text than before
}

// over reports whether the source has rested for long enough for the text to be read once more. nil is no text.
func (h *held) over(source State, now time.Time) bool {
	return h != nil && source.Read && now.Sub(h.since) >= rest
}

// rested reports whether a text is the one that was held, and the source has rested with it all the time. The
// digest tells where a file system does not: its times may be coarse.
func (h *held) rested(text []byte, source State, now time.Time) bool {
	return h.over(source, now) && h.state.Equal(source.Since) && h.digest == sha256.Sum256(text)
}

// next is the text that is held from now on, after h, nil for none.
func (h *held) next(text []byte, source State, now time.Time) *held {
	n := &held{sha256.Sum256(text), source.Since, source.Since}
	switch {
	case h == nil || !h.state.Equal(n.state):
	case h.digest == n.digest:
		n.since = h.since
	default:
		n.since = now // another text in a state that looks the same
	}
	return n
}
