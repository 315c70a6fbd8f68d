package resolve

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

var gateAddr = netip.MustParseAddrPort("192.0.2.1:53")

// waits returns when so many questions wait at the gate.
func waits(t *testing.T, l *limiter, n int) {
	t.Helper()
	for l.queue(gateAddr) != n {
		if t.Context().Err() != nil {
			t.Fatal("the test's time is up")
		}
		time.Sleep(time.Millisecond)
	}
}

// What was begun first is asked first, whenever it comes.
func TestTurnsGoByPriority(t *testing.T) {
	t.Parallel()
	l := newLimiter(1, 0)
	first, err := l.enter(t.Context(), gateAddr)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []int
	var wg sync.WaitGroup
	for n, priority := range []int{3, 1, 2, 1, 0} {
		wg.Go(func() {
			release, err := l.enter(WithPriority(t.Context(), priority), gateAddr)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, 10*priority+n)
			mu.Unlock()
			release()
		})
		waits(t, l, n+1) // so that they come one after the other
	}
	first()
	wg.Wait()
	if want := []int{4, 11, 13, 22, 30}; !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
}

// Who gives up waiting is out of the queue, and takes nobody's turn.
func TestGivingUpATurn(t *testing.T) {
	t.Parallel()
	l := newLimiter(1, 0)
	first, _ := l.enter(t.Context(), gateAddr)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { _, err := l.enter(ctx, gateAddr); gone <- err }()
	waits(t, l, 1)
	cancel()
	if err := <-gone; err == nil {
		t.Error("it had its turn")
	}
	first()
	second, err := l.enter(t.Context(), gateAddr)
	if err != nil || l.gates[gateAddr].busy != 1 {
		t.Errorf("busy %d, %v", l.gates[gateAddr].busy, err)
	}
	second()
}
