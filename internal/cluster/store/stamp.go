package store

import "github.com/stratadb/strata/internal/base"

// stamps is how the batches of a range get theirs: the first range's leader issues them
// all. Where that range has no other replicas, and may get none, it is this node.
func (s *Store) stamps(id base.RangeID) func(done func(base.Stamp, error)) {
	if id == firstRange || s.o.Stamp == nil {
		return nil
	}
	return func(done func(base.Stamp, error)) {
		if first := s.Replica(firstRange); first != nil {
			if stamp, t, issued, err := first.BeginIssue(); issued && err == nil && t.Done() {
				done(stamp, nil)
				return
			}
		}
		s.o.Stamp(done)
	}
}
