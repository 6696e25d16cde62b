package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// split cuts the range that holds key there, and waits until both sides serve.
func split(t *testing.T, s *store.Store, key string, right base.RangeID) {
	t.Helper()
	id, _ := s.Range([]byte(key)).ID()
	left, other, err := s.Split(context.Background(), id, []byte(key), right)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	if string(left.Span.End) != key || string(other.Span.Start) != key || other.ID != right || other.Parent != id {
		t.Fatalf("%+v and %+v", left, other)
	}
	if id, _ := s.Range([]byte(key)).ID(); id != right {
		t.Fatalf("%q is in range %d", key, id)
	}
	s.Range([]byte(key)).AwaitServing(context.Background())
}

func all(t *testing.T, s *store.Store, db *kv.DB) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, r := range s.Replicas() {
		span := r.Descriptor().Span
		if span.Start[0] < 4 {
			span.Start = []byte{4}
		}
		if _, err := db.Transact(context.Background(), func(tx kv.Txn) error {
			return tx.Scan(span, kv.ScanOptions{}, func(key, value []byte) bool {
				out[string(key)] = string(value)
				return true
			})
		}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestSplitUnderLoad: every write that is acknowledged while the range is cut again and
// again is there, before and after a restart, and nobody is refused.
func TestSplitUnderLoad(t *testing.T) {
	changeUnderLoad(t, 5, func(s *store.Store, l *load) {
		for i, key := range []string{"\x04250", "\x04125", "\x04375", "\x04300"} {
			l.await(200)
			split(t, s, key, base.RangeID(i+2))
		}
	})
}

// TestSplitCrashes crashes at every I/O of a split, losing what was not synced or
// keeping it, and looks for everything that was acknowledged.
func TestSplitCrashes(t *testing.T) {
	for _, lose := range []int{0, 100} {
		for at, ended := 0, false; !ended; at++ {
			ended = splitCrash(t, at, lose)
			if t.Failed() {
				t.Fatalf("crash at I/O %d, losing %d%%", at, lose)
			}
			if at > 1000 {
				t.Fatal("the split never ends")
			}
		}
	}
}

var errDown = errors.New("the machine is down")

// splitCrash crashes at the n-th I/O after the split has begun; it reports whether the
// split has ended before.
func splitCrash(t *testing.T, n, lose int) (ended bool) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	var after *vfs.MemFS
	armed, left := false, n
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead || !armed { // Pebble reads in the background, too
			return nil
		}
		if left--; left < 0 && after == nil {
			after = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100 - lose, RNG: rand.New(rand.NewPCG(uint64(n), 7))})
		}
		return nil // what follows is on a disk that nobody sees
	}))
	s, db := manual(t, fs)
	model := map[string]string{}
	write := func(key, value string) bool {
		ticket, err := db.NewSession().Run(kv.Func(func(tx kv.Txn) error {
			tx.Set([]byte(key), []byte(value))
			return nil
		}))
		step(t, s)
		if err == nil {
			err = ticket.Wait()
		}
		if err != nil {
			t.Fatalf("%+v", err)
		}
		model[key] = value
		return after == nil
	}
	for i := range 20 {
		write(fmt.Sprintf("\x04%02d", i), "a")
	}
	request := &replica.Request{Session: 7, Number: 3, Stamped: true, Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte("\x04once"), Value: []byte("1")}}}
	first := commit(t, s, request)
	model["\x04once"] = "1"
	armed = true
	if _, err := s.Range([]byte("\x0410")).BeginSplit([]byte("\x0410"), 2); err != nil {
		t.Fatal(err)
	}
	step(t, s)
	if ended = after == nil; ended {
		armed = false
		if len(s.Replicas()) != 2 {
			t.Fatal("the split was not done")
		}
	}
	for i := range 20 { // both sides go on
		if key := fmt.Sprintf("\x04%02d", i); after == nil && !write(key, "b") {
			model[key] = "a or b"
		}
	}
	s.Abandon()
	if ended {
		after = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100 - lose, RNG: rand.New(rand.NewPCG(uint64(n), 7))})
	}
	s, db = manual(t, after)
	got := all(t, s, db)
	for key, value := range model {
		if got[key] != value && value != "a or b" {
			t.Errorf("%q is %q, not %q", key, got[key], value)
		}
	}
	if again := commit(t, s, request); again != first {
		t.Errorf("the request was answered %v, and %v", first, again)
	}
	if ended {
		// The other side knows the result, too.
		request.Mutations[0].Key = []byte("\x0401")
		if again := commit(t, s, request); again != first || get(t, db, "\x0401") != "b" {
			t.Errorf("the other side answers %v, not %v", again, first)
		}
	} else if len(s.Replicas()) == 1 {
		split2(t, s)
	}
	write("\x0405", "c")
	write("\x0415", "c")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, db = manual(t, after)
	if get(t, db, "\x0405") != "c" || get(t, db, "\x0415") != "c" {
		t.Error("writes are gone after a clean stop")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return ended
}

// manual opens a store that the test steps.
func manual(t *testing.T, fs vfs.FS) (*store.Store, *kv.DB) {
	t.Helper()
	s, err := store.Open(store.Options{FS: fs, Dir: "data", SegmentBytes: 1 << 20, Manual: true,
		OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err == nil {
		err = s.Step()
	}
	if err != nil {
		t.Fatalf("%+v", err)
	}
	return s, kv.New(kvrange.New(s), time.Now)
}

func step(t *testing.T, s *store.Store) {
	t.Helper()
	for range 3 {
		if err := s.Step(); err != nil {
			t.Fatalf("%+v", err)
		}
	}
}

func split2(t *testing.T, s *store.Store) {
	t.Helper()
	if _, err := s.Range([]byte("\x0410")).BeginSplit([]byte("\x0410"), 2); err != nil {
		t.Fatal(err)
	}
	step(t, s)
	if len(s.Replicas()) != 2 {
		t.Error("the split cannot be repeated")
	}
}

// commit sequences a request and answers its versionstamp.
func commit(t *testing.T, s *store.Store, q *replica.Request) base.Versionstamp {
	t.Helper()
	a := s.Range(q.Mutations[0].Key).NewAttempt()
	a.Begin(0, replica.HoldNever)
	receipt, err := a.Commit(q)
	if err == nil {
		step(t, s)
		err = receipt.Ticket.Wait()
	}
	if err != nil {
		t.Fatalf("%+v", err)
	}
	return *receipt.Version
}
