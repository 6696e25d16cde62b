package catalog

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// Ranges has a row for each range, which is what its leader has said last. A range is
// first, and then its row: between a split and its rows the left side's row still
// covers both, and the one who leads a range says so again (WriteRanges) until the row
// is there. The version grows with every change of the ranges' bounds.
type Ranges struct {
	Version uint64
	List    []base.RangeDescriptor // in the order of their keys
}

// Errors of a split or a merge.
var (
	// ErrCatalogVersion: the ranges have changed since the caller looked at them.
	ErrCatalogVersion = errors.New("the catalog has another version")
	// ErrNoRange: no range has that id.
	ErrNoRange = errors.New("no such range")
	// ErrSplitKey: the key does not lie strictly inside the range, or among what stays
	// together.
	ErrSplitKey = errors.New("the range cannot be split at that key")
	// ErrNotNeighbours: the right range does not begin where the left one ends.
	ErrNotNeighbours = errors.New("the ranges are not neighbours")
)

// RangesVersionKey is the row that every change of the ranges' bounds writes.
func RangesVersionKey() []byte { return []byte{keyspace.Meta, keyspace.MetaCatalog} }

func rangePrefix() []byte { return []byte{keyspace.Meta, keyspace.MetaRange} }

func rangeKey(start []byte) []byte { return append(rangePrefix(), start...) }

// ReadRanges reads all rows.
func ReadRanges(t kv.Reader) (r Ranges, err error) {
	if r.Version, err = number(t, keyspace.MetaCatalog); err != nil {
		return r, err
	}
	r.List, err = RangeRows(t)
	for i := range r.List { // a left side's row may be older than its right side's
		if i+1 < len(r.List) && bytes.Compare(r.List[i+1].Span.Start, r.List[i].Span.End) < 0 {
			r.List[i].Span.End = r.List[i+1].Span.Start
		}
	}
	return r, err
}

// RangeRows reads all rows as they were written: what some leader has once said of its
// range, which may have changed since.
func RangeRows(t kv.Reader) ([]base.RangeDescriptor, error) {
	return rows(t, rangePrefix(), 0, func(_, value []byte) (base.RangeDescriptor, error) {
		return base.DecodeRangeDescriptor(value)
	})
}

// number reads a row that holds a number; zero when it is absent.
func number(t kv.Reader, row byte) (uint64, error) {
	b, err := t.Get([]byte{keyspace.Meta, row})
	if err != nil || b == nil {
		return 0, err
	}
	n, size := binary.Uvarint(b)
	if size != len(b) {
		return 0, corrupt("row %d of the meta area: %q", row, b)
	}
	return n, nil
}

func setNumber(t kv.Txn, row byte, n uint64) {
	t.Set([]byte{keyspace.Meta, row}, binary.AppendUvarint(nil, n))
}

// BeginSplit claims the next version of the catalog for a split of the range id at key,
// and takes an id for its right side. What follows is the split itself, and
// WriteRanges.
func BeginSplit(t kv.Txn, expected uint64, id base.RangeID, key []byte) (right base.RangeID, err error) {
	r, err := readExpected(t, expected)
	if err != nil {
		return 0, err
	}
	last := uint64(0)
	var found *base.RangeDescriptor
	for i := range r.List {
		last = max(last, uint64(r.List[i].ID))
		if r.List[i].ID == id {
			found = &r.List[i]
		}
	}
	switch {
	case found == nil:
		return 0, errors.Wrapf(ErrNoRange, "range %d", id)
	case bytes.Compare(key, found.Span.Start) <= 0 || bytes.Compare(key, found.Span.End) >= 0:
		return 0, errors.Wrapf(ErrSplitKey, "it does not lie inside of range %d", id)
	case bytes.Compare(key, keyspace.SplitMin()) < 0:
		return 0, errors.Wrap(ErrSplitKey, "what is below the namespaces' data stays together")
	}
	next, err := number(t, keyspace.MetaNextRange)
	if err != nil {
		return 0, err
	}
	if next = max(next, last+1); next == math.MaxUint64 {
		return 0, errors.AssertionFailedf("range ids are used up")
	}
	setNumber(t, keyspace.MetaNextRange, next+1)
	setNumber(t, keyspace.MetaCatalog, expected+1)
	return base.RangeID(next), nil
}

// readExpected is ReadRanges for those who change what they have seen.
func readExpected(t kv.Reader, version uint64) (Ranges, error) {
	r, err := ReadRanges(t)
	if err == nil && r.Version != version {
		err = errors.Wrapf(ErrCatalogVersion, "it is %d, not %d", r.Version, version)
	}
	return r, err
}

