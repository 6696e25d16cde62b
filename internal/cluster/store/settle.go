package store

import (
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/cluster/oracle"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// settler is the coordinator of transactions over several ranges, once there is one.
// It is made above the store, since it reaches the ranges of other nodes, too.
type settler struct {
	c atomic.Pointer[coordinator.Coordinator]
}

var _ replica.Settler = (*settler)(nil)

// Fate implements replica.Settler.
func (s *settler) Fate(t *prepared.Txn) (prepared.Status, base.Stamp, error) {
	if c := s.c.Load(); c != nil {
		return c.Fate(t)
	}
	return prepared.Undecided, 0, base.ErrUnavailable
}

// Settle implements replica.Settler.
func (s *settler) Settle(t *prepared.Txn) error {
	if c := s.c.Load(); c != nil {
		return c.Settle(t)
	}
	return base.ErrUnavailable
}

func (s *settler) close() {
	if c := s.c.Load(); c != nil {
		c.Close()
	}
}

const (
	// sweepEvery is how often overdue transactions are looked for, and retainEvery
	// how often horizons move.
	sweepEvery  = time.Second
	retainEvery = 10 * time.Second
)

// Oracle is the store's oracle.
func (s *Store) Oracle() *oracle.Local { return s.oracle }

// Coordinate makes c end the transactions over several ranges that this store's
// ranges hold. It is called once; the store closes c.
func (s *Store) Coordinate(c *coordinator.Coordinator) {
	if s.settler.c.Swap(c) == nil && !s.o.Manual {
		s.wait.Go(s.sweeper)
	}
}

func (s *Store) sweeper() {
	sweep, retain := time.NewTicker(sweepEvery), time.NewTicker(retainEvery)
	defer sweep.Stop()
	defer retain.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-sweep.C:
			if err := s.Sweep(); err != nil {
				s.o.Log.Error("transactions over several ranges", "error", err)
			}
		case <-retain.C:
			if err := s.Retain(); err != nil {
				s.o.Log.Debug("horizons", "error", err)
			}
		}
	}
}

// Sweep settles once what is overdue; a store that runs by itself does it all the time.
func (s *Store) Sweep() error { return s.settler.c.Load().Sweep(s.leading()) }

// Retain moves the horizons of the store's ranges once, see Sweep.
func (s *Store) Retain() error { return s.settler.c.Load().Retain(s.leading()) }

// leading are the replicas of this store that lead and have ever held a transaction
// over several ranges.
func (s *Store) leading() (list []coordinator.Overdue) {
	for _, r := range s.Replicas() {
		if r.Serving() && r.Entangled() {
			list = append(list, r)
		}
	}
	return list
}
