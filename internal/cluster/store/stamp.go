package store

import (
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// clockEvery is how far the TTL clock of ranges that do not issue stamps may be behind.
const clockEvery = 20 * time.Millisecond

// keepClock moves that clock on while this node leads such a range: the one that it led the
// last time, most often.
func (s *Store) keepClock() {
	if s.led == nil || !s.led.Serving() {
		s.led = s.leads()
	}
	if s.led == nil {
		return
	}
	id, _ := s.led.ID()
	s.stamps(id)(func(stamp base.Stamp, err error) {
		if err == nil {
			s.oracle.Observe(stamp)
		}
	})
}

// leads is a range beside the first one that this node leads, nil if there is none.
func (s *Store) leads() *replica.Replica {
	for _, x := range *s.table.Load() {
		if id, _ := x.r.ID(); id != firstRange && x.r.Serving() {
			return x.r
		}
	}
	return nil
}

// stamps is how the batches of a range get theirs: the first range's leader issues them
// all. Where that range has no other replicas, and may get none, it is this node.
func (s *Store) stamps(id base.RangeID) func(done func(base.Stamp, error)) {
	if id == firstRange || s.o.Stamp == nil {
		return nil
	}
	return func(done func(base.Stamp, error)) {
		first := s.Replica(firstRange)
		if first == nil {
			s.o.Stamp(done)
			return
		}
		stamp, t, issued, err := first.BeginIssue()
		switch {
		case issued && err == nil && t.Done():
			done(stamp, nil)
		case err != nil || s.o.Manual:
			s.o.Stamp(done)
		default: // others would send it back to this node
			s.wait.Go(func() {
				if err := t.Wait(); err != nil || !issued {
					stamp, err = first.IssueStamp()
					done(stamp, err)
					return
				}
				done(stamp, nil)
			})
		}
	}
}
