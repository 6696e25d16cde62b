package lsm

import (
	"bytes"
	"io"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2"

	"github.com/stratadb/strata/internal/base"
)

// firstDataKey is the lowest key that callers can use.
var firstDataKey = []byte{0x01}

// reader is what Store and Snapshot read from.
type reader interface {
	Get(key []byte) ([]byte, io.Closer, error)
	NewIter(o *pebble.IterOptions) (*pebble.Iterator, error)
}

// Get returns a copy of the value of key.
func (s *Store) Get(key []byte) (value []byte, found bool, err error) {
	return s.AppendGet(nil, key)
}

// AppendGet appends the value of key to dst: no allocation when dst has room.
func (s *Store) AppendGet(dst, key []byte) (value []byte, found bool, err error) {
	if err := s.gate.enter(); err != nil {
		return dst, false, err
	}
	defer s.gate.leave()
	if isData(key) && s.known.absent(key) {
		return dst, false, nil
	}
	return appendValue(s.db, dst, key)
}

func isData(key []byte) bool { return len(key) > 0 && key[0] != localPrefix }

// Absent reports, from memory, that key certainly does not exist.
func (s *Store) Absent(key []byte) bool { return s.known.absent(key) }

func appendValue(r reader, dst, key []byte) ([]byte, bool, error) {
	if !isData(key) {
		return dst, false, errLocalKey(key)
	}
	return appendAny(r, dst, key)
}

func appendAny(r reader, dst, key []byte) ([]byte, bool, error) {
	v, closer, err := r.Get(key)
	if err != nil {
		if err == pebble.ErrNotFound {
			return dst, false, nil
		}
		return dst, false, readError(err)
	}
	if dst == nil {
		dst = make([]byte, 0, len(v))
	}
	dst = append(dst, v...)
	return dst, true, readError(closer.Close())
}

func readError(err error) error {
	if err != nil && errors.Is(err, pebble.ErrCorruption) {
		err = errors.Mark(err, base.ErrCorruption)
	}
	return errors.Wrap(err, "reading the state")
}

// Snapshot is a consistent view of everything that was applied when it was made.
// It holds back compactions: close it soon.
type Snapshot struct{ snap *pebble.Snapshot }

// NewSnapshot makes a snapshot.
func (s *Store) NewSnapshot() *Snapshot { return &Snapshot{snap: s.db.NewSnapshot()} }

// Get returns a copy of the value of key.
func (s *Snapshot) Get(key []byte) (value []byte, found bool, err error) {
	return appendValue(s.snap, nil, key)
}

// NewIterator iterates over the data keys of span.
func (s *Snapshot) NewIterator(span base.Span) (*Iterator, error) { return newIterator(s.snap, span) }

// RangeState is the state of a range in the snapshot.
func (s *Snapshot) RangeState(r base.RangeID) (RangeState, bool, error) {
	return getRangeState(s.snap, r)
}

// RangeTable is the table of a range in the snapshot.
func (s *Snapshot) RangeTable(r base.RangeID) ([]byte, error) { return getRangeTable(s.snap, r) }

// Close releases the snapshot.
func (s *Snapshot) Close() error { return readError(s.snap.Close()) }

// Iterator walks over data keys in either direction. It is not positioned when
// made. Key and Value are valid until the next movement.
type Iterator struct {
	it   *pebble.Iterator
	gate *gate // nil: of a snapshot
}

// NewIterator iterates over the data keys of span; a nil end means all above.
func (s *Store) NewIterator(span base.Span) (*Iterator, error) {
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	it, err := newIterator(s.db, span)
	if err != nil {
		s.gate.leave()
		return nil, err
	}
	it.gate = &s.gate
	return it, nil
}

func newIterator(r reader, span base.Span) (*Iterator, error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: dataStart(span.Start), UpperBound: span.End})
	if err != nil {
		return nil, readError(err)
	}
	return &Iterator{it: it}, nil
}

func dataStart(start []byte) []byte {
	if bytes.Compare(start, firstDataKey) < 0 {
		return firstDataKey
	}
	return start
}

// First moves to the first key of the span.
func (i *Iterator) First() bool { return i.it.First() }

// Last moves to the last key of the span.
func (i *Iterator) Last() bool { return i.it.Last() }

// SeekGE moves to the first key at or above key.
func (i *Iterator) SeekGE(key []byte) bool { return i.it.SeekGE(key) }

// SeekLT moves to the last key below key.
func (i *Iterator) SeekLT(key []byte) bool { return i.it.SeekLT(key) }

// Next moves forward.
func (i *Iterator) Next() bool { return i.it.Next() }

// Prev moves backward.
func (i *Iterator) Prev() bool { return i.it.Prev() }

// Valid reports whether the iterator is at a key.
func (i *Iterator) Valid() bool { return i.it.Valid() }

// Key is the current key.
func (i *Iterator) Key() []byte { return i.it.Key() }

// Value is the current value.
func (i *Iterator) Value() ([]byte, error) {
	v, err := i.it.ValueAndErr()
	return v, readError(err)
}

// Err is the error that ended the iteration, if any.
func (i *Iterator) Err() error { return readError(i.it.Error()) }

// SetSpan moves the iterator to another span, which costs less than a new one.
// It shows the same state as before.
func (i *Iterator) SetSpan(span base.Span) { i.it.SetBounds(dataStart(span.Start), span.End) }

// Close releases the iterator and returns the error that ended it, if any.
func (i *Iterator) Close() error {
	err := readError(i.it.Close())
	if i.gate != nil {
		i.gate.leave()
	}
	return err
}
