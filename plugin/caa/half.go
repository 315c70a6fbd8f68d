package caa

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// This file recognizes texts that may be the first half of a policy. An editor or a copy over the network
// writes into the file that is read, a full disk ends it anywhere, and a half is often a valid policy: one in
// which a name is open that the other half closes. Such a text is taken only when it has rested for a while.

// good is a policy that was accepted, with its text.
type good struct {
	text      []byte
	policy    *policy.Snapshot
	restarted bool // it is not kept in a file, but served by the instance that a restart replaces
}

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

// halves are the signs of a half: what the text that is served has, and its successor has not. Each says what,
// "" for nothing.
var halves = []func(text []byte, p *policy.Snapshot, served *good) string{
	func(text []byte, _ *policy.Snapshot, served *good) string {
		if endsDocument(served.text) && !endsDocument(text) {
			return fmt.Sprintf("it does not end with the line %q, as the text that is served does", documentEnd)
		}
		return ""
	},
	func(text []byte, _ *policy.Snapshot, _ *good) string {
		if !bytes.HasSuffix(text, []byte("\n")) {
			return "its last line has no line feed"
		}
		return ""
	},
	func(text []byte, _ *policy.Snapshot, served *good) string {
		if bytes.HasPrefix(served.text, text) {
			return "it is the beginning of the text that is served"
		}
		return ""
	},
	func(_ []byte, p *policy.Snapshot, served *good) string {
		for _, count := range amounts {
			if has, had := count.of(p), count.of(served.policy); has < had {
				return fmt.Sprintf("it has fewer %s than what is served (%d, not %d)", count.what, has, had)
			}
		}
		return ""
	},
	func(_ []byte, p *policy.Snapshot, served *good) string {
		if what, lost := lastOf(served.policy, p); lost {
			return "it lacks " + what + ", with which the policy that is served ends"
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
		return "the certificate of " + terminal.Bare(cert.Name), !slices.ContainsFunc(p.Certificates, func(other policy.Certificate) bool {
			return other.Name == cert.Name && other.Wildcard == cert.Wildcard
		})
	case zone != nil:
		now := p.Zone(zone.Name)
		return "the name " + terminal.Bare(node.Name), now == nil || now.Node(node.Name) == nil
	}
	return "", false
}

// rest is for how long a text that may be a half has to stay unchanged before it is taken: longer than a
// program, or a person who saves again, takes to write the rest, and short beside any TTL.
const rest = time.Minute

// held is a text that may be a half.
type held struct {
	digest [sha256.Size]byte
	since  time.Time // when the file was first seen in its state
}

// over reports whether the text has rested for long enough to be read once more. nil is no text.
func (h *held) over(s *source, now time.Time) bool {
	return h != nil && s.seen.equal(s.last) && now.Sub(h.since) >= rest
}

// rested reports whether a text is the one that was held, and the file has rested with it all the time. The
// digest tells where a file system does not: its times may be coarse.
func (h *held) rested(text []byte, s *source, now time.Time) bool {
	return h.over(s, now) && h.since.Equal(s.since) && h.digest == sha256.Sum256(text)
}

// hold leaves a text of the file that may be a half waiting.
func (l *loader) hold(text []byte, why string) {
	now, digest := l.now(), sha256.Sum256(text)
	if l.held != nil && l.held.digest != digest && l.held.since.Equal(l.source.since) {
		l.source.since = now // another text in a state that looks the same
	}
	l.held = &held{digest, l.source.since}
	l.trouble = ""
	l.waits(true, 0)
	reloadCount.WithLabelValues(l.cfg.file, "waiting").Inc()
	log.Warningf("%s may be half-written: %s. Revision %s is still served; if the file stays as it is, it is served from %s on",
		l.cfg.file, why, l.serving.Load().policy.Revision, l.held.since.Add(rest).Format(time.RFC3339))
}

// restlessAfter is how long a file may change from each look to the next until that is logged: no policy takes
// so long to write.
const restlessAfter = time.Minute

// noticeRestless logs now and then that the file changes from each look to the next, and so is never read.
func (l *loader) noticeRestless(now time.Time) {
	since, was := l.source.restless, l.status.Load()
	switch {
	case since.IsZero() && !l.noticed.IsZero():
		l.noticed = time.Time{}
		l.waits(false, was.refusals) // or else it is read at once
	case since.IsZero() || now.Sub(since) < restlessAfter || now.Sub(l.noticed) < reminder:
	default:
		l.noticed = now
		l.waits(true, was.refusals)
		log.Warningf("%s has changed from each look to the next for %v, and a file is read only when it stays the same from one look to the next; revision %s is still served. Find out what writes it all the time",
			l.cfg.file, now.Sub(since).Round(time.Second), l.serving.Load().policy.Revision)
	}
}

// half says why an accepted text may be half of one that is still being written; "" where nothing speaks for it,
// where nothing is served that it could be held against, and where it is refused anyway.
func (v verdict) half(served *good) string {
	if v.err != nil || served == nil || bytes.Equal(v.text, served.text) {
		return ""
	}
	for _, sign := range halves {
		if why := sign(v.text, v.policy, served); why != "" {
			return why
		}
	}
	return ""
}
