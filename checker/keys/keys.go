// Package keys shows the keys of zones: what the server of a folder knows of them, or what is observed from outside, with
// what each key waits for, what must be fixed, and a time line. It writes an operator's requests into the folder and
// reads the server's answers (see package keyfolder).
//
// Nothing here decides anything about keys, and nothing reads a private key.
package keys

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
)

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of a Report in JSON.
func Schema() []byte { return slices.Clone(schema) }

// Report has the keys of some zones.
type Report struct {
	Version int       `json:"version"` // 1
	At      time.Time `json:"at"`
	Folder  string    `json:"folder,omitempty"` // "" for zones seen from outside
	Notes   []string  `json:"notes,omitempty"`
	Zones   []Zone    `json:"zones"`
	Asked   *Outcome  `json:"asked,omitempty"` // the outcome of a request, if there was one
}

// Zone has the keys of one zone.
type Zone struct {
	Zone     string    `json:"zone"`
	Status   Status    `json:"status"`
	Keys     []Key     `json:"keys"` // the oldest first
	Rolls    []Roll    `json:"rolls,omitempty"`
	Requests []Request `json:"requests,omitempty"` // that no server has read
	Answers  []Request `json:"answers,omitempty"`  // the last ones
	Problems []Problem `json:"problems"`
	Parent   []Parent  `json:"parent,omitempty"`
	TimeLine []Event   `json:"time_line"`
	Settings *Settings `json:"settings,omitempty"`
	Written  time.Time `json:"written,omitzero"`   // by a server, last
	NextStep time.Time `json:"next_step,omitzero"` // when it next acts, at the latest
	Error    string    `json:"error,omitempty"`    // why it could not be determined
	view     *keyfolder.View
}

// Status is how resolvers are to see a zone.
type Status string

// The statuses.
const (
	Signed        Status = "signed"
	GoingInsecure Status = "going insecure" // signed until no cache has a DS
	Insecure      Status = "insecure"
	NotTakenOver  Status = "not taken over" // there are keys, and no server has used them yet
	Unknown       Status = "unknown"
)

// Key is one key.
type Key struct {
	Key         keyroll.ID    `json:"key"`
	Role        string        `json:"role"`
	State       string        `json:"state,omitempty"` // "" where no server has given it one
	Since       time.Time     `json:"since,omitzero"`
	WaitsFor    string        `json:"waits_for,omitempty"`
	Until       time.Time     `json:"until,omitzero"` // zero where it does not depend on the server
	Times       keyroll.Times `json:"times"`
	InDS        Seen          `json:"in_ds"`
	InDNSKEY    bool          `json:"in_dnskey"`
	InCDS       bool          `json:"in_cds"`
	SignsDNSKEY bool          `json:"signs_dnskey"`
	SignsData   bool          `json:"signs_data"`
}

// Seen is how many of the parent's servers have a DS of a key.
type Seen string

// The values of Seen.
const (
	Everywhere Seen = "everywhere"
	Somewhere  Seen = "somewhere"
	Nowhere    Seen = "nowhere"
	Unseen     Seen = "unknown" // some servers did not answer, and none of the others has it
)

// Roll is one that will begin.
type Roll struct {
	Roles    []string  `json:"roles"`
	WaitsFor string    `json:"waits_for"`
	Begins   time.Time `json:"begins,omitzero"`
}

// Request is an operator's request, with its answer.
type Request struct {
	What     string    `json:"what"`
	Asked    time.Time `json:"asked"`
	Answered time.Time `json:"answered,omitzero"`
	Refused  *Problem  `json:"refused,omitempty"`
}

// Problem is something that must be fixed, or why a request was refused.
type Problem struct {
	Code    string       `json:"code"`
	Keys    []keyroll.ID `json:"keys,omitempty"`
	Servers []string     `json:"servers,omitempty"`
	Detail  string       `json:"detail,omitempty"`
	Cause   string       `json:"cause"`
	Fix     string       `json:"fix"`
}

// Parent is the answer of one server of the parent.
type Parent struct {
	Server string       `json:"server"`
	At     time.Time    `json:"at"`
	Named  []keyroll.ID `json:"named"`  // the zone's keys that a DS names
	Others []keyroll.ID `json:"others"` // keys of other DS records
	TTL    int64        `json:"ttl"`    // of the DS RRset, in seconds
	Error  string       `json:"error,omitempty"`
}

