// Package kvtest is the suite that every kv.Engine must pass.
package kvtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

// Run runs the suite; open makes an empty engine for one test.
func Run(t *testing.T, open func(t *testing.T) kv.Engine) {
	tests := map[string]func(*testing.T, *kv.DB){
		"SetGetClear": testSetGetClear, "ReadYourWrites": testReadYourWrites, "Scan": testScan, "ScanWithin": testScanWithin,
		"ScanMergesOwnWrites": testScanMerge, "KeySelectors": testSelectors, "Atomic": testAtomic,
		"Versionstamps": testVersionstamps, "Conflicts": testConflicts, "WriteSkew": testWriteSkew,
		"SnapshotReads": testSnapshotReads, "ReadAt": testReadAt, "ConflictRanges": testConflictRanges, "Watch": testWatch, "Follow": testFollow,
		"Limits": testLimits, "Counter": testCounter, "FailedClosureWritesNothing": testFailedClosure, "FailedClosureSawOneState": testFailedClosureValidates,
		"InteractiveSnapshot": testInteractiveSnapshot, "Guards": testGuards, "PanicReleases": testPanic,
		"ManyWrites": testManyWrites, "EndedTransaction": testEnded, "Clock": testClock, "Touch": testTouch, "Fence": testFence, "Prompt": testPrompt,
		"Expect": testExpect,
	}
	for name, fn := range tests {
		began := time.Now() // nothing becomes too old because the machine is slow
		t.Run(name, func(t *testing.T) { fn(t, kv.New(open(t), func() time.Time { return began })) })
	}
}

func key(format string, args ...any) []byte {
	return append([]byte{0x04}, fmt.Sprintf(format, args...)...)
}

func span(from, to string) base.Span { return base.Span{Start: key("%s", from), End: key("%s", to)} }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// again ends a closure whose reads an engine refuses although the closure may be run
// again.
type again struct{ err error }

// read is must for what a closure reads.
func read(t *testing.T, err error) {
	t.Helper()
	if base.Retryable(err) {
		panic(again{err})
	}
	must(t, err)
}

// closure lets fn end as read asks it to.
func closure(fn func(kv.Txn) error) func(kv.Txn) error {
	return func(tx kv.Txn) (err error) {
		defer func() {
			if r := recover(); r != nil {
				a, ok := r.(again)
				if !ok {
					panic(r)
				}
				err = a.err
			}
		}()
		return fn(tx)
	}
}

func transact(t *testing.T, db *kv.DB, fn func(kv.Txn) error) kv.CommitInfo {
	t.Helper()
	info, err := db.Transact(context.Background(), closure(fn))
	must(t, err)
	return info
}

func set(t *testing.T, db *kv.DB, k, v string) {
	t.Helper()
	transact(t, db, func(tx kv.Txn) error { tx.Set(key("%s", k), []byte(v)); return nil })
}

func expect(t *testing.T, r kv.Reader, k, want string) {
	t.Helper()
	v, err := r.Get(key("%s", k))
	read(t, err)
	if want == "-" && v != nil || want != "-" && (v == nil || string(v) != want) {
		t.Fatalf("%s is %q, want %q", k, v, want)
	}
}

func collect(t *testing.T, r kv.Reader, s base.Span, o kv.ScanOptions) string {
	t.Helper()
	var out []byte
	read(t, r.Scan(s, o, func(k, v []byte) bool {
		out = fmt.Appendf(out, "%s=%s ", k[1:], v)
		return true
	}))
	return string(bytes.TrimSpace(out))
}

func testSetGetClear(t *testing.T, db *kv.DB) {
	set(t, db, "a", "1")
	set(t, db, "empty", "")
	transact(t, db, func(tx kv.Txn) error {
		expect(t, tx, "a", "1")
		expect(t, tx, "empty", "")
		expect(t, tx, "b", "-")
		tx.Clear(key("a"))
		return nil
	})
	transact(t, db, func(tx kv.Txn) error { expect(t, tx, "a", "-"); return nil })
	set(t, db, "r1", "x")
	set(t, db, "r2", "y")
	set(t, db, "s", "z")
	transact(t, db, func(tx kv.Txn) error { tx.ClearRange(span("r", "s")); return nil })
	transact(t, db, func(tx kv.Txn) error {
		if got := collect(t, tx, span("", "~"), kv.ScanOptions{}); got != "empty= s=z" {
			t.Fatalf("after the range clear: %s", got)
		}
		return nil
	})
}

