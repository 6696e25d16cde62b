package store

import (
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/rangestore/sleep"
)

// ticking are the replicas that need to be told of time; the others sleep, or are alone.
type ticking struct {
	mu   sync.Mutex
	set  map[base.RangeID]*replica.Replica
	list []*replica.Replica // of set, by range; it is not changed any more
	old  bool               // list is of an earlier set
}

// put says whether a replica is one of them.
func (t *ticking) put(r *replica.Replica, needs bool) {
	id, _ := r.ID()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case needs:
		t.set[id] = r
	case t.set[id] == r:
		delete(t.set, id)
	}
	t.old = true
}

// all are the replicas by range.
func (t *ticking) all() []*replica.Replica {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.old {
		t.old, t.list = false, make([]*replica.Replica, 0, len(t.set))
		for _, r := range t.set {
			t.list = append(t.list, r)
		}
		slices.SortFunc(t.list, func(a, b *replica.Replica) int {
			x, _ := a.ID()
			y, _ := b.ID()
			return int(int64(x) - int64(y))
		})
	}
	return t.list
}

// needsTicks is called by a replica when it falls asleep or wakes up. One that is not this
// store's any more is not told of anything.
func (s *Store) needsTicks(r *replica.Replica, needs bool) {
	id, _ := r.ID()
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.ticking.put(r, needs && s.mu.ranges[id] == r)
}

// Tick lets a tick pass at the replicas that need it, and then at the table of those that
// sleep: who wakes in between may miss it, and is never told twice.
func (s *Store) Tick() {
	for _, r := range s.ticking.all() {
		r.Tick()
		if r.Removed() {
			s.retireSoon(r)
		}
	}
	if s.sleep == nil {
		return
	}
	for _, a := range s.sleep.Tick(s.o.Clock.Elapsed()) {
		s.o.Beat(a.To, &a.Beat)
	}
}

// TakeBeat takes the heartbeat of another node's store, and answers it.
func (s *Store) TakeBeat(from base.NodeID, b *sleep.Beat) {
	if s.sleep == nil {
		return
	}
	if answer := s.sleep.Take(from, b, s.o.Clock.Elapsed()); answer != nil {
		s.o.Beat(from, answer)
	}
}

// beds makes the table of the ranges that sleep, where there may be other nodes.
func (s *Store) beds() {
	if s.o.Beat == nil {
		return
	}
	random := s.o.Random
	if random == nil {
		random = rand.Uint64
	}
	s.sleep = sleep.New(sleep.Options{Self: sleep.Incarnation(random() | 1), Every: replica.BeatTicks, Silence: replica.SilenceTicks,
		Faults: s.o.SleepFaults})
}
