package store_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
)

// load is what clients write while a store's ranges change: each its own keys, in all
// ranges, and each finds what it has written before.
type load struct {
	clients      sync.WaitGroup
	end          atomic.Bool
	written      [4]map[string]string
	acknowledged chan struct{}
}

func (l *load) begin(t *testing.T, db *kv.DB) {
	l.acknowledged = make(chan struct{}, 1000)
	for n := range l.written {
		mine := map[string]string{}
		l.written[n] = mine
		l.clients.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(n), 1))
			for i := 0; !l.end.Load(); i++ {
				key, value := fmt.Sprintf("\x04%03d-%d", rnd.IntN(500), n), fmt.Sprint(i)
				if _, err := db.Transact(context.Background(), func(tx kv.Txn) error {
					old, err := tx.Get([]byte(key))
					if err == nil && string(old) != mine[key] {
						err = errors.Newf("%q is %q, not %q", key, old, mine[key])
					}
					tx.Set([]byte(key), []byte(value))
					return err
				}); err != nil {
					t.Errorf("%+v", err)
					l.end.Store(true)
				}
				mine[key] = value
				select {
				case l.acknowledged <- struct{}{}:
				default:
				}
			}
		})
	}
}

// await waits for so many writes more, or for a client that has failed.
func (l *load) await(writes int) {
	for n := 0; n < writes && !l.end.Load(); n++ {
		<-l.acknowledged
	}
}

// changeUnderLoad changes the ranges of a store under load. What was written is there
// afterwards, behind a crash, and behind a clean stop, in so many ranges.
func changeUnderLoad(t *testing.T, ranges int, change func(s *store.Store, l *load)) {
	fs := vfs.NewMem()
	s, db := open(t, fs, "data")
	var l load
	l.begin(t, db)
	change(s, &l)
	l.end.Store(true)
	l.clients.Wait()
	model := map[string]string{}
	for _, m := range l.written {
		maps.Copy(model, m)
	}
	check := func(when string) {
		t.Helper()
		if got := all(t, s, db); !maps.Equal(got, model) {
			t.Fatalf("%s: %d keys, %d written", when, len(got), len(model))
		}
		if n := len(s.Replicas()); n != ranges || ranges == 1 && s.Only() == nil {
			t.Fatalf("%s: %d ranges", when, n)
		}
	}
	check("after the changes")
	s.Abandon()
	s, db = open(t, fs, "data")
	check("after a crash")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, db = open(t, fs, "data")
	check("after a clean stop")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
