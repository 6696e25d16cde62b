package kvrange_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

// acknowledged is when which value of a counter was acknowledged.
type acknowledged struct {
	mu sync.Mutex
	at []time.Time // of the values 1, 2, …
}

func (a *acknowledged) add() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = append(a.at, time.Now())
}

// by is the highest value that was acknowledged by then.
func (a *acknowledged) by(then time.Time) (value uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for value = uint64(len(a.at)); value > 0 && a.at[value-1].After(then); value-- {
		continue
	}
	return value
}

// count increments a counter until stop is closed.
func count(t *testing.T, db *kv.DB, key []byte, known *acknowledged, stop chan struct{}) {
	for n := uint64(1); ; {
		select {
		case <-stop:
			return
		default:
		}
		_, err := db.Transact(context.Background(), func(tx kv.Txn) error {
			tx.Set(key, binary.LittleEndian.AppendUint64(nil, n))
			return nil
		})
		switch {
		case err == nil:
			known.add()
			n++
		case !errors.IsAny(err, base.ErrUnknownOutcome, base.ErrUnavailable): // it is set again
			t.Error(err)
			return
		}
	}
}

// TestStaleReads: while money moves between accounts in many ranges, ranges are cut and
// leaders move, stale reads on every node see all of the money, and nothing that is older
// than they allow. The third node gives up early: what its reads end with is an error that
// clients know.
func TestStaleReads(t *testing.T) {
	const accounts, each, clients, reads = 12, 100, 3, 150
	name := func(i int) []byte { return fmt.Appendf(nil, "\x04acc%02d", i) }
	tick := []byte("\x04acc99")
	cuts := []string{"\x04acc02", "\x04acc04", "\x04acc05", "\x04acc08", "\x04acc11"}
	c := startNodes(t, cuts[0], cuts[3])
	c.list[2].engine.SetStaleTries(1)
	if _, err := c.list[1].db.Transact(context.Background(), func(tx kv.Txn) error {
		for i := range accounts {
			tx.Set(name(i), binary.LittleEndian.AppendUint64(nil, each))
		}
		tx.Set(tick, make([]byte, 8))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var writers, readers sync.WaitGroup
	known := &acknowledged{}
	writers.Go(func() { count(t, c.list[0].db, tick, known, stop) })
	writers.Go(func() { c.disturb(cuts, stop) })
	for k := range clients {
		rnd := rand.New(rand.NewPCG(uint64(k), 7))
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := bankStep(c.list[k%3].db, rnd, name, accounts, each); err != nil && !errors.IsAny(err, base.ErrUnknownOutcome, base.ErrUnavailable) {
					t.Error(err)
					return
				}
			}
		})
	}
	var refused atomic.Int64
	for k, n := range c.list {
		rnd := rand.New(rand.NewPCG(uint64(k), 8))
		readers.Go(func() {
			for range reads {
				bound := []time.Duration{0, 20 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second}[rnd.IntN(4)]
				reverse, byScan := rnd.IntN(2) == 0, rnd.IntN(2) == 0
				least := known.by(time.Now().Add(-bound))
				sum, value := uint64(0), uint64(0)
				_, err := n.db.ReadStale(context.Background(), bound, func(r kv.Reader) error {
					sum = 0
					v, err := r.Get(tick)
					if err != nil {
						return err
					}
					value = binary.LittleEndian.Uint64(v)
					if byScan {
						return r.Scan(base.Span{Start: name(0), End: name(accounts)}, kv.ScanOptions{Reverse: reverse}, func(_, v []byte) bool {
							sum += binary.LittleEndian.Uint64(v)
							return true
						})
					}
					for i := range accounts {
						v, err := r.Get(name(i))
						if err != nil {
							return err
						}
						sum += binary.LittleEndian.Uint64(v)
					}
					return nil
				})
				switch {
				case errors.IsAny(err, base.ErrUnavailable, base.ErrConflict, base.ErrTooOld):
					refused.Add(1)
				case err != nil:
					t.Error(err)
				case sum != accounts*each:
					t.Errorf("node %d: there is %d in all accounts", k+1, sum)
				case value < least:
					t.Errorf("node %d: the counter is %d, it was %d %v ago", k+1, value, least, bound)
				}
			}
		})
	}
	readers.Wait()
	close(stop)
	writers.Wait()
	if n := refused.Load(); n > reads*3/4 {
		t.Errorf("%d of %d reads were refused", n, reads*3)
	}
	for i, n := range c.list {
		here, away := n.engine.StaleReads()
		t.Logf("node %d: %d reads here, %d at leaders", i+1, here, away)
		if here == 0 {
			t.Errorf("node %d has asked leaders for everything", i+1)
		}
	}
}

