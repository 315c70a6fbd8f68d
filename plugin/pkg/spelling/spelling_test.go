package spelling

import (
	"math/rand/v2"
	"testing"
)

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abcd", "badc", 2}, {"ca", "abc", 3}, {"kitten", "sitting", 3}} {
		for most := range 9 {
			if got, want := distance(tt.a, tt.b, most), min(tt.want, most+1); min(got, most+1) != want {
				t.Errorf("distance(%q, %q, %d) = %d, want %d", tt.a, tt.b, most, got, want)
			}
		}
	}
}

// Whatever the bound, the distance within it is that without one.
func TestDistanceWithinABound(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		b := make([]byte, r.IntN(9))
		for i := range b {
			b[i] = 'a' + byte(r.IntN(3))
		}
		return string(b)
	}
	for range 20_000 {
		a, b := word(), word()
		exact := distance(a, b, 20)
		for most := range 10 {
			if got := distance(a, b, most); min(got, most+1) != min(exact, most+1) {
				t.Fatalf("distance(%q, %q, %d) = %d, without a bound %d", a, b, most, got, exact)
			}
		}
	}
}

// A budget that is spent finds nothing, rather than something that is not the nearest.
func TestBudget(t *testing.T) {
	t.Parallel()
	words, spent := []string{"issue", "issued"}, 0
	cost := len(words) + 2*len("isued")*(2*AThird("isued")("")+1)
	for allowed, want := range map[int]string{0: "", 1: "", cost - 1: "", cost: "issued", 1000: "issued"} {
		b := NewBudget(allowed, func(n int) { spent += n })
		if got := b.Nearest("isued", words, AThird("isued")); got != want {
			t.Errorf("%d cells: %q, want %q", allowed, got, want)
		}
	}
	b := NewBudget(2*cost-1, func(int) {})
	if first, second, third := b.Nearest("isued", words, AThird("isued")), b.Nearest("isued", words, AThird("isued")), b.Nearest("isued", words[:1], AThird("isued")); first != "issued" || second != "" || third != "" {
		t.Errorf("%q, then %q and %q", first, second, third)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	words := []string{"issuers", "issue", "ISSUEWILD", "iodef"}
	for word, want := range map[string]string{
		"issures": "issuers", "Issue": "issue", "isue": "issue", "issuewidl": "ISSUEWILD", "idoef": "iodef", "zones": "", "": "",
	} {
		if got := Nearest(word, words, AThird(word)); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
	if got := Nearest("issuf", words, func(string) int { return 0 }); got != "" {
		t.Errorf("without a slip, %q", got)
	}
}
