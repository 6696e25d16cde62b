package lsm

import (
	"encoding/binary"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2"

	"github.com/stratadb/strata/internal/base"
)

const (
	// localPrefix begins the store's own keys. The numbers are on disk.
	localPrefix = 0x00
	// localRangeState begins the keys of range states: 0x00 0x01 range id (8, big-endian).
	localRangeState = 0x01
	// localRangeTable begins the keys of range tables: 0x00 0x02 range id.
	localRangeTable = 0x02

	rangeStateVersion = 1
	rangeStateFixed   = 1 + 5*8
)

// RangeState is what a range's state on disk says about itself.
type RangeState struct {
	// Applied is the index of the last log entry whose effects are included.
	Applied base.LogIndex
	// AppliedTerm is the term of that entry in a state that was received as a
	// snapshot, as long as it was not added to; zero otherwise.
	AppliedTerm base.Term
	// Position and Stamp are those of the last transaction included.
	Position base.Position
	Stamp    base.Stamp
	// ReadableFrom is the log index that replay must have reached before reads
	// are served.
	ReadableFrom base.LogIndex
	// Payload is the caller's: the descriptor.
	Payload []byte
}

func rangeStateKey(r base.RangeID) (key [10]byte) {
	key[0], key[1] = localPrefix, localRangeState
	binary.BigEndian.PutUint64(key[2:], uint64(r))
	return key
}

func rangeTableKey(r base.RangeID) (key [10]byte) {
	key = rangeStateKey(r)
	key[1] = localRangeTable
	return key
}

// RangeTable is what SetRangeTable has stored for range r, nil for nothing.
func (s *Store) RangeTable(r base.RangeID) ([]byte, error) { return getRangeTable(s.db, r) }

func getRangeTable(rd reader, r base.RangeID) ([]byte, error) {
	key := rangeTableKey(r)
	b, _, err := appendAny(rd, nil, key[:])
	return b, err
}

func (st *RangeState) encode() []byte {
	b := make([]byte, 0, rangeStateFixed+len(st.Payload))
	b = append(b, rangeStateVersion)
	for _, v := range [...]uint64{
		uint64(st.Applied), uint64(st.AppliedTerm), uint64(st.Position), uint64(st.Stamp), uint64(st.ReadableFrom),
	} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return append(b, st.Payload...)
}

func decodeRangeState(b []byte) (st RangeState, err error) {
	if len(b) < rangeStateFixed || b[0] != rangeStateVersion {
		return st, errors.Wrapf(base.ErrCorruption, "range state of %d bytes", len(b))
	}
	u64 := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	st = RangeState{
		Applied: base.LogIndex(u64(0)), AppliedTerm: base.Term(u64(1)), Position: base.Position(u64(2)),
		Stamp: base.Stamp(u64(3)), ReadableFrom: base.LogIndex(u64(4)),
	}
	if len(b) > rangeStateFixed {
		st.Payload = append([]byte(nil), b[rangeStateFixed:]...)
	}
	return st, nil
}

// RangeState is the state of range r as applied.
func (s *Store) RangeState(r base.RangeID) (RangeState, bool, error) { return getRangeState(s.db, r) }

func getRangeState(rd reader, r base.RangeID) (st RangeState, found bool, err error) {
	key := rangeStateKey(r)
	b, found, err := appendAny(rd, nil, key[:])
	if err != nil || !found {
		return st, false, err
	}
	st, err = decodeRangeState(b)
	return st, err == nil, err
}

// DurableRangeState is the state of range r as it would be found after a crash now.
func (s *Store) DurableRangeState(r base.RangeID) (st RangeState, found bool, err error) {
	err = s.eachRangeState(r, r+1, true, func(_ base.RangeID, got RangeState) error {
		st, found = got, true
		return nil
	})
	return st, found, err
}

// EachRangeState calls f with every range state, ascending by range; durable
// restricts it to what a crash now would leave.
func (s *Store) EachRangeState(durable bool, f func(base.RangeID, RangeState) error) error {
	return s.eachRangeState(0, 0, durable, f)
}

// eachRangeState visits the ranges [from, to); to 0 means all.
func (s *Store) eachRangeState(
	from, to base.RangeID, durable bool, f func(base.RangeID, RangeState) error,
) (err error) {
	lower, upper := rangeStateKey(from), rangeStateKey(to)
	o := &pebble.IterOptions{LowerBound: lower[:], UpperBound: upper[:], OnlyReadGuaranteedDurable: durable}
	if to == 0 {
		o.UpperBound = []byte{localPrefix, localRangeState + 1}
	}
	it, err := s.db.NewIter(o)
	if err != nil {
		return readError(err)
	}
	defer func() { err = errors.CombineErrors(err, readError(it.Close())) }()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return readError(err)
		}
		if len(it.Key()) != len(lower) {
			return errors.Wrapf(base.ErrCorruption, "range state key of %d bytes", len(it.Key()))
		}
		st, err := decodeRangeState(v)
		if err != nil {
			return err
		}
		if err := f(base.RangeID(binary.BigEndian.Uint64(it.Key()[2:])), st); err != nil {
			return err
		}
	}
	return nil
}