func testReadYourWrites(t *testing.T, db *kv.DB) {
	set(t, db, "a", "old")
	set(t, db, "c", "keep")
	transact(t, db, func(tx kv.Txn) error {
		tx.Set(key("a"), []byte("new"))
		tx.Set(key("b"), []byte("b"))
		expect(t, tx, "a", "new")
		tx.ClearRange(span("a", "b"))
		expect(t, tx, "a", "-")
		expect(t, tx, "b", "b")
		tx.Atomic(base.OpAppendIfFits, key("b"), []byte("!"))
		tx.Atomic(base.OpAppendIfFits, key("c"), []byte("?"))
		expect(t, tx, "b", "b!")
		expect(t, tx, "c", "keep?")
		return nil
	})
	transact(t, db, func(tx kv.Txn) error {
		if got := collect(t, tx, span("", "~"), kv.ScanOptions{}); got != "b=b! c=keep?" {
			t.Fatal(got)
		}
		return nil
	})
}

func testScan(t *testing.T, db *kv.DB) {
	transact(t, db, func(tx kv.Txn) error {
		for i := range 1000 {
			tx.Set(key("k%04d", i), fmt.Appendf(nil, "%d", i))
		}
		return nil
	})
	transact(t, db, func(tx kv.Txn) error {
		n := 0
		read(t, tx.Scan(span("k", "l"), kv.ScanOptions{}, func(k, v []byte) bool {
			if !bytes.Equal(k, key("k%04d", n)) || string(v) != fmt.Sprint(n) {
				t.Fatalf("pair %d is %s=%s", n, k, v)
			}
			n++
			return true
		}))
		if n != 1000 {
			t.Fatalf("%d pairs", n)
		}
		read(t, tx.Scan(span("k", "l"), kv.ScanOptions{Reverse: true}, func(k, _ []byte) bool {
			n--
			if !bytes.Equal(k, key("k%04d", n)) {
				t.Fatalf("reverse: pair %d is %s", n, k)
			}
			return true
		}))
		if n != 0 {
			t.Fatalf("reverse scan missed %d", n)
		}
		if got := collect(t, tx, span("k0010", "k0500"), kv.ScanOptions{Limit: 2}); got != "k0010=10 k0011=11" {
			t.Fatal(got)
		}
		if got := collect(t, tx, span("k0010", "k0500"), kv.ScanOptions{Limit: 2, Reverse: true}); got != "k0499=499 k0498=498" {
			t.Fatal(got)
		}
		return nil
	})
}

func testScanMerge(t *testing.T, db *kv.DB) {
	for _, k := range []string{"a", "c", "e", "g"} {
		set(t, db, k, k)
	}
	transact(t, db, func(tx kv.Txn) error {
		tx.Set(key("b"), []byte("B"))
		tx.Set(key("c"), []byte("C"))
		tx.Clear(key("e"))
		tx.Set(key("h"), []byte("H"))
		if got := collect(t, tx, span("a", "z"), kv.ScanOptions{}); got != "a=a b=B c=C g=g h=H" {
			t.Fatal(got)
		}
		if got := collect(t, tx, span("a", "z"), kv.ScanOptions{Reverse: true, Limit: 3}); got != "h=H g=g c=C" {
			t.Fatal(got)
		}
		tx.ClearRange(span("b", "g"))
		tx.Set(key("d"), []byte("D"))
		if got := collect(t, tx, span("a", "z"), kv.ScanOptions{}); got != "a=a d=D g=g h=H" {
			t.Fatal(got)
		}
		return nil
	})
}

