package keys

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// width is what people's terminals have at least, in characters.
const width = 80

// shownPast is how many events of the past a time line for people begins with.
const shownPast = 12

// shownAnswers is for how long people are shown what became of what they asked for.
const shownAnswers = 24 * time.Hour

// WriteText writes the report for people; a time line of each zone, too, where lines says so.
func (r *Report) WriteText(w io.Writer, lines bool) error {
	var out strings.Builder
	for _, note := range r.Notes {
		out.WriteString(wrap("", note, "") + "\n\n")
	}
	if r.Asked != nil {
		r.Asked.write(&out, r)
	}
	for i := range r.Zones {
		if i > 0 {
			out.WriteString("\n")
		}
		r.Zones[i].write(&out, r.At, lines)
	}
	if len(r.Zones) == 0 && r.Asked == nil {
		fmt.Fprintf(&out, "there are no keys in %s\nA running server may hold some: caacheck keys restore has it write them.\n", terminal.Clean(r.Folder))
	}
	if len(r.Zones) > 1 {
		fmt.Fprintf(&out, "\n%s\n", r.summary())
	}
	_, err := io.WriteString(w, terminal.CleanLines(out.String()))
	return err
}

// WriteJSON writes the report as one document, as Schema has it.
func (r *Report) WriteJSON(w io.Writer) error {
	return terminal.WriteJSON(w, r)
}

func (r *Report) summary() string {
	amiss, unknown := 0, 0
	for i := range r.Zones {
		switch {
		case len(r.Zones[i].Amiss) > 0:
			amiss++
		case r.Zones[i].Error != "":
			unknown++
		}
	}
	text := fmt.Sprintf("%d zones", len(r.Zones))
	if amiss > 0 {
		text += fmt.Sprintf(", something must be mended for %d", amiss)
	}
	if unknown > 0 {
		text += fmt.Sprintf(", %d could not be found out", unknown)
	}
	return text
}

func (o *Outcome) write(out *strings.Builder, r *Report) {
	text := ""
	switch o.Result {
	case Done, Failed, Unanswered:
		for _, line := range o.errandText(r.Folder) {
			out.WriteString(wrap("", line, "    ") + "\n")
		}
		out.WriteString("\n")
		return
	case Refused:
		text = fmt.Sprintf("refused to %s: %s; %s", o.What, o.Refused.about(), o.Refused.Remedy)
	case Queued:
		z := &r.Zones[0]
		text = fmt.Sprintf("No server has taken up the request to %s yet. It stays in the folder for an hour: caacheck keys %s %s shows it, caacheck keys cancel %s %s takes it back. See whether a server runs on this folder.", o.What, r.Folder, z.Zone, r.Folder, z.Zone)
	case TakenBack:
		text = "taken back: " + o.What
	case Planned:
		text = "taken up, and not begun yet: " + o.What
	case Begun:
		text = "begun: " + o.What
	}
	out.WriteString(wrap("", text, "    ") + "\n\n")
}

func (z *Zone) write(out *strings.Builder, now time.Time, lines bool) {
	fmt.Fprintf(out, "%s  %s\n", terminal.Clean(z.Zone), z.Status)
	if z.Error != "" {
		out.WriteString(wrap("    ", z.Error, "    ") + "\n")
	}
	left := 0
	first := true
	for i := range z.Keys {
		k := &z.Keys[i]
		if k.State == keyroll.Removed.String() {
			left++
			continue
		}
		if first {
			fmt.Fprintf(out, "    %-9s  %-4s  %-10s  %-16s  %s\n", "key", "role", "state", "since (UTC)", "seen in")
			first = false
		}
		k.write(out)
	}
	if left > 0 {
		fmt.Fprintf(out, "    and %d no longer in use\n", left)
	}
	say := func(first, text string) { out.WriteString(wrap("    "+first, text, "      ") + "\n") }
	for _, r := range z.Rolls {
		say("", r.text())
	}
	for _, r := range z.Requests {
		say("", fmt.Sprintf("asked for at %s and waiting for a server: %s", moment(r.Asked), r.What))
	}
	for _, a := range z.Answers {
		if now.Sub(a.Answered) < shownAnswers {
			say("", a.text())
		}
	}
	for _, a := range z.Amiss {
		say("! ", a.about()+": "+a.Remedy)
	}
	if lines {
		writeLine(out, z.TimeLine, now)
	}
}

