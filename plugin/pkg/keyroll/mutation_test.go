package keyroll

import (
	"slices"
	"testing"
	"time"
)

// mutation is one way to be wrong.
type mutation struct {
	name     string
	scenario string // in which it is caught
	wrong    func(*rules)
}

// sooner ends the waits of a state and role some units early.
func sooner(state State, role Role, units time.Duration) func(*rules) {
	return func(r *rules) {
		r.rows(state, role, func(row *row) {
			if until := row.wait.until; until != nil {
				row.wait.until = func(s *step, k *Key) time.Time {
					if when := until(s, k); !when.IsZero() {
						return when.Add(-units * unit)
					}
					return time.Time{}
				}
			}
		})
	}
}

// waitsFor gives the rows of a state and role with a wait another one.
func waitsFor(state State, role Role, until func(*step, *Key) time.Time) func(*rules) {
	return func(r *rules) {
		r.rows(state, role, func(row *row) {
			if row.wait.until != nil {
				row.wait.until = until
			}
		})
	}
}

// goesTo makes a key go elsewhere.
func goesTo(state State, role Role, from, to State) func(*rules) {
	return func(r *rules) {
		r.rows(state, role, func(row *row) {
			if row.next == from {
				row.next = to
			}
		})
	}
}

// means changes what is served in a state.
func means(state State, change func(*meaning)) func(*rules) {
	return func(r *rules) { change(&r.machine.meanings[state]) }
}

// rows calls f for each row of a state and role; the row is then that of this role alone.
func (r *rules) rows(state State, role Role, f func(*row)) {
	var table []row
	for _, old := range r.machine.table {
		if old.state != state || !slices.Contains(old.roles, role) {
			table = append(table, old)
			continue
		}
		changed := old
		changed.roles = []Role{role}
		f(&changed)
		table = append(table, changed)
		old.roles = slices.DeleteFunc(slices.Clone(old.roles), func(r Role) bool { return r == role })
		table = append(table, old)
	}
	r.machine.table = table
}

// seen twists what a server sees.
func seen(twist func(*Input)) func(*rules) { return func(r *rules) { r.twist = twist } }

// lost leaves something out of what is written.
func lost(forget func(*Zone)) func(*rules) { return kept(func(_ Zone, z *Zone) { forget(z) }) }

// kept is lost where something stays as it was.
func kept(forget func(was Zone, is *Zone)) func(*rules) { return func(r *rules) { r.forget = forget } }

// unread leaves something out of what a server reads before it writes.
func unread(read func(*Zone)) func(*rules) { return func(r *rules) { r.read = read } }

// believes replaces the rule by which a state that is read is gone on from; nil leaves a case to it.
func believes(rule func(held, read *Zone, has func(ID) bool) *Zone) func(*rules) {
	return func(r *rules) {
		r.hold = func(held, read *Zone, has func(ID) bool, observed []Observation) (*Zone, *Refusal) {
			if next := rule(held, read, has); next != nil {
				return next, nil
			}
			return Reconcile(held, read, has, observed)
		}
	}
}

func eachKey(z *Zone, f func(*Key)) {
	z.Keys = slices.Clone(z.Keys)
	for i := range z.Keys {
		f(&z.Keys[i])
	}
}

func now(s *step, _ *Key) time.Time { return s.in.Now }

