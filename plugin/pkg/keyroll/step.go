package keyroll

import (
	"slices"
	"time"
)

// Input is the world as it is now.
type Input struct {
	Now      time.Time
	Settings Settings
	DataTTL  time.Duration // the largest TTL of data, their denials included, served since the last step
	KeyTTL   time.Duration // the same of the DNSKEY RRset
	Parent   []Observation // of every server of the parent zone; empty where it was not asked
	Found    []Key         // keys in the folder that Zone does not have, by their files; State is not looked at
	Requests []Request
}

// Decision is what follows.
type Decision struct {
	Zone     Zone
	Sets     Sets      // what to serve, once Zone is written
	Write    bool      // Zone is to be written
	Changes  []Change  // of states, for people
	Make     []Spec    // keys to make; then step again, with them in Found
	Delete   []ID      // removed keys whose files may go; then leave them out of Zone
	Waits    []Wait    // one for each key but those that are removed
	Wake     time.Time // when to step again at the latest
	Refusals []Refusal // why something is held or refused
	Warnings []Refusal // what is amiss, and holds nothing by itself
}

// Change is a key that goes from one state to another.
type Change struct {
	Key      ID
	Role     Role
	From, To State
}

// Wait is what a key waits for, and until when; the zero time where that is not up to us.
type Wait struct {
	Key   ID        `json:"key"`
	Role  Role      `json:"role"`
	State State     `json:"state"`
	For   string    `json:"for"`
	Until time.Time `json:"until,omitzero"`
}

// step is one step while it is computed.
type step struct {
	m         *machine
	in        *Input
	next      Zone
	keys      []*Key // of next
	parent    parent
	starts    map[*Key]State // whose turn it is, and where they begin
	dismissed map[*Key]bool
	verdicts  map[*Key]State // of those that are Unsure
	out       Decision
	make      []Spec
}

// Step computes what follows from a zone and the world. It is called when Decision.Wake has come, when
// people ask for something and when settings change; more often does no harm.
func Step(z Zone, in Input) Decision { return standard.step(z, &in) }

func (m *machine) step(z Zone, in *Input) Decision {
	s := &step{m: m, in: in, next: z, parent: newParent(in.Parent),
		starts: map[*Key]State{}, dismissed: map[*Key]bool{}, verdicts: map[*Key]State{}}
	keys := slices.Concat(z.Keys, in.Found)
	for i := range keys {
		s.keys = append(s.keys, &keys[i])
	}
	s.takeOver(s.keys[len(z.Keys):])
	s.doubt()
	s.measure()
	s.obey()
	s.observe()
	s.judge()
	was := s.orphans()
	s.advance()
	if is := s.orphans(); len(is) > len(was) {
		return m.hold(z, in, Refusal{Code: WouldOrphan, Servers: is})
	} else if len(is) > 0 {
		s.refuse(Refusal{Code: Orphaned, Servers: is})
	}
	return s.decide(z)
}

// takeOver says in which state keys are that were found: as their files have it in a zone that is not known
// yet, and unused in one that is.
func (s *step) takeOver(found []*Key) {
	for _, k := range found {
		past := func(t time.Time) bool { return !t.IsZero() && !t.After(s.in.Now) }
		k.State, k.Since = Made, s.in.Now
		switch {
		case past(k.Times.Delete):
			k.State = Removed
		case s.next.Seen.IsZero() && (past(k.Times.Publish) || past(k.Times.Activate)):
			k.State = Unsure
		}
		if k.Times.Created.IsZero() || k.State == Made && k.Times.Created.After(s.in.Now) {
			k.Times.Created = s.in.Now
		}
	}
}

// doubt stops to believe a state so old that it may be that of a backup, or from the future: everything that
// a cache may have or need is served and signs, until all caches have run out.
func (s *step) doubt() {
	seen := s.next.Seen
	tolerance := stale(s, seen).Sub(seen)
	if seen.IsZero() || s.in.Now.Sub(seen).Abs() <= tolerance {
		return
	}
	// A key that is in no backup yet has not been used, and nor has one whose other half is not.
	old := func(k *Key) bool {
		return k.State != Removed && (k.State != Made || !s.in.Now.Before(inBackups(s, k)))
	}
	used := func(k *Key) bool { return old(k) && (k.State != Made || s.whole(k, old)) }
	var unsure []*Key
	for _, k := range s.keys {
		if used(k) {
			unsure = append(unsure, k)
		}
	}
	for _, k := range unsure {
		s.enter(k, Unsure)
	}
}

// whole reports whether, with keys of its algorithm for which f holds, a key makes a set that can sign a zone.
func (s *step) whole(k *Key, f func(*Key) bool) bool {
	signs := k.Role
	for _, o := range s.keys {
		if o.ID.Algorithm == k.ID.Algorithm && f(o) {
			signs |= o.Role
		}
	}
	return signs == CSK
}

