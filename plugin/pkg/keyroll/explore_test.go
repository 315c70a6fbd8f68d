package keyroll

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// exploreStates bounds how many states each scenario is explored for. 0: each to its end.
var exploreStates = flag.Int("explore.states", 100_000, "how many states of each scenario to explore at most; 0 for all")

// scenario is a world to begin with and what may happen in it, in any order.
type scenario struct {
	name   string
	begin  func(*rules) world
	budget budget
}

// settled is a world whose zone has been secure for long.
func settled(split bool) func(*rules) world {
	return func(r *rules) world {
		w := fresh(r)
		w.split = split
		for range 40 {
			w.step(r, bothAnswer, false)
			w.cooperate()
			w.tick()
		}
		w.step(r, bothAnswer, false)
		return w
	}
}

// fresh is a zone that was served without DNSSEC until now.
func fresh(*rules) world {
	w := world{}
	w.data.serve(version{ttl: dataTTL}, 0)
	w.dnskeys.serve(version{ttl: keyTTL}, 0)
	w.serveDS()
	return w
}

// cooperate is a parent that follows CDS at once.
func (w *world) cooperate() {
	for _, v := range w.dnskeys {
		if v.serving == always && (v.cds != 0 || v.remove) {
			w.follow(v)
		}
	}
	w.sync(0)
	w.sync(1)
}

// scenarios are what is explored. Clocks do not jump where a backup comes back: the age of a state is known by
// the clock alone, and the margin is spent once.
var scenarios = []scenario{
	{"a new zone", fresh, budget{crashes: 1}},
	{"a CSK rolls", settled(false), budget{rolls: 1, crashes: 1}},
	{"a CSK rolls, or not", settled(false), budget{rolls: 1, urgent: 1, callOffs: 1, crashes: 1}},
	{"a CSK rolls at once, twice", settled(false), budget{urgent: 2}},
	{"KSK and ZSK roll", settled(true), budget{rolls: 1, zskRolls: 1}},
	{"a ZSK rolls twice", settled(true), budget{zskUrgent: 2, crashes: 1}},
	{"the algorithm of a CSK", settled(false), budget{algorithms: 1}},
	{"the algorithm of KSK and ZSK", settled(true), budget{algorithms: 1}},
	{"the algorithm and back", settled(false), budget{algorithms: 2, retires: 1}},
	{"CSK to KSK and ZSK", settled(false), budget{splits: 1}},
	{"KSK and ZSK to CSK", settled(true), budget{splits: 1}},
	{"insecure", settled(false), budget{insecure: 1}},
	{"insecure and back", settled(false), budget{insecure: 1, back: 1}},
	{"insecure during a CSK's roll", settled(false), budget{urgent: 1, insecure: 1}},
	{"insecure during a ZSK's roll", settled(true), budget{zskUrgent: 1, insecure: 1}},
	{"insecure during a new algorithm", settled(false), budget{algorithms: 1, insecure: 1, back: 1}},
	{"insecure during a new algorithm of KSK and ZSK", settled(true), budget{algorithms: 1, insecure: 1}},
	{"insecure during a roll, and back", settled(true), budget{urgent: 1, insecure: 1, back: 1}},
	{"TTLs change during a roll", settled(false), budget{urgent: 1, ttls: 2}},
	{"the clock jumps", settled(false), budget{urgent: 1, jumps: 100}},
	{"the clock jumps, and a ZSK rolls", settled(true), budget{zskUrgent: 1, jumps: 100}},
	{"the clock jumps, and the algorithm changes", settled(false), budget{algorithms: 1, jumps: 100}},
	{"the clock jumps, and the algorithm of KSK and ZSK changes", settled(true), budget{algorithms: 1, jumps: 100}},
	{"the clock jumps, insecure and back", settled(false), budget{insecure: 1, back: 1, jumps: 100}},
	{"the clock jumps, and TTLs change", settled(true), budget{zskUrgent: 1, ttls: 2, jumps: 100}},
	{"the clock jumps in a new zone", fresh, budget{jumps: 100}},
	{"a DS comes early", settled(false), budget{urgent: 1, early: 1}},
	{"keys are given up", settled(false), budget{urgent: 1, retires: 1}},
	{"a backup comes back", settled(false), budget{rolls: 1, backups: 1}},
	{"a backup comes back, KSK and ZSK", settled(true), budget{rolls: 1, zskRolls: 1, backups: 1}},
	{"a backup comes back, and a ZSK rolls", settled(true), budget{zskRolls: 1, backups: 1}},
	{"a KSK is given up", settled(true), budget{urgent: 1, retires: 1}},
	{"a ZSK is given up", settled(true), budget{zskUrgent: 1, retires: 1}},
	{"a new algorithm is given up", settled(false), budget{algorithms: 1, retires: 1}},
	{"a new algorithm of KSK and ZSK is given up", settled(true), budget{algorithms: 1, retires: 1}},
	{"a folder is lost while a CSK rolls", settled(false), budget{urgent: 1, losses: 1, restarts: 1}},
	{"a folder is lost while a ZSK rolls", settled(true), budget{zskUrgent: 1, losses: 1}},
	{"a folder is lost while the algorithm changes", settled(false), budget{algorithms: 1, losses: 1}},
	{"a folder is lost in a new zone", fresh, budget{losses: 1, restarts: 1}},
	{"a folder is lost, insecure and back", settled(false), budget{insecure: 1, back: 1, losses: 1}},
	{"an older folder comes while a CSK rolls", settled(false), budget{urgent: 1, backups: 1, losses: 2}},
	{"everything", settled(false), budget{rolls: 1, algorithms: 1, insecure: 1, back: 1, ttls: 1, jumps: 2, crashes: 1, splits: 1}},
}

