package keyroll

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// life runs the state machine by its own wake-ups, with DefaultSettings and a parent of two servers.
type life struct {
	t        *testing.T
	now      time.Time
	set      Settings
	zone     Zone
	sets     Sets
	last     Decision
	parent   []Observation
	follows  bool // the parent follows CDS
	tag      uint16
	timeline []string
}

func newLife(t *testing.T) *life {
	return &life{t: t, now: epoch, set: DefaultSettings(), parent: []Observation{{Server: "a"}, {Server: "b"}}, follows: true}
}

// step runs one step, makes keys that it asks for, and notes what changes.
func (l *life) step(requests ...Request) Decision {
	l.t.Helper()
	for _, r := range requests {
		r.Asked = l.now
		l.zone.Requests = append(l.zone.Requests, r)
	}
	var found []Key
	for {
		d := Step(l.zone, Input{Now: l.now, Settings: l.set, DataTTL: time.Hour, KeyTTL: time.Hour, Parent: l.parent, Found: found})
		l.zone, l.sets, l.last = d.Zone, d.Sets, d
		for _, c := range d.Changes {
			l.timeline = append(l.timeline, fmt.Sprintf("%s %s %s %s", l.now.Sub(epoch), c.Role, c.Key, c.To))
		}
		found = nil
		for _, spec := range d.Make {
			l.tag++
			found = append(found, Key{ID: ID{spec.Algorithm, l.tag}, Role: spec.Role, Times: Times{Created: l.now}})
		}
		if len(found) == 0 {
			break
		}
	}
	if l.follows && (len(l.sets.CDS) > 0 || l.sets.Delete) {
		for i := range l.parent {
			l.parent[i].Named = l.sets.CDS
			l.parent[i].TTL = 24 * time.Hour
		}
	}
	return l.last
}

// until runs for some time.
func (l *life) until(d time.Duration) {
	l.t.Helper()
	for end := l.now.Add(d); ; {
		wake := l.step().Wake
		if !wake.After(l.now) {
			l.t.Fatalf("at %s it is to be woken at %s", l.now, wake)
		}
		if wake.After(end) {
			l.now = end
			return
		}
		l.now = wake
	}
}

func (l *life) expect(timeline ...string) {
	l.t.Helper()
	if !slices.Equal(l.timeline, timeline) {
		l.t.Errorf("got\n  %s\nwant\n  %s", strings.Join(l.timeline, "\n  "), strings.Join(timeline, "\n  "))
	}
	l.timeline = nil
}

const day = 24 * time.Hour

