package kvtest

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

// testTouch: a touch is a write of everything in its span, for watches, too.
func testTouch(t *testing.T, db *kv.DB) {
	inside, other := db.Watch(key("m")), db.Watch(key("n"))
	defer inside.Close()
	defer other.Close()
	transact(t, db, func(tx kv.Txn) error { tx.AddWriteConflict(span("a", "n")); return nil })
	<-inside.Changed()
	if dirty, _ := other.Dirty(); dirty {
		t.Fatal("a watch behind the touched span is dirty")
	}
	s := db.NewSession()
	s.Guards = []kv.Watch{inside}
	if _, err := s.Run(kv.Func(func(tx kv.Txn) error { tx.Set(key("m"), nil); return nil })); !base.Retryable(err) {
		t.Fatalf("commit under a guard that was touched: %v", err)
	}
	closed := db.Watch(key("m"))
	closed.Close()
	<-closed.Changed()
	s.Guards = []kv.Watch{closed}
	if _, err := s.Run(kv.Func(func(tx kv.Txn) error { tx.Set(key("m"), nil); return nil })); !base.Retryable(err) {
		t.Fatalf("commit under a closed guard: %v", err)
	}
	transact(t, db, func(tx kv.Txn) error { expect(t, tx, "m", "-"); return nil })
}

// fence guards an area by an epoch, which its owner has read.
type fence struct {
	db      *kv.DB
	session *kv.Session
	epoch   uint64
	home    kv.Watch
	posts   map[string]kv.Watch
	last    kv.Watch // nil: there was none
	key     []byte
	asked   int // how often a watch of the area was asked for
}

var fenced = span("k", "n")

func newFence(t *testing.T, db *kv.DB) *fence {
	f := &fence{db: db, session: db.NewSession()}
	f.begin(t)
	return f
}

func (f *fence) Area() base.Span  { return fenced }
func (f *fence) Home() []kv.Watch { f.last = f.home; return []kv.Watch{f.home} }

func (f *fence) At(key []byte) kv.Watch {
	f.asked++
	f.key, f.last = append(f.key[:0], key...), nil
	if w, ok := f.posts[string(key)]; ok {
		f.last = w
		return w
	}
	return nil
}

func (f *fence) Broken() bool {
	if f.last == nil {
		return true
	}
	dirty, _ := f.last.Dirty()
	return dirty
}

// begin watches first, and then reads what that is to guard.
func (f *fence) begin(t *testing.T) {
	f.close()
	f.home, f.posts = f.db.Watch(key("A")), map[string]kv.Watch{}
	f.epoch = f.read(t)
}

func (f *fence) close() {
	if f.home == nil {
		return
	}
	f.home.Close()
	for _, w := range f.posts {
		w.Close()
	}
}

func (f *fence) read(t *testing.T) (epoch uint64) {
	if err := f.session.RunAndWait(kv.Func(func(tx kv.Txn) error {
		v, err := tx.Get(key("A"))
		if epoch = 0; v != nil {
			epoch = binary.LittleEndian.Uint64(v)
		}
		return err
	})); err != nil {
		t.Error(err)
	}
	return epoch
}

// mend puts up the watch that was missing, or whose key was touched or has moved.
func (f *fence) mend(t *testing.T) {
	if dirty, _ := f.home.Dirty(); dirty {
		f.begin(t)
		return
	}
	w := f.db.Watch(f.key)
	if f.read(t) != f.epoch {
		w.Close()
		f.begin(t)
		return
	}
	if old := f.posts[string(f.key)]; old != nil {
		old.Close()
	}
	f.posts[string(f.key)] = w
}

// testFence moves a map between two places while others count in it. The epoch says
// which is in use, and is far away from most of the counters: once it has changed,
// nobody may count in the old place.
func testFence(t *testing.T, db *kv.DB) {
	const writers, changes, slots = 4, 25, 1000
	counter := func(slot int, epoch uint64) []byte { return key("k%04d/%d", slot, epoch%2) }
	var acked atomic.Int64
	var ended atomic.Bool
	var wg sync.WaitGroup
	progress := make(chan struct{}, writers)
	for i := range writers {
		rnd := rand.New(rand.NewPCG(uint64(i), 11))
		wg.Go(func() {
			f := newFence(t, db)
			defer f.close()
			s := db.NewSession()
			s.Fence = f
			for !ended.Load() {
				slot, read := rnd.IntN(slots), rnd.IntN(2) == 0
				ticket, err := s.Run(kv.Func(func(tx kv.Txn) error { return count(tx, counter(slot, f.epoch), read) }))
				if err == nil {
					err = ticket.Wait()
				}
				switch {
				case err == nil:
					acked.Add(1)
					select {
					case progress <- struct{}{}:
					default:
					}
				case base.Retryable(err) && f.Broken():
					f.mend(t)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	for epoch := range uint64(changes) {
		change(t, db)
		before := sum(t, db, epoch%2)
		for range writers {
			<-progress
		}
		if after := sum(t, db, epoch%2); after != before {
			t.Errorf("epoch %d: %d were counted in the old place", epoch+1, after-before)
		}
	}
	ended.Store(true)
	wg.Wait()
	if total := sum(t, db, 0) + sum(t, db, 1); int64(total) != acked.Load() {
		t.Errorf("%d counted, %d acknowledged", total, acked.Load())
	}
}

// count adds one, with or without looking.
func count(tx kv.Txn, counter []byte, look bool) error {
	if !look {
		tx.Atomic(base.OpAdd, counter, binary.LittleEndian.AppendUint64(nil, 1))
		return nil
	}
	v, err := tx.Get(counter)
	if err != nil {
		return err
	}
	n := uint64(1)
	if v != nil {
		n += binary.LittleEndian.Uint64(v)
	}
	tx.Set(counter, binary.LittleEndian.AppendUint64(nil, n))
	return nil
}

func change(t *testing.T, db *kv.DB) {
	t.Helper()
	_, err := db.Transact(context.Background(), func(tx kv.Txn) error {
		tx.Atomic(base.OpAdd, key("A"), binary.LittleEndian.AppendUint64(nil, 1))
		tx.AddWriteConflict(fenced)
		return nil
	})
	must(t, err)
}

// sum is how much was counted in a place.
func sum(t *testing.T, db *kv.DB, place uint64) (n uint64) {
	t.Helper()
	transact(t, db, func(tx kv.Txn) error {
		n = 0
		return tx.Scan(fenced, kv.ScanOptions{}, func(k, v []byte) bool {
			if strings.HasSuffix(string(k), "/"+strconv.FormatUint(place, 10)) {
				n += binary.LittleEndian.Uint64(v)
			}
			return true
		})
	})
	return n
}
