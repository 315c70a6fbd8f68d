// Package steps counts the work of judging a policy, and ends it where nobody waits for the result any longer.
//
// Judging is loops over a file's contents, and each loop counts its steps here. So a test can hold the work against the
// size of the input without a clock, and a judgement ends soon after its context.
package steps

import "context"

// lookEvery is the number of steps between two looks at the context: a look costs more than a step, and so many steps take
// a millisecond.
const lookEvery = 1024

// Counter counts the steps of one judgement. It belongs to one goroutine.
type Counter struct {
	ctx   context.Context
	taken int
	look  int // the number of steps at which to look next
	err   error
}

type key struct{}

// Counted returns a context whose judgement counts its steps in the Counter that is returned with it.
func Counted(ctx context.Context) (context.Context, *Counter) {
	c := &Counter{}
	return context.WithValue(ctx, key{}, c), c
}

// Of returns the counter of a context: the one that Counted made, or a new one.
func Of(ctx context.Context) *Counter {
	c, ok := ctx.Value(key{}).(*Counter)
	if !ok {
		c = &Counter{}
	}
	c.ctx = ctx
	return c
}

// Take takes n steps and reports whether there may be more: false once the context has ended.
func (c *Counter) Take(n int) bool {
	c.taken += n
	if c.taken >= c.look && c.err == nil && c.ctx != nil {
		c.look = c.taken + lookEvery
		c.err = c.ctx.Err()
	}
	return c.err == nil
}

// Taken returns the number of steps that have been taken.
func (c *Counter) Taken() int { return c.taken }

// Err returns the context's error once that has ended, also between two looks.
func (c *Counter) Err() error {
	if c.err == nil && c.ctx != nil {
		c.err = c.ctx.Err()
	}
	return c.err
}
