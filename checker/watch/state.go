package watch

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/signing"
	"github.com/coredns-caa/caa/checker/verdict"
)

// unsureRuns is how many runs in a row must not find something out before that is told: one lost packet
// or a resolver's restart is no news.
const unsureRuns = 2

// Outcomes beside those of verdicts.
const (
	fine     = "fine"      // a finding that is no more, or was never there
	notNamed = "not named" // an issuer that the name's CAA does not name any more, or did not yet
)

// Condition is one thing that is watched: what becomes of a request, or an error that was found.
type Condition struct {
	Kind    string `json:"kind"` // "verdict" or "finding"
	Subject string `json:"subject"`
	Issuer  string `json:"issuer,omitempty"`
	Type    string `json:"type,omitempty"`
	Account string `json:"account,omitempty"`
	Method  string `json:"method,omitempty"`
	Code    string `json:"code,omitempty"` // of a finding
}

// Status is what was found of a condition.
type Status struct {
	Outcome string `json:"outcome"` // of package verdict, or "not named"; of a finding its severity, or "fine"
	Reason  string `json:"reason,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// bad reports whether somebody has to do something.
func (s Status) bad() bool { return s.Outcome != verdict.MayIssue.String() && s.Outcome != fine }

func (s Status) unsure() bool { return s.Outcome == verdict.Unknown.String() }

// same reports whether two are no news of each other. A detail may change as it likes.
func (s Status) same(other Status) bool {
	return s.Outcome == other.Outcome && s.Reason == other.Reason
}

// Item is what is kept of a condition.
type Item struct {
	Condition
	Now    Status    `json:"now"`
	Since  time.Time `json:"since"` // of Now
	Told   Status    `json:"told"`  // what was told last
	Unsure int       `json:"unsure_runs,omitempty"`
}

// Change is a condition that is no more what was told last.
type Change struct {
	Condition
	Was   Status    `json:"was"`
	Now   Status    `json:"now"`
	Since time.Time `json:"since"`
}

// State is all that is kept, by condition. It is a value: a step makes a new one.
type State map[Condition]Item

// Step takes a report in. Conditions of names that are not in a report that was interrupted stay as they
// are; those of names that are not watched any more go.
func (s State) Step(r *report.Report, now time.Time) State {
	next, names := State{}, s.names()
	if !r.Complete {
		next = maps.Clone(s)
	}
	for c, status := range conditions(r) {
		item, known := s[c]
		if !known {
			item = Item{Condition: c, Now: status, Since: now, Told: c.before(status, names[c.Subject])}
		}
		next[c] = item.with(status, now)
	}
	if !r.Complete {
		return next
	}
	seen := next.names()
	for c, item := range s {
		if _, there := next[c]; there {
			continue
		}
		switch {
		case c.Kind == kindFinding && item.Told.bad():
			next[c] = item.with(Status{Outcome: fine}, now) // mended
		case c.Kind == kindVerdict && seen[c.Subject]:
			next[c] = item.with(Status{Outcome: notNamed}, now)
		}
	}
	return next
}

// before is what a condition was before it was first seen. What is fine from the beginning is no news; an
// issuer that appears at a name which is watched already is.
func (c Condition) before(first Status, known bool) Status {
	switch {
	case c.Kind == kindVerdict && known:
		return Status{Outcome: notNamed}
	case first.bad():
		return Status{Outcome: fine}
	}
	return first
}

// names are those that there are verdicts of.
func (s State) names() map[string]bool {
	out := map[string]bool{}
	for c := range s {
		if c.Kind == kindVerdict {
			out[c.Subject] = true
		}
	}
	return out
}

// with is the item after one more run.
func (i Item) with(status Status, now time.Time) Item {
	if status.unsure() {
		if i.Unsure++; i.Unsure < unsureRuns {
			return i
		}
	} else {
		i.Unsure = 0
	}
	if !i.Now.same(status) {
		i.Since = now
	}
	i.Now = status
	return i
}

// settled reports whether a first failure to find out is not all that is known.
func (i Item) settled() bool { return !i.Now.unsure() || i.Unsure >= unsureRuns }

// Changes are what has to be told, in a stable order.
func (s State) Changes() []Change {
	var out []Change
	for c, item := range s {
		if !item.Now.same(item.Told) && (item.Now.bad() || item.Told.bad()) && item.settled() {
			out = append(out, Change{c, item.Told, item.Now, item.Since})
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return compare(a.Condition, b.Condition) })
	return out
}

// Bad are the conditions that somebody has to do something about, in a stable order.
func (s State) Bad() []Item {
	var out []Item
	for _, item := range s {
		if item.Now.bad() && item.settled() {
			out = append(out, item)
		}
	}
	slices.SortFunc(out, func(a, b Item) int { return compare(a.Condition, b.Condition) })
	return out
}

func compare(a, b Condition) int {
	return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Type, b.Type),
		cmp.Compare(a.Account, b.Account), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Code, b.Code))
}

// Told is the state after changes were told. What is gone is forgotten.
func (s State) Told(changes []Change) State {
	next := maps.Clone(s)
	for _, c := range changes {
		item := next[c.Condition]
		item.Told = c.Now
		next[c.Condition] = item
		if c.Now.Outcome == fine || c.Now.Outcome == notNamed {
			delete(next, c.Condition)
		}
	}
	return next
}

const (
	kindVerdict = "verdict"
	kindFinding = "finding"
)

// conditions are those of a report. Of findings, errors are watched.
func conditions(r *report.Report) map[Condition]Status {
	out := map[Condition]Status{}
	for _, n := range r.Names {
		for _, v := range n.Verdicts {
			out[conditionOf(n, v)] = Status{Outcome: v.Outcome.String(), Reason: string(v.Reason), Detail: v.Detail}
		}
	}
	for _, f := range r.Findings {
		if f.Severity == finding.Error {
			out[Condition{Kind: kindFinding, Subject: text(f.Subject), Code: f.Code}] = Status{Outcome: f.Severity.String(), Reason: f.Code, Detail: f.Text}
		}
	}
	return out
}

func conditionOf(n report.Name, v report.Verdict) Condition {
	return Condition{Kind: kindVerdict, Subject: text(n.Name), Issuer: text(v.Issuer), Type: v.Type.String(), Account: text(v.Account), Method: text(v.Method)}
}

// text makes what servers send fit for JSON and for labels, which take UTF-8 alone.
func text(octets string) string { return strings.ToValidUTF8(octets, "\uFFFD") }

// file is a state on disk.
type file struct {
	Version int             `json:"version"` // 1
	Items   []Item          `json:"items"`
	Signing signing.History `json:"signing,omitempty"`
}

const stateFile = "state.json"

// load reads the state of a folder; without a file it is empty.
func load(dir string) (State, signing.History, error) {
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil || f.Version != 1 {
		return nil, nil, fmt.Errorf("%s is no state of this version (%v): move it away, and what is wrong will be told anew", filepath.Join(dir, stateFile), cmp.Or(err, errors.New("another version")))
	}
	s := State{}
	for _, item := range f.Items {
		s[item.Condition] = item
	}
	return s, f.Signing, nil
}

// save replaces the file whole, so that a crash leaves the old one or the new.
func (s State) save(dir string, signed signing.History) error {
	f := file{1, slices.SortedFunc(maps.Values(s), func(a, b Item) int { return compare(a.Condition, b.Condition) }), signed}
	data, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(dir, stateFile+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(data)
	if err = cmp.Or(err, temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), filepath.Join(dir, stateFile))
}
