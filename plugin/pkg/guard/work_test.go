package guard_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/policy/policygen"
	"github.com/coredns-caa/caa/plugin/pkg/steps"
)

// What an octet of a policy may cost, however it is written: steps of the judgement, and octets allocated. A
// usual policy takes a twentieth of it. Beside that, any policy may cost something at first: what the limits of products
// leave free.
const (
	stepsPerOctet  = 60
	octetsPerOctet = 2500
	stepsAtFirst   = 2 << 20
	octetsAtFirst  = 160 << 20
)

// effort is what judging a policy took.
type effort struct{ steps, octets int }

// judge reads a policy and proves it, as the server does and caacheck lint. previous may be nil.
func judge(ctx context.Context, text []byte) (effort, error) {
	ctx, counter := steps.Counted(ctx)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p, err := policy.LoadContext(ctx, "caa.yaml", text)
	if err == nil {
		var report guard.Report
		report, err = guard.CheckContext(ctx, p, guard.Options{Zones: []string{guard.Unlisted}, Previous: p, At: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)})
		err = errors.Join(err, report.Err())
	}
	if err != nil {
		_ = err.Error() // is part of the cost: it is logged
	}
	runtime.ReadMemStats(&after)
	return effort{counter.Taken(), int(after.TotalAlloc - before.TotalAlloc)}, err
}

func checkEffort(t *testing.T, text []byte) (effort, error) {
	t.Helper()
	spent, err := judge(context.Background(), text)
	if most := stepsAtFirst + stepsPerOctet*len(text); spent.steps > most {
		t.Errorf("%d octets took %d steps, %d each; at most %d are allowed:\n%.300s", len(text), spent.steps, spent.steps/len(text), most, text)
	}
	if most := octetsAtFirst + octetsPerOctet*len(text); spent.octets > most {
		t.Errorf("%d octets had %d allocated, %d each; at most %d are allowed:\n%.300s", len(text), spent.octets, spent.octets/len(text), most, text)
	}
	return spent, err
}

// Whatever way a policy grows in, the work to judge it grows as its size, whether it is refused or accepted.
func TestWorkIsLinear(t *testing.T) {
	for _, shape := range policygen.Shapes {
		t.Run(shape.Name, func(t *testing.T) {
			for _, size := range []int{20_000, 160_000} {
				text := []byte(shape.Text(size))
				spent, err := checkEffort(t, text)
				t.Logf("%d octets: %d steps and %d octets for each; %.100v", len(text), spent.steps/len(text), spent.octets/len(text), err)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// The same of policies that the grammar allows, and of such that are damaged.
func TestWorkIsLinearInRandomPolicies(t *testing.T) {
	for _, o := range []policygen.Options{{Size: 4}, {Size: 12}, {Size: 40}, {Size: 12, Damage: 0.01}, {Size: 30, Damage: 0.3}, {Size: 12, Damage: 0.5, Hostile: true}} {
		for seed := range uint64(6) {
			text := policygen.Text(rand.New(rand.NewPCG(seed, uint64(o.Size))), o)
			if checkEffort(t, text); t.Failed() {
				t.Fatalf("%+v, seed %d", o, seed)
			}
		}
	}
}

// FuzzWork looks for policies that take more.
func FuzzWork(f *testing.F) {
	for seed := range byte(20) {
		f.Add([]byte{seed, 1, 2, 3}, byte(10), seed)
	}
	f.Fuzz(func(t *testing.T, data []byte, size, damage byte) {
		checkEffort(t, policygen.Text(rand.New(policygen.Source(data)), policygen.Options{Size: int(size) % 40, Damage: float64(damage) / 1000}))
	})
}

// A judgement ends soon after its context has, wherever it is.
func TestWorkEnds(t *testing.T) {
	t.Parallel()
	for _, shape := range policygen.Shapes {
		text := []byte(shape.Text(20_000))
		whole, _ := judge(context.Background(), text)
		for _, part := range []int{0, 1, 2, 3} {
			ctx := &endsAfter{Context: context.Background(), looks: part * whole.steps / 4 / 1024}
			spent, err := judge(ctx, text)
			if ctx.ended && !errors.Is(err, context.Canceled) {
				t.Errorf("%s: the context ended, and the error is %.200v", shape.Name, err)
			}
			if part == 0 && (!ctx.ended || spent.steps > 20_000) {
				t.Errorf("%s: %d steps of %d though nobody waited", shape.Name, spent.steps, whole.steps)
			}
		}
	}
}

// endsAfter is a context that ends when it has been looked at so often.
type endsAfter struct {
	context.Context
	looks int
	ended bool
}

func (c *endsAfter) Err() error {
	if c.looks--; c.looks >= 0 {
		return nil
	}
	c.ended = true
	return context.Canceled
}