// event is something that may happen, in the world before it.
type event struct {
	name string
	do   func(*world, *rules)
}

// spend allows an event for as long as there is a budget for it.
func spend(b *int8, e event) []event {
	if *b <= 0 {
		return nil
	}
	return []event{e}
}

// request is people who ask for something. They can once the zone has been served.
func request(name string, count func(*budget) *int8, r Request) func(*world) []event {
	return func(w *world) []event {
		if w.zone.Seen.IsZero() {
			return nil
		}
		return spend(count(&w.budget), event{name, func(w *world, _ *rules) {
			*count(&w.budget)--
			w.ask(r)
		}})
	}
}

// happenings are all kinds of events.
var happenings = []func(*world) []event{
	func(*world) []event {
		return []event{
			{"time goes by", func(w *world, _ *rules) { w.tick() }},
			{"step", func(w *world, r *rules) { w.step(r, bothAnswer, false) }},
			{"step, b is silent", func(w *world, r *rules) { w.step(r, oneAnswers, false) }},
			{"step, the parent is not asked", func(w *world, r *rules) { w.step(r, noneAsked, false) }},
		}
	},
	func(w *world) []event {
		return spend(&w.budget.crashes, event{"step, and crash when it is written", func(w *world, r *rules) {
			w.budget.crashes--
			w.step(r, bothAnswer, true)
		}})
	},
	(*world).parentActs,
	func(w *world) (events []event) {
		for i, name := range serverNames {
			if w.servers[i] != w.master {
				events = append(events, event{"parent's server " + name + " is up to date", func(w *world, _ *rules) { w.sync(i) }})
			}
		}
		return events
	},
	request("ask for a roll", func(b *budget) *int8 { return &b.rolls }, Request{Verb: RollKey, Role: CSK}),
	request("ask for an urgent roll", func(b *budget) *int8 { return &b.urgent }, Request{Verb: RollKey, Role: CSK, Urgent: true}),
	request("ask for a roll of the ZSK", func(b *budget) *int8 { return &b.zskRolls }, Request{Verb: RollKey, Role: ZSK}),
	request("ask for an urgent roll of the ZSK", func(b *budget) *int8 { return &b.zskUrgent }, Request{Verb: RollKey, Role: ZSK, Urgent: true}),
	request("ask to go insecure", func(b *budget) *int8 { return &b.insecure }, Request{Verb: GoInsecure}),
	request("ask to be secure", func(b *budget) *int8 { return &b.back }, Request{Verb: ComeBack}),
	request("call rolls off", func(b *budget) *int8 { return &b.callOffs }, Request{Verb: CallOff}),
	func(w *world) (events []event) {
		for i := range w.zone.Keys {
			id := w.zone.Keys[i].ID
			events = append(events, request("ask to retire "+id.String(), func(b *budget) *int8 { return &b.retires }, Request{Verb: RetireKey, Key: id})(w)...)
		}
		return events
	},
	func(w *world) []event {
		return spend(&w.budget.ttls, event{"set TTLs", func(w *world, r *rules) {
			w.budget.ttls--
			w.lowered = !w.lowered
			w.step(r, bothAnswer, false)
		}})
	},
	func(w *world) []event {
		return spend(&w.budget.algorithms, event{"set the algorithm", func(w *world, _ *rules) { w.budget.algorithms--; w.second = !w.second }})
	},
	func(w *world) []event {
		return spend(&w.budget.splits, event{"set KSK and ZSK or CSK", func(w *world, _ *rules) { w.budget.splits--; w.split = !w.split }})
	},
	func(w *world) []event {
		return spend(&w.budget.jumps, event{"the clock jumps", func(w *world, _ *rules) {
			if w.budget.jumps < 100 {
				w.budget.jumps--
			}
			w.clock = jump - w.clock
		}})
	},
	(*world).earlyDS,
	(*world).backups,
	(*world).losses,
	func(w *world) []event {
		if w.down {
			return nil
		}
		return spend(&w.budget.restarts, event{"restart", func(w *world, _ *rules) { w.budget.restarts--; w.restart() }})
	},
}

