package kvrange

import (
	"sync"
	"sync/atomic"

	"github.com/stratadb/strata/internal/rangestore/replica"
)

// quiet are the ranges of this node in which something was sequenced quietly and that
// nobody has kicked since.
type quiet struct {
	some atomic.Bool
	mu   struct {
		sync.Mutex
		ranges map[*replica.Replica]struct{}
		spare  map[*replica.Replica]struct{}
		list   []*replica.Replica // memory to use again
	}
}

func (q *quiet) add(r *replica.Replica) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.ranges == nil {
		q.mu.ranges = map[*replica.Replica]struct{}{}
	}
	q.mu.ranges[r] = struct{}{}
	q.some.Store(true)
}

func (q *quiet) kick() {
	q.mu.Lock()
	ranges := q.mu.ranges
	q.mu.ranges, q.mu.spare = q.mu.spare, nil
	list := q.mu.list[:0]
	q.mu.list = nil
	q.some.Store(false)
	q.mu.Unlock()
	for r := range ranges {
		list = append(list, r)
	}
	replica.Kick(list)
	clear(ranges)
	clear(list)
	q.mu.Lock()
	q.mu.spare, q.mu.list = ranges, list
	q.mu.Unlock()
}

// sequenced notes what a commit on r has left to a Kick. Where there is one range, that
// is what Kick kicks. One that was just cut is not forgotten: what is sequenced before
// a split commits with it, and nothing is sequenced behind it before the ranges are
// arranged anew.
func (e *Engine) sequenced(r *replica.Replica) {
	if e.store.Only() != r {
		e.quiet.add(r)
	}
}

// Kick implements kv.Engine.
func (e *Engine) Kick() {
	if r := e.store.Only(); r != nil {
		r.Kick()
	}
	if e.quiet.some.Load() {
		e.quiet.kick()
	}
}
