package kvrange_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
)

// diary is a follower that writes down what it is told.
type diary struct {
	mu     sync.Mutex
	pieces []base.Span
	told   map[string]int
	lost   int
}

func (d *diary) Covered(piece base.Span) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pieces = append(d.pieces, piece)
}

func (d *diary) Lost(piece base.Span) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lost++
	d.pieces = slices.DeleteFunc(d.pieces, piece.Equal)
}

func (d *diary) Changed(list []base.Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range list {
		d.told[string(c.Key)]++
	}
}

// await waits until span is covered by so many pieces.
func (d *diary) await(t *testing.T, span base.Span, pieces int) {
	t.Helper()
	for until := time.Now().Add(time.Minute); ; <-time.After(time.Millisecond) {
		d.mu.Lock()
		slices.SortFunc(d.pieces, func(a, b base.Span) int { return bytes.Compare(a.Start, b.Start) })
		end, all := span.Start, slices.Clone(d.pieces)
		d.mu.Unlock()
		for _, p := range all {
			if bytes.Equal(p.Start, end) {
				end = p.End
			}
		}
		if len(all) == pieces && bytes.Equal(end, span.End) {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("covered: %q", all)
		}
	}
}

// TestFollowOverSplitsAndMerges: who follows a span is told of all of it again, soon after its
// ranges have been divided or united, and that something may have been missed.
func TestFollowOverSplitsAndMerges(t *testing.T) {
	s := open(t, vfs.NewMem(), "data")
	db := kv.New(kvrange.New(s), time.Now)
	prefix := keyspace.AppendRedisDB(nil, 9, 0)
	span := base.PrefixSpan(keyspace.AppendModel(nil, 9, keyspace.ModelRedis))
	d := &diary{told: map[string]int{}}
	defer db.Follow(span, d)()
	row := func(slot uint16) []byte {
		r := append(keyspace.AppendRedisSlot(nil, prefix, slot), keyspace.SlotKeys)
		return keyspace.AppendEscaped(append(r, "place"...), []byte("k"))
	}
	write := func() {
		t.Helper()
		if _, err := db.Transact(context.Background(), func(tx kv.Txn) error {
			tx.Set(row(1), []byte("v"))
			tx.Set(row(9000), []byte("v"))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	told := func(n int) {
		t.Helper()
		for until := time.Now().Add(time.Minute); ; <-time.After(time.Millisecond) {
			d.mu.Lock()
			a, b, lost := d.told[string(row(1))], d.told[string(row(9000))], d.lost
			d.mu.Unlock()
			if a == n && b == n && lost == n*(n-1)/2 {
				return
			}
			if time.Now().After(until) {
				t.Fatalf("told %d and %d times, and of %d losses", a, b, lost)
			}
		}
	}
	d.await(t, span, 1)
	write()
	told(1)
	id, _ := s.Range(row(1)).ID()
	divideAt(t, s, string(keyspace.AppendRedisSlot(nil, prefix, 5000)), 77)
	d.await(t, span, 2)
	write()
	told(2)
	if _, err := s.Merge(context.Background(), id, 77); err != nil {
		t.Fatal(fmt.Sprintf("%+v", err))
	}
	d.await(t, span, 1)
	write()
	told(3)
}

// early is a follower that looks whether a commit is known when it is told of it.
type early struct {
	diary
	ticket atomic.Pointer[base.Ticket]
	late   atomic.Bool
}

func (e *early) Changed(list []base.Change) {
	e.late.Store(e.ticket.Load().Done())
	e.diary.Changed(list)
}

// TestFollowBeforeTheWriter: who follows is told before those are who wait for the commit.
func TestFollowBeforeTheWriter(t *testing.T) {
	db := kv.New(kvrange.New(open(t, vfs.NewMem(), "data")), time.Now)
	span := base.PrefixSpan(keyspace.AppendModel(nil, 9, keyspace.ModelRedis))
	e := &early{diary: diary{told: map[string]int{}}}
	defer db.Follow(span, e)()
	e.await(t, span, 1)
	row := append(keyspace.AppendRedisSlot(nil, keyspace.AppendRedisDB(nil, 9, 0), 1), keyspace.SlotKeys)
	row = keyspace.AppendEscaped(append(row, "place"...), []byte("k"))
	s := db.NewSession()
	s.Quiet = true // until Kick
	ticket, err := s.Run(kv.Func(func(tx kv.Txn) error {
		tx.Set(row, []byte("v"))
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	e.ticket.Store(&ticket)
	db.Kick()
	if err := ticket.Wait(); err != nil {
		t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.told[string(row)] != 1 || e.late.Load() {
		t.Errorf("told %d times, late: %v", e.told[string(row)], e.late.Load())
	}
}
