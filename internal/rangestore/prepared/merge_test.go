package prepared

import (
	"encoding/binary"
	"testing"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// TestMergeable: a versionstamped key of the left side that may land on the right one,
// where somebody else has locked a span, keeps the two apart, also while it is speculative;
// the tables that are asked stay as they are.
func TestMergeable(t *testing.T) {
	stamped := append([]byte("k"), make([]byte, base.VersionstampLen)...)
	stamped = binary.LittleEndian.AppendUint32(stamped, 1)
	lock := func(table *Table, pos base.Position, id byte, m base.Mutation, committed bool) *Table {
		p := &Prepare{Txn: Txn{ID: TxnID{id}, Begin: 1, Priority: 1, Anchor: []byte("a")}, Mutations: []base.Mutation{m}}
		if _, err := table.Apply(pos, p); err != nil {
			t.Fatal(err)
		}
		if committed {
			table.SetStamp(pos, 5)
			table.Commit(pos)
		}
		return table
	}
	wide := base.Mutation{Op: base.OpSetVersionstampedKey, Key: stamped}
	landing := base.Mutation{Op: base.OpClearRange, Key: append([]byte("k"), 0x80), Value: []byte("l")}
	for _, committed := range []bool{true, false} {
		left := lock(New(), 1, 1, wide, committed)
		before := string(left.Append(nil))
		if err := Mergeable(left, New()); err != nil {
			t.Errorf("with nobody: %v", err)
		}
		if err := Mergeable(left, lock(New(), 1, 1, wide, true)); err != nil {
			t.Errorf("with itself: %v", err)
		}
		if err := Mergeable(left, lock(New(), 1, 2, landing, true)); !errors.Is(err, ErrUnmergeable) {
			t.Errorf("with another one: %v", err)
		}
		if string(left.Append(nil)) != before || left.settled() != committed {
			t.Error("asking has changed the table")
		}
	}
}
