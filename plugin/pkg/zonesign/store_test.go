package zonesign

import "testing"

func anEntry(n int) (uint64, *entry) {
	return uint64(n), &entry{request: request{set: aSet(n), keep: Kept}}
}

func TestStoreIsBounded(t *testing.T) {
	t.Parallel()
	s := newStore(20)
	for n := range 1000 {
		s.put(anEntry(n))
		if got := s.each(func(*entry) {}); got > 20 {
			t.Fatalf("%d entries in a store of 20", got)
		}
	}
}

func TestStoreKeepsWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	s := newStore(20)
	id, asked := anEntry(-1)
	s.put(id, asked)
	idle, unasked := anEntry(-2)
	s.put(idle, unasked)
	for n := range 1000 {
		s.put(anEntry(n))
		if s.get(id, asked.request) == nil {
			t.Fatalf("gone after %d others, and was asked for all the time", n)
		}
	}
	if s.get(idle, unasked.request) != nil {
		t.Error("what nobody asked for is still there after 1000 others")
	}
}

// A working set of half the capacity loses nothing, in whatever order it is asked for.
func TestStoreHoldsHalfItsCapacity(t *testing.T) {
	t.Parallel()
	s := newStore(20)
	for n := range 10 {
		s.put(anEntry(n))
	}
	for round := range 100 {
		for n := range 10 {
			id, e := anEntry(n * (2*round + 1) % 10)
			if s.get(id, e.request) == nil {
				t.Fatalf("round %d: %d is gone", round, n)
			}
		}
	}
}

// Two requests with one digest never get each other's signatures (coredns/coredns#3953).
func TestDigestsMayCollide(t *testing.T) {
	t.Parallel()
	const id = 7
	_, one := anEntry(1)
	_, two := anEntry(2)
	s := newStore(20)
	s.put(id, one)
	if got := s.get(id, two.request); got != nil {
		t.Errorf("got %+v", got)
	}
	s.put(id, two)
	if s.get(id, two.request) != two || s.get(id, one.request) != nil {
		t.Error("the later one takes the place")
	}

	fs := flights{byID: map[uint64]*flight{}}
	first, leads := fs.join(id, one.request)
	second, also := fs.join(id, two.request)
	if !leads || !also || first == second {
		t.Fatal("two requests share a flight")
	}
	fs.land(second)
	if again, leads := fs.join(id, one.request); leads || again != first {
		t.Error("the flight that was announced is gone with the one that was not")
	}
	fs.land(first)
	if len(fs.byID) != 0 {
		t.Error("a flight is left")
	}
}
