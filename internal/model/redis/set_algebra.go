package redis

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/stratadb/strata/internal/kv"
)

// operand is a set that others are compared with.
type operand struct {
	Entry
	n int64
}

// openSets looks all keys up. missing reports whether one of them is absent.
func openSets(t kv.Txn, db *DB, keys [][]byte) (sets []operand, missing bool, err error) {
	sets = make([]operand, len(keys))
	for i, key := range keys {
		s := &sets[i]
		if err := s.ReadAs(t, db, key, TypeSet); err != nil {
			return nil, false, err
		}
		if s.n, err = s.FieldCount(); err != nil {
			return nil, false, err
		}
		missing = missing || !s.Found
	}
	return sets, missing, nil
}

// smallestFirst opens the operands of an intersection; none if one of them is absent.
func smallestFirst(t kv.Txn, db *DB, keys [][]byte) ([]operand, error) {
	sets, missing, err := openSets(t, db, keys)
	if err != nil || missing {
		return nil, err
	}
	slices.SortStableFunc(sets, func(a, b operand) int { return cmp.Compare(a.n, b.n) })
	return sets, nil
}

// byPlace orders members as rows are.
func byPlace(a, b []byte) int {
	if c := cmp.Compare(PlaceOf(a), PlaceOf(b)); c != 0 {
		return c
	}
	return bytes.Compare(a, b)
}

// sorted is the members in the order of rows.
func (s *operand) sorted(t kv.Txn) ([][]byte, error) {
	all, err := s.members(t, nil)
	if s.Found && s.Header.Enc != encRows {
		slices.SortFunc(all, byPlace)
	}
	return all, err
}

// RowsPerLookup is how many rows a scan reads while one member is looked up.
const RowsPerLookup = 8

// among keeps those of members, which are in the order of rows, that are in the set, or
// with present false those that are not. It looks them up, or reads the set once.
func (s *operand) among(t kv.Txn, members [][]byte, present bool) ([][]byte, error) {
	if s.Found && s.Header.Enc == encRows && int64(len(members))*RowsPerLookup > s.n {
		return s.merge(t, members, present)
	}
	kept := members[:0]
	for _, m := range members {
		_, found, err := s.Field(t, m)
		if err != nil {
			return nil, err
		}
		if found == present {
			kept = append(kept, m)
		}
	}
	return kept, nil
}

// merge is among for a set in rows that is not much larger.
func (s *operand) merge(t kv.Txn, members [][]byte, present bool) ([][]byte, error) {
	kept, left := members[:0], members
	err := s.fieldsFrom(t, 0, func(f *HashField, _ Place) bool {
		for len(left) > 0 {
			c := byPlace(left[0], f.Field)
			if c > 0 {
				break
			}
			if (c == 0) == present {
				kept = append(kept, left[0])
			}
			left = left[1:]
		}
		return len(left) > 0
	})
	if !present {
		kept = append(kept, left...)
	}
	return kept, err
}

// SInter is SINTER.
func SInter(t kv.Txn, db *DB, keys [][]byte) (all [][]byte, err error) {
	sets, err := smallestFirst(t, db, keys)
	for i := 0; i < len(sets) && err == nil; i++ {
		if i == 0 {
			all, err = sets[0].sorted(t)
		} else if len(all) > 0 {
			all, err = sets[i].among(t, all, true)
		}
	}
	return all, err
}

// SInterCard is SINTERCARD: how many members all sets share, up to limit if that is
// not zero.
func SInterCard(t kv.Txn, db *DB, keys [][]byte, limit int64) (n int64, err error) {
	if limit == 0 {
		all, err := SInter(t, db, keys)
		return int64(len(all)), err
	}
	sets, err := smallestFirst(t, db, keys)
	if err != nil || len(sets) == 0 {
		return 0, err
	}
	all, err := sets[0].members(t, nil)
	for i := 0; i < len(all) && n < limit && err == nil; i++ {
		shared := true
		for j := 1; j < len(sets) && shared && err == nil; j++ {
			_, shared, err = sets[j].Field(t, all[i])
		}
		if shared {
			n++
		}
	}
	return n, err
}

// SUnion is SUNION.
func SUnion(t kv.Txn, db *DB, keys [][]byte) (all [][]byte, err error) {
	sets, _, err := openSets(t, db, keys)
	for i := 0; i < len(sets) && err == nil; i++ {
		all, err = sets[i].members(t, all)
	}
	slices.SortFunc(all, byPlace)
	return slices.CompactFunc(all, bytes.Equal), err
}

// SDiff is SDIFF: the members of the first set that no other one has.
func SDiff(t kv.Txn, db *DB, keys [][]byte) (all [][]byte, err error) {
	sets, _, err := openSets(t, db, keys)
	for i := 0; i < len(sets) && err == nil; i++ {
		if i == 0 {
			all, err = sets[0].sorted(t)
		} else if len(all) > 0 {
			all, err = sets[i].among(t, all, false)
		}
	}
	return all, err
}

// SetOperation is SInter, SUnion or SDiff.
type SetOperation func(t kv.Txn, db *DB, keys [][]byte) ([][]byte, error)

// SStore is SINTERSTORE, SUNIONSTORE and SDIFFSTORE: the number of members of the result,
// which becomes the value of key, whatever that was. event is the command's name.
func SStore(t kv.Txn, db *DB, key []byte, keys [][]byte, op SetOperation, event string) (int64, error) {
	var x hashEdit
	if err := x.Lookup(t, db, key); err != nil {
		return 0, err
	}
	members, err := op(t, db, keys)
	if err != nil {
		return 0, err
	}
	for _, m := range members {
		if x.FieldTooLong(m) {
			return 0, ErrKeyTooLong
		}
	}
	x.t, x.now, x.kind, x.dirty = t, t.NowMillis(), TypeSet, true
	x.ClearRows(t)
	x.empty()
	for _, m := range members {
		if err := x.addNew(m); err != nil {
			return 0, err
		}
	}
	if err := x.finish(); err != nil {
		return 0, err
	}
	if len(members) > 0 {
		x.Event(EventSet, event)
	}
	return int64(len(members)), nil
}