// foreign is the folder of another server.
func (w *world) foreign() (folder, bool) {
	for slot := slots/2 - 1; slot >= 0; slot-- {
		if w.used()>>slot&1 == 0 {
			return folder{zone: Zone{Seen: w.time(), Keys: []Key{{ID: slotID(slot), Role: CSK, State: Active, Since: w.time()}}}}, true
		}
	}
	return folder{}, false
}

// losses of the folder, or of this zone's files in it, and what people do about them. With one that is away, no
// other is lost.
func (w *world) losses() []event {
	if !w.holds {
		return nil
	}
	if w.away != nil {
		events := []event{{"the folder is back as it was", func(w *world, _ *rules) { w.comeBack() }}}
		if !w.down {
			events = append(events, event{"the server writes what it holds", func(w *world, _ *rules) { w.restore() }})
		}
		return events
	}
	if w.budget.losses <= 0 || !w.held.known() {
		return nil
	}
	events := []event{
		{"the folder is lost", func(w *world, _ *rules) { w.lose(folder{}) }},
		{"the zone's key files are lost", func(w *world, _ *rules) {
			gone := w.known()
			w.lose(folder{w.zone, w.made})
			w.gone = gone
		}},
	}
	if foreign, ok := w.foreign(); ok {
		events = append(events, event{"another server's folder appears", func(w *world, _ *rules) { w.lose(foreign) }})
	}
	if !w.down {
		events = append(events, event{"the state alone is lost", func(w *world, _ *rules) {
			files := slices.Concat(w.zone.Keys, w.made)
			w.lose(folder{Zone{}, files})
		}})
	}
	if w.saved != nil && w.now-w.savedAt < backupAge {
		events = append(events, event{"an older folder appears", func(w *world, _ *rules) {
			saved := folder{*w.saved, w.savedMade}
			w.saved, w.savedMade = nil, nil
			w.lose(saved)
		}})
	}
	return events
}

