package check_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/test/lab"
)

// Names that wait for the same servers are finished one after the other rather than all at the end, so that progress
// says something and an interrupted run has names to show.
func TestNamesOfOneZoneAreFinishedAllAlong(t *testing.T) {
	t.Parallel()
	l := lab.New(t, nil,
		lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}},
		lab.Zone{Name: "one.test.", Servers: []string{"ns1.one.test."}, Text: `@ CAA 0 issue "letsencrypt.org"`})
	r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: 100})
	if err != nil {
		t.Fatal(err)
	}
	var subjects []certname.Name
	for i := range 40 {
		subjects = append(subjects, certname.Name{Domain: fmt.Sprintf("x%d.one.test.", i)})
	}
	begun, quarter := time.Now(), time.Duration(0)
	check.New(r, check.Jobs(subjects, []string{"letsencrypt.org"}, guard.Requirement{}), check.Options{At: time.Now()}).Run(t.Context(), check.Progress{Examined: func(done, total int) {
		if done == total/4 {
			quarter = time.Since(begun)
		}
	}})
	if whole := time.Since(begun); quarter > whole*3/4 {
		t.Errorf("a quarter of the names was finished after %v of %v", quarter, whole)
	}
}