// The times are those of RFC 7583 3, with an hour for clocks; wake-ups come at the times, or with the next
// look at the parent.
func TestLife(t *testing.T) {
	t.Parallel()
	t.Run("a new zone", func(t *testing.T) {
		t.Parallel()
		l := newLife(t)
		l.until(day)
		l.expect(
			"0s CSK 013+00001 introduced",
			"2h5m0s CSK 013+00001 ready", // 1h of TTL, 5m, 1h
			"2h35m0s CSK 013+00001 active",
		)
	})
	t.Run("a planned roll of a CSK", func(t *testing.T) {
		t.Parallel()
		l := newLife(t)
		l.until(day)
		l.timeline = nil
		l.step(Request{Verb: RollKey, Role: CSK})
		l.until(12 * day)
		l.expect(
			"217h0m0s CSK 013+00002 published", // 8d, 1h
			"219h5m0s CSK 013+00002 ready",
			"219h5m0s CSK 013+00001 retiring",
			"219h35m0s CSK 013+00002 active",
			"245h35m0s CSK 013+00001 removed", // 24h of TTL, 1h, 1h
		)
	})
	t.Run("ZSKs roll by their age", func(t *testing.T) {
		t.Parallel()
		l := newLife(t)
		l.set.Split = true
		l.until(91 * day)
		l.expect(
			"0s KSK 013+00001 introduced",
			"0s ZSK 013+00002 introduced",
			"2h5m0s KSK 013+00001 ready",
			"2h5m0s ZSK 013+00002 active",
			"2h35m0s KSK 013+00001 active",
			"2162h5m0s ZSK 013+00003 published",
			"2164h10m0s ZSK 013+00003 active",
			"2164h10m0s ZSK 013+00002 retiring",
			"2166h15m0s ZSK 013+00002 removed",
		)
	})
	t.Run("a new algorithm, urgent", func(t *testing.T) {
		t.Parallel()
		l := newLife(t)
		l.until(day)
		l.timeline = nil
		l.set.Algorithm = dns.ED25519
		l.step(Request{Verb: RollKey, Role: CSK, Urgent: true})
		l.until(3 * day)
		l.expect(
			"24h0m0s CSK 015+00002 presigned",
			"26h5m0s CSK 015+00002 introduced",
			"28h10m0s CSK 015+00002 ready",
			"28h10m0s CSK 013+00001 yielding",
			"28h40m0s CSK 015+00002 active",
			"54h40m0s CSK 013+00001 postsigned",
			"56h45m0s CSK 013+00001 removed",
		)
	})
	t.Run("insecure, and back", func(t *testing.T) {
		t.Parallel()
		l := newLife(t)
		l.until(day)
		l.timeline = nil
		if d := l.step(Request{Verb: GoInsecure}); !d.Sets.Delete || len(d.Sets.CDS) > 0 || len(d.Sets.Apex) != 1 {
			t.Errorf("%+v", d.Sets)
		}
		l.until(2 * day)
		if l.last.Sets.Delete || len(l.last.Sets.DNSKEY)+len(l.last.Sets.Data) > 0 {
			t.Errorf("an insecure zone serves %+v", l.last.Sets)
		}
		l.step(Request{Verb: ComeBack})
		l.until(day)
		l.expect(
			"24h0m0s CSK 013+00001 yielding",
			"50h0m0s CSK 013+00001 postsigned",
			"52h5m0s CSK 013+00001 removed",
			"72h0m0s CSK 013+00002 introduced",
			"74h5m0s CSK 013+00002 ready",
			"74h35m0s CSK 013+00002 active",
		)
	})
}

// A parent that cannot be asked, or whose servers differ, holds the old key for ever; nothing else is held.
func TestHolds(t *testing.T) {
	t.Parallel()
	for name, disturb := range map[string]func(*life){
		"one server is silent":     func(l *life) { l.parent[1].Err = errors.New("timeout") },
		"one server lags":          func(l *life) { l.follows = false; l.parent[0].Named = l.sets.CDS },
		"the parent ignores CDS":   func(l *life) { l.follows = false },
		"the parent has both":      func(l *life) { l.follows = false; both(l) },
		"the parent is not asked":  func(l *life) { l.parent = nil },
		"the parent takes it away": func(l *life) { l.follows = false; l.parent[0].Named, l.parent[1].Named = nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLife(t)
			l.until(day)
			l.step(Request{Verb: RollKey, Role: CSK, Urgent: true})
			l.follows = false
			l.until(3 * time.Hour)
			disturb(l)
			l.until(60 * day)
			if len(l.sets.DNSKEY) != 2 || len(l.sets.CDS) != 1 || l.sets.CDS[0].Tag != 2 {
				t.Errorf("after 60 days: %+v", l.sets)
			}
			i := slices.IndexFunc(l.last.Warnings, func(r Refusal) bool { return r.Code == ParentSlow || r.Code == ParentSilent })
			if i < 0 && name != "the parent has both" {
				t.Errorf("no warning about the parent: %v", l.last.Warnings)
			}
		})
	}
}

func both(l *life) {
	for i := range l.parent {
		l.parent[i].Named = []ID{{13, 1}, {13, 2}}
	}
}

// A DS that no key matches is refused: nothing changes, and no key is made. Where the key is still in the folder
// it comes back.
func TestOrphanedDS(t *testing.T) {
	t.Parallel()
	other := []*dns.DS{{KeyTag: 7, Algorithm: 13}}
	l := newLife(t)
	l.follows, l.parent[0].Others = false, other
	if d := l.step(); len(d.Make) > 0 || len(d.Refusals) != 1 || d.Refusals[0].Code != Orphaned || !strings.Contains(d.Refusals[0].String(), "a: ") {
		t.Errorf("a new zone with a DS: %+v", d)
	}
	l = newLife(t)
	l.until(day)
	l.step(Request{Verb: RollKey, Role: CSK, Urgent: true})
	l.until(3 * day)
	if len(l.sets.DNSKEY) != 1 {
		t.Fatalf("%+v", l.sets)
	}
	l.timeline, l.follows = nil, false
	l.parent[0].Named = []ID{{13, 1}} // the parent's zone comes from a backup
	l.step()
	l.expect("96h0m0s CSK 013+00001 retiring")
	l.parent[0].Named, l.parent[0].Others = nil, other
	before := l.zone.Keys
	d := l.step(Request{Verb: RollKey, Role: CSK, Urgent: true})
	if !slices.ContainsFunc(d.Refusals, func(r Refusal) bool { return r.Code == Orphaned }) || len(d.Zone.Keys) != len(before) || len(d.Changes) > 0 {
		t.Errorf("%+v", d)
	}
}

