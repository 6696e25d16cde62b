package store

import (
	"slices"
	"sync"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// Replica is this store's replica of a range, nil if it has none.
func (s *Store) Replica(id base.RangeID) *replica.Replica {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.ranges[id]
}

// Replicas are this store's replicas, by range. The slice is everybody's.
func (s *Store) Replicas() []*replica.Replica {
	s.mu.RLock()
	list := s.mu.sorted
	s.mu.RUnlock()
	if list != nil {
		return list
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]base.RangeID, 0, len(s.mu.ranges))
	for id := range s.mu.ranges {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	out := make([]*replica.Replica, len(ids))
	for i, id := range ids {
		out[i] = s.mu.ranges[id]
	}
	s.mu.sorted = out
	return out
}

// Deliver gives a message from another node to the replica it is for.
func (s *Store) Deliver(m *replica.Message) error {
	r, err := s.Take(m)
	if r != nil {
		r.Wake()
	}
	return err
}

// Take is Deliver for those who make the replica attend to what they have brought; it is
// nil when there is nothing to attend to. A leader's heartbeat, or a candidate, makes a
// replica that has nothing yet, unless a split will bring it.
func (s *Store) Take(m *replica.Message) (*replica.Replica, error) {
	if m.IsLocal() {
		return nil, nil
	}
	r := s.Replica(m.Range)
	if m.Gone {
		s.gone(r, m)
		return nil, nil
	}
	if r == nil {
		if merged, err := s.merged(m.Range); merged || err != nil {
			if merged {
				s.o.Send(m.Node, replica.MergedAway(m, s.id.Node))
			}
			return nil, err
		}
		if !m.Makes() {
			return nil, nil
		}
		var err error
		if r, err = s.adopt(m.Range, m.To, m.Start); r == nil || err != nil {
			return nil, err
		}
	}
	_, self := r.ID()
	switch {
	case self == m.To:
		if (m.Snapshot == nil || s.claim(m)) && r.Take(m) {
			return r, nil
		}
	case self < m.To && m.IsLeaders(): // this node was removed, and is to come again
		s.retireSoon(r)
	}
	return nil, nil
}

// retireSoon lets a goroutine destroy a replica that is no longer one of its range.
func (s *Store) retireSoon(r *replica.Replica) {
	retire := func() {
		if err := s.retire(r); err != nil {
			s.o.OnFatal(err)
		}
	}
	switch {
	case s.ctx.Err() != nil:
	case s.o.Manual:
		retire()
	default:
		s.wait.Go(retire)
	}
}

// gone retires a replica that has been told that it was removed, or that its range was
// merged, unless the merge is still to come here.
func (s *Store) gone(r *replica.Replica, m *replica.Message) {
	if r == nil || m.From == 0 && s.wanted(r) {
		return
	}
	if _, self := r.ID(); self == m.To {
		s.retireSoon(r)
	}
}

// retire stops and destroys a replica.
func (s *Store) retire(r *replica.Replica) error {
	id, self := r.ID()
	turn := s.turn(id)
	if !turn.TryLock() {
		return nil // it is about to be born, or is being taken over
	}
	defer turn.Unlock()
	if s.Replica(id) != r || s.ctx.Err() != nil {
		return nil
	}
	s.o.Log.Info("replica is removed", "range", id, "replica", self)
	s.forget(id)
	d := r.Descriptor()
	if err := s.destroy(&d, self); err != nil {
		return err
	}
	if err := s.log.Remove(id); err != nil {
		return err
	}
	return s.log.Flush()
}

// forget stops a replica; what it has on disk stays.
func (s *Store) forget(id base.RangeID) {
	r := s.Replica(id)
	switch stop := s.remove(id); {
	case stop != nil:
		stop()
	case s.o.Manual && r != nil: // it has no loop that could do it
		r.Stop()
	}
}

// remove takes a replica out of the tables, and answers how to stop it.
func (s *Store) remove(id base.RangeID) (stop func()) {
	s.mu.Lock()
	r := s.mu.ranges[id]
	stop = s.mu.stops[id]
	delete(s.mu.stops, id)
	delete(s.mu.ranges, id)
	s.mu.sorted = nil
	delete(s.mu.claims, id)
	s.mu.Unlock()
	if r != nil {
		s.ticking.put(r, false)
	}
	if s.sleep != nil {
		s.sleep.Forget(id)
	}
	s.arrange()
	return stop
}

// turn is held by whoever makes or ends a replica of a range.
func (s *Store) turn(id base.RangeID) *sync.Mutex {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.turns[id] == nil {
		s.mu.turns[id] = &sync.Mutex{}
	}
	return s.mu.turns[id]
}

// adopt makes an empty replica of the range that begins with start. As long as another
// replica here holds that key, the range was split off from it: the split, when it
// is applied here, will make the replica.
func (s *Store) adopt(id base.RangeID, self base.ReplicaID, start []byte) (*replica.Replica, error) {
	turn := s.turn(id)
	if !turn.TryLock() {
		return nil, nil // it is about to be born, or to go
	}
	defer turn.Unlock()
	if r := s.Replica(id); r != nil || s.ctx.Err() != nil {
		return r, nil
	}
	if gone, err := s.buried(id, self); gone || err != nil || s.covered(id, start) {
		return nil, err
	}
	r, err := s.openReplica(id, self, replica.State{Range: base.RangeDescriptor{ID: id}}, false)
	if err != nil {
		return nil, err
	}
	s.arrange()
	if !s.o.Manual {
		s.run(r)
	}
	return r, nil
}

// send passes a replica's message on. A snapshot is copied by a goroutine: the
// range goes on meanwhile.
func (s *Store) send(r *replica.Replica, to base.NodeID, m *replica.Message) {
	if !m.IsSnapshot() {
		s.o.Send(to, m)
		return
	}
	fill := func() {
		err := r.FillSnapshot(m)
		if err == nil {
			s.o.Send(to, m)
		} else {
			s.o.Log.Warn("snapshot not sent", "range", m.Range, "to", to, "error", err)
		}
		r.SnapshotSent(m.To, err == nil)
	}
	if s.o.Manual {
		fill()
		return
	}
	s.wait.Go(fill)
}
