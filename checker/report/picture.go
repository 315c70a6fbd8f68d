package report

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// picture is a drawing of boxes one above the other, up being towards the root, as an SVG's elements.
// It is as wide as a narrow telephone's screen, so that its letters are legible there, and grows with
// the page. Lengths are CSS pixels.
type picture struct {
	ID      string
	Caption string // above it
	Title   string
	Desc    string // the whole of it in words
	Height  int
	Boxes   []drawnBox
	Joints  []joint
	Texts   []drawnText
}

type drawnBox struct {
	Y, Height int
	Class     string
}

// joint is what joins a box to the one below it.
type joint struct {
	Y, End int
	Class  string
	Up     bool // an arrow upwards; otherwise a plain line
}

type drawnText struct {
	X, Y  int
	Class string
	Text  string
}

// The measures of a picture. Its width, and the rounded corners, are the template's.
const (
	lineHeight  = 18
	padding     = 9
	gap         = 34  // between boxes
	textLeft    = 36  // beside the number of a step
	charsStep   = 32  // that fit beside a number: 13 px monospace is 8.1 px wide at most
	charsZone   = 34  // that fit in a zone's box
	mostLines   = 4   // of one text; a name of 253 octets takes seven, and is elided
	mostRecords = 6   // of one name
	jointLeft   = 18  // where joints run
	besideLeft  = 36  // what is written beside them
	edge        = 2   // of the picture, for the boxes' lines
	shownOfText = 200 // of a record in a table: a server may send 64 kB
)

// statusMarks show a status to those who do not see colours.
var statusMarks = map[dnssec.Status]string{dnssec.Secure: "✓", dnssec.Insecure: "○", dnssec.Bogus: "✕", dnssec.Indeterminate: "?"}

func mark(s dnssec.Status) string { return statusMarks[s] + " " + s.String() }

// say writes text into the box that is being made, and returns where the next line begins.
func (p *picture) say(x, y, chars int, class, text string) int {
	for _, line := range boxLines(text, chars, mostLines) {
		p.Texts = append(p.Texts, drawnText{x, y + lineHeight - 4, class, line})
		y += lineHeight
	}
	return y
}

// climbPicture shows the climb: the name that was asked for is at the bottom.
func (n Name) climbPicture(id string) picture {
	p := picture{ID: id, Caption: "The climb, from the name up", Title: "The climb from " + n.Name, Desc: n.climbWords()}
	y := p.say(besideLeft, 0, charsStep, "remark", n.above())
	for i := len(n.Climb) - 1; i >= 0; i-- {
		step := n.Climb[i]
		last := i == len(n.Climb)-1
		class := step.class()
		p.Joints = append(p.Joints, joint{y, y + gap - 10, "idle", false})
		if !last {
			p.Joints[len(p.Joints)-1] = joint{y, y + gap - 10, "step", true}
		}
		top := y + gap - 10
		p.Texts = append(p.Texts, drawnText{jointLeft, top + padding + lineHeight - 4, "number", fmt.Sprint(i + 1)})
		y = p.say(textLeft, top+padding, charsStep, "name", step.Name)
		for _, alias := range step.Aliases {
			y = p.say(textLeft, y, charsStep, "record", "alias: "+alias)
		}
		for j, record := range step.Properties {
			if j == mostRecords {
				y = p.say(textLeft, y, charsStep, "remark", fmt.Sprintf("and %d more", len(step.Properties)-j))
				break
			}
			class, text := n.decided(record)
			y = p.say(textLeft, y, charsStep, "record "+class, text)
		}
		y = p.say(textLeft, y, charsStep, "status "+class, step.outcome(last))
		y += padding
		if last && len(step.Properties) > 0 && class != dnssec.Bogus.String() {
			class = "decides"
		}
		p.Boxes = append(p.Boxes, drawnBox{top, y - top, class})
	}
	p.Height = y + edge
	return p
}

// decided is a record with what it did: it let a CA in, or kept one out, or neither.
func (n Name) decided(record Property) (class, text string) {
	text = record.String()
	for _, v := range n.Verdicts {
		if b := outcomeBadges[v.Outcome]; v.Property != nil && *v.Property == record && (class == "" || v.Outcome == verdict.MayIssue) {
			class, text = b.Class, b.Mark+" "+record.String()
		}
	}
	return class, text
}

// class is how a step looks.
func (step Step) class() string {
	if step.Failure != "" {
		return dnssec.Bogus.String()
	}
	return step.Security.Status.String()
}

// outcome is what came of a step, in a line.
func (step Step) outcome(last bool) string {
	switch {
	case step.Failure != "":
		return "✕ failed: " + step.Failure
	case step.Security.Status == dnssec.Bogus:
		return "✕ " + step.Security.String()
	case len(step.Properties) == 0:
		return mark(step.Security.Status) + ": no CAA"
	case last:
		return mark(step.Security.Status) + ": this decides"
	}
	return mark(step.Security.Status)
}

