//go:build !fuzzing

package census_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/census"
	"github.com/stratadb/strata/internal/cluster/placement/load"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// fixture is a store whose ranges can be hidden, as if others led them.
type fixture struct {
	*store.Store
	t      testing.TB
	db     *kv.DB
	hidden map[base.RangeID]bool
	tidied []base.Span
	c      *census.Census
	now    time.Time
}

func (f *fixture) Tidy(span base.Span) bool {
	if !f.Store.Tidy(span) {
		return false // it is busy with another one
	}
	f.tidied = append(f.tidied, span)
	return true
}

func (f *fixture) Replicas() (list []*replica.Replica) {
	for _, r := range f.Store.Replicas() {
		if id, _ := r.ID(); !f.hidden[id] {
			list = append(list, r)
		}
	}
	return list
}

func start(t testing.TB, o census.Options) *fixture {
	s, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: "data", SegmentBytes: 1 << 20, WindowAge: time.Millisecond,
		OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &fixture{Store: s, t: t, db: kv.New(kvrange.New(s), time.Now), hidden: map[base.RangeID]bool{}, now: time.Unix(1e9, 0)}
	f.c = census.New(f, o)
	f.look()
	return f
}

// look lets a second pass.
func (f *fixture) look() {
	f.now = f.now.Add(census.Every)
	f.c.Look(f.now)
}

func (f *fixture) run(do func(t kv.Txn) error) {
	f.t.Helper()
	if _, err := f.db.Transact(context.Background(), do); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) set(key []byte, value []byte) {
	f.t.Helper()
	f.run(func(t kv.Txn) error { t.Set(key, value); return nil })
}

func (f *fixture) get(key []byte) {
	f.t.Helper()
	f.run(func(t kv.Txn) error { _, err := t.Get(key); return err })
}

func (f *fixture) split(id base.RangeID, key []byte, right base.RangeID) {
	f.t.Helper()
	if _, _, err := f.Split(context.Background(), id, key, right); err != nil {
		f.t.Fatal(err)
	}
}

func zmapKey(i int) []byte {
	return fmt.Appendf(keyspace.AppendModel(nil, 1, keyspace.ModelZMap), "%06d", i)
}

// TestRates: transactions per second, which follow what happens and come to rest.
func TestRates(t *testing.T) {
	f := start(t, census.Options{SplitBytes: 1 << 30, SplitOps: 1e9})
	for range 30 { // of the clock's seconds
		for i := range 200 {
			f.get(zmapKey(i))
		}
		for i := range 100 {
			f.set(zmapKey(i), nil)
		}
		f.look()
	}
	x, _ := f.c.Of(1)
	if x.Reads < 180 || x.Reads > 200 || x.Writes < 90 || x.Writes > 100 {
		t.Errorf("%.1f reads and %.1f writes per second", x.Reads, x.Writes)
	}
	for range 60 {
		f.look()
	}
	if x, _ := f.c.Of(1); x.Reads != 0 || x.Writes != 0 {
		t.Errorf("%.1f reads and %.1f writes per second of a quiet range", x.Reads, x.Writes)
	}
}

// TestReports: a report has what has changed since the one before, and all of it for
// those who know nothing.
func TestReports(t *testing.T) {
	f := start(t, census.Options{SplitBytes: 1 << 30, SplitOps: 1e9})
	first := f.c.Since(0)
	if !first.All || len(first.Ranges) != 1 || first.Ranges[0].Descriptor.ID != 1 || first.Ranges[0].Leader != 1 {
		t.Fatalf("%+v", first)
	}
	f.look()
	if r := f.c.Since(first.Version); r.All || len(r.Ranges)+len(r.Gone) != 0 || r.Version != first.Version {
		t.Errorf("nothing has happened: %+v", r)
	}
	f.split(1, zmapKey(5), 2)
	f.split(1, zmapKey(3), 3)
	for f.Replica(2).AwaitBorn(); !f.Replica(3).Serving(); f.Replica(3).AwaitBorn() {
	}
	f.look()
	second := f.c.Since(first.Version)
	if second.All || len(second.Ranges) != 3 {
		t.Fatalf("after splits: %+v", second)
	}
	for range 20 {
		f.set(zmapKey(4), nil)
	}
	f.hidden[2] = true
	f.look()
	third := f.c.Since(second.Version)
	if third.All || len(third.Ranges) != 1 || third.Ranges[0].Descriptor.ID != 3 || third.Ranges[0].Writes == 0 ||
		!slices.Equal(third.Gone, []base.RangeID{2}) {
		t.Errorf("writes in one, and another is led elsewhere: %+v", third)
	}
	f.hidden[2] = false
	f.look()
	if r := f.c.Since(third.Version); len(r.Ranges) != 1 || r.Ranges[0].Descriptor.ID != 2 {
		t.Errorf("it is back: %+v", r)
	}
	for name, version := range map[string]uint64{"the one before": first.Version, "another process": first.Version ^ 1<<40} {
		f.c.Crowd() // so many that old ones are forgotten
		f.look()
		if r := f.c.Since(version); len(r.Ranges) != 3 || r.All != (name == "another process") {
			t.Errorf("for %s: %+v", name, r)
		}
	}
	f.hidden[2] = true
	f.look()
	f.c.Crowd()
	f.look()
	if r := f.c.Since(third.Version); !r.All || len(r.Ranges) != 2 {
		t.Errorf("what is gone is forgotten: %+v", r)
	}
}

