package resolve

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// limiter is polite to each address: so many questions at a time, and so many a second.
type limiter struct {
	concurrency int
	interval    time.Duration // between two questions; 0 for none

	mu    sync.Mutex
	gates map[netip.AddrPort]*gate
}

// gate is that of one address.
type gate struct {
	slots   chan struct{}
	next    time.Time // when the next question may be put
	waiting int       // questions that are not put yet
}

func newLimiter(concurrency int, rate float64) *limiter {
	l := &limiter{concurrency: concurrency, gates: map[netip.AddrPort]*gate{}}
	if rate > 0 {
		l.interval = time.Duration(float64(time.Second) / rate)
	}
	return l
}

// enter waits for its turn. release has to be called when the question is answered.
func (l *limiter) enter(ctx context.Context, addr netip.AddrPort) (release func(), err error) {
	l.mu.Lock()
	g := l.gates[addr]
	if g == nil {
		g = &gate{slots: make(chan struct{}, l.concurrency)}
		l.gates[addr] = g
	}
	g.waiting++
	l.mu.Unlock()
	defer l.leave(g)
	select {
	case g.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	release = func() { <-g.slots }
	if err := l.wait(ctx, g); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func (l *limiter) leave(g *gate) {
	l.mu.Lock()
	g.waiting--
	l.mu.Unlock()
}

// queue is how many questions wait for their turn at an address.
func (l *limiter) queue(addr netip.AddrPort) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.gates[addr]; g != nil {
		return g.waiting
	}
	return 0
}

// wait takes the next moment of a gate and waits for it.
func (l *limiter) wait(ctx context.Context, g *gate) error {
	l.mu.Lock()
	now := time.Now()
	at := g.next
	if at.Before(now) {
		at = now
	}
	g.next = at.Add(l.interval)
	l.mu.Unlock()
	if !at.After(now) {
		return ctx.Err()
	}
	timer := time.NewTimer(at.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