// parentActs is the parent that looks for CDS, and finds a server that is up to date or one that lags.
func (w *world) parentActs() (events []event) {
	for _, v := range w.dnskeys {
		if v.serving > 0 && !v.old && (v.cds != 0 || v.remove) && w.master != v.cds {
			events = append(events, event{fmt.Sprintf("the parent follows CDS %016b", v.cds), func(w *world, _ *rules) { w.follow(v) }})
		}
	}
	return events
}

// earlyDS is an operator that adds a DS as soon as a DNSKEY of the zone's algorithm can be seen.
func (w *world) earlyDS() (events []event) {
	for i := range w.zone.Keys {
		k := &w.zone.Keys[i]
		if k.State == Published && w.master != 0 {
			events = append(events, spend(&w.budget.early, event{"DS " + k.ID.String() + " is added early", func(w *world, _ *rules) {
				w.budget.early--
				w.master |= 1 << k.ID.Tag
			}})...)
		}
	}
	return events
}

// backups are made and come back: all of the folder is as it was.
func (w *world) backups() []event {
	if w.saved == nil {
		return spend(&w.budget.backups, event{"a backup is made", func(w *world, _ *rules) {
			w.budget.backups--
			saved := w.zone
			w.saved, w.savedMade, w.savedAt = &saved, w.made, w.now
		}})
	}
	if w.now-w.savedAt >= backupAge {
		return nil
	}
	return []event{{"the backup comes back", func(w *world, _ *rules) {
		w.zone, w.made, w.saved, w.savedMade, w.down = *w.saved, w.savedMade, nil, nil, true
		w.dnskeys.stop(propagation)
		w.data.stop(propagation)
	}}}
}

// found is a state in which a cache may hold what does not validate, and how it came to be.
type found struct {
	err   error
	trace []string
}

func (f *found) String() string { return f.err.Error() + "\n  " + strings.Join(f.trace, "\n  ") }

// origin is where a state was reached from.
type origin struct {
	before uint64
	event  string
}

// explore runs the state machine over everything that may happen, breadth first, and returns the number of
// distinct states, and the first that is bogus.
func explore(s scenario, r *rules, limit int) (int, *found) {
	first := s.begin(r)
	first.budget = s.budget
	if s.budget.jumps > 0 {
		first.safety = jump
	}
	if first.holds = s.budget.losses > 0; first.holds {
		first.held, first.heldMade = first.zone, first.made
	}
	text := first.encode()
	origins := map[uint64]origin{fingerprint(text): {}}
	if err := first.bogus(); err != nil {
		return 1, &found{err, []string{"at the beginning"}}
	}
	queue := []string{text}
	for len(queue) > 0 && (limit == 0 || len(origins) < limit) {
		text, queue = queue[0], queue[1:]
		before := fingerprint(text)
		now := decode(text)
		for _, kind := range happenings {
			for _, e := range kind(&now) {
				w := decode(text)
				e.do(&w, r)
				next := w.encode()
				id := fingerprint(next)
				if _, seen := origins[id]; seen {
					continue
				}
				origins[id] = origin{before, e.name}
				if err := w.bogus(); err != nil {
					return len(origins), &found{err, trace(origins, id)}
				}
				queue = append(queue, next)
				if r.visit != nil {
					r.visit(len(origins), next, func() []string { return trace(origins, id) })
				}
			}
		}
	}
	return len(origins), nil
}

func trace(origins map[uint64]origin, id uint64) (events []string) {
	for o := origins[id]; o.event != ""; o = origins[o.before] {
		events = append(events, o.event)
	}
	slices.Reverse(events)
	return events
}