// A DS of a key that nobody has seen brings it forward.
func TestEarlyDS(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.until(day)
	l.timeline, l.follows = nil, false
	l.step(Request{Verb: RollKey, Role: CSK})
	both(l)
	l.step()
	l.expect("24h0m0s CSK 013+00002 published")
}

func TestRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.until(day)
	l.step(Request{Verb: RollKey, Role: CSK, Urgent: true}) // 2 is published
	silent := []Observation{{Server: "a", Err: errSilent}}
	for name, c := range map[string]struct {
		request Request
		code    Code
		later   bool // it is refused by the step and not beforehand
		change  func(*Zone, *Input)
	}{
		"retire what is not there":            {Request{Verb: RetireKey, Key: ID{13, 99}}, NoSuchKey, false, nil},
		"retire the key in use":               {Request{Verb: RetireKey, Key: ID{13, 1}}, KeyNeeded, false, nil},
		"retire what leaves":                  {Request{Verb: RetireKey, Key: ID{13, 1}}, LeavesAlready, false, func(z *Zone, _ *Input) { z.Keys[0].State = Retiring }},
		"retire what the parent names":        {Request{Verb: RetireKey, Key: ID{13, 2}}, KeyNeeded, true, func(_ *Zone, in *Input) { in.Parent[0].Named = []ID{{13, 1}, {13, 2}} }},
		"retire what the parent may name":     {Request{Verb: RetireKey, Key: ID{13, 2}}, ParentUnknown, true, func(_ *Zone, in *Input) { in.Parent = silent }},
		"roll a ZSK of a zone with a CSK":     {Request{Verb: RollKey, Role: ZSK}, NoSuchKey, false, nil},
		"roll a zone that is to be insecure":  {Request{Verb: RollKey, Role: KSK}, RollWhileInsecure, false, func(z *Zone, _ *Input) { z.Insecure = true }},
		"roll a zone that was just asked off": {Request{Verb: RollKey, Role: KSK}, RollWhileInsecure, false, func(z *Zone, _ *Input) { z.Requests = []Request{{Verb: GoInsecure, Asked: l.now}} }},
		"what was asked an hour ago":          {Request{Verb: GoInsecure}, StaleRequest, true, func(_ *Zone, in *Input) { in.Now = in.Now.Add(time.Hour + time.Second) }},
	} {
		zone := l.zone
		zone.Keys = slices.Clone(zone.Keys)
		in := Input{Now: l.now, Settings: l.set, DataTTL: time.Hour, KeyTTL: time.Hour, Parent: slices.Clone(l.parent)}
		if c.change != nil {
			c.change(&zone, &in)
		}
		asked, r, refused := zone.Ask(c.request, l.now)
		if c.later != (refused == nil) || refused != nil && (refused.Code != c.code || len(asked.Requests) != len(zone.Requests)) {
			t.Errorf("%s, beforehand: %v", name, refused)
		}
		zone.Requests = append(slices.Clone(zone.Requests), r)
		d := Step(zone, in)
		i := slices.IndexFunc(d.Refusals, func(r Refusal) bool { return r.Code == c.code })
		if i < 0 || d.Refusals[i].Entry().Text == "" || d.Refusals[i].Entry().Fix == "" {
			t.Errorf("%s: %+v", name, d.Refusals)
		}
		if last := d.Zone.Answers[len(d.Zone.Answers)-1]; len(d.Zone.Requests) > 0 || last.Request != r || last.Refused == nil || last.Refused.Code != c.code {
			t.Errorf("%s: %+v", name, d.Zone.Answers)
		}
	}
}

