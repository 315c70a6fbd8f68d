// Package keys shows the keys of zones to people: what a folder's server knows of them, or what can be seen
// from outside, with what each key waits for, what must be mended, and a time line. It carries people's
// requests to the server and brings the answers (package keyfolder says how).
//
// Nothing here decides anything about keys, and nothing reads the private half of one.
package keys

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/subject"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of a Report in JSON.
func Schema() []byte { return slices.Clone(schema) }

// Report is the keys of some zones.
type Report struct {
	Version int       `json:"version"` // 1
	At      time.Time `json:"at"`
	Folder  string    `json:"folder,omitempty"` // "" where it was looked from outside
	Notes   []string  `json:"notes,omitempty"`
	Zones   []Zone    `json:"zones"`
	Asked   *Outcome  `json:"asked,omitempty"` // what became of a request, where there was one
}

// Zone is the keys of one zone.
type Zone struct {
	Zone     string    `json:"zone"`
	Status   Status    `json:"status"`
	Keys     []Key     `json:"keys"` // the oldest first
	Rolls    []Roll    `json:"rolls,omitempty"`
	Requests []Request `json:"requests,omitempty"` // that no server has seen
	Answers  []Request `json:"answers,omitempty"`  // the last
	Amiss    []Amiss   `json:"amiss"`
	Parent   []Parent  `json:"parent,omitempty"`
	TimeLine []Event   `json:"time_line"`
	Settings *Settings `json:"settings,omitempty"`
	Written  time.Time `json:"written,omitzero"`   // by a server, last
	NextStep time.Time `json:"next_step,omitzero"` // when it meant to look again at the latest
	Error    string    `json:"error,omitempty"`    // why it could not be found out
	view     *keyfolder.View
}

// Status is how a zone is to be seen by resolvers.
type Status string

// The statuses.
const (
	Signed        Status = "signed"
	GoingInsecure Status = "going insecure" // signed until no cache has a DS
	Insecure      Status = "insecure"
	NotTakenOver  Status = "not taken over" // there are keys, and no server has stepped them
	Unknown       Status = "unknown"
)

// Key is one key.
type Key struct {
	Key         keyroll.ID    `json:"key"`
	Role        string        `json:"role"`
	State       string        `json:"state,omitempty"` // "" where no server has given it one
	Since       time.Time     `json:"since,omitzero"`
	WaitsFor    string        `json:"waits_for,omitempty"`
	Until       time.Time     `json:"until,omitzero"` // zero where that is not up to the server
	Times       keyroll.Times `json:"times"`
	InDS        Seen          `json:"in_ds"`
	InDNSKEY    bool          `json:"in_dnskey"`
	InCDS       bool          `json:"in_cds"`
	SignsDNSKEY bool          `json:"signs_dnskey"`
	SignsData   bool          `json:"signs_data"`
}

// Seen is at how many of the parent's servers a DS names a key.
type Seen string

// The sights.
const (
	Everywhere Seen = "everywhere"
	Somewhere  Seen = "somewhere"
	Nowhere    Seen = "nowhere"
	Unseen     Seen = "unknown" // not every server answered, and none that did has it
)

// Roll is one that will begin.
type Roll struct {
	Roles    []string  `json:"roles"`
	WaitsFor string    `json:"waits_for"`
	Begins   time.Time `json:"begins,omitzero"`
}

// Request is what somebody asked for, and what became of it.
type Request struct {
	What     string    `json:"what"`
	Asked    time.Time `json:"asked"`
	Answered time.Time `json:"answered,omitzero"`
	Refused  *Amiss    `json:"refused,omitempty"`
}

// Amiss is something that must be mended, or why something was refused.
type Amiss struct {
	Code    string       `json:"code"`
	Keys    []keyroll.ID `json:"keys,omitempty"`
	Servers []string     `json:"servers,omitempty"`
	Detail  string       `json:"detail,omitempty"`
	Cause   string       `json:"cause"`
	Remedy  string       `json:"remedy"`
}

// Parent is what one server of the parent said.
type Parent struct {
	Server string       `json:"server"`
	At     time.Time    `json:"at"`
	Named  []keyroll.ID `json:"named"`  // our keys that a DS names
	Others []keyroll.ID `json:"others"` // of whom nothing is known here
	TTL    int64        `json:"ttl"`    // of the DS RRset, in seconds
	Error  string       `json:"error,omitempty"`
}

// Settings are those of the server, durations in seconds.
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