// Settings are those of the server; durations are in seconds.
type Settings struct {
	Algorithm         uint8 `json:"algorithm"`
	Split             bool  `json:"split"`
	Propagation       int64 `json:"propagation"`
	ParentPropagation int64 `json:"parent_propagation"`
	ParentTTL         int64 `json:"parent_ttl"`
	Safety            int64 `json:"safety"`
	LifetimeKSK       int64 `json:"ksk_lifetime"`
	LifetimeZSK       int64 `json:"zsk_lifetime"`
	LifetimeCSK       int64 `json:"csk_lifetime"`
	BackupAge         int64 `json:"backup_age"`
	Keep              int64 `json:"keep"`
	Poll              int64 `json:"poll"`
	Patience          int64 `json:"patience"`
}

// FromFolder returns what a folder has of zones, or of all zones if none is named.
func FromFolder(dir string, now time.Time, zones ...string) (*Report, error) {
	views, err := keyfolder.New(dir).Look(now, zones...)
	if err != nil {
		return nil, err
	}
	r := &Report{Version: 1, At: now, Folder: dir, Zones: make([]Zone, len(views))}
	for i := range views {
		r.Zones[i] = fromView(&views[i], now)
	}
	slices.SortFunc(r.Zones, func(a, b Zone) int { return strings.Compare(a.Zone, b.Zone) })
	return r, nil
}

func fromView(v *keyfolder.View, now time.Time) Zone {
	z := Zone{Zone: dnsname.Bare(v.Zone), Status: status(v), Keys: []Key{}, Problems: []Problem{}, TimeLine: []Event{}, view: v,
		Written: v.State.Seen}
	if v.Err != nil {
		z.Error, z.Status = v.Err.Error(), Unknown
		return z
	}
	sets := v.State.Sets()
	for _, k := range v.State.Keys {
		key := Key{Key: k.ID, Role: k.Role.String(), State: k.State.String(), Since: k.Since, Times: k.Times, InDS: z.named(k.ID),
			InDNSKEY: slices.Contains(sets.DNSKEY, k.ID), InCDS: slices.Contains(sets.CDS, k.ID),
			SignsDNSKEY: slices.Contains(sets.Apex, k.ID), SignsData: slices.Contains(sets.Data, k.ID)}
		if w := z.wait(k.ID); w != nil && w.State == k.State {
			key.WaitsFor, key.Until = w.For, w.Until
		}
		z.Keys = append(z.Keys, key)
	}
	for _, k := range v.Found {
		z.Keys = append(z.Keys, Key{Key: k.ID, Role: k.Role.String(), Times: k.Times, InDS: Unseen})
	}
	for _, r := range v.State.Requests {
		z.Requests = append(z.Requests, Request{What: describe(r), Asked: r.Asked})
	}
	for _, a := range v.State.Answers {
		z.Answers = append(z.Answers, Request{What: describe(a.Request), Asked: a.Asked, Answered: a.Time, Refused: refused(a.Refused)})
	}
	if r := v.Report; r != nil {
		z.NextStep, z.Settings = r.Wake, settings(&r.Settings)
		for _, p := range r.Plans {
			z.Rolls = append(z.Rolls, roll(p))
		}
		for _, w := range r.Parent {
			z.Parent = append(z.Parent, Parent{w.Server, w.At, orEmpty(w.Named), orEmpty(w.Others), seconds(w.TTL), w.Error})
		}
	}
	z.Problems = append(z.Problems, problemsOf(v, now)...)
	z.TimeLine = append(z.TimeLine, timeLine(v, now)...)
	return z
}

func status(v *keyfolder.View) Status {
	sets := v.State.Sets()
	served := len(sets.DNSKEY)+len(sets.Data) > 0
	switch {
	case !v.Served():
		return NotTakenOver
	case v.State.Insecure && served:
		return GoingInsecure
	case served:
		return Signed
	}
	return Insecure
}

// wait is what the server reported that a key waits for.
func (z *Zone) wait(id keyroll.ID) *keyroll.Wait {
	if z.view.Report == nil {
		return nil
	}
	i := slices.IndexFunc(z.view.Report.Waits, func(w keyroll.Wait) bool { return w.Key == id })
	if i < 0 {
		return nil
	}
	return &z.view.Report.Waits[i]
}