// A request is written, obeyed once, and its answer kept; no two are the same, and there is an end to both.
func TestRequestsAreAnsweredOnce(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.until(day)
	roll := Request{Verb: RollKey, Role: CSK}
	asked := map[time.Time]bool{}
	for range maxRequests {
		var r Request
		var refused *Refusal
		if l.zone, r, refused = l.zone.Ask(roll, l.now); refused != nil || asked[r.Asked] {
			t.Fatalf("%v, %s", refused, r.Asked)
		}
		asked[r.Asked] = true
	}
	if _, _, refused := l.zone.Ask(roll, l.now); refused == nil || refused.Code != TooManyRequests {
		t.Errorf("%v", refused)
	}
	if zone, taken := l.zone.TakeBack(); len(zone.Requests) > 0 || len(taken) != maxRequests {
		t.Errorf("%v, %v", zone.Requests, taken)
	}
	l.step()
	if z := l.zone; len(z.Requests) > 0 || len(z.Answers) != keptAnswers || z.AskedKSK != Planned {
		t.Errorf("%+v", z)
	}
	l.step(Request{Verb: CallOff})
	l.timeline = nil
	l.until(12 * day)
	l.expect()
}

// What people ask for and does not begin at once has a time, or a reason.
func TestPlans(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.set.Split = true
	l.until(day)
	plans := func(want ...Plan) {
		t.Helper()
		if fmt.Sprint(l.last.Plans) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", l.last.Plans, want)
		}
	}
	aged := l.zone.Keys[1].Since.Add(DefaultLifetimeZSK)
	byAge := Plan{[]Role{ZSK}, 13, forEndOfLife, aged}
	plans(byAge)
	l.step(Request{Verb: RollKey, Role: KSK})
	inAllBackups := l.now.Add(DefaultBackupAge + DefaultSafety)
	plans(Plan{[]Role{KSK}, 13, forBackups, inAllBackups}, byAge)
	if w := l.last.Waits[len(l.last.Waits)-1]; w.State != Made || w.For != forItsTurn || !w.Until.Equal(inAllBackups) {
		t.Errorf("the key to come waits for %+v", w)
	}
	l.set.Algorithm = dns.ED25519
	l.step(Request{Verb: RollKey, Role: KSK, Urgent: true})
	l.step(Request{Verb: RollKey, Role: ZSK})
	plans(Plan{Roles: []Role{ZSK}, For: forOtherRoll})
	l.step(Request{Verb: CallOff})
	plans()
	lying := slices.IndexFunc(l.last.Waits, func(w Wait) bool { return w.State == Made })
	if w := l.last.Waits[lying]; w.For == forItsTurn || !w.Until.IsZero() {
		t.Errorf("a key that nobody needs waits for %+v", w)
	}
}

// Keys of BIND in any state sign on until all is known of them, but those not published yet and those deleted.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	past, future := epoch.Add(-30*day), epoch.Add(30*day)
	found := []Key{
		{ID: ID{13, 1}, Role: KSK, Times: Times{Created: past, Publish: past, Activate: past, SyncPublish: past}},
		{ID: ID{13, 2}, Role: ZSK, Times: Times{Created: past, Publish: past, Activate: past, Inactive: epoch.Add(-day), Delete: future}},
		{ID: ID{13, 3}, Role: ZSK, Times: Times{Created: past, Publish: past, Activate: past}},
		{ID: ID{13, 4}, Role: ZSK, Times: Times{Created: past, Publish: future}},
		{ID: ID{13, 5}, Role: ZSK, Times: Times{Created: past, Publish: past, Activate: past, Inactive: past, Delete: past}},
	}
	set := DefaultSettings()
	set.Split = true
	in := Input{Now: epoch, Settings: set, DataTTL: time.Hour, KeyTTL: time.Hour, Found: found,
		Parent: []Observation{{Server: "a", Named: []ID{{13, 1}}, TTL: time.Hour}}}
	d := Step(Zone{}, in)
	if len(d.Sets.DNSKEY) != 3 || len(d.Sets.Data) != 2 || len(d.Sets.CDS) > 0 || len(d.Make) > 0 || !d.Write {
		t.Errorf("%+v", d)
	}
	in.Found = nil
	for range 5 {
		in.Now = in.Now.Add(25 * time.Minute)
		d = Step(d.Zone, in)
	}
	states := map[uint16]State{}
	for _, k := range d.Zone.Keys {
		states[k.ID.Tag] = k.State
	}
	if want := fmt.Sprint(map[uint16]State{1: Active, 2: Retiring, 3: Active, 4: Made, 5: Removed}); fmt.Sprint(states) != want {
		t.Errorf("got %v, want %v", states, want)
	}
}