// TestHot: the key that divides the load leaves slots whole where there are several, and
// a single key is found.
func TestHot(t *testing.T) {
	slotKey := func(slot uint16, i int) []byte {
		k := keyspace.AppendRedisSlot(nil, keyspace.AppendRedisDB(nil, 1, 0), slot)
		return keyspace.AppendEscaped(append(k, keyspace.SlotKeys, 0, 0, 0, 0, byte(i)), fmt.Appendf(nil, "k%d", i))
	}
	random := rand.New(rand.NewPCG(3, 4))
	for name, c := range map[string]struct {
		access  func(f *fixture, i int)
		outcome load.Outcome
		begins  bool // the key is that of a slot
	}{
		"many slots": {func(f *fixture, i int) { f.get(slotKey(uint16(i%16), i%7)) }, load.Splittable, true},
		"one slot":   {func(f *fixture, i int) { f.get(slotKey(9, i%50)) }, load.Splittable, false},
		"one slot, whose counters are written with its keys": {func(f *fixture, i int) {
			f.run(func(t kv.Txn) error {
				t.Set(slotKey(9, i%50), nil)
				t.Set(append(keyspace.AppendRedisSlot(nil, keyspace.AppendRedisDB(nil, 1, 0), 9), keyspace.SlotCounters), nil)
				return nil
			})
		}, load.SpansCross, false},
		"one key": {func(f *fixture, i int) { f.get(slotKey(9, 1)) }, load.SingleHotKey, false},
		"scans that end soon": {func(f *fixture, i int) {
			f.run(func(t kv.Txn) error {
				return t.Scan(base.Span{Start: slotKey(uint16(i%16), 0), End: slotKey(99, 0)}, kv.ScanOptions{},
					func(_, _ []byte) bool { return false })
			})
		}, load.Splittable, true},
		"scans": {func(f *fixture, i int) {
			f.run(func(t kv.Txn) error {
				return t.Scan(base.Span{Start: slotKey(0, 0), End: slotKey(16, 0)}, kv.ScanOptions{}, func(_, _ []byte) bool { return true })
			})
		}, load.SpansCross, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, census.Options{SplitBytes: 1 << 30, SplitOps: 10})
			for i := range uint16(17) {
				f.set(slotKey(i, 0), nil)
			}
			for range 12 {
				for range 60 {
					c.access(f, random.IntN(1000))
				}
				f.look()
			}
			x, _ := f.c.Of(1)
			if x.Hot.Outcome != c.outcome {
				t.Fatalf("%v", x.Hot)
			}
			slot := len(keyspace.AppendRedisSlot(nil, keyspace.AppendRedisDB(nil, 1, 0), 0))
			if c.outcome == load.Splittable && (len(x.Hot.Key) == slot) != c.begins {
				t.Errorf("%s", keyspace.Pretty(x.Hot.Key))
			}
		})
	}
}

// TestSize: what was written shows, and a large range has a middle; what was removed goes.
func TestSize(t *testing.T) {
	f := start(t, census.Options{SplitBytes: 1 << 20, SplitOps: 1e9})
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 80 {
		value := make([]byte, 32<<10)
		for j := range value {
			value[j] = byte(random.Uint32())
		}
		f.set(zmapKey(i), value)
	}
	var x census.Range
	await := func(why string, good func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !good(); {
			if err := f.Maintain(); err != nil {
				t.Fatal(err)
			}
			f.set(zmapKey(1), nil) // the looks are faster than the disk: it is looked at again
			f.set(zmapKey(99), nil)
			f.now = f.now.Add(census.SizeEvery)
			f.look()
			if x, _ = f.c.Of(1); time.Now().After(end) {
				t.Fatalf("%s: %+v", why, x)
			}
		}
	}
	await("written", func() bool { return x.Bytes > 2<<20 })
	if string(x.Middle) < string(zmapKey(30)) || string(x.Middle) > string(zmapKey(50)) {
		t.Errorf("the middle is %s", keyspace.Pretty(x.Middle))
	}
	f.split(1, zmapKey(40), 2)
	f.Replica(2).AwaitBorn()
	f.look()
	f.run(func(t kv.Txn) error { // in both
		t.ClearRange(base.Span{Start: zmapKey(0), End: zmapKey(99)})
		return nil
	})
	await("removed", func() bool { other, _ := f.c.Of(2); return x.Bytes+other.Bytes < 1<<18 && x.Middle == nil })
	if len(f.tidied) != 2 { // not again and again
		t.Errorf("tidied %v", f.tidied)
	}
}
