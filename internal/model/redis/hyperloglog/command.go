package hyperloglog

import (
	"bytes"
	"fmt"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// load reads the sketch of a key; nil if there is none.
func load(t kv.Txn, e *redis.Entry) (sketch, error) {
	if !e.Found {
		return nil, nil
	}
	if e.StringLen() > denseBytes { // and no longer than a sparse one can be
		return nil, ErrNotSketch
	}
	b, err := e.StringOrNil(t)
	if err == nil {
		err = valid(b)
	}
	return bytes.Clone(b), err
}

// save stores a sketch that has changed.
func (s sketch) save(t kv.Txn, e *redis.Entry) {
	s[staleAt] |= stale
	kept := t.Alloc(len(s))
	copy(kept, s)
	e.SetString(t, kept, redis.EncInlineRaw, e.Header.ExpireAt)
	e.Event(redis.EventString, "pfadd")
}

// Add is PFADD: whether the count has changed, or the key is new.
func Add(t kv.Txn, db *redis.DB, key []byte, elements [][]byte) (bool, error) {
	var e redis.Entry
	if err := e.LookupAs(t, db, key, redis.TypeString); err != nil {
		return false, err
	}
	s, err := load(t, &e)
	if err != nil {
		return false, err
	}
	changed := s == nil
	if changed {
		s = empty()
	}
	for _, element := range elements {
		i, v := place(element)
		var raised bool
		if s, raised, err = s.set(i, v); err != nil {
			return false, err
		}
		changed = changed || raised
	}
	if changed {
		s.save(t, &e)
	}
	return changed, nil
}

// union is the greatest value of each register over some keys.
type union struct {
	max   [registers]byte
	dense bool // one of them was
}

func (u *union) add(t kv.Txn, db *redis.DB, keys [][]byte) error {
	for _, key := range keys {
		var e redis.Entry
		if err := e.ReadAs(t, db, key, redis.TypeString); err != nil {
			return err
		}
		s, err := load(t, &e)
		if err != nil {
			return err
		}
		if s == nil {
			continue
		}
		u.dense = u.dense || s.dense()
		if err := s.each(func(i int, v byte) { u.max[i] = max(u.max[i], v) }); err != nil {
			return err
		}
	}
	return nil
}

// Count is PFCOUNT. It keeps nothing of what it counted: reads do not write.
func Count(t kv.Txn, db *redis.DB, keys [][]byte) (int64, error) {
	if len(keys) == 1 {
		return countOne(t, db, keys[0])
	}
	var u union
	if err := u.add(t, db, keys); err != nil {
		return 0, err
	}
	var h histogram
	for _, v := range u.max {
		h[v]++
	}
	return h.count(), nil
}

func countOne(t kv.Txn, db *redis.DB, key []byte) (int64, error) {
	var e redis.Entry
	if err := e.ReadAs(t, db, key, redis.TypeString); err != nil {
		return 0, err
	}
	s, err := load(t, &e)
	if err != nil || s == nil {
		return 0, err
	}
	if n, known := s.cached(); known {
		return n, nil
	}
	if err := s.each(func(int, byte) {}); err != nil {
		return 0, err
	}
	h := s.histogram()
	return h.count(), nil
}

// Merge is PFMERGE.
func Merge(t kv.Txn, db *redis.DB, dst []byte, keys [][]byte) error {
	var u union
	if err := u.add(t, db, append([][]byte{dst}, keys...)); err != nil {
		return err
	}
	var e redis.Entry
	if err := e.LookupAs(t, db, dst, redis.TypeString); err != nil {
		return err
	}
	s, err := load(t, &e)
	if s == nil && err == nil {
		s = empty()
	}
	if err == nil && u.dense {
		s, err = s.toDense()
	}
	for i := 0; i < registers && err == nil; i++ {
		if u.max[i] > 0 {
			s, _, err = s.set(i, u.max[i])
		}
	}
	if err == nil {
		s.save(t, &e)
	}
	return err
}

// ErrNotSparse is that of Runs of a dense sketch.
var ErrNotSparse = redis.NewError("ERR HLL encoding is not sparse")

// errNoKey is that of PFDEBUG.
var errNoKey = redis.NewError("ERR The specified key does not exist")

// open looks a sketch up for PFDEBUG.
func open(t kv.Txn, db *redis.DB, key []byte, e *redis.Entry) (sketch, error) {
	if err := e.Lookup(t, db, key); err != nil {
		return nil, err
	}
	switch {
	case !e.Found:
		return nil, errNoKey
	case e.Header.Kind != redis.TypeString:
		return nil, redis.ErrWrongType
	}
	return load(t, e)
}

// Registers is PFDEBUG GETREG, which makes the sketch a dense one.
func Registers(t kv.Txn, db *redis.DB, key []byte) ([]byte, error) {
	if _, err := ToDense(t, db, key); err != nil {
		return nil, err
	}
	var e redis.Entry
	s, err := open(t, db, key, &e)
	if err != nil {
		return nil, err
	}
	all := make([]byte, registers)
	err = s.each(func(i int, v byte) { all[i] = v })
	return all, err
}

// Encoding is PFDEBUG ENCODING.
func Encoding(t kv.Txn, db *redis.DB, key []byte) (string, error) {
	var e redis.Entry
	s, err := open(t, db, key, &e)
	switch {
	case err != nil:
		return "", err
	case s.dense():
		return "dense", nil
	}
	return "sparse", nil
}

// Runs is PFDEBUG DECODE: the runs of a sparse sketch.
func Runs(t kv.Txn, db *redis.DB, key []byte) ([]byte, error) {
	var e redis.Entry
	s, err := open(t, db, key, &e)
	if err != nil {
		return nil, err
	}
	if s.dense() {
		return nil, ErrNotSparse
	}
	var out bytes.Buffer
	for b := s[headerBytes:]; len(b) > 0; {
		r := runAt(b)
		switch {
		case r.n == 0:
			return nil, ErrCorrupted
		case r.v > 0:
			fmt.Fprintf(&out, "v:%d,%d ", r.v, r.n)
		case r.size == 2:
			fmt.Fprintf(&out, "Z:%d ", r.n)
		default:
			fmt.Fprintf(&out, "z:%d ", r.n)
		}
		b = b[r.size:]
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

// ToDense is PFDEBUG TODENSE: whether the sketch was a sparse one.
func ToDense(t kv.Txn, db *redis.DB, key []byte) (bool, error) {
	var e redis.Entry
	s, err := open(t, db, key, &e)
	if err != nil || s.dense() {
		return false, err
	}
	d, err := s.toDense()
	if err != nil {
		return false, err
	}
	kept := t.Alloc(len(d))
	copy(kept, d)
	e.SetString(t, kept, redis.EncInlineRaw, e.Header.ExpireAt)
	return true, nil
}

// selfTestElements is how many elements a self test adds.
const selfTestElements = 20_000

// SelfTest is PFSELFTEST: it counts elements with a sparse and a dense sketch.
func SelfTest() error {
	s := empty()
	d, err := s.toDense()
	for n := 1; n <= selfTestElements && err == nil; n++ {
		i, v := place(fmt.Append(nil, n))
		if s, _, err = s.set(i, v); err != nil {
			break
		}
		if d, _, err = d.set(i, v); err != nil || n%1000 != 0 {
			continue
		}
		a, b := s.histogram(), d.histogram()
		got := a.count()
		if a != b || got < int64(n)*95/100 || got > int64(n)*105/100 {
			err = redis.NewError(fmt.Sprintf("ERR TESTFAILED %d elements are counted as %d and %d", n, got, b.count()))
		}
	}
	return err
}
