package store_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/storage/identity"
	"github.com/stratadb/strata/internal/storage/lsm"
)

// TestUpgradeFromFormat1: results of requests that a store of the first format has kept
// are found, so that nothing is repeated.
func TestUpgradeFromFormat1(t *testing.T) {
	fs := vfs.NewMem()
	s, db := open(t, fs, "data")
	set(t, db, "\x04k", "v")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	version := base.MakeVersionstamp(77, 3)
	key := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte{1}, 7), 3)
	state, err := lsm.Open(lsm.Options{FS: fs, Dir: "data/state"})
	if err != nil {
		t.Fatal(err)
	}
	b := state.NewBatch()
	b.Set(key, version[:])
	if err := state.Apply(b); err != nil {
		t.Fatal(err)
	}
	if err := state.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := state.Close(); err != nil {
		t.Fatal(err)
	}
	id, err := identity.Load(fs, "data")
	if err != nil {
		t.Fatal(err)
	}
	id.Format = 1
	if err := identity.Save(fs, "data", id); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		s, db = open(t, fs, "data")
		if got := result(t, s); !bytes.Equal(got[:], version[:]) {
			t.Errorf("the request was done again: %v", got)
		}
		if v := get(t, db, "\x04k"); v != "v" {
			t.Errorf("k is %q", v)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if id, err = identity.Load(fs, "data"); err != nil || id.Format != identity.FormatVersion {
		t.Errorf("format %d, %v", id.Format, err)
	}
}

// result is the answer to request 3 of session 7.
func result(t *testing.T, s *store.Store) base.Versionstamp {
	t.Helper()
	a := s.Range(nil).NewAttempt()
	a.Begin(0, replica.HoldNever)
	receipt, err := a.Commit(&replica.Request{Session: 7, Number: 3, Stamped: true,
		Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte("\x04k"), Value: []byte("again")}}})
	if err == nil {
		err = receipt.Ticket.Wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	return *receipt.Version
}
