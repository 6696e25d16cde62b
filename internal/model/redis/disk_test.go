package redis

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// TestOnDisk pins the bytes of every kind of row.
func TestOnDisk(t *testing.T) {
	datadriven.RunTest(t, "testdata/disk/rows", func(t *testing.T, d *datadriven.TestData) string {
		w := newWorld(t, Options{StringInlineBytes: 16, PieceBytes: 10, HashInlineFields: 2})
		for line := range strings.Lines(d.Input) {
			w.do(words(t, line)...)
		}
		w.check()
		var out strings.Builder
		w.must(func(t kv.Txn) error {
			return t.Scan(w.at.Span(), kv.ScanOptions{}, func(k, v []byte) bool {
				fmt.Fprintf(&out, "%s\n  %x\n  %x\n", keyspace.Pretty(k), k, v)
				return true
			})
		})
		return out.String()
	})
}

// TestHeaderKey compares the row to watch with the row that is written.
func TestHeaderKey(t *testing.T) {
	w := newWorld(t, Options{})
	for _, key := range []string{"", "k", "\x00", "a\x00\x01b", "{t}k", strings.Repeat("\x00", 100)} {
		w.must(func(t kv.Txn) error {
			var e entry
			err := e.lookup(t, w.at, []byte(key))
			if got := w.at.AppendHeaderKey(nil, []byte(key)); !bytes.Equal(got, e.row) {
				w.tb.Errorf("%q: %x, written %x", key, got, e.row)
			}
			return err
		})
	}
}

func TestCheckSlotCountsOne(t *testing.T) {
	w := newWorld(t, Options{})
	w.do("MSET", "{t}1", "v", "{t}2", "v", "other", "v")
	w.must(func(t kv.Txn) error {
		slot, _, _, err := w.at.splitRow(w.at.AppendHeaderKey(nil, []byte("{t}1")))
		if err != nil {
			return err
		}
		r, err := CheckSlot(t, w.at, slot)
		if r.Keys != 2 || len(r.Problems) > 0 {
			w.tb.Errorf("%+v", r)
		}
		return err
	})
}