func (k *Key) write(out *strings.Builder) {
	state, since := k.State, ""
	if state == "" {
		state = "-"
	}
	if !k.Since.IsZero() {
		since = moment(k.Since)
	}
	var in []string
	for _, s := range []struct {
		what string
		seen bool
	}{{"DNSKEY", k.InDNSKEY}, {"CDS", k.InCDS}, {"DS", k.InDS == Everywhere}, {"some DS", k.InDS == Somewhere}} {
		if s.seen {
			in = append(in, s.what)
		}
	}
	fmt.Fprintln(out, strings.TrimRight(fmt.Sprintf("    %-9s  %-4s  %-10s  %-16s  %s", k.Key, k.Role, state, since, strings.Join(in, ", ")), " "))
	if k.WaitsFor == "" {
		return
	}
	waits := "waits for " + k.WaitsFor
	if !k.Until.IsZero() {
		waits = "waits until " + moment(k.Until) + " for " + k.WaitsFor
	}
	out.WriteString(wrap("        ", waits, "        ") + "\n")
}

func (r *Roll) text() string {
	what := "roll of the " + strings.Join(r.Roles, " and ")
	if r.Begins.IsZero() {
		return what + ": waits for " + r.WaitsFor
	}
	return what + " at " + moment(r.Begins) + ": waits for " + r.WaitsFor
}

func (a *Request) text() string {
	if a.Refused != nil {
		return fmt.Sprintf("refused at %s to %s: %s; %s", moment(a.Answered), a.What, a.Refused.about(), a.Refused.Remedy)
	}
	return fmt.Sprintf("taken up at %s: %s", moment(a.Answered), a.What)
}

// about is a cause with what it is about.
func (a *Amiss) about() string {
	var about []string
	for _, id := range a.Keys {
		about = append(about, id.String())
	}
	about = append(about, a.Servers...)
	if a.Detail != "" {
		about = append(about, a.Detail)
	}
	if len(about) == 0 {
		return a.Cause
	}
	return strings.Join(about, ", ") + ": " + a.Cause
}

// writeLine draws a time line: the past, now, what has a time, and what has none.
func writeLine(out *strings.Builder, events []Event, now time.Time) {
	if len(events) == 0 {
		return
	}
	events = together(events)
	coming := slices.IndexFunc(events, func(e Event) bool { return e.ToCome })
	if coming < 0 {
		coming = len(events)
	}
	fmt.Fprint(out, "    time line (UTC)\n")
	if skip := coming - shownPast; skip > 0 {
		fmt.Fprintf(out, "      %d earlier\n", skip)
		events, coming = events[skip:], shownPast
	}
	for i, e := range events {
		if i == coming {
			writeNow(out, now)
		}
		when := "no date yet"
		if !e.Time.IsZero() {
			when = moment(e.Time)
		}
		who := ""
		if e.Key != nil {
			who = e.Key.String()
		}
		begin := fmt.Sprintf("    %s %-16s  %-9s  ", map[bool]string{false: "●", true: "○"}[e.ToCome], when, who)
		out.WriteString(wrap(begin, e.What, strings.Repeat(" ", len([]rune(begin)))) + "\n")
	}
	if coming == len(events) {
		writeNow(out, now)
	}
}

func writeNow(out *strings.Builder, now time.Time) {
	fmt.Fprintf(out, "    ▶ %s  now\n", moment(now))
}

// together makes one event of what happened to a key in the same minute.
func together(events []Event) (out []Event) {
	for _, e := range events {
		i := len(out) - 1
		for i >= 0 && moment(out[i].Time) == moment(e.Time) && !sameKey(out[i].Key, e.Key) {
			i--
		}
		if i >= 0 && !e.Time.IsZero() && moment(out[i].Time) == moment(e.Time) && out[i].ToCome == e.ToCome && e.Key != nil {
			out[i].What += ", " + e.What
			continue
		}
		out = append(out, e)
	}
	return out
}

func sameKey(a, b *keyroll.ID) bool { return a == b || a != nil && b != nil && *a == *b }

// wrap breaks a text at spaces into lines of at most width: the first begins with one text, the others with another.
func wrap(first, text, others string) string {
	var out strings.Builder
	out.WriteString(first)
	used := len([]rune(first))
	for i, word := range strings.Fields(text) {
		n := len([]rune(word))
		switch {
		case i == 0:
		case used+1+n > width:
			out.WriteString("\n" + others)
			used = len([]rune(others))
		default:
			out.WriteByte(' ')
			used++
		}
		out.WriteString(word)
		used += n
	}
	return out.String()
}
