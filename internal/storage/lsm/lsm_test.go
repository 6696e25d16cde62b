package lsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/stratadb/strata/internal/base"
)

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatalf("open: %+v", err)
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%+v", err)
	}
}

func apply(t testing.TB, s *Store, f func(b *Batch)) {
	t.Helper()
	b := s.NewBatch()
	f(b)
	must(t, s.Apply(b))
	must(t, b.Close())
}

func TestReadWrite(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "lsm", CacheBytes: 1 << 20})
	st := RangeState{Applied: 9, AppliedTerm: 2, Position: 7, Stamp: 1234, ReadableFrom: 3, Payload: []byte("p")}
	apply(t, s, func(b *Batch) {
		for i := range 10 {
			b.Set(fmt.Appendf(nil, "k%d", i), fmt.Appendf(nil, "v%d", i))
		}
		b.Delete([]byte("k3"))
		b.DeleteRange(base.Span{Start: []byte("k6"), End: []byte("k8")})
		b.SetRangeState(5, st)
		b.SetRangeTable(5, []byte("table"))
	})
	table := func(want string) {
		if got, err := s.RangeTable(5); err != nil || string(got) != want {
			t.Fatalf("table %q, %v", got, err)
		}
	}
	table("table")
	defer func() {
		apply(t, s, func(b *Batch) { b.DeleteRangeState(5) })
		table("")
		must(t, s.Close())
	}()
	scan := func(span base.Span) (keys string) {
		it, err := s.NewIterator(span)
		must(t, err)
		for ok := it.First(); ok; ok = it.Next() {
			v, err := it.Value()
			must(t, err)
			if v[1] != it.Key()[1] {
				t.Fatalf("%s = %s", it.Key(), v)
			}
			keys += string(it.Key()[1:])
		}
		var back string
		for ok := it.Last(); ok; ok = it.Prev() {
			back = string(it.Key()[1:]) + back
		}
		must(t, it.Close())
		if back != keys {
			t.Fatalf("forward %s, backward %s", keys, back)
		}
		return keys
	}
	if got := scan(base.Span{}); got != "0124589" {
		t.Fatalf("scan: %s", got)
	}
	if got := scan(base.Span{Start: []byte("k2"), End: []byte("k9")}); got != "2458" {
		t.Fatalf("scan: %s", got)
	}
	v, found, err := s.AppendGet([]byte("x"), []byte("k4"))
	if err != nil || !found || string(v) != "xv4" {
		t.Fatalf("get: %q %t %v", v, found, err)
	}
	if _, found, err := s.Get([]byte("k6")); err != nil || found {
		t.Fatalf("deleted key: %t %v", found, err)
	}
	if _, found, _ := s.DurableRangeState(5); found {
		t.Fatal("durable before a flush")
	}
	must(t, s.Flush())
	for _, get := range []func(base.RangeID) (RangeState, bool, error){s.RangeState, s.DurableRangeState} {
		got, found, err := get(5)
		if err != nil || !found || got.Applied != 9 || got.Stamp != 1234 || got.ReadableFrom != 3 || !bytes.Equal(got.Payload, st.Payload) {
			t.Fatalf("range state %+v %t %v", got, found, err)
		}
	}
	if n, err := s.Check(); err != nil || n != 7 {
		t.Fatalf("check: %d %v", n, err)
	}
}

// TestLocalKeysAreHidden: nobody reads or writes the store's own keys (L4).
func TestLocalKeysAreHidden(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "lsm", CacheBytes: 1 << 20})
	defer func() { must(t, s.Close()) }()
	apply(t, s, func(b *Batch) { b.SetRangeState(1, RangeState{Applied: 1}) })
	for name, f := range map[string]func(b *Batch){
		"set": func(b *Batch) { b.Set([]byte{0, 1}, nil) }, "delete": func(b *Batch) { b.Delete(nil) },
		"no end": func(b *Batch) { b.DeleteRange(base.Span{Start: []byte("a")}) },
	} {
		b := s.NewBatch()
		f(b)
		if err := s.Apply(b); !errors.HasAssertionFailure(err) {
			t.Errorf("%s: %v", name, err)
		}
		must(t, b.Close())
	}
	apply(t, s, func(b *Batch) { b.DeleteRange(base.Span{End: []byte{0xFF}}) })
	if st, found, err := s.RangeState(1); err != nil || !found || st.Applied != 1 {
		t.Fatalf("range state after clearing everything: %+v %t %v", st, found, err)
	}
}

