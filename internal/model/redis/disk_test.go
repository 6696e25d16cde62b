package redis_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/stratadb/strata/internal/hashslot"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/test/redistest"
)

// TestOnDisk pins the bytes of every kind of row.
func TestOnDisk(t *testing.T) {
	datadriven.RunTest(t, "testdata/disk/rows", func(t *testing.T, d *datadriven.TestData) string {
		w := redistest.NewWorld(t, redis.Options{StringInlineBytes: 16, PieceBytes: 10, HashInlineFields: 2})
		for line := range strings.Lines(d.Input) {
			w.Do(redistest.Words(t, line)...)
		}
		w.Check()
		var out strings.Builder
		w.Must(func(t kv.Txn) error {
			return t.Scan(w.At.Span(), kv.ScanOptions{}, func(k, v []byte) bool {
				fmt.Fprintf(&out, "%s\n  %x\n  %x\n", keyspace.Pretty(k), k, v)
				return true
			})
		})
		return out.String()
	})
}

// TestHeaderKey compares the row to watch with the row that is written.
func TestHeaderKey(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{})
	for _, key := range []string{"", "k", "\x00", "a\x00\x01b", "{t}k", strings.Repeat("\x00", 100)} {
		w.Must(func(t kv.Txn) error {
			var e redis.Entry
			err := e.Lookup(t, w.At, []byte(key))
			if got := w.At.AppendHeaderKey(nil, []byte(key)); !bytes.Equal(got, e.Row) {
				w.TB.Errorf("%q: %x, written %x", key, got, e.Row)
			}
			return err
		})
	}
}

func TestCheckSlotCountsOne(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{})
	w.Do("MSET", "{t}1", "v", "{t}2", "v", "other", "v")
	w.Must(func(t kv.Txn) error {
		r, err := redis.CheckSlot(t, w.At, hashslot.Slot([]byte("t")), nil)
		if r.Keys != 2 || len(r.Problems) > 0 {
			w.TB.Errorf("%+v", r)
		}
		return err
	})
}
