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
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// TestMergeUnderLoad: every write that is acknowledged while ranges are cut and united
// again and again is there, before and after a restart, and nobody is refused.
func TestMergeUnderLoad(t *testing.T) {
	changeUnderLoad(t, 1, func(s *store.Store, l *load) {
		for next := base.RangeID(2); next < 10; next += 2 {
			l.await(100)
			split(t, s, "\x04250", next)
			split(t, s, "\x04125", next+1)
			l.await(100)
			merge(t, s, 1, next+1)
			merge(t, s, 1, next)
		}
	})
}

func merge(t *testing.T, s *store.Store, left, right base.RangeID) {
	t.Helper()
	end := s.Replica(right).Descriptor().Span.End
	d, err := s.Merge(context.Background(), left, right)
	if err != nil {
		t.Errorf("%+v", err)
	} else if string(d.Span.End) != string(end) || d.Frozen != (base.Freeze{}) {
		t.Errorf("%+v", d)
	}
	for limit := time.Now().Add(time.Minute); s.Replica(right) != nil; <-time.After(time.Millisecond) { // it is about to go
		if time.Now().After(limit) {
			t.Fatalf("range %d is still there", right)
		}
	}
}

// TestMergeRefused: what cannot be united says so, and goes on.
func TestMergeRefused(t *testing.T) {
	s, db := open(t, vfs.NewMem(), "data")
	split(t, s, "\x04250", 2)
	split(t, s, "\x04500", 3)
	for _, c := range [][2]base.RangeID{{1, 3}, {2, 1}, {1, 1}} {
		if _, err := s.Merge(context.Background(), c[0], c[1]); !errors.Is(err, replica.ErrMerge) {
			t.Errorf("%v: %v", c, err)
		}
	}
	if _, err := s.Merge(context.Background(), 1, 9); !errors.Is(err, base.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	for _, key := range []string{"\x041", "\x043", "\x046"} {
		set(t, db, key, "v")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMergeUndone: a range that was left frozen comes back when its left neighbour has
// changed, and no merge with that freeze is made any more; Heal goes on with a merge
// that can be made.
func TestMergeUndone(t *testing.T) {
	s, db := manual(t, vfs.NewMem())
	write := writer(t, s, db)
	write("\x0405", "a")
	write("\x0415", "a")
	split2(t, s)
	left, right := s.Replica(1), s.Replica(2)
	freeze := func() base.RangeDescriptor {
		t.Helper()
		if _, err := s.BeginMerge(1, 2); err != nil {
			t.Fatal(err)
		}
		step(t, s)
		d := right.Descriptor()
		if d.Frozen.Left != 1 || d.Frozen.Epoch != left.Descriptor().Epoch {
			t.Fatalf("%+v", d)
		}
		return d
	}
	d := freeze()
	a := right.NewAttempt()
	a.Begin(0, replica.HoldNever)
	if _, err := a.Get([]byte("\x0415")); !errors.Is(err, base.ErrWrongRange) {
		t.Errorf("a frozen range answers: %v", err)
	}
	x, table, ready := right.Offer()
	if !ready {
		t.Fatal("a single replica is not ready")
	}
	narrow := left.Descriptor()
	if _, err := right.BeginThaw(&narrow); !errors.Is(err, replica.ErrMerge) {
		t.Errorf("thawed without a proof: %v", err)
	}
	if _, err := left.BeginRefuse(d.Frozen.Epoch); err != nil {
		t.Fatal(err)
	}
	step(t, s)
	if _, err := left.BeginMerge(x, table); !errors.Is(err, replica.ErrMerge) {
		t.Errorf("merged after a refusal: %v", err)
	}
	s.Heal()
	step(t, s)
	if d := right.Descriptor(); d.Frozen != (base.Freeze{}) || len(s.Replicas()) != 2 {
		t.Fatalf("not thawed: %+v", d)
	}
	write("\x0415", "b")
	freeze()
	s.Heal()
	step(t, s)
	if len(s.Replicas()) != 1 {
		t.Fatal("not merged")
	}
	if get(t, db, "\x0405") != "a" || get(t, db, "\x0415") != "b" {
		t.Error("writes are gone")
	}
	write("\x0415", "c")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func writer(t *testing.T, s *store.Store, db *kv.DB) func(key, value string) {
	return func(key, value string) {
		t.Helper()
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
	}
}

// TestMergeCrashes crashes at every I/O of a merge, losing what was not synced or
// keeping it, and looks for everything that was acknowledged.
func TestMergeCrashes(t *testing.T) {
	for _, lose := range []int{0, 100} {
		for at, ended := 0, false; !ended; at++ {
			ended = mergeCrash(t, at, lose)
			if t.Failed() {
				t.Fatalf("crash at I/O %d, losing %d%%", at, lose)
			}
			if at > 1000 {
				t.Fatal("the merge never ends")
			}
		}
	}
}

// mergeCrash crashes at the n-th I/O after the merge has begun; it reports whether the
// merge has ended before.
func mergeCrash(t *testing.T, n, lose int) (ended bool) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	var after *vfs.MemFS
	armed, left := false, n
	clone := func() *vfs.MemFS {
		return mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100 - lose, RNG: rand.New(rand.NewPCG(uint64(n), 7))})
	}
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead || !armed { // Pebble reads in the background, too
			return nil
		}
		if left--; left < 0 && after == nil {
			after = clone()
		}
		return nil // what follows is on a disk that nobody sees
	}))
	s, db := manual(t, fs)
	write := writer(t, s, db)
	model := map[string]string{}
	set := func(key, value string) {
		write(key, value)
		model[key] = value
	}
	for i := range 20 {
		set(fmt.Sprintf("\x04%02d", i), "a")
	}
	split2(t, s)
	var requests []*replica.Request
	var versions []base.Versionstamp
	for i, key := range []string{"\x04once", "\x0400"} { // one on each side
		q := &replica.Request{Session: 7, Number: uint64(3 + i), Stamped: true,
			Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte(key), Value: []byte("1")}}}
		requests, versions = append(requests, q), append(versions, commit(t, s, q))
		model[key] = "1"
	}
	if err := s.Maintain(); err != nil {
		t.Fatal(err)
	}
	for i := range 20 { // a part is in the windows only
		set(fmt.Sprintf("\x04%02d", i), "b")
	}
	armed = true
	if _, err := s.BeginMerge(1, 2); err != nil {
		t.Fatal(err)
	}
	united(t, s)
	if ended = after == nil; ended {
		armed = false
	}
	for i := range 20 { // and goes on
		if key := fmt.Sprintf("\x04%02d", i); after == nil {
			set(key, "c")
			if after != nil {
				model[key] = "b or c"
			}
		}
	}
	s.Abandon()
	if ended {
		after = clone()
	}
	s, db = manual(t, after)
	write = writer(t, s, db)
	united(t, s)
	got := all(t, s, db)
	for key, value := range model {
		if got[key] != value && value != "b or c" {
			t.Errorf("%q is %q, not %q", key, got[key], value)
		}
	}
	for i, q := range requests {
		if again := commit(t, s, q); again != versions[i] {
			t.Errorf("request %d was answered %v, and %v", i, versions[i], again)
		}
	}
	write("\x0405", "d")
	write("\x0415", "d")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, db = manual(t, after)
	if get(t, db, "\x0405") != "d" || get(t, db, "\x0415") != "d" || len(s.Replicas()) != 1 {
		t.Error("writes are gone after a clean stop")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return ended
}