func testSelectors(t *testing.T, db *kv.DB) {
	for _, k := range []string{"b", "d", "f"} {
		set(t, db, k, k)
	}
	transact(t, db, func(tx kv.Txn) error {
		for _, c := range []struct {
			sel  kv.KeySelector
			want string
		}{
			{kv.FirstGreaterOrEqual(key("b")), "b"}, {kv.FirstGreaterThan(key("b")), "d"},
			{kv.LastLessThan(key("d")), "b"}, {kv.LastLessOrEqual(key("d")), "d"},
			{kv.FirstGreaterOrEqual(key("c")), "d"}, {kv.LastLessOrEqual(key("c")), "b"},
			{kv.KeySelector{Reference: key("b"), Offset: 3}, "f"}, {kv.FirstGreaterThan(key("f")), "z"},
			{kv.LastLessThan(key("b")), "a"}, {kv.KeySelector{Reference: key("f"), Offset: -1}, "b"},
		} {
			got, err := tx.GetKey(c.sel, span("a", "z"))
			read(t, err)
			if string(got[1:]) != c.want {
				t.Fatalf("%+v is %q, want %q", c.sel, got, c.want)
			}
		}
		return nil
	})
}

func testAtomic(t *testing.T, db *kv.DB) {
	one := binary.LittleEndian.AppendUint64(nil, 1)
	for range 5 {
		transact(t, db, func(tx kv.Txn) error { tx.Atomic(base.OpAdd, key("n"), one); return nil })
	}
	transact(t, db, func(tx kv.Txn) error {
		v, err := tx.Get(key("n"))
		read(t, err)
		if binary.LittleEndian.Uint64(v) != 5 {
			t.Fatalf("counter %x", v)
		}
		tx.Set(key("s"), []byte("bb"))
		return nil
	})
	for _, c := range []struct {
		op            base.MutationOp
		operand, want string
	}{
		{base.OpByteMax, "aa", "bb"}, {base.OpByteMax, "cc", "cc"}, {base.OpByteMin, "b", "b"},
		{base.OpAppendIfFits, "x", "bx"}, {base.OpCompareAndClear, "other", "bx"}, {base.OpCompareAndClear, "bx", "-"},
		{base.OpBitOr, "\x0f", "\x0f"}, {base.OpBitAnd, "\x3c", "\x0c"}, {base.OpBitXor, "\xff", "\xf3"},
		{base.OpMax, "\xf4", "\xf4"}, {base.OpMin, "\x02", "\x02"},
	} {
		transact(t, db, func(tx kv.Txn) error { tx.Atomic(c.op, key("s"), []byte(c.operand)); return nil })
		transact(t, db, func(tx kv.Txn) error { expect(t, tx, "s", c.want); return nil })
	}
}

func testVersionstamps(t *testing.T, db *kv.DB) {
	template := append(append(key("log/"), make([]byte, 10)...), 5, 0, 0, 0)
	value := append(append([]byte("v="), make([]byte, 10)...), 2, 0, 0, 0)
	var stamps []base.Versionstamp
	for i := range 3 {
		info := transact(t, db, func(tx kv.Txn) error {
			tx.Atomic(base.OpSetVersionstampedKey, template, fmt.Appendf(nil, "%d", i))
			tx.Atomic(base.OpSetVersionstampedValue, key("last"), value)
			if _, err := tx.Get(key("last")); !errors.Is(err, base.ErrUnreadable) {
				t.Fatalf("reading an unknown versionstamp: %v", err)
			}
			return nil
		})
		stamps = append(stamps, info.Versionstamp)
	}
	transact(t, db, func(tx kv.Txn) error {
		i := 0
		read(t, tx.Scan(span("log/", "log0"), kv.ScanOptions{}, func(k, v []byte) bool {
			if !bytes.Equal(k[5:], stamps[i][:]) || string(v) != fmt.Sprint(i) {
				t.Fatalf("entry %d: %x=%s, want stamp %x", i, k, v, stamps[i])
			}
			i++
			return true
		}))
		if i != 3 {
			t.Fatalf("%d entries", i)
		}
		expect(t, tx, "last", "v="+string(stamps[2][:]))
		return nil
	})
}

func testConflicts(t *testing.T, db *kv.DB) {
	set(t, db, "k", "0")
	a, b := db.Begin(), db.Begin()
	expect(t, a, "k", "0")
	expect(t, b, "k", "0")
	a.Set(key("k"), []byte("a"))
	b.Set(key("k"), []byte("b"))
	_, err := a.Commit()
	must(t, err)
	if _, err = b.Commit(); !errors.Is(err, base.ErrConflict) {
		t.Fatalf("the second commit: %v", err)
	}
	// A range read conflicts with an insert; blind writes do not conflict.
	a, b = db.Begin(), db.Begin()
	collect(t, a, span("p", "q"), kv.ScanOptions{})
	a.Set(key("x"), []byte("1"))
	b.Set(key("p1"), []byte("1"))
	_, err = b.Commit()
	must(t, err)
	if _, err = a.Commit(); !errors.Is(err, base.ErrConflict) {
		t.Fatalf("phantom: %v", err)
	}
	a, b = db.Begin(), db.Begin()
	a.Set(key("blind"), []byte("1"))
	b.Set(key("blind"), []byte("2"))
	_, err = b.Commit()
	must(t, err)
	_, err = a.Commit()
	must(t, err)
}

