package keyroll

import (
	"testing"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"
)

func TestEntries(t *testing.T) {
	t.Parallel()
	if err := catalog.Check(Entries()); err != nil {
		t.Error(err)
	}
	for _, e := range Entries() {
		if e.Fix == "" {
			t.Errorf("%s: no fix", e.Code)
		}
	}
	if of := (Refusal{Code: "of-a-newer-version"}).Entry(); of.Code != "of-a-newer-version" || of.Text != "" {
		t.Errorf("%+v", of)
	}
}
