package finding

import (
	"slices"
	"testing"
)

// A symptom is the code of a row: a misspelt one would hide nothing.
func TestSymptomsAreCodes(t *testing.T) {
	t.Parallel()
	for _, r := range tables() {
		for _, symptom := range r.symptoms {
			if !slices.ContainsFunc(tables(), func(other rule) bool { return other.catalog.Code == symptom }) {
				t.Errorf("%s hides %s, which is no code of the table", r.catalog.Code, symptom)
			}
		}
	}
}
