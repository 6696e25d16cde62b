package kvrange_test

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/cluster/remote"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/internal/kv/kvtest"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// divide splits a store's only range at keys, which ascend.
func divide(t *testing.T, s *store.Store, keys ...string) {
	t.Helper()
	for i, key := range keys {
		divideAt(t, s, key, base.RangeID(2+i))
		s.Range([]byte(key)).AwaitServing(context.Background())
	}
}

func divideAt(t *testing.T, s *store.Store, key string, right base.RangeID) {
	t.Helper()
	r := s.Range([]byte(key))
	ticket, err := r.BeginSplit([]byte(key), right)
	if err == nil {
		err = ticket.Wait()
	}
	if err == nil {
		err = r.AwaitChange(context.Background())
	}
	if err != nil {
		t.Fatalf("%+v", err)
	}
}

// tiny are boundaries that the suite's keys do not expect: between the keys of every
// test, in the middle of its scans, and inside of where a versionstamped key may land.
var tiny = []string{"\x04a\x00", "\x04b", "\x04c", "\x04k0003", "\x04k0500", "\x04k0777", "\x04l", "\x04log/\x00\x06", "\x04m099",
	"\x04r2", "\x04x"}

func TestConformanceOverSeveralRanges(t *testing.T) {
	kvtest.Run(t, func(t *testing.T) kv.Engine {
		s := open(t, vfs.NewMem(), "data")
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		divide(t, s, tiny...)
		return kvrange.New(s)
	})
}

// TestCoordinatorCrashes ends a coordinator at every step of a commit, with and without
// a crash of the store that holds the ranges, and looks whether all of the transaction
// or nothing of it happened: what it should, and for whoever comes first.
func TestCoordinatorCrashes(t *testing.T) {
	for step := coordinator.StepPrepared; step <= coordinator.StepResolved; step++ {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("step=%d/restart=%t", step, restart), func(t *testing.T) {
				t.Parallel()
				testCoordinatorCrash(t, step, restart)
			})
		}
	}
}

