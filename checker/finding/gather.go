package finding

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// group is all signs of one cause, in one zone, at one set of servers.
type group struct {
	rule     *rule
	zone     string
	cause    string
	servers  list
	items    list
	first    time.Time // of the times of its signs; zero where none is known
	last     time.Time
	evidence list
	fix      string
	names    list // that it was found for
}

// list is strings in the order in which they came, each once.
type list struct {
	all   []string
	known map[string]bool
}

func (l *list) add(more ...string) {
	for _, text := range more {
		if l.known[text] {
			continue
		}
		if l.known == nil {
			l.known = map[string]bool{}
		}
		l.known[text], l.all = true, append(l.all, text)
	}
}

// Gather makes findings of the signs of all names: one of each cause, zone and set of servers, in the order in which
// they first come.
func Gather(found iter.Seq2[string, []Sign]) []Found {
	type key struct {
		rule              *rule
		zone, cause, item string
	}
	var order []*group // of one item each
	cells := map[key]*group{}
	for name, signs := range found {
		for _, s := range signs {
			k := key{s.rule, s.zone, s.cause, s.item}
			if s.rule.anyZone { // then the zones are what it affects
				k.zone, k.item = "", cmp.Or(s.item, s.zone)
			}
			g := cells[k]
			if g == nil {
				g = &group{rule: s.rule, zone: k.zone, cause: s.cause, fix: s.fix}
				if k.item != "" {
					g.items.add(k.item)
				}
				cells[k], order = g, append(order, g)
			}
			g.take(s, name)
		}
	}
	type set struct {
		rule                 *rule
		zone, cause, servers string
	}
	var groups []*group
	index := map[set]*group{}
	for _, g := range order {
		slices.Sort(g.servers.all)
		k := set{g.rule, g.zone, g.cause, strings.Join(g.servers.all, "\x00")}
		if known := index[k]; known != nil {
			known.join(g)
			continue
		}
		index[k], groups = g, append(groups, g)
	}
	var out []Found
	for _, g := range groups {
		out = append(out, Found{g.finding(), g.names.all})
	}
	return out
}

// Rank sorts findings: the worst first, and otherwise as they are.
func Rank(found []Found) {
	slices.SortStableFunc(found, func(a, b Found) int { return int(b.Finding.Severity) - int(a.Finding.Severity) })
}

func (g *group) take(s Sign, name string) {
	if s.server != "" {
		g.servers.add(s.server)
	}
	g.observed(s.evidence)
	g.span(s.when, s.when)
	g.names.add(name)
}

// join takes in a group of another item.
func (g *group) join(other *group) {
	g.items.add(other.items.all...)
	g.observed(other.evidence.all)
	g.names.add(other.names.all...)
	g.span(other.first, other.last)
	if g.fix != other.fix {
		g.fix = "" // no one fix for all
	}
}

func (g *group) span(first, last time.Time) {
	if first.IsZero() {
		return
	}
	if g.first.IsZero() || first.Before(g.first) {
		g.first = first
	}
	if last.After(g.last) {
		g.last = last
	}
}

// maxEvidence is how much evidence a finding has: it shows what is wrong, and ten thousand names of one fault show it no better.
const maxEvidence = 100

func (g *group) observed(evidence []string) {
	g.evidence.add(evidence[:max(0, min(len(evidence), maxEvidence-len(g.evidence.all)))]...)
}

func (g *group) finding() Finding {
	e := g.rule.catalog
	f := Finding{Code: e.Code, Severity: e.Severity, Evidence: g.evidence.all, Section: e.Section, Fix: cmp.Or(g.fix, e.Fix), Text: g.String(), Zone: g.zone}
	if g.rule.say != nil {
		f.Text = g.rule.say(*g)
	}
	switch {
	case g.rule.about == aboutServers && len(g.servers.all) > 0:
		f.Subjects, f.Subject = g.servers.all, some(g.servers.all)
	case g.rule.about == aboutItems && len(g.items.all) > 0:
		f.Subjects, f.Subject = g.items.all, g.items.all[0]
		if len(g.items.all) > 1 {
			f.Subject = cmp.Or(g.zone, some(g.items.all))
		}
	default:
		f.Subjects, f.Subject = []string{g.zone}, g.zone
	}
	return f
}

// String is the text of a finding for whose rule no other is given: where, what, and which names.
func (g group) String() string {
	if len(g.servers.all) == 0 && len(g.items.all) > 0 {
		return some(g.items.all) + ": " + g.cause
	}
	return g.where() + g.cause + g.affected(" at ")
}

// where is the servers, to begin a text with; "" for none.
func (g group) where() string {
	if len(g.servers.all) == 0 {
		return ""
	}
	return some(g.servers.all) + ": "
}

// affected is the items after a preposition; "" for none.
func (g group) affected(preposition string) string {
	if len(g.items.all) == 0 {
		return ""
	}
	return preposition + some(g.items.all)
}

// day is a time as it is written in texts.
func day(t time.Time) string { return t.UTC().Format("2 January 2006") }

// moment is a time that hours matter of.
func moment(t time.Time) string { return t.UTC().Format("2 January 2006 15:04 MST") }

// shown is how many of a list a text names.
const shown = 3

// some are the first of a list, and the number of the others.
func some(list []string) string {
	switch n := len(list); {
	case n == 0:
		return ""
	case n == 1:
		return list[0]
	case n <= shown:
		return strings.Join(list[:n-1], ", ") + " and " + list[n-1]
	default:
		return fmt.Sprintf("%s and %d more", strings.Join(list[:shown-1], ", "), n-shown+1)
	}
}
