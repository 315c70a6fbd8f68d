package source

import (
	"crypto/sha256"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// What follows of each input, by the state that it meets.
func TestSteps(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	textOf := func(text string) Verdict {
		return Verdict{text: []byte(text), candidate: Candidate{Policy: mustLoad(t, text)}}
	}
	whole := textOf(strings.Replace(wholePolicy, "dev", "test", 1))
	half := textOf(wholePolicy[:strings.Index(wholePolicy, "      secret")])
	other := textOf(strings.Replace(string(half.text), "dev", "tst", 1))
	wrong, missing := errors.New("it is wrong"), Temporary{errors.New("it has no data")}

	// The states.
	good := &Good{[]byte(wholePolicy), mustLoad(t, wholePolicy)}
	before := func(change func(*state)) state {
		s := state{good: good, loaded: ago(time.Hour)}
		change(&s)
		return s
	}
	plain := before(func(*state) {})
	late := before(func(s *state) { s.late = true })
	holding := func(v Verdict, seen, since time.Time) state {
		return before(func(s *state) { s.held = &held{sha256.Sum256(v.text), seen, since} })
	}
	waits := func(tried time.Time) state {
		return before(func(s *state) {
			s.trouble, s.waiting = trouble{"it has no data", 1, ago(time.Minute)}, &waiting{whole, tried}
		})
	}
	troubled := func(err error, reported time.Time) state {
		return before(func(s *state) { s.trouble = trouble{brief(err.Error()), 1, reported} })
	}
	restless := func(reported time.Time) state { return before(func(s *state) { s.restless = reported }) }
	serves := func(v Verdict) state { return state{good: &Good{v.text, v.candidate.Policy}, loaded: now} }
	withWaiting := func(s state) state { s.waiting = &waiting{whole, now}; return s }

	// The sources.
	rests := State{Read: true, Since: ago(time.Hour)}
	rested := State{Read: true, Since: ago(rest)}
	fresh := State{Since: ago(2 * time.Second)}
	changing := func(d time.Duration) State { return State{Since: now, Restless: ago(d)} }

	reports := func(events ...Event) output { return output{events: events} }
	why := halfOf(half.text, half.candidate.Policy, good)
	whyOther := halfOf(other.text, other.candidate.Policy, good)

	for _, c := range []struct {
		name    string
		state   state
		in      input
		source  State
		judging bool
		next    state
		want    output
	}{
		{"a look at what was read", plain, looked{}, rests, false, plain, output{}},
		{"at a new state that rests", plain, looked{}, fresh, false, plain, output{read: true}},
		{"the same while an older one is judged", plain, looked{}, fresh, true, plain, output{read: true}},
		{"at a new state that does not rest", plain, looked{}, changing(0), false, plain, output{}},
		{"at a held text", holding(half, ago(rest-1), ago(rest-1)), looked{}, State{Read: true, Since: ago(rest - 1)}, false, holding(half, ago(rest-1), ago(rest-1)), output{}},
		{"at one that has rested", holding(half, ago(rest), ago(rest)), looked{}, rested, false, holding(half, ago(rest), ago(rest)), output{read: true}},
		{"the same while it is judged", holding(half, ago(rest), ago(rest)), looked{}, rested, true, holding(half, ago(rest), ago(rest)), output{}},
		{"at a held text that changes", holding(half, ago(rest), ago(rest)), looked{}, changing(0), false, holding(half, ago(rest), ago(rest)), output{}},
		{"at one that changes for a minute", plain, looked{}, changing(restlessAfter), false, restless(now), reports(Restless{restlessAfter})},
		{"the same after the report", restless(ago(reminder - 1)), looked{}, changing(time.Hour), false, restless(ago(reminder - 1)), output{}},
		{"and long after it", restless(ago(reminder)), looked{}, changing(time.Hour), false, restless(now), reports(Restless{time.Hour})},
		{"and when it rests as it was", restless(ago(reminder)), looked{}, rests, false, plain, output{}},

		{"a judgement begins", waits(now), began{}, rests, true, troubled(missing, ago(time.Minute)), output{}},
		{"there is nothing to read", holding(half, now, now), unreadable{wrong}, rests, false, troubled(wrong, now), reports(Refused{"it is wrong", true})},
		{"and so at a start", late, unreadable{wrong}, rests, false, troubled(wrong, now), reports(Refused{"it is wrong", true})},

		{"refused by the judgement", holding(half, now, now), judged{Verdict{text: half.text, err: wrong}}, rests, false, troubled(wrong, now), reports(Refused{"it is wrong", false})},
		{"accepted by it", late, judged{whole}, rests, false, late, output{serve: &attempt{verdict: whole}}},
		{"accepted though another text is held", holding(half, now, now), judged{whole}, rests, false, holding(half, now, now), output{serve: &attempt{verdict: whole}}},
		{"a half", troubled(wrong, now), judged{half}, fresh, false, holding(half, fresh.Since, fresh.Since), reports(Held{why, fresh.Since.Add(rest)})},
		{"a half at a start", late, judged{half}, fresh, false, holding(half, fresh.Since, fresh.Since), reports(Held{why, fresh.Since.Add(rest)})},
		{"a half that has rested", holding(half, rested.Since, rested.Since), judged{half}, rested, false, holding(half, rested.Since, rested.Since), output{serve: &attempt{verdict: half, half: why}}},
		{"one that has rested, and changes now", holding(half, rested.Since, rested.Since), judged{half}, changing(0), false, holding(half, now, now), reports(Held{why, now.Add(rest)})},
		{"another in a state that looks the same", holding(half, rested.Since, rested.Since), judged{other}, rested, false, holding(other, rested.Since, now), reports(Held{whyOther, now.Add(rest)})},
		{"that one again", holding(other, rested.Since, ago(time.Second)), judged{other}, rested, false, holding(other, rested.Since, ago(time.Second)), reports(Held{whyOther, ago(time.Second).Add(rest)})},

		{"served", troubled(wrong, ago(time.Hour)), served{attempt{verdict: whole}, nil}, rests, false, serves(whole), reports(Accepted{whole.candidate})},
		{"served, which waited", waits(ago(retryAfter)), served{attempt{verdict: whole, again: true}, nil}, rests, false, serves(whole), reports(Accepted{whole.candidate})},
		{"served, which was held", holding(half, rested.Since, rested.Since), served{attempt{verdict: half, half: why}, nil}, rested, false, serves(half), reports(Rested{why, rest}, Accepted{half.candidate})},
		{"not to be served", late, served{attempt{verdict: whole}, wrong}, rests, false, troubled(wrong, now), reports(Refused{"it is wrong", false})},
		{"not to be served yet", plain, served{attempt{verdict: whole}, missing}, rests, false, withWaiting(troubled(missing, now)), reports(Refused{"it has no data", false})},
		{"still not", waits(ago(retryAfter)), served{attempt{verdict: whole, again: true}, missing}, rests, false, waits(now), output{}},
		{"no longer", waits(ago(retryAfter)), served{attempt{verdict: whole, again: true}, wrong}, rests, false, troubled(wrong, now), reports(Refused{"it is wrong", false})},

		{"nothing to retry", plain, retry{atOnce: true}, rests, false, plain, output{}},
		{"too soon to retry", waits(ago(retryAfter - 1)), retry{}, rests, false, waits(ago(retryAfter - 1)), output{}},
		{"time to retry", waits(ago(retryAfter)), retry{}, rests, false, waits(ago(retryAfter)), output{serve: &attempt{verdict: whole, again: true}}},
		{"to retry at once", waits(now), retry{atOnce: true}, rests, false, waits(now), output{serve: &attempt{verdict: whole, again: true}}},

		{"nothing to remind of", plain, remind{true}, rests, false, plain, output{}},
		{"too soon to remind", troubled(wrong, ago(reminder-1)), remind{true}, rests, false, troubled(wrong, ago(reminder-1)), output{}},
		{"to remind by another judgement", troubled(wrong, ago(reminder)), remind{true}, rests, false, troubled(wrong, now), output{again: true}},
		{"to remind without one", troubled(wrong, ago(reminder)), remind{false}, rests, false, troubled(wrong, now), reports(StillRefused{"it is wrong"})},

		{"the first policy", state{}, started{whole, "the file"}, rests, false, serves(whole), reports(Started{whole.candidate, "the file"})},
		{"the first one, for another that is being judged", plain, slow{time.Second, "a file"}, rests, true, late, reports(Slow{time.Second, "a file"})},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			next, out := c.in.step(c.state, moment{now, c.source, c.judging})
			if !reflect.DeepEqual(next, c.next) {
				t.Errorf("next is %+v, want %+v", next, c.next)
			}
			if !reflect.DeepEqual(out, c.want) {
				t.Errorf("what follows is %+v, want %+v", out, c.want)
			}
		})
	}
}