// A key whose files have no times, as those of other programs, may be in use: it is served whatever the parent
// says, and no new key takes its place.
func TestTakeOverWithoutTimes(t *testing.T) {
	t.Parallel()
	for name, parent := range map[string][]Observation{"not asked": nil, "it has the DS": {{Server: "a", Named: []ID{{13, 1}}}}, "it has none": {{Server: "a"}}} {
		d := Step(Zone{}, Input{Now: epoch, Settings: DefaultSettings(), DataTTL: time.Hour, KeyTTL: time.Hour,
			Found: []Key{{ID: ID{13, 1}, Role: CSK}}, Parent: parent})
		if fmt.Sprint(d.Sets.DNSKEY, d.Sets.Data) != "[013+00001] [013+00001]" || len(d.Make) > 0 {
			t.Errorf("%s: %+v, make %v", name, d.Sets, d.Make)
		}
	}
}

// A ZSK without its KSK gets one, and is used.
func TestTakeOverHalf(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.set.Split, l.tag = true, 10
	past := epoch.Add(-30 * day)
	l.zone = Step(Zone{}, Input{Now: epoch, Settings: l.set, DataTTL: time.Hour, KeyTTL: time.Hour,
		Found: []Key{{ID: ID{13, 1}, Role: ZSK, Times: Times{Created: past, Publish: past, Activate: past}}}}).Zone
	l.until(2 * day)
	states := map[string]int{}
	for _, k := range l.zone.Keys {
		states[fmt.Sprintf("%s %s", k.Role, k.State)]++
	}
	if len(l.sets.Apex) != 1 || len(l.sets.Data) != 1 || states["KSK active"] != 1 || states["ZSK active"] != 1 {
		t.Errorf("%v, %+v", states, l.sets)
	}
}

// A DS of a key that was never used brings the whole zone up at once: it cannot be bogus any longer than now.
func TestUnusedKeyWithDS(t *testing.T) {
	t.Parallel()
	set := DefaultSettings()
	set.Split = true
	d := Step(Zone{}, Input{Now: epoch, Settings: set, DataTTL: time.Hour, KeyTTL: time.Hour,
		Found:  []Key{{ID: ID{13, 1}, Role: KSK}, {ID: ID{13, 2}, Role: ZSK}},
		Parent: []Observation{{Server: "a", Named: []ID{{13, 1}}}}})
	if len(d.Sets.Apex) != 1 || len(d.Sets.Data) != 1 || len(d.Refusals) > 0 {
		t.Errorf("%+v, %v", d.Sets, d.Refusals)
	}
}

// The timing metadata are those that BIND's tools know.
func TestTimes(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.until(day)
	l.step(Request{Verb: RollKey, Role: CSK, Urgent: true})
	l.until(3 * day)
	was, is := l.zone.Keys[0].Times, l.zone.Keys[1].Times
	at := func(d time.Duration) time.Time { return epoch.Add(d) }
	first := Times{at(0), at(0), at(0), at(2*time.Hour + 5*time.Minute), at(52*time.Hour + 35*time.Minute), at(52*time.Hour + 35*time.Minute), at(26*time.Hour + 5*time.Minute)}
	if was != first {
		t.Errorf("the key that has left: got\n%v, want\n%v", was, first)
	}
	second := Times{Created: at(day), Publish: at(day), Activate: at(day), SyncPublish: at(26*time.Hour + 5*time.Minute)}
	if is != second {
		t.Errorf("its successor: got\n%v, want\n%v", is, second)
	}
}