func testCoordinatorCrash(t *testing.T, step coordinator.Step, restart bool) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs, "data")
	divide(t, s, "\x04b", "\x04c")
	var armed atomic.Bool
	var once sync.Once
	reached := make(chan struct{})
	db := kv.New(kvrange.NewWith(s, coordinator.Options{Faults: coordinator.Faults{Crash: func(at coordinator.Step) bool {
		if !armed.Load() || at != step {
			return false
		}
		once.Do(func() { close(reached) })
		return true
	}}}), time.Now)
	keys := []string{"\x04a", "\x04b", "\x04c"}
	write := func(value string) error {
		_, err := db.Transact(context.Background(), func(tx kv.Txn) error {
			for _, k := range keys {
				tx.Set([]byte(k), []byte(value))
			}
			return nil
		})
		return err
	}
	if err := write("old"); err != nil {
		t.Fatal(err)
	}
	armed.Store(true)
	err := write("new")
	<-reached
	want := "new"
	if step < coordinator.StepRecorded {
		want = "old"
		if !errors.Is(err, base.ErrUnknownOutcome) {
			t.Fatalf("the client was told: %v", err)
		}
	} else if err != nil {
		t.Fatal(err)
	}
	if restart {
		clone := fs.CrashClone(vfs.CrashCloneCfg{})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, clone, "data")
	}
	db = kv.New(kvrange.New(s), time.Now)
	for _, k := range keys {
		if _, err := db.Transact(context.Background(), func(tx kv.Txn) error {
			v, err := tx.Get([]byte(k))
			if err == nil && string(v) != want {
				return errors.Newf("%q is %q, want %q", k, v, want)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestBank moves money between accounts in many ranges; no reader may ever miss any.
func TestBank(t *testing.T) {
	const accounts, each, clients, transfers = 12, 100, 8, 250
	s := open(t, vfs.NewMem(), "data")
	db := kv.New(kvrange.New(s), time.Now)
	name := func(i int) []byte { return fmt.Appendf(nil, "\x04acc%02d", i) }
	if _, err := db.Transact(context.Background(), func(tx kv.Txn) error {
		for i := range accounts {
			tx.Set(name(i), binary.LittleEndian.AppendUint64(nil, each))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	divide(t, s, "\x04acc02", "\x04acc04", "\x04acc05", "\x04acc08", "\x04acc11")
	var wait sync.WaitGroup
	for c := range clients {
		rnd := rand.New(rand.NewPCG(uint64(c), 7))
		wait.Go(func() {
			for range transfers {
				if err := bankStep(db, rnd, name, accounts, each); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// bankStep is a transfer, with a reading of both accounts or with atomic operations, or
// a look at all accounts.
func bankStep(db *kv.DB, rnd *rand.Rand, name func(int) []byte, accounts int, each uint64) error {
	from, to := name(rnd.IntN(accounts)), name(rnd.IntN(accounts))
	amount := uint64(rnd.IntN(10))
	minus := binary.LittleEndian.AppendUint64(nil, -amount)
	plus := binary.LittleEndian.AppendUint64(nil, amount)
	kind := rnd.IntN(4)
	_, err := db.Transact(context.Background(), func(tx kv.Txn) error {
		switch kind {
		case 0:
			sum := uint64(0)
			err := tx.Scan(base.Span{Start: name(0), End: name(accounts)}, kv.ScanOptions{Reverse: amount%2 == 0}, func(_, v []byte) bool {
				sum += binary.LittleEndian.Uint64(v)
				return true
			})
			if err == nil && sum != uint64(accounts)*each {
				err = errors.Newf("there is %d in all accounts", sum)
			}
			return err
		case 1:
			tx.Atomic(base.OpAdd, from, minus)
			tx.Atomic(base.OpAdd, to, plus)
			return nil
		}
		for _, move := range []struct{ key, by []byte }{{from, minus}, {to, plus}} {
			v, err := tx.Get(move.key)
			if err != nil {
				return err
			}
			tx.Set(move.key, base.ApplyAtomic(base.OpAdd, v, move.by, 1<<10))
		}
		return nil
	})
	return err
}

// TestCommitOverTheNetwork commits from a node that holds nothing, over ranges of
// another one: prepares, record, resolves and questions are calls.
func TestCommitOverTheNetwork(t *testing.T) {
	s := open(t, vfs.NewMem(), "data")
	divide(t, s, "\x04b", "\x04c")
	db := kv.New(kvrange.New(s), time.Now)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	book, log := &addresses{}, slog.New(slog.DiscardHandler)
	leader, serveLeader := openTransport(t, 1, book)
	other, serveOther := openTransport(t, 2, book)
	remote.NewServer(s, log, leader)
	remote.NewServer(nobody{}, log, other)
	serveLeader()
	serveOther()
	client := remote.NewClient(2, other, nobody{}, func() []base.NodeID { return []base.NodeID{1, 2} }, log)
	far := coordinator.New(coordinator.Options{Ranges: client, Random: func(id []byte) { _, _ = crand.Read(id) }})
	t.Cleanup(far.Close)

	add := func(key string) base.Mutation {
		return base.Mutation{Op: base.OpAdd, Key: []byte(key), Value: []byte{1, 0}}
	}
	at, err := client.Stamp()
	if err != nil {
		t.Fatal(err)
	}
	write := coordinator.Request{At: at, ReadKeys: [][]byte{[]byte("\x04c1")}, ReadSpans: []base.Span{{Start: []byte("\x04a5"), End: []byte("\x04b5")}},
		Mutations: []base.Mutation{add("\x04a"), add("\x04c")}}
	for range 3 {
		_, err := far.Commit(&write)
		for errors.Is(err, base.ErrConflict) { // the one before is not resolved yet
			_, err = far.Commit(&write)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []string{"\x04a", "\x04c"} {
		if v := get(t, db, k); len(v) != 2 || v[0] != 3 {
			t.Errorf("%q is %v", k, v)
		}
	}
	// Something that was read has changed since.
	if _, err := db.Transact(context.Background(), func(tx kv.Txn) error { tx.Set([]byte("\x04b1"), []byte("x")); return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Commit(&write); !errors.Is(err, base.ErrConflict) {
		t.Fatalf("after a conflict: %v", err)
	}
	// A transaction whose coordinator is gone is ended from the other node.
	orphan := prepared.Txn{ID: prepared.TxnID{1}, Begin: at, Priority: at, Anchor: []byte("\x04a"),
		Participants: []base.Span{{Start: []byte("\x04a"), End: []byte("\x04c")}}}
	if err := client.Prepare(orphan.Anchor, &prepared.Prepare{Txn: orphan, ReadStamp: at, Mutations: []base.Mutation{add("\x04a")}}, nil); err != nil {
		t.Fatal(err)
	}
	if status, _, err := far.Fate(&orphan); err != nil || status != prepared.Undecided {
		t.Fatalf("status %d, %v", status, err)
	}
	if err := far.Settle(&orphan); err != nil {
		t.Fatal(err)
	}
	if status, _, err := far.Fate(&orphan); err != nil || status != prepared.Aborted {
		t.Fatalf("status %d, %v", status, err)
	}
	if err := client.Prepare(orphan.Anchor, &prepared.Prepare{Txn: orphan}, nil); !errors.Is(err, prepared.ErrOver) {
		t.Fatalf("a late prepare: %v", err)
	}
	if v := get(t, db, "\x04a"); len(v) != 2 || v[0] != 3 {
		t.Errorf("after all: %v", v)
	}
	if err := far.Retain([]coordinator.Overdue{s.Range([]byte("\x04a"))}); err != nil {
		t.Error(err)
	}
}

func get(t *testing.T, db *kv.DB, key string) (value []byte) {
	t.Helper()
	if _, err := db.Transact(context.Background(), func(tx kv.Txn) error {
		v, err := tx.Get([]byte(key))
		value = bytes.Clone(v)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return value
}

// TestPrompt: who must not wait is told so: of a second range, and of a lock.
func TestPrompt(t *testing.T) {
	s := open(t, vfs.NewMem(), "data")
	divide(t, s, "\x04b", "\x04c")
	var crash atomic.Bool
	db := kv.New(kvrange.NewWith(s, coordinator.Options{Faults: coordinator.Faults{Crash: func(at coordinator.Step) bool {
		return at == coordinator.StepPrepared && crash.Load()
	}}}), time.Now)
	session := db.NewSession()
	session.Prompt = true
	try := func(want error, keys ...string) {
		t.Helper()
		if err := session.RunAndWait(kv.Func(func(tx kv.Txn) error {
			for _, k := range keys {
				if _, err := tx.Get([]byte(k)); err != nil {
					return err
				}
				tx.Set([]byte(k), nil)
			}
			return nil
		})); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", keys, err, want)
		}
		if err := session.RunAndWait(kv.Func(func(tx kv.Txn) error { // blindly
			for _, k := range keys {
				tx.Set([]byte(k), nil)
			}
			return nil
		})); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", keys, err, want)
		}
	}
	try(nil, "\x04a", "\x04a1")
	try(nil, "\x04c")
	try(base.ErrWouldWait, "\x04a", "\x04c")
	crash.Store(true) // leaves locks
	if _, err := db.Transact(context.Background(), func(tx kv.Txn) error {
		tx.Set([]byte("\x04b"), nil)
		tx.Set([]byte("\x04c"), nil)
		return nil
	}); !errors.Is(err, base.ErrUnknownOutcome) {
		t.Fatal(err)
	}
	try(nil, "\x04a")
	try(nil, "\x04b") // the anchor, which was to be the last
	try(base.ErrWouldWait, "\x04c")
	try(nil, "\x04b1")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// cutWhileLookedFor cuts a range in the moment in which it was found.
type cutWhileLookedFor struct {
	coordinator.Ranges
	cut func()
	at  *store.Store
}

func (c *cutWhileLookedFor) Span(key []byte) (base.Span, error) {
	if cut := c.cut; cut != nil {
		c.cut = nil
		r := c.at.Range(key)
		cut()
		return r.Descriptor().Span, nil
	}
	return c.Ranges.Span(key)
}

// TestScanOfRangeThatIsCut: a scan visits nothing outside of its span, whatever is cut.
func TestScanOfRangeThatIsCut(t *testing.T) {
	s := open(t, vfs.NewMem(), "data")
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ranges := &cutWhileLookedFor{Ranges: &coordinator.Here{Store: s}, at: s}
	db := kv.New(kvrange.NewWith(s, coordinator.Options{Ranges: ranges}), time.Now)
	if _, err := db.Transact(context.Background(), func(tx kv.Txn) error {
		for _, key := range []string{"\x04a", "\x04c5", "\x04d", "\x04e"} {
			tx.Set([]byte(key), []byte("v"))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	divideAt(t, s, "\x04x", 2)
	for i, reverse := range []bool{false, true} {
		cut := []string{"\x04c", "\x04b"}[i]
		var found []string
		ranges.cut = func() { divideAt(t, s, cut, base.RangeID(3+i)) }
		span := base.Span{Start: []byte("\x04d"), End: []byte("\x04f")}
		if reverse {
			span = base.Span{Start: []byte("\x04b5"), End: []byte("\x04c")}
		}
		if _, err := db.Transact(context.Background(), func(tx kv.Txn) error {
			found = nil
			return tx.Scan(span, kv.ScanOptions{Reverse: reverse}, func(key, _ []byte) bool {
				found = append(found, string(key))
				return true
			})
		}); err != nil {
			t.Fatal(err)
		}
		for _, key := range found {
			if !span.Contains([]byte(key)) {
				t.Errorf("%q is outside of %q", key, span)
			}
		}
		if want := []int{2, 0}[i]; len(found) != want {
			t.Errorf("%q", found)
		}
	}
}

// cutBeforePrepare cuts a range when a commit that goes over it has begun.
type cutBeforePrepare struct {
	coordinator.Ranges
	cut func()
}

func (c *cutBeforePrepare) Prepare(key []byte, p *prepared.Prepare, guards []coordinator.Guard) error {
	if cut := c.cut; cut != nil {
		c.cut = nil
		cut()
	}
	return c.Ranges.Prepare(key, p, guards)
}

// TestVersionstampedKeyOfRangeThatIsCut: what lands on the side that was cut off is there.
func TestVersionstampedKeyOfRangeThatIsCut(t *testing.T) {
	s := open(t, vfs.NewMem(), "data")
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ranges := &cutBeforePrepare{Ranges: &coordinator.Here{Store: s}}
	db := kv.New(kvrange.NewWith(s, coordinator.Options{Ranges: ranges, Inline: true, Random: func(b []byte) { _, _ = crand.Read(b) }}), time.Now)
	divideAt(t, s, "\x04x", 2)
	ranges.cut = func() { divideAt(t, s, "\x04p", 3) }
	span := base.Span{Start: []byte("\x04q"), End: []byte("\x04r")}
	if _, err := db.Transact(t.Context(), func(tx kv.Txn) error {
		tx.Set([]byte("\x04a"), []byte("v"))
		tx.Set([]byte("\x04z"), []byte("v"))
		tx.Atomic(base.OpSetVersionstampedKey, append([]byte("\x04q"), append(make([]byte, base.VersionstampLen), 2, 0, 0, 0)...), []byte("v"))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	found := 0
	if _, err := db.Transact(t.Context(), func(tx kv.Txn) error {
		found = 0
		return tx.Scan(span, kv.ScanOptions{}, func(_, _ []byte) bool { found++; return true })
	}); err != nil || found != 1 || ranges.cut != nil {
		t.Errorf("%d rows, %v", found, err)
	}
}

// cutBeforeResolve begins to cut the range that is told first how a transaction ended, when
// it has been found.
type cutBeforeResolve struct {
	coordinator.Here
	begun atomic.Bool
	begin func(r *replica.Replica)
}

func (c *cutBeforeResolve) Resolve(key []byte, r *prepared.Resolve) (base.Span, error) {
	if !c.begun.Swap(true) {
		return (&coordinator.Here{Store: &found{c.Store, c.begin}}).Resolve(key, r)
	}
	return c.Here.Resolve(key, r)
}

// found does something to a replica that was just found.
type found struct {
	coordinator.Store
	then func(r *replica.Replica)
}

func (f *found) Range(key []byte) *replica.Replica {
	r := f.Store.Range(key)
	f.then(r)
	return r
}

// TestAbortInRangeThatIsCut: the locks of a transaction that is given up are released on both
// sides of a cut that is made meanwhile. Nobody else could say that it is over.
func TestAbortInRangeThatIsCut(t *testing.T) {
	s := open(t, vfs.NewMem(), "data")
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ranges := &cutBeforeResolve{Here: coordinator.Here{Store: s}, begin: func(r *replica.Replica) {
		if _, err := r.BeginSplit([]byte("\x04m"), 3); err != nil {
			t.Error(err)
		}
	}}
	db := kv.New(kvrange.New(s), time.Now)
	divideAt(t, s, "\x04x", 2)
	at, err := s.NextStamp()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Transact(t.Context(), func(tx kv.Txn) error {
		tx.Set([]byte("\x04z"), []byte("v"))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	c := coordinator.New(coordinator.Options{Ranges: ranges, Everywhere: true, Random: func(b []byte) { _, _ = crand.Read(b) }})
	if _, err := c.Commit(&coordinator.Request{At: at, ReadKeys: [][]byte{[]byte("\x04z")},
		Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte("\x04q"), Value: []byte("v")}}}); !errors.Is(err, base.ErrConflict) {
		t.Error(err)
	}
	c.Close()
	r := s.Range([]byte("\x04q"))
	r.AwaitBorn()
	if d := r.Descriptor(); !r.Serving() || string(d.Span.Start) != "\x04m" || len(r.Overdue(^base.Stamp(0))) > 0 {
		t.Errorf("%v holds %v", d.Span, r.Overdue(^base.Stamp(0)))
	}
}