// BeginMerge claims the next version of the catalog for a merge of two neighbours. What
// follows is the merge itself, and WriteRanges. That somebody has cut between the two by
// hand is forgotten.
func BeginMerge(t kv.Txn, expected uint64, left, right base.RangeID) error {
	r, err := readExpected(t, expected)
	if err != nil {
		return err
	}
	for _, id := range []base.RangeID{left, right} {
		if !slices.ContainsFunc(r.List, func(d base.RangeDescriptor) bool { return d.ID == id }) {
			return errors.Wrapf(ErrNoRange, "range %d", id)
		}
	}
	for i := range r.List {
		if r.List[i].ID == left && i+1 < len(r.List) && r.List[i+1].ID == right {
			forgetBound(t, r.List[i+1].Span.Start)
			setNumber(t, keyspace.MetaCatalog, expected+1)
			return nil
		}
	}
	return errors.Wrapf(ErrNotNeighbours, "ranges %d and %d", left, right)
}

// WriteRanges notes what the leaders of ranges say of them. A row with a higher epoch
// stays. A left side whose right side has no row yet is left for the next time, so that
// there is never a gap. The rows of ranges that were merged go, and do not come back.
func WriteRanges(t kv.Txn, list ...base.RangeDescriptor) error {
	version, err := number(t, keyspace.MetaCatalog)
	if err != nil {
		return err
	}
	moved := false
	for i := range list {
		changed, err := writeRange(t, &list[len(list)-1-i]) // right sides first
		if err != nil {
			return err
		}
		moved = moved || changed
	}
	if moved {
		setNumber(t, keyspace.MetaCatalog, version+1)
	}
	return nil
}

// writeRange writes a row, and reports whether a bound has changed.
func writeRange(t kv.Txn, d *base.RangeDescriptor) (moved bool, err error) {
	old := base.RangeDescriptor{}
	value, err := t.Get(rangeKey(d.Span.Start))
	if err == nil && value != nil {
		old, err = base.DecodeRangeDescriptor(value)
	}
	if err != nil || old.Epoch >= d.Epoch {
		return false, err
	}
	if before, err := rowBefore(t, d.Span.Start); err != nil || d.Superseded(&before) {
		return false, err
	}
	if !bytes.Equal(d.Span.End, keyspace.All().End) {
		next, err := t.Get(rangeKey(d.Span.End))
		if err != nil || next == nil {
			return false, err
		}
	}
	inside, err := rowsIn(t, base.Span{Start: base.Next(d.Span.Start), End: d.Span.End}, false)
	if err != nil {
		return false, err
	}
	for i := range inside {
		if inside[i].Epoch < d.Epoch {
			moved = true
			t.Clear(rangeKey(inside[i].Span.Start))
		}
	}
	t.Set(rangeKey(d.Span.Start), d.Append(nil))
	return moved || old.ID != d.ID || !bytes.Equal(old.Span.End, d.Span.End), nil
}

// rowBefore is the row of the last range that begins before key; empty if there is none.
func rowBefore(t kv.Reader, key []byte) (d base.RangeDescriptor, err error) {
	list, err := rowsIn(t, base.Span{End: key}, true)
	if len(list) > 0 {
		d = list[0]
	}
	return d, err
}

// rowsIn reads the rows of the ranges that begin in a span, or of the last one.
func rowsIn(t kv.Reader, span base.Span, last bool) (list []base.RangeDescriptor, err error) {
	o := kv.ScanOptions{}
	if last {
		o = kv.ScanOptions{Reverse: true, Limit: 1}
	}
	var bad error
	err = t.Scan(base.Span{Start: rangeKey(span.Start), End: rangeKey(span.End)}, o, func(_, value []byte) bool {
		var d base.RangeDescriptor
		d, bad = base.DecodeRangeDescriptor(value)
		list = append(list, d)
		return bad == nil
	})
	return list, errors.CombineErrors(err, bad)
}

func boundPrefix() []byte { return []byte{keyspace.Meta, keyspace.MetaBound} }

// KeepBound notes that somebody has cut a range at key by hand: it stays cut there until
// the sides are merged by hand. It is a new version of the catalog.
func KeepBound(t kv.Txn, key []byte) error {
	version, err := number(t, keyspace.MetaCatalog)
	if err == nil {
		setNumber(t, keyspace.MetaCatalog, version+1)
		t.Set(append(boundPrefix(), key...), nil)
	}
	return err
}

func forgetBound(t kv.Txn, key []byte) { t.Clear(append(boundPrefix(), key...)) }

// Bounds are the keys of KeepBound, in order.
func Bounds(t kv.Reader) ([][]byte, error) {
	n := len(boundPrefix())
	return rows(t, boundPrefix(), 0, func(key, _ []byte) ([]byte, error) { return bytes.Clone(key[n:]), nil })
}

// RangesVersion is the version of the catalog.
func RangesVersion(t kv.Reader) (uint64, error) { return number(t, keyspace.MetaCatalog) }
