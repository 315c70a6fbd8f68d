package zones

import (
	"hash/maphash"
	"iter"
	"maps"
	"sync"
	"sync/atomic"
)

// MaxFound bounds them.
const MaxFound = 100_000

// foundShards is how many maps hold them. Each is copied when a zone is added to it, so that reading takes no lock:
// with 100,000 zones some hundred entries.
const foundShards = 1024

// found are the zones that showed in the next plugin's answers and that the policy does not list, by canonical name.
// `default` protects them from their first question on. Written seldom, read with each question.
type found[T any] struct {
	mu     sync.Mutex // held while one is added or taken out
	count  atomic.Int64
	seed   maphash.Seed
	shards [foundShards]atomic.Pointer[map[string]*T]
}

func newFound[T any]() *found[T] { return &found[T]{seed: maphash.MakeSeed()} }

func (f *found[T]) shard(apex string) *atomic.Pointer[map[string]*T] {
	return &f.shards[maphash.String(f.seed, apex)%foundShards]
}

// get is the zone with that name, nil for none.
func (f *found[T]) get(apex string) *T {
	if f.count.Load() == 0 {
		return nil
	}
	if zones := f.shard(apex).Load(); zones != nil {
		return (*zones)[apex]
	}
	return nil
}

func (f *found[T]) all() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := range f.shards {
			zones := f.shards[i].Load()
			if zones == nil {
				continue
			}
			for _, z := range *zones {
				if !yield(z) {
					return
				}
			}
		}
	}
}

// change sets a zone or, with nil, takes it out. It is called with the lock.
func (f *found[T]) change(apex string, z *T) {
	shard := f.shard(apex)
	next := map[string]*T{}
	if was := shard.Load(); was != nil {
		next = maps.Clone(*was)
	}
	f.count.Add(int64(-len(next)))
	if next[apex] = z; z == nil {
		delete(next, apex)
	}
	f.count.Add(int64(len(next)))
	shard.Store(&next)
}