// disturb cuts ranges and moves leaders, until stop is closed.
func (c *nodes) disturb(cuts []string, stop chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
		key := []byte(cuts[i%len(cuts)])
		if i < len(cuts) {
			for _, n := range c.list {
				if r := n.store.Range(key); r != nil && r.Serving() {
					_, _ = r.BeginSplit(key, base.RangeID(10+i)) // it cannot be cut at its first key
				}
			}
		}
		if i%4 == 3 {
			key = nil
		}
		for _, n := range c.list {
			if r := n.store.Range(key); r != nil && r.Serving() {
				d := r.Descriptor()
				_ = r.TransferLeader(d.Replicas[i%3].Replica)
			}
		}
	}
}

// TestStaleReadsStayHere: what a follower may answer it answers, in ranges that are written
// to and in those that are not; what it may not is read at the leader.
func TestStaleReadsStayHere(t *testing.T) {
	c := startNodes(t, "\x04b", "\x04c")
	for _, key := range []string{"\x04a", "\x04b1", "\x04c1"} {
		c.lead([]byte(key), 0)
		if _, err := c.list[0].db.Transact(context.Background(), func(tx kv.Txn) error {
			tx.Set([]byte(key), []byte(key))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	follower := c.list[2]
	read := func(bound time.Duration) (at base.Stamp) {
		t.Helper()
		at, err := follower.db.ReadStale(context.Background(), bound, func(r kv.Reader) error {
			keys := 0
			if err := r.Scan(base.Span{Start: []byte("\x04"), End: []byte("\x05")}, kv.ScanOptions{}, func(key, value []byte) bool {
				keys++
				return string(key) == string(value)
			}); err != nil || keys != 3 {
				return errors.CombineErrors(err, errors.Newf("%d keys", keys))
			}
			v, err := r.Get([]byte("\x04b1"))
			if err == nil && string(v) != "\x04b1" {
				err = errors.Newf("%q", v)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	c.until("a read that asks no leader", func() error { // the node may not have made all cuts yet
		_, before := follower.engine.StaleReads()
		read(time.Hour)
		if _, away := follower.engine.StaleReads(); away != before {
			return errors.Newf("%d reads at leaders", away-before)
		}
		return nil
	})
	first := read(time.Hour)
	hereBefore, awayBefore := follower.engine.StaleReads()
	for range 100 {
		if at := read(time.Hour); at < first {
			t.Fatalf("stamp %d follows %d", at, first)
		}
	}
	if here, away := follower.engine.StaleReads(); here != hereBefore+100*4 || away != awayBefore {
		t.Errorf("%d reads here, %d at leaders", here-hereBefore, away-awayBefore)
	}
	if at := read(0); at <= first {
		t.Errorf("stamp %d follows %d", at, first)
	}

	// Who cannot wait is answered as long as nobody has to be asked. What a transaction writes
	// on the way is gone.
	session := follower.db.NewSession()
	prompt := func(bound time.Duration) error {
		return session.ReadStale(context.Background(), kv.StaleOptions{Staleness: bound, Prompt: true}, func(at base.Stamp, tx kv.Txn) error {
			if at < first || tx.NowMillis() != at.Millis() {
				return errors.Newf("stamp %d, clock %d", at, tx.NowMillis())
			}
			if v, err := tx.Get([]byte("\x04a")); err != nil || string(v) != "\x04a" {
				return errors.CombineErrors(err, errors.Newf("%q", v))
			}
			tx.Clear([]byte("\x04a"))
			v, err := tx.Get([]byte("\x04a"))
			if err == nil && v != nil {
				err = errors.Newf("%q", v)
			}
			return err
		})
	}
	for range 2 {
		if err := prompt(time.Hour); err != nil {
			t.Error(err)
		}
	}
	if err := prompt(0); !errors.Is(err, base.ErrWouldWait) {
		t.Error(err)
	}
	if !follower.db.Distant() || c.list[0].db.Distant() && c.list[0].db.Local() {
		t.Error("a follower has to ask others")
	}
}
