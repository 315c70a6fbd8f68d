// Package spelling finds the known word that is nearest to a mistyped one.
package spelling

import (
	"math"
	"strings"
)

// longestWord is the length of the longest word that is compared. No known word is longer.
const longestWord = 256

// Nearest returns the candidate with the fewest slips from a word, in any case, if those are no more than slips allows for
// it; the first of several, "" where there is none. A slip is a letter too many, missing or wrong, or two neighbours
// swapped.
func Nearest(word string, candidates []string, slips func(candidate string) int) string {
	return (&Budget{left: math.MaxInt}).Nearest(word, candidates, slips)
}

// Budget bounds the cost of looking for words: a file of a hundred thousand mistyped words would otherwise have each
// compared with a hundred thousand known ones. Once it is spent, no word is found.
type Budget struct {
	left  int // in cells of the tables that compare two words
	spend func(cells int)
}

// NewBudget returns a budget of so many cells, which calls spend with what it spends.
func NewBudget(cells int, spend func(cells int)) Budget { return Budget{cells, spend} }

// pay takes a cost from what is left, and reports whether that was enough.
func (b *Budget) pay(cells int) bool {
	if b.left < cells {
		b.left = 0
		return false
	}
	b.left -= cells
	if b.spend != nil {
		b.spend(cells)
	}
	return true
}

// Nearest is the function of that name within the budget. It returns "" where the budget is too small.
func (b *Budget) Nearest(word string, candidates []string, slips func(candidate string) int) string {
	if len(word) > longestWord || !b.pay(len(candidates)) {
		return ""
	}
	best, least := "", 0
	for _, c := range candidates {
		allowed := slips(c)
		if max(len(c)-len(word), len(word)-len(c)) > allowed {
			continue // so many letters are missing or too many
		}
		if !b.pay(len(word) * (2*allowed + 1)) {
			return ""
		}
		if d := distance(strings.ToLower(word), strings.ToLower(c), allowed); d <= allowed && (best == "" || d < least) {
			best, least = c, d
		}
	}
	return best
}

// AThird allows a word a slip, and one more for every three of its letters.
func AThird(word string) func(string) int { return func(string) int { return len(word)/3 + 1 } }

// distance returns the Damerau-Levenshtein distance, in its form that swaps no letters twice (optimal string alignment).
// It is exact up to most; beyond that it is some number above most. It fills in the cells of the table that so few slips
// can reach alone: those near the diagonal.
func distance(a, b string, most int) int {
	beyond := most + 1
	if max(len(a)-len(b), len(b)-len(a)) > most {
		return beyond
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		from, to := max(1, i-most), min(len(b), i+most)
		if row[from-1] = beyond; from == 1 {
			row[0] = i
		}
		if to < len(b) {
			row[to+1] = beyond // the next row looks there
		}
		for j := from; j <= to; j++ {
			wrong := 1
			if a[i-1] == b[j-1] {
				wrong = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+wrong)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
