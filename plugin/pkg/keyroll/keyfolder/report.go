package keyfolder

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

// Report is what the server that stepped a zone last knew and decided, for people. No server reads it.
type Report struct {
	At       time.Time         `json:"at"`
	Wake     time.Time         `json:"wake"` // when it meant to step again at the latest
	Waits    []keyroll.Wait    `json:"waits,omitempty"`
	Plans    []keyroll.Plan    `json:"plans,omitempty"`
	Refusals []keyroll.Refusal `json:"refusals,omitempty"`
	Warnings []keyroll.Refusal `json:"warnings,omitempty"`
	Files    []string          `json:"files,omitempty"`  // what is dangerous about them
	Parent   []ParentAnswer    `json:"parent,omitempty"` // of each of its servers, when they were asked last
	Settings keyroll.Settings  `json:"settings"`
}

// ParentAnswer is the answer of a server of the parent.
type ParentAnswer struct {
	Server string        `json:"server"`
	At     time.Time     `json:"at"`
	Named  []keyroll.ID  `json:"named,omitempty"`  // our keys that its DS name
	Others []keyroll.ID  `json:"others,omitempty"` // those that its other DS name
	TTL    time.Duration `json:"ttl,omitempty"`    // of the DS RRset
	Error  string        `json:"error,omitempty"`  // why it could not be asked
}

// newReport is the report of a decision. A parent that was not asked keeps its last answer.
func newReport(now time.Time, d *keyroll.Decision, files []string, before *Report) *Report {
	r := &Report{At: now, Wake: d.Wake, Waits: d.Waits, Plans: d.Plans, Warnings: d.Warnings, Files: files, Settings: d.Settings}
	r.Refusals = d.Standing()
	if len(d.Parent) == 0 && before != nil {
		r.Parent = before.Parent
	}
	for _, o := range d.Parent {
		w := ParentAnswer{Server: o.Server, At: now, Named: o.Named, TTL: o.TTL}
		for _, ds := range o.Others {
			w.Others = append(w.Others, keyroll.ID{Algorithm: ds.Algorithm, Tag: ds.KeyTag})
		}
		if o.Err != nil {
			w.Error = o.Err.Error()
		}
		r.Parent = append(r.Parent, w)
	}
	return r
}

// saysTheSame reports whether two reports differ in nothing but their times and the words of errors.
func (r *Report) saysTheSame(other *Report) bool {
	if r == nil || other == nil {
		return r == other
	}
	a, errA := json.Marshal(r.substance())
	b, errB := json.Marshal(other.substance())
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

func (r *Report) substance() *Report {
	s := *r
	s.At, s.Wake = time.Time{}, time.Time{}
	s.Refusals, s.Warnings = withoutDetail(r.Refusals), withoutDetail(r.Warnings)
	s.Parent = slices.Clone(r.Parent)
	slices.SortStableFunc(s.Parent, func(a, b ParentAnswer) int { return bytes.Compare([]byte(a.Server), []byte(b.Server)) })
	for i := range s.Parent {
		w := &s.Parent[i]
		w.At = time.Time{}
		if w.Error != "" {
			w.Error = "silent"
		}
	}
	return &s
}

func withoutDetail(refusals []keyroll.Refusal) []keyroll.Refusal {
	out := slices.Clone(refusals)
	for i := range out {
		out[i].Err = nil
	}
	return out
}
