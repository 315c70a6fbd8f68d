// Package steps counts the work of judging a policy, and ends it where nobody waits for the result any
// longer.
//
// Judging is loops over what a file says, and each takes its steps here. So work can be held against the
// size of its input by a test that reads no clock, and a judgement ends soon after its context has.
package steps

import "context"

// lookEvery is how many steps are taken from one look at the context to the next: a look costs more than a
// step, and so many steps take a millisecond.
const lookEvery = 1024

// Counter counts the steps of one judgement. It belongs to one goroutine.
type Counter struct {
	ctx   context.Context
	taken int
	look  int // at so many steps
	err   error
}

type key struct{}

// Counted is a context whose judgement counts its steps in the Counter that comes with it.
func Counted(ctx context.Context) (context.Context, *Counter) {
	c := &Counter{}
	return context.WithValue(ctx, key{}, c), c
}

// Of is the counter of a context: the one that came with it, or a new one.
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

// Taken is how many steps have been taken.
func (c *Counter) Taken() int { return c.taken }

// Err is the context's error where that ended the work, also between two looks.
func (c *Counter) Err() error {
	if c.err == nil && c.ctx != nil {
		c.err = c.ctx.Err()
	}
	return c.err
}