func testWriteSkew(t *testing.T, db *kv.DB) {
	set(t, db, "x", "1")
	set(t, db, "y", "1")
	a, b := db.Begin(), db.Begin()
	expect(t, a, "x", "1")
	expect(t, a, "y", "1")
	expect(t, b, "x", "1")
	expect(t, b, "y", "1")
	a.Set(key("x"), []byte("0"))
	b.Set(key("y"), []byte("0"))
	_, errA := a.Commit()
	_, errB := b.Commit()
	if (errA == nil) == (errB == nil) {
		t.Fatalf("write skew: %v, %v", errA, errB)
	}
}

func testSnapshotReads(t *testing.T, db *kv.DB) {
	set(t, db, "k", "0")
	a := db.Begin()
	expect(t, a.Snapshot(), "k", "0")
	a.Set(key("x"), []byte("1"))
	set(t, db, "k", "1")
	expect(t, a.Snapshot(), "k", "0")
	_, err := a.Commit()
	must(t, err)
}

func testReadAt(t *testing.T, db *kv.DB) {
	set(t, db, "a", "1")
	set(t, db, "z", "1")
	at, err := db.ReadVersion(t.Context())
	must(t, err)
	transact(t, db, func(tx kv.Txn) error {
		tx.Clear(key("a"))
		tx.Set(key("z"), []byte("2"))
		return nil
	})
	s := db.NewSession()
	for range 2 {
		must(t, s.ReadAt(at, func(tx kv.Txn) error {
			expect(t, tx, "z", "1")
			tx.Set(key("z"), []byte("its own"))
			expect(t, tx, "z", "its own")
			if got := collect(t, tx, span("", "~"), kv.ScanOptions{}); got != "a=1 z=its own" {
				t.Fatalf("the state moved: %s", got)
			}
			return nil
		}))
	}
	transact(t, db, func(tx kv.Txn) error { expect(t, tx, "z", "2"); return nil })
}

func testConflictRanges(t *testing.T, db *kv.DB) {
	a := db.Begin()
	_, err := a.ReadVersion()
	must(t, err)
	a.AddReadConflict(span("m", "n"))
	a.Set(key("x"), []byte("1"))
	set(t, db, "m1", "1")
	if _, err := a.Commit(); !errors.Is(err, base.ErrConflict) {
		t.Fatalf("read conflict range: %v", err)
	}
	b := db.Begin()
	expect(t, b, "m2", "-")
	b.Set(key("x"), []byte("2"))
	transact(t, db, func(tx kv.Txn) error { tx.AddWriteConflict(span("m", "n")); return nil })
	if _, err := b.Commit(); !errors.Is(err, base.ErrConflict) {
		t.Fatalf("write conflict range: %v", err)
	}
}

func testWatch(t *testing.T, db *kv.DB) {
	name := key("other")
	w, other := db.Watch(key("w")), db.Watch(name)
	clear(name) // it is the caller's
	defer w.Close()
	defer other.Close()
	if dirty, _ := w.Dirty(); dirty {
		t.Fatal("dirty before any write")
	}
	set(t, db, "w", "1")
	<-w.Changed()
	if dirty, _ := w.Dirty(); !dirty {
		t.Fatal("fired and not dirty")
	}
	select {
	case <-other.Changed():
		t.Fatal("a watch on another key fired")
	default:
	}
	transact(t, db, func(tx kv.Txn) error { tx.ClearRange(span("o", "p")); return nil })
	<-other.Changed()
}