// FromFolder is what a folder has of zones; of all where none is named.
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
	z := Zone{Zone: terminal.Bare(v.Zone), Status: status(v), Keys: []Key{}, Amiss: []Amiss{}, TimeLine: []Event{}, view: v,
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
	z.Amiss = append(z.Amiss, amiss(v, now)...)
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

// wait is what the server said that a key waits for.
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

// named says where the parent named a key, when it was asked last.
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
	return sight(names, silent, len(z.view.Report.Parent))
}

func sight(names, silent, all int) Seen {
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

// describe is a request for people.
func describe(r keyroll.Request) string {
	switch {
	case r.Verb == keyroll.RollKey && r.Urgent:
		return fmt.Sprintf("roll the %s at once", r.Role)
	case r.Verb == keyroll.RollKey:
		return fmt.Sprintf("roll the %s", r.Role)
	case r.Verb == keyroll.RetireKey:
		return fmt.Sprintf("retire %s", r.Key)
	}
	return map[keyroll.Verb]string{keyroll.GoInsecure: "go insecure", keyroll.ComeBack: "be secure", keyroll.CallOff: "call off rolls that have not begun"}[r.Verb]
}

func refused(r *keyroll.Refusal) *Amiss {
	if r == nil {
		return nil
	}
	a := fromRefusal(*r)
	return &a
}

func fromRefusal(r keyroll.Refusal) Amiss {
	a := Amiss{Code: string(r.Code), Keys: r.Keys, Servers: r.Servers, Cause: r.Cause(), Remedy: r.Remedy()}
	if r.Err != nil {
		a.Detail = r.Err.Error()
	}
	return a
}

// missedHeartbeats is how many of a server's regular writes are missing before people are told.
const missedHeartbeats = 3

// amiss is what must be mended, by the server's word and by what the folder looks like.
func amiss(v *keyfolder.View, now time.Time) (out []Amiss) {
	for _, id := range v.Lost {
		out = append(out, Amiss{Code: "key-files-missing", Keys: []keyroll.ID{id}, Cause: "the key is in use, and its files are not both here", Remedy: "put them back, or have the server that still runs write what it holds with caacheck keys restore; no new key can take its place"})
	}
	r := v.Report
	if r == nil {
		return out
	}
	if silent := now.Sub(v.State.Seen); silent > missedHeartbeats*r.Settings.Heartbeat {
		out = append(out, Amiss{Code: "no-server", Detail: "since " + moment(v.State.Seen), Cause: "no server writes here, so nothing moves",
			Remedy: "see that one is running on this folder, and may write to it"})
	}
	for _, refusal := range slices.Concat(r.Refusals, r.Warnings) {
		out = append(out, fromRefusal(refusal))
	}
	for _, file := range r.Files {
		out = append(out, Amiss{Code: "files", Detail: file, Cause: "the server has found something about the files", Remedy: "do as it says"})
	}
	return out
}

func settings(s *keyroll.Settings) *Settings {
	return &Settings{s.Algorithm, s.Split, seconds(s.Propagation), seconds(s.ParentPropagation), seconds(s.ParentTTL), seconds(s.Safety),
		seconds(s.Lifetime.KSK), seconds(s.Lifetime.ZSK), seconds(s.Lifetime.CSK), seconds(s.BackupAge), seconds(s.Keep), seconds(s.Poll), seconds(s.Patience)}
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func orEmpty(ids []keyroll.ID) []keyroll.ID { return append([]keyroll.ID{}, ids...) }

// ExitCode is the status that says the report in one number: what must be mended goes before what could not be
// found out.
func (r *Report) ExitCode() int {
	code := report.ExitFine
	if r.Asked != nil {
		return r.Asked.exitCode()
	}
	for i := range r.Zones {
		switch z := &r.Zones[i]; {
		case len(z.Amiss) > 0:
			return report.ExitMend
		case z.Error != "":
			code = report.ExitUnknown
		}
	}
	return code
}

// moment is a time for people, in UTC.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// ParseZone is a zone's name as people write it, in the canonical form.
func ParseZone(text string) (string, error) {
	if strings.IndexFunc(text, func(c rune) bool { return c >= 0x80 }) >= 0 {
		s, err := subject.Parse(text)
		if err != nil {
			return "", err
		}
		return dns.CanonicalName(s.String()), nil
	}
	if _, ok := dns.IsDomainName(text); !ok || text == "" {
		return "", fmt.Errorf("%q is no zone's name", text)
	}
	return dns.CanonicalName(text), nil
}
