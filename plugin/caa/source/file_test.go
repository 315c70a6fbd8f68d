package source

import (
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile/regularfiletest"
)

func TestPoliciesAreRegularFiles(t *testing.T) {
	t.Parallel()
	regularfiletest.Refuses(t, "policy.yaml", policy.MaxSize, func(_, path string) error {
		text, err := NewFile(path, "Corefile:2").Read(time.Now())
		if err == nil {
			_, err = policy.Parse(path, text)
		}
		return err
	})
	regularfiletest.Refuses(t, "last-good.yaml", policy.MaxSize, func(_, path string) error {
		_, err := LastGood{path: path}.load()
		return err
	})
}