func testGuards(t *testing.T, db *kv.DB) {
	s := db.NewSession()
	name := key("g")
	w := db.Watch(name)
	clear(name) // it is the caller's
	defer w.Close()
	s.Guards = []kv.Watch{w}
	ticket, err := s.Run(kv.Func(func(tx kv.Txn) error { tx.Set(key("out"), []byte("1")); return nil }))
	must(t, err)
	must(t, ticket.Wait())
	set(t, db, "g", "changed")
	if _, err = s.Run(kv.Func(func(tx kv.Txn) error { tx.Set(key("out"), []byte("2")); return nil })); !errors.Is(err, base.ErrConflict) {
		t.Fatalf("commit under a dirty guard: %v", err)
	}
	transact(t, db, func(tx kv.Txn) error { expect(t, tx, "out", "1"); return nil })
}

func testLimits(t *testing.T, db *kv.DB) {
	ctx := context.Background()
	for _, c := range []struct {
		want error
		fn   func(tx kv.Txn)
	}{
		{base.ErrKeyTooLarge, func(tx kv.Txn) { tx.Set(bytes.Repeat([]byte{4}, 16<<10+1), nil) }},
		{base.ErrValueTooLarge, func(tx kv.Txn) { tx.Set(key("k"), make([]byte, 1<<20)) }},
		{base.ErrInvalidMutation, func(tx kv.Txn) { tx.Atomic(base.OpSetVersionstampedKey, key("k"), nil) }},
		{base.ErrInvalidMutation, func(tx kv.Txn) { tx.ClearRange(span("b", "a")) }},
		{base.ErrTransactionTooLarge, func(tx kv.Txn) {
			for i := range 65 {
				tx.Set(key("%d", i), make([]byte, 1<<20-100))
			}
		}},
	} {
		if _, err := db.Transact(ctx, func(tx kv.Txn) error { c.fn(tx); return nil }); !errors.Is(err, c.want) {
			t.Fatalf("got %v, want %v", err, c.want)
		}
	}
	transact(t, db, func(tx kv.Txn) error {
		tx.Set(bytes.Repeat([]byte{4}, 16<<10), make([]byte, 1<<20-16<<10))
		return nil
	})
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := db.Transact(canceled, func(kv.Txn) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func testCounter(t *testing.T, db *kv.DB) {
	const workers, rounds = 8, 50
	var wg sync.WaitGroup
	increment := func(tx kv.Txn) error {
		v, err := tx.Get(key("counter"))
		if err != nil {
			return err
		}
		var n uint64
		if v != nil {
			n = binary.BigEndian.Uint64(v)
		}
		tx.Set(key("counter"), binary.BigEndian.AppendUint64(nil, n+1))
		return nil
	}
	for i := range workers {
		wg.Go(func() {
			s := db.NewSession()
			for range rounds {
				var err error
				if i%2 == 0 {
					_, err = db.Transact(context.Background(), increment)
				} else {
					var ticket base.Ticket
					ticket, err = s.Run(kv.Func(increment))
					if err == nil {
						err = ticket.Wait()
					}
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	transact(t, db, func(tx kv.Txn) error {
		v, err := tx.Get(key("counter"))
		read(t, err)
		if n := binary.BigEndian.Uint64(v); n != workers*rounds {
			t.Fatalf("counter is %d", n)
		}
		return nil
	})
}

func testFailedClosure(t *testing.T, db *kv.DB) {
	boom := errors.New("boom")
	if _, err := db.Transact(context.Background(), func(tx kv.Txn) error {
		tx.Set(key("k"), []byte("1"))
		return boom
	}); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if _, err := db.NewSession().Run(kv.Func(func(tx kv.Txn) error {
		tx.Set(key("k"), []byte("1"))
		return boom
	})); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	transact(t, db, func(tx kv.Txn) error { expect(t, tx, "k", "-"); return nil })
}

// testFailedClosureValidates: a closure that fails because of two keys must have
// seen them in one state.
func testFailedClosureValidates(t *testing.T, db *kv.DB) {
	both := func(v string) {
		transact(t, db, func(tx kv.Txn) error {
			tx.Set(key("a"), []byte(v))
			tx.Set(key("b"), []byte(v))
			return nil
		})
	}
	both("1")
	same := errors.New("both are the same")
	runs := 0
	_, err := db.Transact(context.Background(), closure(func(tx kv.Txn) error {
		a, err := tx.Get(key("a"))
		read(t, err)
		if runs++; runs == 1 {
			both("2")
		}
		b, err := tx.Get(key("b"))
		read(t, err)
		if !bytes.Equal(a, b) {
			return errors.Newf("a is %s, b is %s", a, b)
		}
		return same
	}))
	if !errors.Is(err, same) {
		t.Fatalf("after %d runs: %v", runs, err)
	}
}

func testInteractiveSnapshot(t *testing.T, db *kv.DB) {
	set(t, db, "a", "1")
	set(t, db, "b", "1")
	tx := db.Begin()
	expect(t, tx, "a", "1")
	transact(t, db, func(o kv.Txn) error {
		o.Set(key("a"), []byte("2"))
		o.Clear(key("b"))
		o.Set(key("c"), []byte("2"))
		return nil
	})
	if got := collect(t, tx, span("", "~"), kv.ScanOptions{}); got != "a=1 b=1" {
		t.Fatalf("the snapshot moved: %s", got)
	}
	tx.Rollback()
	buf := key("copied")
	tx = db.Begin()
	tx.Set(buf, []byte("x"))
	clear(buf)
	_, err := tx.Commit()
	must(t, err)
	transact(t, db, func(o kv.Txn) error { expect(t, o, "copied", "x"); return nil })
}

func testPanic(t *testing.T, db *kv.DB) {
	func() {
		defer func() { _ = recover() }()
		_, _ = db.NewSession().Run(kv.Func(func(tx kv.Txn) error {
			_, _ = tx.Get(key("a"))
			panic("bug in a closure")
		}))
	}()
	set(t, db, "a", "1") // hangs if the engine stayed locked
}

func testManyWrites(t *testing.T, db *kv.DB) {
	transact(t, db, func(tx kv.Txn) error {
		for i := range 500 {
			tx.Set(key("m%03d", i), []byte("1"))
			tx.Atomic(base.OpAppendIfFits, key("m%03d", i), []byte("2"))
		}
		tx.ClearRange(span("m100", "m400"))
		tx.Set(key("m200"), []byte("again"))
		expect(t, tx, "m099", "12")
		expect(t, tx, "m100", "-")
		expect(t, tx, "m200", "again")
		return nil
	})
	transact(t, db, func(tx kv.Txn) error {
		n := 0
		read(t, tx.Scan(span("m", "n"), kv.ScanOptions{}, func(_, _ []byte) bool { n++; return true }))
		if n != 201 {
			t.Fatalf("%d keys", n)
		}
		expect(t, tx, "m200", "again")
		return nil
	})
}

func testEnded(t *testing.T, db *kv.DB) {
	tx := db.Begin()
	tx.Set(key("k"), []byte("1"))
	tx.Rollback()
	tx.Rollback()
	if _, err := tx.Commit(); !errors.Is(err, base.ErrClosed) {
		t.Fatalf("commit after rollback: %v", err)
	}
	if _, err := tx.Get(key("k")); !errors.Is(err, base.ErrClosed) {
		t.Fatalf("get after rollback: %v", err)
	}
	now := time.Now()
	old := kv.New(engineOf{db}, func() time.Time { return now }).Begin()
	expect(t, old, "k", "-")
	now = now.Add(6 * time.Second)
	if _, err := old.Get(key("k")); !errors.Is(err, base.ErrTransactionTimedOut) {
		t.Fatalf("a transaction of six seconds: %v", err)
	}
}

// engineOf reaches the engine below a database, for a second one with its own clock.
type engineOf struct{ db *kv.DB }

func (e engineOf) ReadVersion(ctx context.Context) (base.Stamp, error) { return e.db.ReadVersion(ctx) }
func (e engineOf) ScanStored(s base.Span, reverse bool, visit func(key, value []byte) bool) error {
	return e.db.Stored().Scan(s, kv.ScanOptions{Reverse: reverse}, visit)
}

func (e engineOf) Local() bool                              { return e.db.Local() }
func (e engineOf) Kick()                                    { e.db.Kick() }
func (e engineOf) Expect(keys [][]byte) bool                { return e.db.Expect(keys) }
func (e engineOf) NewAttempt() kv.Attempt                   { return e.db.NewAttempt() }
func (e engineOf) Watch(k []byte) kv.Watch                  { return e.db.Watch(k) }
func (e engineOf) Follow(s base.Span, f kv.Follower) func() { return e.db.Follow(s, f) }
func (e engineOf) EstimateSize(s base.Span) (int64, error)  { return e.db.EstimateSize(s) }

// testClock asks for the time between reads, when an engine may keep others out: it
// must not wait for itself.
func testClock(t *testing.T, db *kv.DB) {
	session := db.NewSession()
	last := int64(0)
	for i := range 20 {
		first, second := key("%c", 'A'+3*i), key("%c", 'A'+3*(19-i)) // all over the keyspace
		ticket, err := session.Run(kv.Func(func(tx kv.Txn) error {
			if _, err := tx.Get(first); err != nil {
				return err
			}
			now := tx.NowMillis()
			if now < last || now == 0 {
				t.Errorf("the clock says %d after %d", now, last)
			}
			if _, err := tx.Get(second); err != nil {
				return err
			}
			if again := tx.NowMillis(); again != now {
				t.Errorf("within a transaction the clock goes on from %d to %d", now, again)
			}
			last = now
			tx.Set(second, []byte("x"))
			return nil
		}))
		must(t, err)
		must(t, ticket.Wait())
	}
}

// testPrompt: a transaction that must not wait either happens or does nothing.
func testPrompt(t *testing.T, db *kv.DB) {
	s := db.NewSession()
	s.Prompt = true
	for i := range 40 {
		first, second := key("%c%d", 'A'+i, i), key("%c%d", 'z'-i%3, i)
		err := s.RunAndWait(kv.Func(func(tx kv.Txn) error {
			if _, err := tx.Get(first); err != nil {
				return err
			}
			tx.Set(first, []byte("x"))
			if _, err := tx.Get(second); i%4 > 1 && err != nil {
				return err
			}
			if i%2 == 1 {
				tx.Set(second, []byte("x"))
			}
			return nil
		}))
		waits := errors.Is(err, base.ErrWouldWait)
		if err != nil && !waits {
			t.Fatal(err)
		}
		transact(t, db, func(tx kv.Txn) error {
			for k, want := range map[string]bool{string(first): !waits, string(second): !waits && i%2 == 1} {
				v, err := tx.Get([]byte(k))
				read(t, err)
				if (v != nil) != want {
					t.Fatalf("%q is %q; the transaction said %v", k, v, err)
				}
			}
			return nil
		})
	}
}

// testExpect: what a transaction has said it would read is what it reads, its own writes
// and those of others included.
func testExpect(t *testing.T, db *kv.DB) {
	var keys [][]byte
	for i := range 60 {
		name := fmt.Sprintf("%c%d", 'a'+i%24, i)
		keys = append(keys, key("%s", name))
		if i%3 != 0 {
			set(t, db, name, name)
		}
	}
	look := func(tx kv.Txn) error {
		tx.Set(keys[7], []byte("own"))
		tx.Expect(keys)
		for i, k := range keys {
			if i == 9 {
				tx.Expect(keys[i:]) // when the range's lock may be held
			}
			v, err := tx.Get(k)
			if err != nil {
				return err
			}
			want := string(k[len(k)-len(fmt.Sprintf("%c%d", 'a'+i%24, i)):])
			switch {
			case i == 7:
				want = "own"
			case i%3 == 0:
				want = ""
			}
			if string(v) != want || (v == nil) != (want == "") {
				t.Fatalf("%q is %q, want %q", k, v, want)
			}
		}
		return nil
	}
	transact(t, db, look)
	must(t, db.NewSession().RunAndWait(kv.Func(look)))
	tx := db.Begin()
	must(t, look(tx))
	set(t, db, "b1", "changed") // that was read
	if _, err := tx.Commit(); !errors.Is(err, base.ErrConflict) {
		t.Fatalf("commit after a change of what was expected and read: %v", err)
	}
	runs := 0
	transact(t, db, func(tx kv.Txn) error {
		if runs++; runs == 2 {
			return nil
		}
		tx.Expect(keys)
		if _, err := tx.Get(keys[1]); err != nil {
			return err
		}
		set(t, db, "b1", "again")
		_, err := tx.Get(keys[2])
		tx.Set(key("out"), nil)
		return err
	})
	if runs != 2 {
		t.Errorf("it ran %d times", runs)
	}
}
