package zonesign

import "sync"

// request is what a signature is asked for. Requests are found by a digest and compared in full, so
// that no RRset ever gets the signatures of another (coredns/coredns#3953).
type request struct {
	keys *KeySet
	set  RRset
	keep Keep
}

func (r request) equal(o request) bool {
	return r.keys == o.keys && r.keep == o.keep && r.set.equal(o.set)
}

// flight is one signing that others wait for.
type flight struct {
	request
	id        uint64
	done      chan struct{} // closed when the rest is filled in
	sigs      Signatures
	err       error
	abandoned bool // it never began: whoever waited may lead the next
}

// flights are those that are under way. golang.org/x/sync/singleflight is the same idea, but whoever
// waits on it with a context pays a goroutine, and a random name pays that for each signature:
// 0.65 microseconds against 0.16 (BenchmarkFlight).
type flights struct {
	mu   sync.Mutex
	byID map[uint64]*flight
}

// join returns the flight for a request. Who leads it must see that it lands.
func (fs *flights) join(id uint64, r request) (f *flight, leads bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	other := fs.byID[id]
	if other != nil && other.request.equal(r) {
		return other, false
	}
	f = &flight{request: r, id: id, done: make(chan struct{}), err: errUnfinished}
	if other == nil { // else another request with the same digest: this one flies unannounced
		fs.byID[id] = f
	}
	return f, true
}

// land ends a flight and lets go who waits for it.
func (fs *flights) land(f *flight) {
	fs.mu.Lock()
	if fs.byID[f.id] == f {
		delete(fs.byID, f.id)
	}
	fs.mu.Unlock()
	close(f.done)
}

// abandon lands a flight that never began.
func (fs *flights) abandon(f *flight) {
	f.abandoned = true
	fs.land(f)
}
