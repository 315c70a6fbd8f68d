package selfcheck

import (
	"testing"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"
)

func TestReasons(t *testing.T) {
	t.Parallel()
	if err := catalog.Check(Reasons()); err != nil {
		t.Error(err)
	}
	for _, e := range Reasons() {
		f := Find(Reason(e.Code), "%s", "a cause")
		if e.Fix == "" || string(f.Reason) != e.Code || f.Cause != "a cause" || f.State == "" || f.State == MayIssue {
			t.Errorf("%s: %+v", e.Code, f)
		}
	}
	if f := Find("not-in-the-table", "a cause"); f.State != AtRisk || f.Cause != "a cause" {
		t.Errorf("%+v", f)
	}
}