// beyondExploration are the lines of a life that need a parent which asks for what cannot be: a DS of a
// key that nobody has seen, or that has left. TestLife has them.
var beyondExploration = map[Change]bool{
	{Role: KSK, From: Made, To: Published}: true, {Role: CSK, From: Made, To: Yielding}: true, {Role: KSK, From: Made, To: Yielding}: true,
	{Role: CSK, From: Removed, To: Retiring}: true, {Role: KSK, From: Removed, To: Retiring}: true,
	{Role: CSK, From: Removed, To: Yielding}: true, {Role: KSK, From: Removed, To: Yielding}: true,
}

// No mixture of DS, DNSKEY and signatures that a cache may hold fails to validate, whatever happens in
// whatever order; and each line of the table is gone over.
func TestNeverBogus(t *testing.T) {
	t.Parallel()
	limit := *exploreStates
	if raceDetector {
		limit /= 50 // it is the rules that are explored, not goroutines
	}
	var mu sync.Mutex
	sum, taken := 0, map[Change]bool{}
	t.Run("scenarios", func(t *testing.T) {
		for _, s := range scenarios {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				changes := map[Change]bool{}
				states, bad := explore(s, &rules{machine: standard, changes: func(c Change) { c.Key = ID{}; changes[c] = true }}, limit)
				if bad != nil {
					t.Errorf("bogus: %s", bad)
				}
				t.Logf("%d states", states)
				mu.Lock()
				defer mu.Unlock()
				sum += states
				maps.Copy(taken, changes)
			})
		}
	})
	t.Logf("%d distinct states", sum)
	if raceDetector {
		return
	}
	if sum < 1_000_000 {
		t.Errorf("%d states are fewer than a million", sum)
	}
	for _, row := range table {
		for _, role := range row.roles {
			c := Change{Role: role, From: row.state, To: row.next}
			if row.next != row.state && !taken[c] && !beyondExploration[c] {
				t.Errorf("no scenario brings a %s from %s to %s", role, row.state, row.next)
			}
		}
	}
}

// From wherever a zone has come, it comes to rest once the world behaves: with one key in use for each role,
// named by the parent, and no other served; or with none where people want none.
func TestComesToRest(t *testing.T) {
	t.Parallel()
	const (
		every = 197
		ticks = 80 // units of time, longer than any roll and what is asked for after it
	)
	limit := 20_000
	if raceDetector {
		limit /= 50
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			good := &rules{machine: standard}
			explore(s, &rules{machine: standard, visit: func(n int, text string, trace func() []string) {
				if n%every != 0 || t.Failed() {
					return
				}
				w := decode(text)
				w.repair()
				for range ticks {
					w.step(good, bothAnswer, false)
					w.cooperate()
					w.tick()
				}
				if err := w.restless(); err != nil {
					t.Errorf("%v after\n  %s", err, strings.Join(trace(), "\n  "))
				}
			}}, limit)
		})
	}
}

// restless says why a zone is not at rest.
func (w *world) restless() error {
	sets, settings := w.zone.Sets(), w.settings()
	if w.zone.Insecure {
		if len(sets.DNSKEY)+len(sets.Data) > 0 || w.master != 0 {
			return fmt.Errorf("an insecure zone still serves %+v, with DS %016b", sets, w.master)
		}
		return nil
	}
	if len(sets.DNSKEY) != len(settings.roles()) || len(sets.Apex) != 1 || len(sets.Data) != 1 || w.master != maskOf(sets.CDS) || len(sets.CDS) != 1 {
		return fmt.Errorf("%+v with DS %016b of %v", sets, w.master, w.zone.Keys)
	}
	if len(w.zone.Requests) > 0 {
		return fmt.Errorf("people wait for answers: %v", w.zone.Requests)
	}
	if sets.Apex[0].Algorithm != settings.Algorithm || w.zone.AskedKSK+w.zone.AskedZSK > 0 {
		return fmt.Errorf("people's wishes are not done: %+v of %+v", sets, w.zone)
	}
	return nil
}
