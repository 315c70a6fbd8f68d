// Package spelling finds what somebody meant who mistyped a word.
package spelling

import "strings"

// longestWord is the longest that somebody may have mistyped. Anything longer is no word of ours.
const longestWord = 256

// Nearest is the candidate that a word is the fewest slips away from, and no more than slips says for it, whatever
// their case; the first of several, "" for none. A slip is a letter too many, missing or wrong, or two neighbours
// swapped.
func Nearest(word string, candidates []string, slips func(candidate string) int) string {
	if len(word) > longestWord {
		return ""
	}
	best, least := "", 0
	for _, c := range candidates {
		allowed := slips(c)
		if max(len(c)-len(word), len(word)-len(c)) > allowed {
			continue // so many letters are missing or too many
		}
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d <= allowed && (best == "" || d < least) {
			best, least = c, d
		}
	}
	return best
}

// AThird allows a word a slip, and one more for every three of its letters.
func AThird(word string) func(string) int { return func(string) int { return len(word)/3 + 1 } }

// distance is the Damerau-Levenshtein distance, in its form that swaps no letters twice (optimal string
// alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
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
