package watch

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/resign"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/atomicfile"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile"
)

// unsureRuns is how many runs in a row must have the outcome unknown before that counts as a change: one may be due to a
// lost packet or to a resolver that restarts.
const unsureRuns = 2

// Outcomes in addition to those of verdicts.
const (
	fine     = "fine"      // of a finding that is fixed
	notNamed = "not named" // of an issuer that the name's CAA does not name
	notSeen  = "not seen"  // before the first run that saw it
)

// Condition is one thing that is watched: the verdict of a request, or a finding that is an error.
type Condition struct {
	Kind    string `json:"kind"` // "verdict" or "finding"
	Subject string `json:"subject"`
	Issuer  string `json:"issuer,omitempty"`
	Type    string `json:"type,omitempty"`
	Account string `json:"account,omitempty"`
	Method  string `json:"method,omitempty"`
	Code    string `json:"code,omitempty"` // of a finding
}

// Status is the state of a condition.
type Status struct {
	Outcome string `json:"outcome"` // of package verdict, or "not named"; of a finding its severity, or "fine"; of both "not seen"
	Reason  string `json:"reason,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// bad reports whether something must be fixed.
func (s Status) bad() bool {
	return s.Outcome != verdict.MayIssue.String() && s.Outcome != fine && s.Outcome != notSeen
}

func (s Status) unsure() bool { return s.Outcome == verdict.Unknown.String() }

// same reports whether the other status is no change. Details differ from run to run.
func (s Status) same(other Status) bool {
	return s.Outcome == other.Outcome && s.Reason == other.Reason
}

// Item is what is kept of a condition.
type Item struct {
	Condition
	Now    Status    `json:"now"`
	Since  time.Time `json:"since"` // of Now
	Sent   Status    `json:"sent"`  // the one that was notified last
	Unsure int       `json:"unsure_runs,omitempty"`
}

// Change is a condition whose status is not the one that was notified last.
type Change struct {
	Condition
	Was   Status    `json:"was"`
	Now   Status    `json:"now"`
	Since time.Time `json:"since"`
}

// State is all that is kept, by condition. It is a value: a step makes a new one.
type State map[Condition]Item

// Step returns the state after a run. A run that was interrupted leaves the conditions of names that it did not reach as
// they are; conditions of names that are no longer watched are dropped.
func (s State) Step(found *check.Result, now time.Time) State {
	next, names := State{}, s.names()
	if !found.Complete {
		next = maps.Clone(s)
	}
	for c, status := range conditions(found) {
		item, known := s[c]
		if !known {
			item = Item{Condition: c, Now: status, Since: now, Sent: c.before(status, names[c.Subject])}
		}
		next[c] = item.with(status, now)
	}
	if !found.Complete {
		return next
	}
	seen := next.names()
	for c, item := range s {
		if _, there := next[c]; there {
			continue
		}
		switch {
		case c.Kind == kindFinding && item.Sent.bad():
			next[c] = item.with(Status{Outcome: fine}, now)
		case c.Kind == kindVerdict && seen[c.Subject]:
			next[c] = item.with(Status{Outcome: notNamed}, now)
		}
	}
	return next
}

// before returns the status of a condition before it was first seen. What is fine then is not a change; an issuer that
// appears at a name which is watched already is one.
func (c Condition) before(first Status, known bool) Status {
	switch {
	case c.Kind == kindVerdict && known:
		return Status{Outcome: notNamed}
	case first.bad():
		return Status{Outcome: notSeen}
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

// settled reports whether more is known than that one run had the outcome unknown.
func (i Item) settled() bool { return !i.Now.unsure() || i.Unsure >= unsureRuns }

// Changes returns what is to be notified, in a stable order.
func (s State) Changes() []Change {
	var out []Change
	for c, item := range s {
		if !item.Now.same(item.Sent) && (item.Now.bad() || item.Sent.bad()) && item.settled() {
			out = append(out, Change{c, item.Sent, item.Now, item.Since})
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return compare(a.Condition, b.Condition) })
	return out
}

// Bad returns the conditions that must be fixed, in a stable order.
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

// Notified returns the state after changes were notified, without the conditions that are gone.
func (s State) Notified(changes []Change) State {
	next := maps.Clone(s)
	for _, c := range changes {
		item := next[c.Condition]
		item.Sent = c.Now
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

// conditions are those of a result. Of findings, errors are watched.
func conditions(found *check.Result) map[Condition]Status {
	out := map[Condition]Status{}
	for _, n := range found.Names {
		for _, r := range n.Requests {
			out[conditionOf(n.Subject, r.Verdict.Requirement)] = Status{Outcome: r.Verdict.Outcome.String(), Reason: string(r.Verdict.Reason), Detail: r.Verdict.Detail}
		}
	}
	for _, f := range found.Findings {
		if f := f.Finding; f.Severity == catalog.Error {
			for _, subject := range f.Subjects { // of several, each comes and goes by itself
				out[Condition{Kind: kindFinding, Subject: text(subject), Code: f.Code}] = Status{Outcome: f.Severity.String(), Reason: f.Code, Detail: f.Text}
			}
		}
	}
	return out
}

func conditionOf(s certname.Name, r guard.Requirement) Condition {
	return Condition{Kind: kindVerdict, Subject: text(s.String()), Issuer: text(r.Domain), Type: r.Type.String(), Account: text(r.Account), Method: text(r.Method)}
}

// text makes valid UTF-8, which JSON and labels require, of what servers send.
func text(octets string) string { return strings.ToValidUTF8(octets, "\uFFFD") }

// file is a state on disk.
type file struct {
	Version int            `json:"version"` // stateVersion
	Items   []Item         `json:"items"`
	Signing resign.History `json:"signing,omitempty"`
}

const (
	stateFile    = "state.json"
	stateVersion = 2
	// maxState bounds what is read of it, in octets: a condition takes 500, and 100,000 names may have several each.
	maxState = 256 << 20
)

// load reads the state of a folder; without a file it is empty.
func load(dir string) (State, resign.History, error) {
	data, _, err := regularfile.Read(filepath.Join(dir, stateFile), maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil || f.Version != stateVersion {
		return nil, nil, fmt.Errorf("%s is not a state of this version of caacheck (%v): move it away; what is wrong is then notified again", filepath.Join(dir, stateFile), cmp.Or(err, fmt.Errorf("version %d", f.Version)))
	}
	s := State{}
	for _, item := range f.Items {
		s[item.Condition] = item
	}
	return s, f.Signing, nil
}

// save replaces the file whole, so that a crash leaves the old one or the new one.
func (s State) save(dir string, signed resign.History) error {
	f := file{stateVersion, slices.SortedFunc(maps.Values(s), func(a, b Item) int { return compare(a.Condition, b.Condition) }), signed}
	data, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	return atomicfile.Replace(filepath.Join(dir, stateFile), stateFile+".", data, 0o600)
}
