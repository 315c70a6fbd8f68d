package resolve

import (
	"container/heap"
	"context"
	"net/netip"
	"sync"
	"time"
)

// limiter is polite to each address: so many questions at a time, and so many a second. Whose turn is first has
// the lowest priority, and of those who came first.
type limiter struct {
	concurrency int
	interval    time.Duration // between two questions; 0 for none

	mu    sync.Mutex
	gates map[netip.AddrPort]*gate
}

// gate is that of one address.
type gate struct {
	busy    int       // questions that are put and not answered
	next    time.Time // when the next question may be put
	waiting waiters
	timer   *time.Timer // of next; nil where nobody waits for it
	came    int         // questions so far
}

// waiter is one question that waits.
type waiter struct {
	priority, number int
	granted          chan struct{} // closed when the question may be put
	position         int           // in the queue; -1 for not in it any more
}

// waiters are a heap, for [heap].
type waiters []*waiter

func (t waiters) Len() int { return len(t) }
func (t waiters) Less(i, j int) bool {
	return t[i].priority < t[j].priority || t[i].priority == t[j].priority && t[i].number < t[j].number
}
func (t waiters) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].position, t[j].position = i, j
}
func (t *waiters) Push(x any) {
	w := x.(*waiter)
	w.position = len(*t)
	*t = append(*t, w)
}
func (t *waiters) Pop() any {
	last := (*t)[len(*t)-1]
	last.position = -1
	*t = (*t)[:len(*t)-1]
	return last
}

// slack is how late a question may come and the next one be put at its own time all the same: timers are not exact.
const slack = 20 * time.Millisecond

func newLimiter(concurrency int, rate float64) *limiter {
	l := &limiter{concurrency: concurrency, gates: map[netip.AddrPort]*gate{}}
	if rate > 0 {
		l.interval = time.Duration(float64(time.Second) / rate)
	}
	return l
}

type priorityKey struct{}

// WithPriority has questions asked by a context wait for those of lower numbers, at addresses where many wait. So
// what was begun first is finished first. Without it the priority is 0.
func WithPriority(ctx context.Context, priority int) context.Context {
	return context.WithValue(ctx, priorityKey{}, priority)
}

// enter waits for its turn. release has to be called when the question is answered.
func (l *limiter) enter(ctx context.Context, addr netip.AddrPort) (release func(), err error) {
	priority, _ := ctx.Value(priorityKey{}).(int)
	l.mu.Lock()
	g := l.gates[addr]
	if g == nil {
		g = new(gate)
		l.gates[addr] = g
	}
	g.came++
	w := &waiter{priority: priority, number: g.came, granted: make(chan struct{})}
	heap.Push(&g.waiting, w)
	l.grant(g)
	l.mu.Unlock()
	select {
	case <-w.granted:
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		if w.position >= 0 {
			heap.Remove(&g.waiting, w.position)
			return nil, ctx.Err()
		}
	}
	return func() { l.leave(g) }, nil
}

func (l *limiter) leave(g *gate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g.busy--
	l.grant(g)
}

// grant admits those that may go, and schedules itself for when the next one may. l.mu is held.
func (l *limiter) grant(g *gate) {
	for len(g.waiting) > 0 && g.busy < l.concurrency {
		now := time.Now()
		if wait := g.next.Sub(now); wait > 0 {
			if g.timer == nil {
				g.timer = time.AfterFunc(wait, func() {
					l.mu.Lock()
					defer l.mu.Unlock()
					g.timer = nil
					l.grant(g)
				})
			}
			return
		}
		if now.Sub(g.next) > slack {
			g.next = now
		}
		g.next = g.next.Add(l.interval)
		g.busy++
		close(heap.Pop(&g.waiting).(*waiter).granted)
	}
}

// queue is how many questions wait for their turn at an address.
func (l *limiter) queue(addr netip.AddrPort) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.gates[addr]; g != nil {
		return len(g.waiting)
	}
	return 0
}
