package check

import "math/rand/v2"

// turn is a job with its number in the order.
type turn struct{ job, number int }

// spread is an order in which neighbours are far from each other, the same each time: lists of names are
// usually sorted by zone, and so the servers of all zones are asked at the same time rather than one after the other.
func spread(n int) []int { return rand.New(rand.NewPCG(0, 0)).Perm(n) }