// TestPrefixAfterCrash: without a log, what survives is a prefix of the batches
// over all ranges, at least up to the durable range state (L1 to L3).
func TestPrefixAfterCrash(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { prefixAfterCrash(t, seed) })
	}
}

func prefixAfterCrash(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	fs := vfs.NewCrashableMem()
	must(t, fs.MkdirAll("lsm", 0o755))
	root, err := fs.OpenDir("")
	must(t, err)
	must(t, root.Sync())
	must(t, root.Close())
	s := mustOpen(t, Options{FS: fs, Dir: "lsm", CacheBytes: 1 << 20, MemtableBytes: 256 << 10})
	// Batch n sets its range's counter key and applied index to n, and a
	// global one that says which batch was last.
	const batches = 400
	var last [batches + 1][3]base.LogIndex
	var clone *vfs.MemFS
	var durable [3]base.LogIndex
	at := rng.IntN(batches-50) + 50
	for n := 1; n <= batches; n++ {
		r := rng.IntN(3)
		last[n] = last[n-1]
		last[n][r] = base.LogIndex(n)
		apply(t, s, func(b *Batch) {
			b.Set([]byte("global"), fmt.Append(nil, n))
			b.Set(fmt.Appendf(nil, "filler%d", n), make([]byte, rng.IntN(6000)))
			b.SetRangeState(base.RangeID(r+1), RangeState{Applied: base.LogIndex(n)})
		})
		if rng.IntN(60) == 0 {
			_, err := s.FlushAsync()
			must(t, err)
		}
		if n == at {
			for r := range durable {
				st, _, err := s.DurableRangeState(base.RangeID(r + 1))
				must(t, err)
				durable[r] = st.Applied
			}
			clone = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed%3) * 50, RNG: rng})
		}
	}
	must(t, s.Close())
	s = mustOpen(t, Options{FS: clone, Dir: "lsm", CacheBytes: 1 << 20})
	defer func() { must(t, s.Close()) }()
	var n int
	if v, found, err := s.Get([]byte("global")); err != nil {
		t.Fatal(err)
	} else if found {
		_, _ = fmt.Sscan(string(v), &n)
	}
	for r := range durable {
		st, _, err := s.RangeState(base.RangeID(r + 1))
		must(t, err)
		if st.Applied != last[n][r] {
			t.Fatalf("after batch %d range %d is at %d, want %d", n, r, st.Applied, last[n][r])
		}
		if st.Applied < durable[r] {
			t.Fatalf("range %d is at %d, %d was durable", r, st.Applied, durable[r])
		}
	}
	for i := 1; i <= batches; i++ {
		if _, found, err := s.Get(fmt.Appendf(nil, "filler%d", i)); err != nil || found != (i <= n) {
			t.Fatalf("batch %d of %d: %t %v", i, n, found, err)
		}
	}
}

// TestFlushCallback: the owner hears of a flush, and then finds its state durable.
func TestFlushCallback(t *testing.T) {
	flushed := make(chan struct{}, 10)
	s := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "lsm", CacheBytes: 1 << 20, OnFlushed: func() { flushed <- struct{}{} }})
	defer func() { must(t, s.Close()) }()
	apply(t, s, func(b *Batch) { b.SetRangeState(1, RangeState{Applied: 4}) })
	_, err := s.FlushAsync()
	must(t, err)
	<-flushed
	if st, found, err := s.DurableRangeState(1); err != nil || !found || st.Applied != 4 {
		t.Fatalf("%+v %t %v", st, found, err)
	}
}

