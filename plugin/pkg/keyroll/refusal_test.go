package keyroll

import (
	"regexp"
	"strings"
	"testing"
)

func TestEntries(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, e := range Entries() {
		switch {
		case seen[e.Code], !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(e.Code):
			t.Errorf("the code %q is not one, or there twice", e.Code)
		case e.Text == "", e.Fix == "", strings.HasSuffix(e.Text+e.Fix, "."):
			t.Errorf("%+v", e)
		}
		seen[e.Code] = true
	}
	if of := (Refusal{Code: "of-a-newer-version"}).Entry(); of.Code != "of-a-newer-version" || of.Text != "" {
		t.Errorf("%+v", of)
	}
}