// The metrics show why a text is not served, and whether one waits.
func TestStatus(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name  string
		state state
		want  Status
	}{
		{"served", state{loaded: now}, Status{Loaded: now}},
		{"refused", state{trouble: trouble{"it is wrong", 3, now}}, Status{Problem: "it is wrong", Refusals: 3}},
		{"no data", state{trouble: trouble{"it has no data", 1, now}, waiting: &waiting{}}, Status{Problem: "it has no data", Refusals: 1}},
		{"held", state{held: &held{}}, Status{Waits: true}},
		{"judged at a start", state{late: true}, Status{Waits: true}},
		{"restless after a refusal", state{restless: now, trouble: trouble{"it is wrong", 3, now}}, Status{Problem: "it is wrong", Refusals: 3, Waits: true}},
	} {
		if got := c.state.status(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// What is reported of a long problem is its beginning, and how much more there is.
func TestBrief(t *testing.T) {
	t.Parallel()
	lines := func(n int) string { return strings.TrimSuffix(strings.Repeat("a\n", n), "\n") }
	for n, want := range map[int]string{
		1: "a", shownLines: lines(shownLines), shownLines + 1: lines(shownLines) + "\n1 more lines: check the file with caacheck lint before you install it",
	} {
		if got := brief(lines(n)); string(got) != want {
			t.Errorf("%d lines: %q", n, got)
		}
	}
}
