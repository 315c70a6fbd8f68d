package keys

import (
	"cmp"
	"slices"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
)

// Event is something that has happened, or will.
type Event struct {
	Time   time.Time   `json:"time,omitzero"` // zero for what nobody can say the time of
	ToCome bool        `json:"to_come"`
	Key    *keyroll.ID `json:"key,omitempty"`
	What   string      `json:"what"`
}

// happenings are what the times of a key say, in the order of a life.
var happenings = []struct {
	what string
	at   func(*keyroll.Times) time.Time
}{
	{"made", func(t *keyroll.Times) time.Time { return t.Created }},
	{"DNSKEY served", func(t *keyroll.Times) time.Time { return t.Publish }},
	{"signs", func(t *keyroll.Times) time.Time { return t.Activate }},
	{"CDS requests its DS", func(t *keyroll.Times) time.Time { return t.SyncPublish }},
	{"CDS no longer requests its DS", func(t *keyroll.Times) time.Time { return t.SyncDelete }},
	{"no longer signs", func(t *keyroll.Times) time.Time { return t.Inactive }},
	{"DNSKEY withdrawn", func(t *keyroll.Times) time.Time { return t.Delete }},
}

// entered are the states whose beginning is not among the times of a key.
var entered = map[keyroll.State]string{
	keyroll.Active:   "every server of the parent has its DS",
	keyroll.Retiring: "being withdrawn",
	keyroll.Yielding: "being withdrawn, and still signs",
	keyroll.Unsure:   "what caches have of it is not known",
}

// coming is what a key will do when its wait is over, by the state in which it is then.
var coming = map[keyroll.State]string{
	keyroll.Introduced: "DNSKEY served",
	keyroll.Ready:      "in use, and CDS requests its DS",
	keyroll.Active:     "in use",
	keyroll.Postsigned: "DNSKEY withdrawn",
	keyroll.Removed:    "no longer in use",
}

// ahead is what comes after a wait.
func ahead(w *keyroll.Wait) string {
	switch {
	case w.State == w.Next && w.State == keyroll.Active:
		return "a roll begins, because of its age"
	case w.State == keyroll.Unsure:
		return "the parent's DS decides what happens to it"
	}
	return coming[w.Next]
}

// timeLine returns what has happened to the keys of a zone and what will, in the order of time; events without a known
// time come last.
func timeLine(v *keyfolder.View, now time.Time) (events []Event) {
	add := func(at time.Time, id *keyroll.ID, what string) {
		events = append(events, Event{at, at.IsZero() || at.After(now), id, what})
	}
	for _, k := range slices.Concat(v.State.Keys, v.Found) {
		for _, h := range happenings {
			if at := h.at(&k.Times); !at.IsZero() {
				add(at, &k.ID, h.what)
			}
		}
		if what := entered[k.State]; what != "" && v.Served() && !(k.State == keyroll.Active && k.Role == keyroll.ZSK) {
			add(k.Since, &k.ID, what)
		}
		if !k.Gone.IsZero() {
			add(k.Gone, &k.ID, "no server of the parent has its DS")
		}
		if k.State == keyroll.Removed && v.Report != nil {
			add(k.Since.Add(v.Report.Settings.Keep), &k.ID, "files deleted")
		}
	}
	if v.Report != nil {
		for _, w := range v.Report.Waits {
			if w.Until.IsZero() {
				add(w.Until, &w.Key, "waits for "+w.For)
			} else if what := ahead(&w); what != "" {
				add(w.Until, &w.Key, what)
			}
		}
		for _, p := range v.Report.Plans {
			what := "roll of the " + roles(p.Roles)
			if p.Begins.IsZero() {
				what += ", after " + p.For
			}
			add(p.Begins, nil, what)
		}
	}
	slices.SortStableFunc(events, func(a, b Event) int {
		if a.Time.IsZero() || b.Time.IsZero() {
			return cmp.Compare(order(a), order(b))
		}
		return a.Time.Compare(b.Time)
	})
	return events
}

func order(e Event) int {
	if e.Time.IsZero() {
		return 1
	}
	return 0
}

func roles(roles []keyroll.Role) string {
	text := ""
	for i, r := range roles {
		if i > 0 {
			text += " and "
		}
		text += r.String()
	}
	return text
}