// measure notes the TTLs that are served.
func (s *step) measure() {
	z, set := &s.next, &s.in.Settings
	z.DataTTL = z.DataTTL.seen(s.in.DataTTL, s.in.Now, set.Propagation+set.Safety)
	z.KeyTTL = z.KeyTTL.seen(s.in.KeyTTL, s.in.Now, set.Propagation+set.Safety)
	if ttl := s.parent.ttl(); ttl > z.DSTTL.Largest || ttl > 0 && s.parent.complete {
		z.DSTTL = z.DSTTL.seen(ttl, s.in.Now, set.ParentPropagation+set.Safety)
	}
}

// observe notes since when the parent does without the keys that leave.
func (s *step) observe() {
	for _, k := range s.keys {
		if !k.Role.has(KSK) || k.State != Yielding && k.State != Retiring {
			continue
		}
		without := func(o *Observation) bool { return s.without(o, k) }
		switch {
		case s.parent.anywhere(func(o *Observation) bool { return !without(o) }):
			k.Gone = time.Time{}
		case s.parent.everywhere(without) && k.Gone.IsZero():
			k.Gone = s.in.Now
		}
	}
}

// without reports whether a server names a key that stays and not one that leaves; of a zone that goes
// insecure, whether it names none.
func (s *step) without(o *Observation, leaves *Key) bool {
	if s.next.Insecure {
		return !o.secure()
	}
	return !slices.Contains(o.Named, leaves.ID) && slices.ContainsFunc(o.Named, func(id ID) bool {
		return s.any(func(k *Key) bool { return k.ID == id && k.Role.has(KSK) && inUse(k) })
	})
}

// judge says what keys that nobody knows about shall be once every cache has all of them: the newest that
// the parent names everywhere is in use, newer ones may be asked for, and older ones leave. A ZSK follows
// the newest KSK of its algorithm, and the newest such ZSK is in use.
func (s *step) judge() {
	served := func(k *Key) bool { return s.m.meanings[k.State].published }
	unsure := func(k *Key) bool { return k.State == Unsure && k.Role.has(KSK) && s.whole(k, served) }
	anchor := s.last(func(k *Key) bool { return unsure(k) && dsEverywhere(s, k) })
	switch {
	case s.next.Insecure:
		s.judgeAll(func(*Key) State { return Yielding })
		return
	case anchor != nil:
	case s.parent.everywhere(func(o *Observation) bool { return !o.secure() }):
		anchor = s.last(unsure)
	}
	if anchor == nil && s.any(func(k *Key) bool { return k.State == Unsure && k.Role.has(KSK) }) {
		return
	}
	newer := false
	s.judgeAll(func(k *Key) State {
		switch {
		case k.Role == ZSK:
			return Unsure
		case k == anchor:
			newer = true
			return Ready
		case newer && unsure(k):
			return Ready
		case anchor == nil:
			return Yielding
		case k.ID.Algorithm != anchor.ID.Algorithm:
			return Yielding
		}
		return Retiring
	})
	s.judgeAll(func(k *Key) State {
		ksk := func(o *Key) bool { return o.Role.has(KSK) && o.ID.Algorithm == k.ID.Algorithm }
		switch {
		case k.Role != ZSK:
			return s.verdicts[k]
		case s.any(func(o *Key) bool { return ksk(o) && coming(o) && o.State != Unsure && !inUse(o) }):
			return Unsure
		case !s.any(func(o *Key) bool { return ksk(o) && (s.verdicts[o] == Ready || inUse(o)) }):
			return Yielding
		case s.last(func(o *Key) bool { return o.Role == ZSK && o.State == Unsure && o.ID.Algorithm == k.ID.Algorithm }) == k:
			return Active
		}
		return Retiring
	})
}

// judgeAll sets the verdict of each key that nobody knows about, the oldest first.
func (s *step) judgeAll(verdict func(*Key) State) {
	for _, k := range s.keys {
		if k.State == Unsure {
			s.verdicts[k] = verdict(k)
		}
	}
}

// settles reports whether keys that nobody knows about become a state.
func settles(state State) func(*step, *Key) bool {
	return func(s *step, k *Key) bool {
		verdict, known := s.verdicts[k]
		return known && verdict == state || !known && state == Unsure
	}
}

