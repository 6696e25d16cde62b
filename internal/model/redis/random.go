package redis

import (
	"github.com/stratadb/strata/internal/kv"
)

// Rand is where random commands take their numbers from: a number below n. It is
// used by one goroutine. *rand.Rand of math/rand/v2 is one.
type Rand interface {
	Uint64N(n uint64) uint64
}

const (
	// exactSampleFields is up to how many fields in rows a choice of many that may repeat
	// looks at all of them. One of few looks at sampleRun neighbours of a random place, also
	// where there are few: others may have been removed just now, and lie in the way.
	ExactSampleFields = 1024
	sampleRun         = 8
	// RandomFieldsMax bounds the fields of one HRANDFIELD with a negative count.
	RandomFieldsMax = 1 << 20
)

// HRandField is HRANDFIELD with a count: that many different fields, or for a
// negative count -count fields that may repeat, appended to dst.
func HRandField(t kv.Txn, db *DB, key []byte, count int64, r Rand, dst []FieldValue) ([]FieldValue, error) {
	return readRandomFields(t, db, key, TypeHash, count, r, dst)
}

// readRandomFields is HRandField for a hash or a set.
func readRandomFields(t kv.Txn, db *DB, key []byte, kind Type, count int64, r Rand, dst []FieldValue) ([]FieldValue, error) {
	if count < -RandomFieldsMax {
		return nil, ErrOutOfRange
	}
	var e Entry
	if err := e.ReadAs(t, db, key, kind); err != nil || !e.Found || count == 0 {
		return dst, err
	}
	return e.randomFields(t, count, r, dst)
}

// randomFields chooses fields as HRandField does.
func (e *Entry) randomFields(t kv.Txn, count int64, r Rand, dst []FieldValue) ([]FieldValue, error) {
	n, err := e.FieldCount()
	if err != nil {
		return nil, err
	}
	if e.Header.Enc != encRows || max(count, -count) >= n/3 && (count > 0 || n <= ExactSampleFields) {
		return e.chooseFields(t, count, r, dst)
	}
	if count < 0 {
		for ; count < 0; count++ {
			f, err := e.sampleField(t, r)
			if err != nil {
				return nil, err
			}
			dst = append(dst, f)
		}
		return dst, nil
	}
	return e.distinctFields(t, count, r, dst)
}

// HRandFieldOne is HRANDFIELD without a count; found is false for an absent key.
func HRandFieldOne(t kv.Txn, db *DB, key []byte, r Rand) (field []byte, found bool, err error) {
	fs, err := HRandField(t, db, key, 1, r, nil)
	if err != nil || len(fs) == 0 {
		return nil, false, err
	}
	return fs[0].Field, true, nil
}

// chooseFields reads all fields and chooses evenly.
func (e *Entry) chooseFields(t kv.Txn, count int64, r Rand, dst []FieldValue) ([]FieldValue, error) {
	var all []FieldValue
	err := e.Fields(t, func(f *HashField) { all = append(all, FieldValue{f.Field, f.value}) })
	if err != nil || len(all) == 0 {
		return dst, err
	}
	for ; count < 0; count++ {
		dst = append(dst, all[r.Uint64N(uint64(len(all)))])
	}
	if count >= int64(len(all)) {
		return append(dst, all...), nil
	}
	for i := 0; i < int(count); i++ {
		j := i + int(r.Uint64N(uint64(len(all)-i)))
		all[i], all[j] = all[j], all[i]
		dst = append(dst, all[i])
	}
	return dst, nil
}

// sampleField chooses among the fields behind a random place.
func (e *Entry) sampleField(t kv.Txn, r Rand) (FieldValue, error) {
	var run [sampleRun]FieldValue
	n := 0
	visit := func(f *HashField, _ Place) bool {
		run[n] = FieldValue{f.Field, f.value}
		n++
		return n < sampleRun
	}
	if err := e.fieldsFrom(t, Place(r.Uint64N(uint64(PlaceEnd))), visit); err != nil {
		return FieldValue{}, err
	}
	if n < sampleRun {
		if err := e.fieldsFrom(t, 0, visit); err != nil {
			return FieldValue{}, err
		}
	}
	if n == 0 {
		return FieldValue{}, nil // all that is left is due
	}
	return run[r.Uint64N(uint64(n))], nil
}

// distinctFields samples until it has count different fields. It is called for
// counts well below the number of fields, so it soon has.
func (e *Entry) distinctFields(t kv.Txn, count int64, r Rand, dst []FieldValue) ([]FieldValue, error) {
	seen := make(map[string]struct{}, min(count, ExactSampleFields))
	for tries := 16 * count; int64(len(seen)) < count && tries > 0; tries-- {
		f, err := e.sampleField(t, r)
		if err != nil {
			return nil, err
		}
		if _, ok := seen[string(f.Field)]; ok || f.Field == nil {
			continue
		}
		seen[string(f.Field)] = struct{}{}
		dst = append(dst, f)
	}
	if int64(len(seen)) == count {
		return dst, nil
	}
	err := e.fieldsFrom(t, 0, func(f *HashField, _ Place) bool {
		if _, ok := seen[string(f.Field)]; !ok {
			seen[string(f.Field)] = struct{}{}
			dst = append(dst, FieldValue{f.Field, f.value})
		}
		return int64(len(seen)) < count
	})
	return dst, err
}
