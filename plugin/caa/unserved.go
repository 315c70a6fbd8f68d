package caa

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/spelling"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// This file is about zones of the policy that this block does not serve. Other blocks of the server may, or other
// servers that read the same file: then it is their business. But it may also be that somebody misspelt a zone. So
// what no block of the server serves is a warning, and its required issuances do not count as proved.

// siblings are the loaders of a server's blocks. Immutable.
type siblings struct {
	all   []*loader
	zones map[string][]*loader // by the zones that they answer for
	files map[string]*loader   // the first one with each policy file
}

func newSiblings(all ...*loader) *siblings {
	s := &siblings{all, map[string][]*loader{}, map[string]*loader{}}
	for _, l := range all {
		for _, zone := range l.cfg.zones {
			s.zones[zone] = append(s.zones[zone], l)
		}
		if s.files[l.cfg.file] == nil {
			s.files[l.cfg.file] = l
		}
	}
	return s
}

// covering yields those that answer for a name, the closest first.
func (s *siblings) covering(name string) iter.Seq[*loader] {
	return func(yield func(*loader) bool) {
		for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
			for _, l := range s.zones[name[off:]] {
				if !yield(l) {
					return
				}
			}
		}
		for _, l := range s.zones["."] {
			if !yield(l) {
				return
			}
		}
	}
}

// inAnotherBlock reports whether another block of the server serves the zone of a name.
func (l *loader) inAnotherBlock(name string) bool {
	if l.outdone(name) {
		return true
	}
	for other := range l.siblings.covering(name) {
		s := other.serving.Load() // nil before its start
		if other != l && (other.cfg.file == l.cfg.file || s == nil || s.find(name) != nil) {
			return true
		}
	}
	return false
}

// speaksForFile reports whether this is the first block with its policy file: what is true of the file and not of a
// block is counted and logged once.
func (l *loader) speaksForFile() bool { return l.siblings.files[l.cfg.file] == l }

// proved says how many required issuances of a policy were proved, and of which this block can prove nothing.
func (l *loader) proved(p *policy.Snapshot) string {
	var here, others, nowhere int
	for _, r := range guard.Requirements(p) {
		switch {
		case l.cfg.covers(r.Name) && !l.outdone(r.Name):
			here++
		case l.inAnotherBlock(r.Name):
			others++
		default:
			nowhere++
		}
	}
	text := fmt.Sprintf("%d required issuances proved", here)
	if others > 0 {
		text += fmt.Sprintf(", %d in other blocks", others)
	}
	if nowhere > 0 {
		text += fmt.Sprintf(", %d in zones that this server does not serve", nowhere)
	}
	return text
}

// reportUnserved logs once which zones of the file this block does not serve.
func (l *loader) reportUnserved() {
	p := l.serving.Load().policy
	var others, nowhere, slips []string
	candidates := l.unlisted()
	for _, z := range p.Zones {
		switch {
		case l.cfg.covers(z.Name):
		case l.inAnotherBlock(z.Name):
			others = append(others, z.Name)
		case l.speaksForFile():
			nowhere = append(nowhere, z.Name)
			if near := nearest(z.Name, candidates); near != "" && len(slips) < shownFindings {
				slips = append(slips, fmt.Sprintf("%v: the policy lists %s, and this server serves %s, which the policy does not list: is one of them misspelt?", z.Pos, terminal.Bare(z.Name), terminal.Bare(near)))
			}
		}
	}
	report := strings.Join(slices.Concat(others, []string{"/"}, nowhere), " ")
	if report == l.unserved {
		return
	}
	l.unserved = report
	if len(others) > 0 {
		log.Infof("%s: this block does not serve %s of the file, which another block does", l.cfg.file, count(others))
	}
	if len(nowhere) > 0 {
		alone := ""
		if s := l.serving.Load(); len(l.cfg.issuers) == 0 && !slices.ContainsFunc(guard.Requirements(p), func(r guard.Requirement) bool { return s.find(r.Name) != nil }) {
			alone = ", and nothing is required in the zones of this block: it protects nothing"
		}
		log.Warningf("%s: no caa block of this server serves %s of the file: what is required there is not proved here%s", l.cfg.file, count(nowhere), alone)
	}
	for _, slip := range slips {
		log.Warning(slip)
	}
}

// maxCandidates bounds the zones among which one is looked for that somebody may have meant.
const maxCandidates = 1000

// unlisted are the first zones of the server's blocks that their policies do not list.
func (l *loader) unlisted() (zones []string) {
	for _, other := range l.siblings.all {
		s := other.serving.Load()
		for _, apex := range other.apexes() {
			if s != nil && s.policy.Zone(apex) == nil && len(zones) < maxCandidates {
				zones = append(zones, apex)
			}
		}
	}
	return zones
}

// meantOf asks whether a zone of the policy that the block does not serve is the one that is missing.
func (l *loader) meantOf(p *policy.Snapshot, apex string) string {
	var zones []string
	for _, z := range p.Zones {
		if !l.cfg.covers(z.Name) {
			zones = append(zones, z.Name)
		}
	}
	near := nearest(apex, zones)
	if near == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s, which it lists (%v)?", terminal.Bare(near), p.Zone(near).Pos)
}

// slipsInZone is how many letters of a zone's name may be wrong for it to be taken for another one.
const slipsInZone = 2

// nearest is the zone that somebody may have meant by a name, "" for none.
func nearest(name string, zones []string) string {
	return spelling.Nearest(name, zones, func(string) int { return slipsInZone })
}
