package keys

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// shownPast is how many past events a time line has.
const shownPast = 12

// shownAnswers is for how long the answer to a request is shown.
const shownAnswers = 24 * time.Hour

// WriteText writes the report as text, in lines of at most so many columns, 0 for no limit; with a time line of each
// zone if lines is set.
func (r *Report) WriteText(w io.Writer, lines bool, columns int) error {
	out := &writer{columns: columns}
	if r.Asked != nil {
		r.Asked.write(out, r)
	}
	for i := range r.Zones {
		if i > 0 {
			out.WriteString("\n")
		}
		r.Zones[i].write(out, r.At, lines)
	}
	if len(r.Zones) == 0 && r.Asked == nil {
		out.wrap("", fmt.Sprintf("There are no keys in %s. A running server may hold some in memory: caacheck keys restore has it write them.", r.Folder), "")
	}
	if len(r.Zones) > 1 {
		fmt.Fprintf(out, "\n%s\n", r.summary())
	}
	for _, note := range r.Notes {
		out.WriteString("\n")
		out.wrap("Note: ", note, "      ")
	}
	_, err := io.WriteString(w, terminal.CleanLines(strings.TrimRight(out.String(), "\n")+"\n"))
	return err
}

// WriteJSON writes the report as one document, as Schema has it.
func (r *Report) WriteJSON(w io.Writer) error {
	return terminal.WriteJSON(w, r)
}

func (r *Report) summary() string {
	wrong, unknown := 0, 0
	for i := range r.Zones {
		switch {
		case len(r.Zones[i].Problems) > 0:
			wrong++
		case r.Zones[i].Error != "":
			unknown++
		}
	}
	text := fmt.Sprintf("%d zones", len(r.Zones))
	if wrong > 0 {
		text += fmt.Sprintf(", %d with something to fix", wrong)
	}
	if unknown > 0 {
		text += fmt.Sprintf(", %d unknown", unknown)
	}
	return text
}

func (o *Outcome) write(out *writer, r *Report) {
	text := ""
	switch o.Result {
	case Done, Failed, Unanswered, InProgress:
		for _, line := range o.errandText(r.Folder) {
			out.wrap("", line, "    ")
		}
		out.WriteString("\n")
		return
	case Refused:
		text = fmt.Sprintf("refused to %s: %s. Fix: %s", o.What, o.Refused.about(), o.Refused.Fix)
	case Queued:
		z := &r.Zones[0]
		text = fmt.Sprintf("No server has answered the request to %s yet. It stays in the folder for an hour: caacheck keys %s %s shows it, caacheck keys cancel %s %s cancels it. Make sure that a server runs with this folder.", o.What, r.Folder, z.Zone, r.Folder, z.Zone)
	case Canceled:
		text = "canceled: " + o.What
	case Planned:
		text = "accepted, and not begun yet: " + o.What
	case Begun:
		text = "begun: " + o.What
	}
	out.wrap("", text, "    ")
	out.WriteString("\n")
}

func (z *Zone) write(out *writer, now time.Time, lines bool) {
	fmt.Fprintf(out, "%s  %s\n", terminal.Clean(z.Zone), z.Status)
	if z.Error != "" {
		out.wrap("    ", z.Error, "    ")
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
	say := func(first, text string) { out.wrap("    "+first, text, "      ") }
	for _, r := range z.Rolls {
		say("", r.text())
	}
	for _, r := range z.Requests {
		say("", fmt.Sprintf("requested at %s, not yet read by a server: %s", moment(r.Asked), r.What))
	}
	for _, a := range z.Answers {
		if now.Sub(a.Answered) < shownAnswers {
			say("", a.text())
		}
	}
	for _, a := range z.Problems {
		say("! ", a.about()+". Fix: "+a.Fix)
	}
	if lines {
		writeLine(out, z.TimeLine, now)
	}
}

func (k *Key) write(out *writer) {
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
	out.wrap("        ", waits, "        ")
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
		return fmt.Sprintf("refused at %s to %s: %s. Fix: %s", moment(a.Answered), a.What, a.Refused.about(), a.Refused.Fix)
	}
	return fmt.Sprintf("accepted at %s: %s", moment(a.Answered), a.What)
}

// about is a cause with what it is about.
func (a *Problem) about() string {
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
func writeLine(out *writer, events []Event, now time.Time) {
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
		out.wrap(begin, e.What, strings.Repeat(" ", utf8.RuneCountInString(begin)))
	}
	if coming == len(events) {
		writeNow(out, now)
	}
}

func writeNow(out *writer, now time.Time) {
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

// writer is text of so many columns.
type writer struct {
	strings.Builder
	columns int
}

// wrap writes a paragraph: the first line begins with one text, the others with another.
func (w *writer) wrap(first, text, others string) {
	w.WriteString(report.Wrap(first, text, others, w.columns) + "\n")
}