// advance lets every key go as far as it can. While the parent names only keys that are not served, it
// waits for a human, but brings back those that are in the folder.
func (s *step) advance() {
	changed := true
	for range states { // no key passes a state twice in one step
		if !changed {
			return
		}
		orphaned := len(s.orphans()) > 0
		if !orphaned {
			s.plan()
		}
		changed = false
		for _, k := range slices.Clone(s.keys) {
			if orphaned && k.State != Made && k.State != Removed {
				continue
			}
			s.m.rows(k, func(r row) bool {
				if r.next == k.State || !s.over(r, k) {
					return true
				}
				s.enter(k, r.next)
				changed = true
				return false
			})
		}
	}
}

// over reports whether what a row waits for has come.
func (s *step) over(r row, k *Key) bool {
	if r.wait.concerns != nil && !r.wait.concerns(s, k) {
		return false
	}
	if r.wait.until == nil {
		return true
	}
	when := r.wait.until(s, k)
	return !when.IsZero() && !s.in.Now.Before(when) && (!k.needsParent() || s.parent.complete)
}

// needsParent reports whether a key leaves its state only when every server of the parent has just answered.
func (k *Key) needsParent() bool {
	return k.Role.has(KSK) && (k.State == Ready || k.State == Yielding || k.State == Retiring) || k.State == Unsure
}

// enter brings a key to a state.
func (s *step) enter(k *Key, state State) {
	s.out.Changes = append(s.out.Changes, Change{k.ID, k.Role, k.State, state})
	k.Times.turn(k.Role, s.m.meanings[k.State], s.m.meanings[state], s.in.Now)
	if k.State == Made && state != Removed { // what people asked for begins
		if k.Role.has(KSK) {
			s.next.AskedKSK = Never
		}
		if k.Role.has(ZSK) {
			s.next.AskedZSK = Never
		}
	}
	k.State, k.Since, k.Gone = state, s.in.Now, time.Time{}
	delete(s.starts, k)
}

// orphans lists the servers of the parent that have DS records, none of which names a key that is served.
func (s *step) orphans() []string {
	var servers []string
	for i := range s.parent.servers {
		o := &s.parent.servers[i]
		if o.secure() && !s.any(func(k *Key) bool {
			return k.Role.has(KSK) && s.m.meanings[k.State].published && slices.Contains(o.Named, k.ID)
		}) {
			servers = append(servers, o.Server)
		}
	}
	return servers
}

// wake asks to be called at some time.
func (s *step) wake(t time.Time) {
	if t.After(s.in.Now) && (s.out.Wake.IsZero() || t.Before(s.out.Wake)) {
		s.out.Wake = t
	}
}

// hold is the decision to leave everything as it is.
func (m *machine) hold(z Zone, in *Input, why Refusal) Decision {
	s := &step{m: m, in: in, next: z, parent: newParent(in.Parent), verdicts: map[*Key]State{}}
	for i := range z.Keys {
		s.keys = append(s.keys, &z.Keys[i])
	}
	s.refuse(why)
	return s.decide(z)
}

// decide puts the decision together.
func (s *step) decide(was Zone) Decision {
	d := &s.out
	s.next.Keys = make([]Key, len(s.keys))
	for i, k := range s.keys {
		s.next.Keys[i] = *k
		s.explain(k)
	}
	d.Zone, d.Make = s.next, s.make
	d.Sets = s.m.sets(&d.Zone)
	s.wake(s.in.Now.Add(s.in.Settings.Poll))
	s.warn()
	due := s.in.Now.Sub(was.Seen).Abs() >= s.in.Settings.Heartbeat
	if d.Write = due || was.differs(&d.Zone); d.Write {
		d.Zone.Seen = s.in.Now
	}
	s.wake(d.Zone.Seen.Add(s.in.Settings.Heartbeat))
	return *d
}

// explain says what a key waits for: the first of its rows that will come, or else may.
func (s *step) explain(k *Key) {
	var w *Wait
	s.m.rows(k, func(r row) bool {
		if r.wait.until == nil || r.wait.concerns != nil && !r.wait.concerns(s, k) {
			return true
		}
		until := r.wait.until(s, k)
		s.wake(until)
		if r.wait.For == endOfKeep.For && !s.in.Now.Before(until) {
			s.out.Delete = append(s.out.Delete, k.ID)
		}
		if !until.After(s.in.Now) {
			until = time.Time{}
		}
		w = &Wait{k.ID, k.Role, k.State, r.wait.For, until}
		return false
	})
	if w != nil && k.State != Removed {
		s.out.Waits = append(s.out.Waits, *w)
	}
}

// differs reports whether there is more to write than that nothing has changed.
func (z *Zone) differs(other *Zone) bool {
	return z.Insecure != other.Insecure || z.AskedKSK != other.AskedKSK || z.AskedZSK != other.AskedZSK ||
		z.DataTTL != other.DataTTL || z.KeyTTL != other.KeyTTL || z.DSTTL != other.DSTTL || !slices.Equal(z.Keys, other.Keys)
}