func TestMark(t *testing.T) {
	t.Parallel()
	const linger = time.Hour
	m := Mark{}
	for _, c := range []struct {
		at, ttl, largest time.Duration
	}{
		{0, 10 * time.Hour, 10 * time.Hour},
		{1 * time.Hour, 2 * time.Hour, 10 * time.Hour},
		{2 * time.Hour, 5 * time.Hour, 10 * time.Hour},
		{11 * time.Hour, time.Hour, 10 * time.Hour},
		{12 * time.Hour, time.Hour, 5 * time.Hour}, // 10h and the lag after the first less
		{17 * time.Hour, time.Hour, 5 * time.Hour},
		{18 * time.Hour, time.Hour, time.Hour},
		{18 * time.Hour, 3 * time.Hour, 3 * time.Hour},
	} {
		if m = m.seen(c.ttl, epoch.Add(c.at), linger); m.Largest != c.largest {
			t.Errorf("at %s, with a TTL of %s: %s, want %s", c.at, c.ttl, m.Largest, c.largest)
		}
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	set := DefaultSettings()
	if err := set.Check(); err != nil {
		t.Error(err)
	}
	for says, change := range map[string]func(*Settings){
		"safety -1s: must not": func(s *Settings) { s.Safety = -time.Second },
		"must be positive":     func(s *Settings) { s.Poll = 0 },
		"at most 32m30s":       func(s *Settings) { s.Heartbeat = time.Hour },
		"zsk-lifetime -1ns":    func(s *Settings) { s.Lifetime.ZSK = -1 },
		"propagation 0s":       func(s *Settings) { s.Propagation, s.Safety = 0, 0 },
		"backup-age -24h":      func(s *Settings) { s.BackupAge = -day },
	} {
		set := DefaultSettings()
		if change(&set); set.Check() == nil || !strings.Contains(set.Check().Error(), says) {
			t.Errorf("%v, want %q", set.Check(), says)
		}
	}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	key := func(flags uint16) *dns.DNSKEY {
		k := &dns.DNSKEY{Hdr: dns.RR_Header{Name: "example.org.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET}, Flags: flags, Protocol: 3, Algorithm: 13}
		if _, err := k.Generate(256); err != nil {
			t.Fatal(err)
		}
		return k
	}
	ours, other := key(257), key(257)
	twisted := ours.ToDS(dns.SHA256)
	twisted.Digest = strings.Repeat("0", len(twisted.Digest))
	removal := &dns.DS{Hdr: dns.RR_Header{Name: "example.org.", Rrtype: dns.TypeDS, Class: dns.ClassINET, Ttl: 7200}, Digest: "00"}
	if o := Observe("a", []*dns.DS{removal}, []*dns.DNSKEY{ours}); o.secure() || o.TTL != 0 {
		t.Errorf("a DS that asks for removal (RFC 8078 4) counts: %+v", o)
	}
	set := []*dns.DS{ours.ToDS(dns.SHA256), ours.ToDS(dns.SHA384), other.ToDS(dns.SHA256), twisted}
	set[0].Hdr.Ttl = 3600
	o := Observe("a", set, []*dns.DNSKEY{key(257), ours})
	id := ID{13, ours.KeyTag()}
	if !slices.Equal(o.Named, []ID{id}) || len(o.Others) != 2 || o.TTL != time.Hour {
		t.Errorf("%+v", o)
	}
	if got := Check([]ID{id}, []Observation{o, {Server: "b"}, {Server: "c", Err: errSilent}}); len(got) > 0 {
		t.Errorf("%v", got)
	}
	if got := Check([]ID{{13, 0}}, []Observation{o}); len(got) != 1 || got[0].Code != Orphaned {
		t.Errorf("%v", got)
	}
}

func TestZoneKeepsItsForm(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.set.Split = true
	l.until(day)
	text, err := json.Marshal(l.zone)
	if err != nil {
		t.Fatal(err)
	}
	var again Zone
	if err := json.Unmarshal(text, &again); err != nil || again.differs(&l.zone) || !again.Seen.Equal(l.zone.Seen) {
		t.Errorf("%v\n%s", err, text)
	}
	for _, bad := range []string{`{"keys":[{"key":"13+1"}]}`, `{"keys":[{"role":"XSK"}]}`, `{"keys":[{"state":"happy"}]}`} {
		if json.Unmarshal([]byte(bad), &again) == nil {
			t.Errorf("%s was read", bad)
		}
	}
}