// named says how many of the parent's servers had a DS of a key when they were last asked.
func (z *Zone) named(id keyroll.ID) Seen {
	if z.view.Report == nil || len(z.view.Report.Parent) == 0 {
		return Unseen
	}
	names, silent := 0, 0
	for _, w := range z.view.Report.Parent {
		switch {
		case w.Error != "":
			silent++
		case slices.Contains(w.Named, id):
			names++
		}
	}
	return seenBy(names, silent, len(z.view.Report.Parent))
}

// seenBy is what it means for a DS record that so many of a parent's servers have it, and so many did not answer.
func seenBy(names, silent, all int) Seen {
	switch {
	case all > 0 && names == all:
		return Everywhere
	case names > 0:
		return Somewhere
	case silent > 0 || all == 0:
		return Unseen
	}
	return Nowhere
}

func roll(p keyroll.Plan) Roll {
	r := Roll{WaitsFor: p.For, Begins: p.Begins}
	for _, role := range p.Roles {
		r.Roles = append(r.Roles, role.String())
	}
	return r
}

// describe is a request as text.
func describe(r keyroll.Request) string {
	switch {
	case r.Verb == keyroll.RollKey && r.Urgent:
		return fmt.Sprintf("roll the %s at once", r.Role)
	case r.Verb == keyroll.RollKey:
		return fmt.Sprintf("roll the %s", r.Role)
	case r.Verb == keyroll.RetireKey:
		return fmt.Sprintf("retire %s", r.Key)
	}
	return map[keyroll.Verb]string{keyroll.GoInsecure: "go insecure", keyroll.ComeBack: "stay signed or sign again", keyroll.CallOff: "cancel rolls that have not begun"}[r.Verb]
}

func refused(r *keyroll.Refusal) *Problem {
	if r == nil {
		return nil
	}
	a := fromRefusal(*r)
	return &a
}

func fromRefusal(r keyroll.Refusal) Problem {
	of := r.Entry()
	a := Problem{Code: of.Code, Keys: r.Keys, Servers: r.Servers, Cause: of.Text, Fix: of.Fix}
	if r.Err != nil {
		a.Detail = r.Err.Error()
	}
	return a
}

// missedHeartbeats is how many of a server's regular writes must be missing for it to be reported.
const missedHeartbeats = 3

// problemsOf returns what must be fixed, by the server's report and by the state of the folder.
func problemsOf(v *keyfolder.View, now time.Time) (out []Problem) {
	for _, id := range v.Lost {
		out = append(out, problem(filesMissing, Problem{Keys: []keyroll.ID{id}}))
	}
	r := v.Report
	if r == nil {
		return out
	}
	if silent := now.Sub(v.State.Seen); silent > missedHeartbeats*r.Settings.Heartbeat {
		out = append(out, problem(noServer, Problem{Detail: "since " + moment(v.State.Seen)}))
	}
	for _, refusal := range slices.Concat(r.Refusals, r.Warnings) {
		out = append(out, fromRefusal(refusal))
	}
	for _, file := range r.Files {
		out = append(out, problem(badFiles, Problem{Detail: file}))
	}
	return out
}

func settings(s *keyroll.Settings) *Settings {
	return &Settings{s.Algorithm, s.Split, seconds(s.Propagation), seconds(s.ParentPropagation), seconds(s.ParentTTL), seconds(s.Safety),
		seconds(s.Lifetime.KSK), seconds(s.Lifetime.ZSK), seconds(s.Lifetime.CSK), seconds(s.BackupAge), seconds(s.Keep), seconds(s.Poll), seconds(s.Patience)}
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func orEmpty(ids []keyroll.ID) []keyroll.ID { return append([]keyroll.ID{}, ids...) }

// ExitCode returns the exit status for the report: what must be fixed goes before what could not be determined.
func (r *Report) ExitCode() int {
	code := report.ExitFine
	if r.Asked != nil {
		return r.Asked.exitCode()
	}
	for i := range r.Zones {
		switch z := &r.Zones[i]; {
		case len(z.Problems) > 0:
			return report.ExitWrong
		case z.Error != "":
			code = report.ExitUnknown
		}
	}
	return code
}

// moment is a time as text, in UTC.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// ParseZone returns the canonical form of a zone's name.
func ParseZone(text string) (string, error) {
	if strings.IndexFunc(text, func(c rune) bool { return c >= 0x80 }) >= 0 {
		s, err := certname.Parse(text)
		if err != nil {
			return "", err
		}
		return dns.CanonicalName(s.String()), nil
	}
	name, ok := dnsname.Canonical(text)
	if !ok {
		return "", fmt.Errorf("%q is not a domain name", text)
	}
	return name, nil
}
