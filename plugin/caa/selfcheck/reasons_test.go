package selfcheck

import (
	"regexp"
	"strings"
	"testing"
)

func TestReasons(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, e := range Reasons() {
		f := Find(Reason(e.Code), "%s", "a cause")
		switch {
		case seen[e.Code], !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(e.Code):
			t.Errorf("the code %q is not one, or there twice", e.Code)
		case e.Text == "", e.Fix == "", strings.HasSuffix(e.Text+e.Fix, "."):
			t.Errorf("%+v", e)
		case string(f.Reason) != e.Code, f.Cause != "a cause", f.State == "", f.State == MayIssue:
			t.Errorf("%+v", f)
		}
		seen[e.Code] = true
	}
	if f := Find("not-in-the-table", "a cause"); f.State != AtRisk || f.Cause != "a cause" {
		t.Errorf("%+v", f)
	}
}