// TestBackgroundErrorIsFatal: a failed flush reaches the owner.
func TestBackgroundErrorIsFatal(t *testing.T) {
	injected := errors.New("injected")
	toggle := errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileWrite {
			return injected
		}
		return nil
	})}
	fatal := make(chan error, 100)
	s := mustOpen(t, Options{
		FS: errorfs.Wrap(vfs.NewMem(), &toggle), Dir: "lsm", CacheBytes: 1 << 20,
		OnFatal: func(err error) {
			toggle.Off() // so that the store can be closed
			fatal <- err
		},
	})
	defer func() { must(t, s.Close()) }()
	apply(t, s, func(b *Batch) { b.Set([]byte("k"), []byte("v")) })
	toggle.On()
	_, err := s.FlushAsync()
	must(t, err)
	if err := <-fatal; !errors.Is(err, injected) {
		t.Fatalf("fatal: %v", err)
	}
}

// TestFlushOfAStoreThatHasFailed: whoever waits for a flush is told, and so is the owner, once;
// the store can be closed while nothing can be written.
func TestFlushOfAStoreThatHasFailed(t *testing.T) {
	injected := errors.New("injected")
	var broken atomic.Bool
	told := 0
	s := mustOpen(t, Options{
		FS: errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if broken.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				return injected
			}
			return nil
		})), Dir: "lsm", CacheBytes: 1 << 20, OnFatal: func(error) { told++ },
	})
	apply(t, s, func(b *Batch) { b.Set([]byte("k"), []byte("v")) })
	broken.Store(true)
	for range 2 {
		if err := s.Flush(); !errors.Is(err, injected) {
			t.Errorf("flush: %v", err)
		}
	}
	_ = s.Close()
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

// TestCorruptionIsFound flips a byte in a table: reading and checking say so.
func TestCorruptionIsFound(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, Options{FS: fs, Dir: "lsm", CacheBytes: 1 << 20})
	apply(t, s, func(b *Batch) {
		for i := range 1000 {
			b.Set(fmt.Appendf(nil, "k%04d", i), bytes.Repeat([]byte{byte(i)}, 100))
		}
	})
	must(t, s.Flush())
	must(t, s.Checkpoint("copy"))
	must(t, s.Close())
	names, err := fs.List("copy")
	must(t, err)
	for _, name := range names {
		if len(name) > 4 && name[len(name)-4:] == ".sst" {
			f, err := fs.OpenReadWrite("copy/"+name, vfs.WriteCategoryUnspecified)
			must(t, err)
			_, err = f.WriteAt([]byte{0xA5}, 700)
			must(t, err)
			must(t, f.Close())
		}
	}
	s, err = Open(Options{FS: fs, Dir: "copy", CacheBytes: 1 << 20, ReadOnly: true})
	if err == nil {
		_, err = s.Check()
		_ = s.Close()
	}
	if !errors.Is(err, base.ErrCorruption) {
		t.Fatalf("check of a damaged table: %v", err)
	}
}

func TestSnapshotAndSize(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "lsm", CacheBytes: 1 << 20})
	defer func() { must(t, s.Close()) }()
	apply(t, s, func(b *Batch) { b.Set([]byte("a"), make([]byte, 1000)) })
	snap := s.NewSnapshot()
	apply(t, s, func(b *Batch) { b.Delete([]byte("a")) })
	if _, found, err := snap.Get([]byte("a")); err != nil || !found {
		t.Fatalf("snapshot: %t %v", found, err)
	}
	must(t, s.Flush())
	if n, err := s.EstimateSize(base.Span{}); err != nil || n == 0 {
		t.Fatalf("size: %d %v", n, err)
	}
	must(t, snap.Close())
	if m := s.Metrics(); m.Flushes == 0 || m.FlushedBytes == 0 {
		t.Fatalf("metrics: %+v", m)
	}
}