var mutations = []mutation{
	// A wait is shortened.
	{"a new zone is announced one unit early", "a new zone", sooner(Introduced, CSK, 1)},
	{"a new zone is announced before unsigned data are gone", "a new zone", waitsFor(Introduced, CSK, keysEverywhere)},
	{"a CSK is used one unit before its DNSKEY is known", "a CSK rolls at once, twice", sooner(Published, CSK, 1)},
	{"a KSK is announced one unit before its DNSKEY is known", "KSK and ZSK roll", sooner(Published, KSK, 1)},
	{"a ZSK signs one unit before its DNSKEY is known", "a ZSK rolls twice", sooner(Published, ZSK, 1)},
	{"a CSK leaves one unit early", "a CSK rolls at once, twice", sooner(Retiring, CSK, 1)},
	{"a CSK leaves before its signatures do", "a CSK rolls at once, twice", waitsFor(Retiring, CSK, dsGone)},
	{"a CSK leaves before its DS does", "a CSK rolls at once, twice", waitsFor(Retiring, CSK, signaturesEverywhere)},
	{"a KSK leaves one unit before its DS is gone from caches", "KSK and ZSK roll", sooner(Retiring, KSK, 1)},
	{"a ZSK leaves one unit before its signatures are gone", "a ZSK rolls twice", sooner(Retiring, ZSK, 1)},
	{"a ZSK leaves as soon as its DNSKEY would be forgotten", "a ZSK rolls twice", waitsFor(Retiring, ZSK, keysEverywhere)},
	{"a new algorithm's DNSKEY comes one unit before its signatures are known", "the algorithm of a CSK", sooner(Presigned, CSK, 1)},
	{"a new algorithm's DNSKEY comes before its signatures are known", "the algorithm of a CSK", waitsFor(Presigned, CSK, keysEverywhere)},
	{"a new algorithm is announced one unit before its DNSKEY is known", "the algorithm of KSK and ZSK", sooner(Introduced, KSK, dataTTL-keyTTL+1)},
	{"an old algorithm's DNSKEY leaves one unit before its DS is gone", "the algorithm of a CSK", sooner(Yielding, CSK, 1)},
	{"an old algorithm's KSK leaves one unit before its DS is gone", "the algorithm of KSK and ZSK", sooner(Yielding, KSK, 1)},
	{"an old algorithm stops to sign one unit before its DNSKEY is gone", "the algorithm of a CSK", sooner(Postsigned, CSK, 1)},
	{"an old algorithm's ZSK stops to sign one unit before its DNSKEY is gone", "the algorithm of KSK and ZSK", sooner(Postsigned, ZSK, 1)},
	{"a restored CSK is judged at once", "a backup comes back", sooner(Unsure, CSK, dataTTL+propagation)},
	{"a restored ZSK is judged before its DNSKEY is known", "a backup comes back, and a ZSK rolls", sooner(Unsure, ZSK, 2)},

	// A step is swapped or left out.
	{"a new CSK signs at once", "a CSK rolls at once, twice", goesTo(Made, CSK, Published, Ready)},
	{"a new ZSK signs at once", "a ZSK rolls twice", goesTo(Made, ZSK, Published, Active)},
	{"a new algorithm's DNSKEY comes before its signatures", "the algorithm of a CSK", goesTo(Made, CSK, Presigned, Introduced)},
	{"a new algorithm comes like a key of the same", "the algorithm of a CSK", goesTo(Made, CSK, Presigned, Published)},
	{"an old algorithm leaves like a key of the same", "the algorithm of a CSK", goesTo(Active, CSK, Yielding, Retiring)},
	{"an old algorithm's signatures leave with its DNSKEY", "the algorithm of a CSK", goesTo(Yielding, CSK, Postsigned, Removed)},
	{"an old algorithm's ZSK stops to sign with its DNSKEY", "the algorithm of KSK and ZSK", goesTo(Yielding, ZSK, Postsigned, Removed)},
	{"a CSK leaves as soon as it is succeeded", "a CSK rolls at once, twice", goesTo(Active, CSK, Retiring, Removed)},
	{"a ZSK leaves as soon as it is succeeded", "a ZSK rolls twice", goesTo(Active, ZSK, Retiring, Removed)},
	{"a zone that goes insecure stops when the parent has no DS, not when caches have none", "insecure", waitsFor(Yielding, CSK, func(_ *step, k *Key) time.Time { return k.Gone })},
	{"a key is in use again at once", "insecure during a roll, and back", func(r *rules) {
		goesTo(Published, KSK, Retiring, Yielding)(r)
		r.rows(Yielding, KSK, func(row *row) {
			if row.next == Ready {
				row.wait.until = now
			}
		})
	}},

	// What is served is wrong.
	{"a key does not sign the DNSKEY RRset that it comes with", "a CSK rolls at once, twice", means(Published, func(m *meaning) { m.published = false })},
	{"a key that was succeeded is no longer served", "a CSK rolls at once, twice", means(Retiring, func(m *meaning) { m.published = false })},
	{"a key of an old algorithm no longer signs", "the algorithm of a CSK", means(Yielding, func(m *meaning) { m.signs = false })},
	{"a key of a new algorithm is served with its first signatures", "the algorithm of a CSK", means(Presigned, func(m *meaning) { m.published = true })},
	{"a key of an old algorithm is served with its last signatures", "the algorithm of a CSK", means(Postsigned, func(m *meaning) { m.published = true })},
	{"a restored key does not sign", "a backup comes back", means(Unsure, func(m *meaning) { m.signs = false })},
	{"a restored key is not served", "a backup comes back", means(Unsure, func(m *meaning) { m.published = false })},

	// A write is left out.
	{"when a state began is not written", "a CSK rolls at once, twice", lost(func(z *Zone) { eachKey(z, func(k *Key) { k.Since = k.Since.Add(-4 * unit) }) })},
	{"since when the DS is gone is not written", "a CSK rolls at once, twice", lost(func(z *Zone) {
		eachKey(z, func(k *Key) {
			if !k.Gone.IsZero() {
				k.Gone = k.Gone.Add(-4 * unit)
			}
		})
	})},
	{"a larger TTL that was served is not written", "TTLs change during a roll", lost(func(z *Zone) { z.DataTTL, z.KeyTTL = Mark{}, Mark{} })},
	{"when the state was written is not written", "a backup comes back", seen(func(in *Input) { in.Settings.Heartbeat = 1000 * unit })},

	// What people ask for is lost, or done twice.
	{"a request that was obeyed is left for the next step", "a CSK rolls, or not", kept(func(was Zone, is *Zone) { is.Requests = was.Requests })},
	{"a request that comes while a server steps is written over", "a CSK rolls, or not", unread(func(z *Zone) { z.Requests = nil })},
	{"what was asked for is not written", "a CSK rolls, or not", lost(func(z *Zone) { z.AskedKSK = Never })},
	{"that a roll has begun is not written", "a CSK rolls, or not", kept(func(was Zone, is *Zone) { is.AskedKSK = max(was.AskedKSK, is.AskedKSK) })},
	{"that the zone is to be insecure is not written", "insecure", lost(func(z *Zone) { z.Insecure = false })},
	{"answers are not written", "insecure", lost(func(z *Zone) { z.Answers = nil })},

	// What is held is given up.
	{"what is read is believed whatever it lacks", "a folder is lost while a CSK rolls", believes(func(_, read *Zone, _ func(ID) bool) *Zone { return read })},
	{"a state is believed whose keys have no files", "an older folder comes while a CSK rolls", believes(func(_, read *Zone, _ func(ID) bool) *Zone {
		if read.known() {
			return read
		}
		return nil
	})},
	{"another's folder is believed by a zone without keys", "a folder is lost in a new zone", believes(func(held, read *Zone, _ func(ID) bool) *Zone {
		if held.unsigned() {
			return read
		}
		return nil
	})},

	// The world is seen wrongly.
	{"TTLs are taken to be what is set, not what was served", "a CSK rolls at once, twice", seen(func(in *Input) { in.DataTTL, in.KeyTTL = loweredTTL*unit, loweredTTL*unit })},
	{"one server of the parent is taken for all", "a CSK rolls at once, twice", seen(func(in *Input) {
		if len(in.Parent) > 0 {
			in.Parent = in.Parent[:1]
		}
	})},
	{"the lag of the zone's servers is forgotten", "a CSK rolls at once, twice", seen(func(in *Input) { in.Settings.Propagation = 0 })},
	{"the lag of the parent's servers is forgotten", "a CSK rolls at once, twice", seen(func(in *Input) { in.Settings.ParentPropagation = 0 })},
	{"clocks are trusted", "the clock jumps", seen(func(in *Input) { in.Settings.Safety = 0 })},
	{"the TTL of the DS is forgotten", "a CSK rolls at once, twice", seen(func(in *Input) {
		in.Settings.ParentTTL = 0
		in.Parent = slices.Clone(in.Parent)
		for i := range in.Parent {
			in.Parent[i].TTL = 0
		}
	})},
	{"keys are used before backups have them", "a backup comes back", seen(func(in *Input) { in.Settings.BackupAge = 0 })},
}

// mutationStates is how far each is looked for: what is wrong shows early.
const mutationStates = 50_000

// Each way to be wrong is caught.
func TestMutationsAreCaught(t *testing.T) {
	t.Parallel()
	for n, m := range mutations {
		if raceDetector && n%10 > 0 {
			continue // it is the rules that are wrong, not goroutines
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == m.scenario })
			r := &rules{machine: standard}
			m.wrong(r)
			states, bad := explore(scenarios[i], r, mutationStates)
			if bad == nil {
				t.Fatalf("not caught among %d states", states)
			}
			t.Logf("%d states, and then %s", states, bad)
		})
	}
}
