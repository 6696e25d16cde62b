package catalog

import (
	"bytes"
	"encoding/binary"
	"math"

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

// Errors of a split.
var (
	// ErrCatalogVersion: the ranges have changed since the caller looked at them.
	ErrCatalogVersion = errors.New("the catalog has another version")
	// ErrNoRange: no range has that id.
	ErrNoRange = errors.New("no such range")
	// ErrSplitKey: the key does not lie strictly inside the range, or among what stays
	// together.
	ErrSplitKey = errors.New("the range cannot be split at that key")
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
	r.List, err = rows(t, rangePrefix(), 0, func(_, value []byte) (base.RangeDescriptor, error) {
		return base.DecodeRangeDescriptor(value)
	})
	for i := range r.List { // a left side's row may be older than its right side's
		if i+1 < len(r.List) && bytes.Compare(r.List[i+1].Span.Start, r.List[i].Span.End) < 0 {
			r.List[i].Span.End = r.List[i+1].Span.Start
		}
	}
	return r, err
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
	r, err := ReadRanges(t)
	if err != nil {
		return 0, err
	}
	if r.Version != expected {
		return 0, errors.Wrapf(ErrCatalogVersion, "it is %d, not %d", r.Version, expected)
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

// WriteRanges notes what the leaders of ranges say of them. A row with a higher epoch
// stays. A left side whose right side has no row yet is left for the next time, so that
// there is never a gap.
func WriteRanges(t kv.Txn, list ...base.RangeDescriptor) error {
	version, err := number(t, keyspace.MetaCatalog)
	if err != nil {
		return err
	}
	moved := false
	for i := range list {
		d := &list[len(list)-1-i] // right sides first
		value, err := t.Get(rangeKey(d.Span.Start))
		if err != nil {
			return err
		}
		old := base.RangeDescriptor{}
		if value != nil {
			if old, err = base.DecodeRangeDescriptor(value); err != nil {
				return err
			}
		}
		if old.Epoch >= d.Epoch {
			continue
		}
		if !bytes.Equal(d.Span.End, keyspace.All().End) {
			next, err := t.Get(rangeKey(d.Span.End))
			if err != nil {
				return err
			}
			if next == nil {
				continue
			}
		}
		moved = moved || old.ID != d.ID || !bytes.Equal(old.Span.End, d.Span.End)
		t.Set(rangeKey(d.Span.Start), d.Append(nil))
	}
	if moved {
		setNumber(t, keyspace.MetaCatalog, version+1)
	}
	return nil
}
