package check

import (
	"slices"
	"testing"
)

// Of a list by zones, those that are checked at one time are of many zones.
func TestNeighboursAreSpread(t *testing.T) {
	t.Parallel()
	const zones, each = 20, 100
	order := spread(zones * each)
	for begin := 0; begin+DefaultWorkers <= len(order); begin += DefaultWorkers {
		count := make([]int, zones)
		for _, i := range order[begin : begin+DefaultWorkers] {
			count[i/each]++
		}
		if slices.Max(count) > 3*DefaultWorkers/zones {
			t.Errorf("of %d names at a time %d are of one zone of %d", DefaultWorkers, slices.Max(count), zones)
		}
	}
	slices.Sort(order)
	for i, n := range order {
		if i != n {
			t.Fatalf("%d is not among them, or twice", i)
		}
	}
}