// united lets the store go on with a merge until it is done. What a crash has kept from
// being frozen is frozen again.
func united(t *testing.T, s *store.Store) {
	t.Helper()
	for range 5 {
		step(t, s)
		s.Heal()
		step(t, s)
		if len(s.Replicas()) == 1 {
			return
		}
		if s.Replica(2).Descriptor().Frozen == (base.Freeze{}) {
			if _, err := s.BeginMerge(1, 2); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Fatal("the ranges are not united")
}

// TestFrozenRangeIsHealed: a store that stops between the freeze and the merge goes on
// with it, by itself, and those who wait are served.
func TestFrozenRangeIsHealed(t *testing.T) {
	fs := vfs.NewMem()
	s, db := open(t, fs, "data")
	split(t, s, "\x04250", 2)
	set(t, db, "\x04300", "v")
	ticket, err := s.BeginMerge(1, 2)
	if err == nil {
		err = ticket.Wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Abandon()
	s, db = open(t, fs, "data")
	if v := get(t, db, "\x04300"); v != "v" {
		t.Errorf("it is %q", v)
	}
	set(t, db, "\x04300", "w")
	if len(s.Replicas()) != 1 {
		t.Error("not merged")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMergeDescriptors: the epoch of what was united is above those of both, and its end
// is as old as the right side's was; what proves a merge, or a refusal, depends on it.
func TestMergeDescriptors(t *testing.T) {
	s, _ := open(t, vfs.NewMem(), "data")
	split(t, s, "\x0450", 2)
	split(t, s, "\x0425", 3)
	first, middle, last := s.Replica(1).Descriptor(), s.Replica(3).Descriptor(), s.Replica(2).Descriptor()
	if first.Epoch != 3 || first.EndEpoch != 3 || middle.Epoch != 3 || middle.EndEpoch != 2 || last.EndEpoch != 0 {
		t.Fatalf("%+v, %+v, %+v", first, middle, last)
	}
	merge(t, s, 3, 2)
	d := s.Replica(3).Descriptor()
	if d.Epoch != 4 || d.EndEpoch != 0 || last.Ends(&d) != base.Merged {
		t.Errorf("%+v", d)
	}
	merge(t, s, 1, 3) // whose epoch is 5 then
	if d = s.Replica(1).Descriptor(); d.Epoch != 6 || d.EndEpoch != 0 || middle.Ends(&d) != base.Merged {
		t.Errorf("%+v", d)
	}
	split(t, s, "\x0450", 4) // where range 2 began
	if d = s.Replica(1).Descriptor(); d.EndEpoch != 7 || last.Ends(&d) != base.Merged {
		t.Errorf("%+v", d)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLeftBehind: a replica that others have merged is told so by whoever it asks. It goes,
// unless its left neighbour is here and may still need it.
func TestLeftBehind(t *testing.T) {
	var sent []*replica.Message
	s, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: "data", SegmentBytes: 1 << 20, Manual: true,
		Send:    func(_ base.NodeID, m *replica.Message) { sent = append(sent, m) },
		OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	step(t, s)
	split2(t, s)
	told := &replica.Message{Range: 2, To: 1, Node: 7, Gone: true, Raft: heartbeat()}
	deliver := func(m *replica.Message) {
		t.Helper()
		if err := s.Deliver(m); err != nil {
			t.Fatal(err)
		}
	}
	if deliver(told); s.Replica(2) == nil {
		t.Fatal("the right side is gone, and its left neighbour may still merge it")
	}
	united(t, s)
	sent = nil
	deliver(&replica.Message{Range: 2, From: 3, To: 1, Node: 7, Raft: heartbeat()})
	if len(sent) != 1 || !sent[0].Gone || sent[0].From != 0 || sent[0].To != 3 || sent[0].Range != 2 || s.Replica(2) != nil {
		t.Errorf("%+v", sent)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestTwoMergesMissed: a snapshot from behind two merges takes the places of both right sides,
// though the second one is the right neighbour of the first. One that leaves the left neighbour
// of a range here leaves that range, too: the neighbour's log may still merge it.
func TestTwoMergesMissed(t *testing.T) {
	s, _ := manual(t, vfs.NewMem())
	for i, key := range []string{"\x04h", "\x04t"} {
		if _, err := s.Range([]byte(key)).BeginSplit([]byte(key), base.RangeID(2+i)); err != nil {
			t.Fatal(err)
		}
		step(t, s)
	}
	first, second, third := s.Range([]byte("\x04a")).Descriptor(), s.Range([]byte("\x04h")).Descriptor(), s.Range([]byte("\x04t")).Descriptor()
	for name, c := range map[string]struct {
		id    base.RangeID
		span  base.Span
		epoch base.Epoch
		fits  bool
	}{
		"both were merged":              {first.ID, base.Span{Start: first.Span.Start, End: third.Span.End}, max(second.Epoch, third.Epoch) + 2, true},
		"one was merged":                {first.ID, base.Span{Start: first.Span.Start, End: second.Span.End}, second.Epoch + 1, true},
		"the left neighbour stays here": {9, third.Span, third.Epoch + 1, false},
		"from before the merges":        {first.ID, base.Span{Start: first.Span.Start, End: third.Span.End}, 1, false},
	} {
		d := first
		d.ID, d.Span, d.Epoch = c.id, c.span, c.epoch
		if s.Claims(d) != c.fits {
			t.Errorf("%s: it fits: %t", name, !c.fits)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func heartbeat() *pb.Message { return &pb.Message{Type: pb.MsgHeartbeat.Enum()} }

// TestMergeEndsReaders: who reads below the stamp of a merge is too late, on both sides;
// watches on the right side's keys fire, and those on the left side's do not; what was
// read at the right side before does not commit behind it.
func TestMergeEndsReaders(t *testing.T) {
	s, db := manual(t, vfs.NewMem())
	write := writer(t, s, db)
	keys := [][]byte{[]byte("\x0405"), []byte("\x0415")}
	for _, k := range keys {
		write(string(k), "a")
	}
	split2(t, s)
	at, err := s.NextStamp()
	if err != nil {
		t.Fatal(err)
	}
	var attempts []*replica.Attempt
	var watches []*replica.Watch
	for _, k := range keys {
		r := s.Range(k)
		a := r.NewAttempt()
		a.Begin(0, replica.HoldNever)
		if _, err := a.Get(k); err != nil {
			t.Fatal(err)
		}
		attempts, watches = append(attempts, a), append(watches, r.Watch(k))
	}
	if _, err := s.BeginMerge(1, 2); err != nil {
		t.Fatal(err)
	}
	united(t, s)
	for i, k := range keys {
		a := s.Range(k).NewAttempt()
		a.Begin(at, replica.HoldNever)
		if _, err := a.Get(k); !errors.Is(err, base.ErrTooOld) {
			t.Errorf("a snapshot from before reads %q: %v", k, err)
		}
		if dirty, _ := watches[i].Dirty(); dirty != (i == 1) {
			t.Errorf("watch %d is dirty: %v", i, dirty)
		}
		q := &replica.Request{ReadKeys: [][]byte{k}, Mutations: []base.Mutation{{Op: base.OpSet, Key: k, Value: []byte("b")}}}
		if _, err := attempts[i].Commit(q); !errors.Is(err, base.ErrConflict) {
			t.Errorf("an attempt from before commits %q: %v", k, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
