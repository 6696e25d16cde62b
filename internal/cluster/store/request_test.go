package store_test

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// TestRequestDeliveredTwiceAtOnce delivers every request twice at the same moment:
// each happens once, and both deliveries answer the same versionstamp (R8).
func TestRequestDeliveredTwiceAtOnce(t *testing.T) {
	s, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: "data", OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	r := s.Range(nil)
	key, one := []byte("\x04counter"), binary.LittleEndian.AppendUint64(nil, 1)
	const rounds = 3000
	for n := range uint64(rounds) {
		var stamps [2]base.Versionstamp
		var wg sync.WaitGroup
		for i := range stamps {
			wg.Go(func() {
				a := r.NewAttempt()
				a.Begin(0, replica.HoldNever)
				receipt, err := a.Commit(&replica.Request{Session: 7, Number: n + 1, Stamped: true,
					Mutations: []base.Mutation{{Op: base.OpAdd, Key: key, Value: one}}})
				if err == nil {
					err = receipt.Ticket.Wait()
				}
				if err != nil {
					t.Error(err)
					return
				}
				stamps[i] = *receipt.Version
			})
		}
		wg.Wait()
		if stamps[0] != stamps[1] {
			t.Fatalf("request %d was answered %v and %v", n+1, stamps[0], stamps[1])
		}
	}
	a := r.NewAttempt()
	a.Begin(0, replica.HoldNever)
	value, err := a.Get(key)
	if err != nil || binary.LittleEndian.Uint64(value) != rounds {
		t.Fatalf("counter %x, %v; want %d", value, err, rounds)
	}
	a.Abort()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
