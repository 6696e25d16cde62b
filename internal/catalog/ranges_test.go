package catalog

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
)

func described(id base.RangeID, epoch base.Epoch, start, end string) base.RangeDescriptor {
	d := base.RangeDescriptor{ID: id, Epoch: epoch, Span: base.Span{Start: []byte(start), End: []byte(end)}, NextReplica: 2,
		Replicas: []base.ReplicaDescriptor{{Node: 1, Replica: 1}}}
	if id > 1 {
		d.Parent = 1
	}
	return d
}

const all, end = "\x01", "\x05"

// book is a database with the rows of ranges.
type book struct {
	t  *testing.T
	db *kv.DB
}

func newBook(t *testing.T) book {
	stamp := base.Stamp(0)
	return book{t, kv.New(kvmem.New(func() base.Stamp { stamp++; return stamp }), time.Now)}
}

func (b book) do(f func(tx kv.Txn) error) error {
	_, err := b.db.Transact(context.Background(), f)
	return err
}

func (b book) write(list ...base.RangeDescriptor) {
	b.t.Helper()
	if err := b.do(func(tx kv.Txn) error { return WriteRanges(tx, list...) }); err != nil {
		b.t.Fatal(err)
	}
}

// look wants a version, and the bounds of the ranges.
func (b book) look(version uint64, want ...string) {
	b.t.Helper()
	var r Ranges
	if err := b.do(func(tx kv.Txn) (err error) { r, err = ReadRanges(tx); return err }); err != nil {
		b.t.Fatal(err)
	}
	var got []string
	for _, d := range r.List {
		got = append(got, string(d.Span.Start)+string(d.Span.End))
	}
	if r.Version != version || !slices.Equal(got, want) {
		b.t.Fatalf("version %d, %q; want %d, %q", r.Version, got, version, want)
	}
}

// TestRanges: rows follow what leaders say, in whatever order they say it; a split needs
// the newest version, and a key inside.
func TestRanges(t *testing.T) {
	b := newBook(t)
	do, write, look := b.do, b.write, b.look
	write(described(1, 1, all, end))
	look(1, all+end)
	write(described(1, 1, all, end)) // again
	moved := described(1, 2, all, end)
	moved.Replicas[0].Node = 2
	write(moved) // a replica has moved: no route has
	look(1, all+end)
	for name, c := range map[string]struct {
		version uint64
		id      base.RangeID
		key     string
		want    error
	}{
		"another version": {0, 1, "\x04m", ErrCatalogVersion},
		"another range":   {1, 7, "\x04m", ErrNoRange},
		"its end":         {1, 1, end, ErrSplitKey},
		"its start":       {1, 1, all, ErrSplitKey},
		"what stays":      {1, 1, "\x03x", ErrSplitKey},
	} {
		err := do(func(tx kv.Txn) error { _, err := BeginSplit(tx, c.version, c.id, []byte(c.key)); return err })
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	begin := func(version uint64) (right base.RangeID, err error) {
		err = do(func(tx kv.Txn) (err error) { right, err = BeginSplit(tx, version, 1, []byte("\x04m")); return err })
		return right, err
	}
	if right, err := begin(1); right != 2 || err != nil {
		t.Fatalf("range %d, %v", right, err)
	}
	if _, err := begin(1); !errors.Is(err, ErrCatalogVersion) {
		t.Fatalf("two splits of one version: %v", err)
	}
	look(2, all+end)
	left, right := described(1, 3, all, "\x04m"), described(2, 3, "\x04m", end)
	write(left) // alone it would leave a gap
	look(2, all+end)
	write(right)
	look(3, all+"\x04m", "\x04m"+end)
	write(left)
	look(4, all+"\x04m", "\x04m"+end)
	write(moved) // late
	look(4, all+"\x04m", "\x04m"+end)
	write(right, left)
	look(4, all+"\x04m", "\x04m"+end)
	if next, err := begin(4); next != 0 || !errors.Is(err, ErrSplitKey) {
		t.Fatalf("range %d, %v", next, err)
	}
	if !keyspace.All().Contains(rangeKey(left.Span.Start)) {
		t.Error("a row lies outside of the keyspace")
	}
}

// TestMergedRanges: a merge needs the newest version, and neighbours. The right side's row
// goes with it, and nobody who comes late brings it back.
func TestMergedRanges(t *testing.T) {
	b := newBook(t)
	do, write, look := b.do, b.write, b.look
	left, right := described(1, 3, all, "\x04m"), described(2, 3, "\x04m", end)
	write(left, right)
	look(1, all+"\x04m", "\x04m"+end)
	for name, c := range map[string]struct {
		version     uint64
		left, right base.RangeID
		want        error
	}{
		"another version": {0, 1, 2, ErrCatalogVersion},
		"another range":   {1, 1, 7, ErrNoRange},
		"no neighbours":   {1, 2, 1, ErrNotNeighbours},
		"the same":        {1, 1, 1, ErrNotNeighbours},
	} {
		err := do(func(tx kv.Txn) error { return BeginMerge(tx, c.version, c.left, c.right) })
		if !errors.Is(err, c.want) {
			t.Errorf("merge, %s: %v", name, err)
		}
	}
	if err := do(func(tx kv.Txn) error { return BeginMerge(tx, 1, 1, 2) }); err != nil {
		t.Fatal(err)
	}
	look(2, all+"\x04m", "\x04m"+end)
	frozen := right
	frozen.Epoch, frozen.Frozen = 4, base.Freeze{Left: 1, Epoch: 3}
	write(frozen)
	look(2, all+"\x04m", "\x04m"+end)
	both := described(1, 5, all, end)
	write(both)
	look(3, all+end)
	late := frozen
	late.Epoch = 4
	write(late) // of a leader that was left behind
	look(3, all+end)
	again, third := described(1, 6, all, "\x04k"), described(3, 6, "\x04k", end)
	write(third)
	look(4, all+"\x04k", "\x04k"+end)
	write(both) // late
	write(again)
	look(5, all+"\x04k", "\x04k"+end)
	write(both, late)
	look(5, all+"\x04k", "\x04k"+end)
}

// TestBounds: a cut by hand is remembered until the sides are merged.
func TestBounds(t *testing.T) {
	stamp := base.Stamp(0)
	db := kv.New(kvmem.New(func() base.Stamp { stamp++; return stamp }), time.Now)
	look := func(want ...string) {
		t.Helper()
		var got [][]byte
		if _, err := db.Transact(context.Background(), func(tx kv.Txn) (err error) { got, err = Bounds(tx); return err }); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	do := func(f func(tx kv.Txn) error) {
		t.Helper()
		if _, err := db.Transact(context.Background(), f); err != nil {
			t.Fatal(err)
		}
	}
	look()
	do(func(tx kv.Txn) error {
		if err := WriteRanges(tx, described(1, 2, "\x01", "\x04m"), described(2, 2, "\x04m", "\x05")); err != nil {
			return err
		}
		return errors.CombineErrors(KeepBound(tx, []byte("\x04m")), KeepBound(tx, []byte("\x04a")))
	})
	look("\x04a", "\x04m")
	do(func(tx kv.Txn) error {
		version, err := RangesVersion(tx)
		if err != nil {
			return err
		}
		return BeginMerge(tx, version, 1, 2)
	})
	look("\x04a")
}