// above says why the climb went no higher.
func (n Name) above() string {
	if len(n.Climb) == 0 {
		return "nothing was asked"
	}
	switch step := n.Climb[len(n.Climb)-1]; {
	case step.Failure != "" || step.Security.Status == dnssec.Bogus:
		return "the climb fails here"
	case len(step.Properties) > 0:
		return "not asked: it does not matter"
	}
	return "the root is not asked"
}

func (n Name) climbWords() string {
	var out []string
	for i, step := range n.Climb {
		words := fmt.Sprintf("Step %d, %s", i+1, step.Name)
		for _, alias := range step.Aliases {
			words += ", alias " + alias
		}
		out = append(out, words+": "+step.what()+".")
	}
	return strings.Join(append(out, "Above: "+n.above()+"."), " ")
}

// chainPictures show the chains of trust, each from the root down: more than one where aliases lead to other
// zones.
func (n Name) chainPictures(id string) []picture {
	var out []picture
	for i, end := range n.ends() {
		out = append(out, chainPicture(fmt.Sprintf("%s-%d", id, i+1), n.path(end)))
	}
	return out
}

// chainPicture shows one chain of trust.
func chainPicture(id string, chain []Zone) picture {
	end := chain[len(chain)-1].Name
	p := picture{ID: id, Caption: "The chain of trust, from the root down to " + end, Title: "The chain of trust to " + end, Desc: chainWords(chain)}
	y := edge
	for i, zone := range chain {
		class := zone.Security.Status.String()
		if i > 0 {
			p.Joints = append(p.Joints, joint{y, y + gap, class, false})
			p.say(besideLeft, y+(gap-lineHeight)/2, charsZone, "remark", zone.delegation())
			y += gap
		}
		top := y
		y = p.say(padding+4, y+padding, charsZone, "name", zoneName(zone.Name))
		y = p.say(padding+4, y, charsZone, "status "+class, zone.status())
		if i == 0 && len(zone.DS) > 0 {
			y = p.say(padding+4, y, charsZone, "remark", "trust anchor: "+tags(zone.DS))
		}
		for _, end := range zone.Ends[:min(1, len(zone.Ends))] {
			y = p.say(padding+4, y, charsZone, "remark", "signatures until "+end.At.Format(shownDay))
		}
		y += padding
		p.Boxes = append(p.Boxes, drawnBox{top, y - top, class})
	}
	p.Height = y + edge
	return p
}

// ends are the zones without a child zone among them.
func (n Name) ends() []Zone {
	var out []Zone
	for _, z := range n.Zones {
		if !slices.ContainsFunc(n.Zones, func(below Zone) bool { return below.Parent == z.Name }) {
			out = append(out, z)
		}
	}
	return out
}

// path is a zone with those above it, the root first.
func (n Name) path(end Zone) []Zone {
	out := []Zone{end}
	for {
		i := slices.IndexFunc(n.Zones, func(z Zone) bool { return z.Name == out[0].Parent })
		if i < 0 || len(out) > len(n.Zones) {
			return out
		}
		out = slices.Insert(out, 0, n.Zones[i])
	}
}

func (z Zone) status() string {
	if z.Security.Detail == "" || z.Security.Status == dnssec.Secure {
		return mark(z.Security.Status)
	}
	return mark(z.Security.Status) + ": " + z.Security.Detail
}

// delegation is what leads to a zone from its parent.
func (z Zone) delegation() string {
	switch {
	case len(z.DS) > 0:
		return "DS " + tags(z.DS)
	case z.Security.Status == dnssec.Insecure:
		return "no DS"
	}
	return "delegation"
}

func tags(tags []uint16) string { return strings.Trim(fmt.Sprint(tags), "[]") }

func chainWords(chain []Zone) string {
	var out []string
	for i, zone := range chain {
		words := zoneName(zone.Name)
		if i > 0 {
			words += ", " + zone.delegation()
		}
		out = append(out, words+": "+zone.Security.Status.String()+".")
	}
	return strings.Join(out, " ")
}

// boxLines breaks text into lines of at most so many cells, after a full stop or a space where there is
// one near the end, and elides what does not fit.
func boxLines(text string, cells, lines int) []string {
	text = terminal.Clean(text)
	var out []string
	for len(out) < lines {
		end, after := fit(text, cells)
		if end == len(text) {
			return append(out, text)
		}
		if after > 0 {
			end = after
		}
		out = append(out, strings.TrimSuffix(text[:end], " "))
		text = text[end:]
	}
	last := out[lines-1]
	end, _ := fit(last, cells-1)
	out[lines-1] = last[:end] + "…"
	return out
}

// fit is where the first cells of a text end, and the last place to break after that is not near the beginning.
func fit(text string, cells int) (end, after int) {
	used := 0
	for i, c := range text {
		width := 1
		if c >= 0x1100 { // may be as wide as two letters
			width = 2
		}
		if used += width; used > cells {
			return i, after
		}
		if used > cells/3 && strings.ContainsRune(". ,;/", c) {
			after = i + utf8.RuneLen(c)
		}
	}
	return len(text), after
}
