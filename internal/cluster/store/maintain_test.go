package store

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/storage/lsm"
)

// Claims reports whether a snapshot of d may be installed, for the tests outside the package.
func (s *Store) Claims(d base.RangeDescriptor) bool {
	m := &replica.Message{Range: d.ID, Snapshot: &replica.Snapshot{State: replica.State{Range: d}}}
	if !s.claim(m) {
		return false
	}
	m.Snapshot.Done()
	return true
}

// FlushPays is for the tests outside the package.
func (s *Store) FlushPays(bytes int64) (bool, error) { return s.flushPays(bytes) }

// TestCompactBesideInstall: a range whose snapshot is in the state, and whose log does
// not begin behind it yet, keeps nobody from compacting the others.
func TestCompactBesideInstall(t *testing.T) {
	s, err := Open(Options{FS: vfs.NewMem(), Dir: "data", Manual: true, OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Abandon()
	b := s.state.NewBatch()
	b.SetRangeState(9, lsm.RangeState{Applied: 23, AppliedTerm: 6})
	if err := s.state.Apply(b); err != nil {
		t.Fatal(err)
	}
	if err := s.state.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.compact(); err != nil {
		t.Errorf("compacting: %+v", err)
	}
}
