package kvrange_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
)

const (
	accounts = 60
	deposit  = 100
)

func account(n int) []byte { return fmt.Appendf(nil, "\x04acc%02d", n) }

// balance reads an account in a transaction.
func balance(tx kv.Txn, n int) (int, error) {
	v, err := tx.Get(account(n))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(v))
}

// total reads all accounts, over all ranges.
func total(db *kv.DB) (sum int, err error) {
	_, err = db.Transact(context.Background(), func(tx kv.Txn) error {
		sum = 0
		var bad error
		err := tx.Scan(base.Span{Start: account(0), End: []byte("\x04b")}, kv.ScanOptions{}, func(_, value []byte) bool {
			var n int
			n, bad = strconv.Atoi(string(value))
			sum += n
			return bad == nil
		})
		return errors.CombineErrors(err, bad)
	})
	return sum, err
}

// before is a key right before another.
func before(key []byte) []byte {
	b := bytes.Clone(key)
	b[len(b)-1]--
	return append(b, 0xFF)
}

// TestBankWhileRangesChange moves money between accounts while the ranges under them are
// cut and united, locks of transactions that are under way included: nobody is
// refused, no reader sees another sum, and a restart neither.
func TestBankWhileRangesChange(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs, "data")
	db := kv.New(kvrange.New(s), time.Now)
	if _, err := db.Transact(context.Background(), func(tx kv.Txn) error {
		for n := range accounts {
			tx.Set(account(n), strconv.AppendInt(nil, deposit, 10))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var end atomic.Bool
	var wg sync.WaitGroup
	moved := make(chan struct{}, 1000)
	work := func(seed uint64, do func(rnd *rand.Rand) error) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 3))
			for !end.Load() {
				if err := do(rnd); err != nil {
					t.Errorf("%+v", err)
					end.Store(true)
					return
				}
				select {
				case moved <- struct{}{}:
				default:
				}
			}
		})
	}
	for w := range 4 {
		work(uint64(w), func(rnd *rand.Rand) error {
			from, to := rnd.IntN(accounts), rnd.IntN(accounts)
			_, err := db.Transact(context.Background(), func(tx kv.Txn) error { return transfer(tx, from, to) })
			return err
		})
	}
	work(9, func(*rand.Rand) error {
		sum, err := total(db)
		if err == nil && sum != accounts*deposit {
			err = errors.Newf("a reader sees %d", sum)
		}
		return err
	})
	for i, n := range []int{30, 15, 45, 10, 50, 31} {
		for range 100 {
			if !end.Load() {
				<-moved
			}
		}
		id, _ := s.Range(account(n)).ID()
		if _, _, err := s.Split(context.Background(), id, account(n), base.RangeID(2+i)); err != nil {
			t.Errorf("%+v", err)
		}
	}
	for _, right := range []base.RangeID{7, 3, 2} { // and three of them united again
		for range 100 {
			if !end.Load() {
				<-moved
			}
		}
		left, _ := s.Range(before(s.Replica(right).Descriptor().Span.Start)).ID()
		if _, err := s.Merge(context.Background(), left, right); err != nil {
			t.Errorf("%+v", err)
		}
	}
	end.Store(true)
	wg.Wait()
	check := func(when string) {
		t.Helper()
		if sum, err := total(db); err != nil || sum != accounts*deposit {
			t.Errorf("%s: %d, %v", when, sum, err)
		}
	}
	check("after the splits and merges")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, fs, "data")
	db = kv.New(kvrange.New(s), time.Now)
	check("after a restart")
	if n := len(s.Replicas()); n != 4 {
		t.Errorf("%d ranges", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func transfer(tx kv.Txn, from, to int) error {
	a, err := balance(tx, from)
	if err != nil || from == to {
		return err
	}
	b, err := balance(tx, to)
	if err != nil {
		return err
	}
	tx.Set(account(from), strconv.AppendInt(nil, int64(a-1), 10))
	tx.Set(account(to), strconv.AppendInt(nil, int64(b+1), 10))
	return nil
}
