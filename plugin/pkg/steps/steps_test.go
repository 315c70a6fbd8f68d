package steps_test

import (
	"context"
	"errors"
	"testing"

	"github.com/coredns-caa/caa/plugin/pkg/steps"
)

func TestCounter(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	ctx, counted := steps.Counted(ctx)
	c := steps.Of(ctx)
	if c != counted || steps.Of(context.Background()) == c {
		t.Fatal("the counter of a context is not its own")
	}
	if !c.Take(5) || !c.Take(7) || c.Taken() != 12 || c.Err() != nil {
		t.Fatalf("%d steps, %v", c.Taken(), c.Err())
	}
	cancel()
	n := 0
	for c.Take(1) {
		n++
	}
	if n > 1024 || !errors.Is(c.Err(), context.Canceled) {
		t.Errorf("%d steps after the end, %v", n, c.Err())
	}
	if c := steps.Of(ctx); !errors.Is(c.Err(), context.Canceled) {
		t.Error("an end is seen between two looks, too")
	}
}
