package spelling

import "testing"

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abcd", "badc", 2}, {"ca", "abc", 3}, {"kitten", "sitting", 3}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
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
