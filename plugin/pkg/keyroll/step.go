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
	Plans    []Plan    // rolls that will begin
	Wake     time.Time // when to step again at the latest
	Refusals []Refusal // why something is held or refused
	Warnings []Refusal // problems that hold nothing by themselves
	Parent   []Observation
	Settings Settings // as they were given, like Parent
}

// Standing returns the refusals of what is, rather than of requests.
func (d *Decision) Standing() (standing []Refusal) {
	for _, refusal := range d.Refusals {
		if refusal.Standing() {
			standing = append(standing, refusal)
		}
	}
	return standing
}

// Problems returns what is wrong with the zone.
func (d *Decision) Problems() []Refusal { return append(d.Standing(), d.Warnings...) }

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
	Next  State     `json:"next"` // where it is then, as far as can be seen; its own where it stays
}

// step is one step while it is computed.
type step struct {
	m         *machine
	in        *Input
	next      Zone
	keys      []*Key // of next
	parent    parent
	starts    map[*Key]State     // whose turn it is, and where they begin
	turns     map[*Key]time.Time // when it will be that of keys that lie ready
	dismissed map[*Key]bool
	verdicts  map[*Key]State // of those that are Unsure
	out       Decision
	make      []Spec
	plans     []Plan
}

// Step computes what follows from a zone and the world. It is called when Decision.Wake has come, when
// people have asked for something and when settings change; more often does no harm.
func Step(z Zone, in Input) Decision { return standard.step(z, &in) }

func (m *machine) step(z Zone, in *Input) Decision {
	s := &step{m: m, in: in, next: z, parent: newParent(in.Parent),
		starts: map[*Key]State{}, turns: map[*Key]time.Time{}, dismissed: map[*Key]bool{}, verdicts: map[*Key]State{}}
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

// measure notes the TTLs that are served.
func (s *step) measure() {
	z, set := &s.next, &s.in.Settings
	z.DataTTL = z.DataTTL.seen(s.in.DataTTL, s.in.Now, set.Propagation+set.Safety)
	z.KeyTTL = z.KeyTTL.seen(s.in.KeyTTL, s.in.Now, set.Propagation+set.Safety)
	if ttl := s.parent.ttl(); ttl > z.DSTTL.Largest || ttl > 0 && s.parent.complete {
		z.DSTTL = z.DSTTL.seen(ttl, s.in.Now, set.ParentPropagation+set.Safety)
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
	return !when.IsZero() && !s.in.Now.Before(when) && (!k.NeedsParent() || s.parent.complete)
}

// NeedsParent reports whether a key leaves its state only when every server of the parent has just answered.
func (k *Key) NeedsParent() bool {
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
	for _, r := range z.Requests {
		s.answer(r, &why) // or what caused it would hold the zone for ever
	}
	s.next.Requests = nil
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
	d.Plans = slices.Concat(s.plans, s.askedLater())
	d.Parent, d.Settings = s.in.Parent, s.in.Settings
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

// explain says what a key waits for: the first of its rows that will come, or else may. One that lies ready waits
// for a plan.
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
		w = &Wait{k.ID, k.Role, k.State, r.wait.For, until, r.next}
		return false
	})
	if k.State == Made {
		w = &Wait{k.ID, k.Role, k.State, "a roll that uses it", s.turns[k], k.State}
		if !w.Until.IsZero() {
			w.For = forItsTurn
		}
	}
	if w != nil && k.State != Removed {
		s.out.Waits = append(s.out.Waits, *w)
	}
}

// differs reports whether there is more to write than that nothing has changed.
func (z *Zone) differs(other *Zone) bool {
	return len(z.Requests) != len(other.Requests) || z.Insecure != other.Insecure || z.AskedKSK != other.AskedKSK || z.AskedZSK != other.AskedZSK ||
		z.DataTTL != other.DataTTL || z.KeyTTL != other.KeyTTL || z.DSTTL != other.DSTTL || !slices.Equal(z.Keys, other.Keys)
}
