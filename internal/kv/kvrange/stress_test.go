package kvrange_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/test/history"
)

// TestStress lets many clients loose on a store with real goroutines, a window
// that is always full, evictions, range clears and watches, closes it in the
// middle, opens it again and goes on. Then the history is checked. The simulator
// covers the schedules; this test is for the race detector and for deadlocks.
func TestStress(t *testing.T) {
	for _, prompt := range []bool{false, true} {
		t.Run(fmt.Sprintf("prompt=%t", prompt), func(t *testing.T) {
			testStress(t, &stress{prompt: prompt, transactions: 1500})
		})
	}
	t.Run("ranges", func(t *testing.T) {
		testStress(t, &stress{transactions: 250, ranges: []string{"\x04l1", "\x04l2", "\x04l3", "\x04l5", "\x04l7", "\x04x5"}})
	})
}

func testStress(t *testing.T, s *stress) {
	s.t, s.fs = t, vfs.NewMem()
	for range 3 {
		s.round(s.transactions)
	}
	final := map[string][]uint32{}
	s.open()
	_, err := s.db.NewSession().Run(kv.Func(func(tx kv.Txn) error { return scanInto(tx, final) }))
	if err == nil {
		err = history.Check(s.ops, final)
	}
	if err = errors.CombineErrors(err, s.store.Close()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d transactions, %d acknowledged, %d unknown", len(s.ops), s.acknowledged.Load(), s.unknown.Load())
	if s.acknowledged.Load() == 0 {
		t.Fatal("nothing was acknowledged")
	}
}

type stress struct {
	t            *testing.T
	fs           vfs.FS
	prompt       bool     // clients commit in their own goroutines
	ranges       []string // where the keyspace is divided
	transactions int64    // of a round
	store        *store.Store
	db           *kv.DB
	clock        atomic.Int64 // orders what clients see
	ids          atomic.Uint32
	mu           struct {
		sync.Mutex
	}
	ops                   []*history.Op // mu
	acknowledged, unknown atomic.Int64
	target                int64         // of acknowledged
	reached               chan struct{} // closed then
}

const stressLists = 8

func (s *stress) open() {
	st, err := store.Open(store.Options{FS: s.fs, Dir: "data", SegmentBytes: 256 << 10, RowCacheBytes: 64 << 10,
		WindowAge: 20 * time.Millisecond, WindowBytes: 96 << 10, PromptCommit: s.prompt,
		OnFatal: func(err error) { s.t.Errorf("fatal: %+v", err) }})
	if err != nil {
		s.t.Fatal(err)
	}
	s.store, s.db = st, kv.New(kvrange.New(st), time.Now)
	if len(st.Replicas()) == 1 {
		divide(s.t, st, s.ranges...)
	}
}

// round runs the clients until some transactions are acknowledged, and closes the
// store under them.
func (s *stress) round(transactions int64) {
	s.open()
	s.target, s.reached = s.acknowledged.Load()+transactions, make(chan struct{})
	var stop atomic.Bool
	var wait sync.WaitGroup
	for n := range 12 {
		wait.Go(func() { s.client(uint64(n), &stop) })
	}
	wait.Go(func() { s.watcher(&stop) })
	<-s.reached
	if err := s.store.Close(); err != nil {
		s.t.Error(err)
	}
	stop.Store(true)
	wait.Wait()
}

func (s *stress) newOp() *history.Op {
	op := &history.Op{Invoke: s.clock.Add(1), Outcome: history.Failed, Reads: map[string][]uint32{}, Appends: map[string]uint32{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ops = append(s.ops, op)
	op.ID = len(s.ops)
	return op
}

func (s *stress) client(n uint64, stop *atomic.Bool) {
	rnd := rand.New(rand.NewPCG(n, 1))
	sess := s.db.NewSession()
	sess.Quiet = n%2 == 0 // as a loop of connections does it
	for !stop.Load() {
		op := s.newOp()
		keys := []string{listKey(rnd), listKey(rnd), listKey(rnd)}[:1+rnd.IntN(3)]
		for _, k := range keys[:rnd.IntN(len(keys)+1)] {
			op.Appends[k] = s.ids.Add(1)
		}
		var ticket base.Ticket
		var err error
		if rnd.IntN(3) == 0 {
			ticket, err = s.interactive(op, keys, rnd)
		} else {
			ticket, err = s.oneShot(sess, op, keys, rnd)
			s.db.Kick()
		}
		s.file(op, ticket, err)
		if errors.IsAny(err, base.ErrUnavailable, base.ErrUnknownOutcome, base.ErrClosed) {
			return // closed
		}
	}
}

// file waits for the answer.
func (s *stress) file(op *history.Op, ticket base.Ticket, err error) {
	if err != nil {
		if !base.Retryable(err) && !errors.IsAny(err, base.ErrUnavailable, base.ErrUnknownOutcome, base.ErrClosed) {
			s.t.Errorf("T%d: %+v", op.ID, err)
		}
		return
	}
	if err := ticket.Wait(); err != nil {
		op.Outcome = history.Unknown
		s.unknown.Add(1)
		return
	}
	op.Outcome, op.Return = history.OK, s.clock.Add(1)
	if s.acknowledged.Add(1) == s.target {
		close(s.reached)
	}
}

func (s *stress) oneShot(sess *kv.Session, op *history.Op, keys []string, rnd *rand.Rand) (base.Ticket, error) {
	kind, junk := rnd.IntN(6), rnd.Uint32()
	return sess.Run(kv.Func(func(tx kv.Txn) error {
		clear(op.Reads)
		switch kind {
		case 0:
			if err := scanInto(tx, op.Reads); err != nil {
				return err
			}
		case 1:
			tx.ClearRange(base.Span{Start: []byte("\x04x"), End: []byte("\x04y")})
			fallthrough
		case 2:
			tx.Set(fmt.Appendf(nil, "\x04x%d", junk%1000), make([]byte, junk%2000))
		}
		return readAndAppend(tx, op, keys)
	}))
}

func (s *stress) interactive(op *history.Op, keys []string, rnd *rand.Rand) (base.Ticket, error) {
	tx := s.db.Begin()
	defer tx.Rollback()
	if rnd.IntN(3) == 0 {
		if err := scanInto(tx, op.Reads); err != nil {
			return base.Ticket{}, err
		}
	}
	if err := readAndAppend(tx, op, keys); err != nil {
		return base.Ticket{}, err
	}
	r, err := tx.Sequence()
	return r.Ticket, err
}

// watcher makes watches come and go.
func (s *stress) watcher(stop *atomic.Bool) {
	rnd := rand.New(rand.NewPCG(99, 1))
	for !stop.Load() {
		w := s.db.Watch([]byte(listKey(rnd)))
		select {
		case <-w.Changed():
			if dirty, _ := w.Dirty(); !dirty {
				s.t.Error("a watch fired and is not dirty")
			}
		case <-time.After(time.Millisecond):
		}
		w.Close()
	}
}

func listKey(rnd *rand.Rand) string { return fmt.Sprintf("\x04l%d", rnd.IntN(stressLists)) }

func scanInto(r kv.Reader, lists map[string][]uint32) error {
	for n := range stressLists {
		lists[fmt.Sprintf("\x04l%d", n)] = nil
	}
	return r.Scan(base.Span{Start: []byte("\x04l"), End: []byte("\x04m")}, kv.ScanOptions{}, func(key, value []byte) bool {
		lists[string(key)] = decodeList(value)
		return true
	})
}

func readAndAppend(tx kv.Txn, op *history.Op, keys []string) error {
	for _, k := range keys {
		v, err := tx.Get([]byte(k))
		if err != nil {
			return err
		}
		list := decodeList(v)
		if _, again := op.Reads[k]; !again {
			op.Reads[k] = list
		}
		if id := op.Appends[k]; id != 0 && (len(list) == 0 || list[len(list)-1] != id) {
			tx.Set([]byte(k), binary.BigEndian.AppendUint32(append([]byte{}, v...), id))
		}
	}
	return nil
}

func decodeList(b []byte) (list []uint32) {
	for ; len(b) >= 4; b = b[4:] {
		list = append(list, binary.BigEndian.Uint32(b))
	}
	return list
}
