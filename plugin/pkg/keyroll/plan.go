package keyroll

import (
	"slices"
	"time"
)

// roll is a change that is due: keys of these roles and one algorithm come into use together.
type roll struct {
	roles     []Role
	algorithm uint8
	first     State     // the state in which the keys begin
	from      time.Time // when it is due
	urgent    bool      // it does not wait until every backup has its keys
}

// Plan is a roll that will begin, for people.
type Plan struct {
	Roles     []Role    `json:"roles"`
	Algorithm uint8     `json:"algorithm,omitempty"` // of the keys to come; 0 where that is not known yet
	For       string    `json:"for"`                 // what it waits for
	Begins    time.Time `json:"begins,omitzero"`     // zero where nobody knows
}

const (
	forBackups   = "every backup to contain it"
	forEndOfLife = "the end of a key's lifetime"
	forOtherRoll = "another roll to finish"
)

// Spec is a key to make.
type Spec struct {
	Role      Role
	Algorithm uint8
}

// due lists the rolls that are due or will be, those that may begin now. A zone that goes insecure begins
// none, and neither does one whose keys are being introduced or are not understood.
func (s *step) due() []roll {
	sep, data := s.current(KSK), s.current(ZSK)
	switch {
	case s.next.Insecure:
		return nil
	case sep == nil:
		return []roll{{s.in.Settings.roles(), s.in.Settings.Algorithm, Introduced, s.in.Now, true}}
	case data == nil:
		return []roll{{[]Role{ZSK}, sep.ID.Algorithm, Introduced, s.in.Now, true}}
	case s.any(func(k *Key) bool {
		return k.State == Presigned || k.State == Introduced || k.State == Unsure || k.State == Yielding && recalled(s, k)
	}):
		return nil
	case s.otherKeysWanted(sep, data):
		if s.still(all...) {
			return []roll{{s.in.Settings.roles(), s.in.Settings.Algorithm, s.beginning(s.in.Settings.Algorithm), s.in.Now, s.next.AskedKSK == Urgent}}
		}
		return nil
	}
	rolls := s.successorOf(sep, s.next.AskedKSK)
	if data != sep {
		rolls = append(rolls, s.successorOf(data, s.next.AskedZSK)...)
	}
	return rolls
}

// current is the newest key for one half of what keys do that anybody relies on or will.
func (s *step) current(half Role) *Key {
	return s.last(func(k *Key) bool {
		return k.Role.has(half) && k.State != Made && k.State != Postsigned && k.State != Removed && k.State != Published
	})
}

// otherKeysWanted reports whether the settings want another algorithm, or other roles.
func (s *step) otherKeysWanted(sep, data *Key) bool {
	return sep.ID.Algorithm != s.in.Settings.Algorithm || s.in.Settings.Split != (sep != data)
}

// beginning is the state in which a key of an algorithm begins: one by which nobody signs yet signs first.
func (s *step) beginning(algorithm uint8) State {
	if s.signsBy(algorithm) {
		return Published
	}
	return Presigned
}

// still reports whether no key of these roles is on its way.
func (s *step) still(roles ...Role) bool {
	return !s.any(func(k *Key) bool {
		return slices.Contains(roles, k.Role) && k.State != Made && k.State != Active && k.State != Removed
	})
}

// successorOf is the roll of a key, where people want one or its life ends some time.
func (s *step) successorOf(k *Key, asked Urgency) []roll {
	peers := []Role{k.Role}
	if k.Role.has(KSK) {
		peers = seps
	}
	r := roll{[]Role{k.Role}, k.ID.Algorithm, Published, s.in.Now, asked == Urgent}
	coming := s.any(func(o *Key) bool { return o.State == Published && slices.Contains(peers, o.Role) })
	switch end := lifeOver(s, k); {
	case asked == Urgent && !coming && s.beginning(k.ID.Algorithm) == Published:
	case asked == Planned && s.still(peers...):
	case asked == Never && k.State == Active && !end.IsZero() && s.still(peers...):
		r.from = end
	default:
		return nil
	}
	return []roll{r}
}

// plan finds the keys for the rolls that are due: it asks for those that are missing, and begins a roll
// whose keys are there, each in every backup, unless it is urgent.
func (s *step) plan() {
	clear(s.starts)
	clear(s.turns)
	s.make, s.plans = s.make[:0], s.plans[:0]
	for _, r := range s.due() {
		begin, keys := r.from, []*Key(nil)
		for _, role := range r.roles {
			k := s.standby(role, r.algorithm)
			if k == nil {
				if ready := r.from.Add(-s.in.Settings.BackupAge - s.in.Settings.Safety); r.urgent || !s.in.Now.Before(ready) {
					s.make = append(s.make, Spec{role, r.algorithm})
				} else {
					s.wake(ready)
				}
				continue
			}
			if !r.urgent && oldEnough(s, k).After(begin) {
				begin = oldEnough(s, k)
			}
			keys = append(keys, k)
		}
		for _, k := range keys {
			s.turns[k] = begin
		}
		if len(keys) < len(r.roles) {
			s.plans = append(s.plans, r.plan(begin))
			continue
		}
		if s.in.Now.Before(begin) {
			s.wake(begin)
			s.plans = append(s.plans, r.plan(begin))
			continue
		}
		s.begin(r, keys)
	}
}

// plan is a roll for people.
func (r *roll) plan(begin time.Time) Plan {
	p := Plan{slices.Clone(r.roles), r.algorithm, forEndOfLife, begin}
	if begin.After(r.from) {
		p.For = forBackups
	}
	return p
}

// askedLater are the rolls that people have asked for and that cannot begin while others are under way.
func (s *step) askedLater() (later []Plan) {
	for half, asked := range map[Role]Urgency{KSK: s.next.AskedKSK, ZSK: s.next.AskedZSK} {
		k := s.current(half)
		planned := func(p Plan) bool { return slices.ContainsFunc(p.Roles, func(r Role) bool { return r.has(half) }) }
		if asked != Never && k != nil && !slices.ContainsFunc(s.plans, planned) {
			later = append(later, Plan{Roles: []Role{k.Role}, For: forOtherRoll})
		}
	}
	slices.SortFunc(later, func(a, b Plan) int { return int(a.Roles[0]) - int(b.Roles[0]) })
	return later
}

// standby is the oldest key that lies ready.
func (s *step) standby(role Role, algorithm uint8) *Key {
	for _, k := range s.keys {
		if k.State == Made && k.Role == role && k.ID.Algorithm == algorithm && !s.dismissed[k] {
			return k
		}
	}
	return nil
}

// begin makes it the turn of keys, which become the newest.
func (s *step) begin(r roll, keys []*Key) {
	for _, k := range keys {
		s.starts[k] = r.first
		s.keys = append(slices.DeleteFunc(s.keys, func(o *Key) bool { return o == k }), k)
	}
}

// starts reports whether it is a key's turn to begin in a state.
func starts(state State) func(*step, *Key) bool {
	return func(s *step, k *Key) bool {
		first, ok := s.starts[k]
		return ok && first == state
	}
}
