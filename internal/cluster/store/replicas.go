package store

import (
	"slices"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// Replica is this store's replica of a range, nil if it has none.
func (s *Store) Replica(id base.RangeID) *replica.Replica {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.ranges[id]
}

// Replicas are this store's replicas, by range.
func (s *Store) Replicas() []*replica.Replica {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ids := make([]base.RangeID, 0, len(s.mu.ranges))
	for id := range s.mu.ranges {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	out := make([]*replica.Replica, len(ids))
	for i, id := range ids {
		out[i] = s.mu.ranges[id]
	}
	return out
}

// Deliver gives a message from another node to the replica it is for. The first
// message of a range's leader makes a replica that has nothing yet.
func (s *Store) Deliver(m *replica.Message) error {
	if m.IsLocal() {
		return nil
	}
	r := s.Replica(m.Range)
	if r == nil {
		if !m.IsLeaders() {
			return nil
		}
		var err error
		if r, err = s.adopt(m.Range, m.To); r == nil || err != nil {
			return err
		}
	}
	_, self := r.ID()
	switch {
	case self == m.To:
		r.Receive(m)
	case self < m.To && m.IsLeaders(): // this node was removed, and is to come again
		s.retireSoon(r)
	}
	return nil
}

// retireSoon lets a goroutine destroy a replica that is no longer one of its range.
func (s *Store) retireSoon(r *replica.Replica) {
	if s.o.Manual || s.ctx.Err() != nil {
		return
	}
	s.wait.Go(func() {
		if err := s.retire(r); err != nil {
			s.o.OnFatal(err)
		}
	})
}

// retire stops and destroys a replica.
func (s *Store) retire(r *replica.Replica) error {
	s.adopting.Lock()
	defer s.adopting.Unlock()
	id, self := r.ID()
	if s.Replica(id) != r || s.ctx.Err() != nil {
		return nil
	}
	s.o.Log.Info("replica is removed", "range", id, "replica", self)
	s.mu.Lock()
	stop := s.mu.stops[id]
	delete(s.mu.stops, id)
	delete(s.mu.ranges, id)
	s.mu.Unlock()
	s.only.CompareAndSwap(r, nil)
	if stop != nil {
		stop()
	}
	d := r.Descriptor()
	if err := s.destroy(&d); err != nil {
		return err
	}
	if err := s.log.Remove(id); err != nil {
		return err
	}
	return s.log.Flush()
}

// adopt makes an empty replica of a range.
func (s *Store) adopt(id base.RangeID, self base.ReplicaID) (*replica.Replica, error) {
	s.adopting.Lock()
	defer s.adopting.Unlock()
	if r := s.Replica(id); r != nil || s.ctx.Err() != nil {
		return r, nil
	}
	r, err := s.openReplica(id, self, replica.State{Range: base.RangeDescriptor{ID: id}})
	if err == nil && !s.o.Manual {
		s.run(r)
	}
	return r, err
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

// Tick lets a tick pass at the replicas that need it.
func (s *Store) Tick() {
	for _, r := range s.Replicas() {
		if r.Ticks() {
			r.Tick()
		}
		if r.Removed() {
			s.retireSoon(r)
		}
	}
}
