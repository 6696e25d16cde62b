package bitmap

import (
	"math"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// FieldType is an integer of 1 to 64 bits, to 63 if it has no sign.
type FieldType struct {
	Signed bool
	Bits   uint8
}

// Action is what is done to a field.
type Action uint8

// Actions.
const (
	FieldGet Action = iota
	FieldSet
	FieldIncr
)

// Overflow is what becomes of a value that does not fit.
type Overflow uint8

// Overflows.
const (
	Wrap Overflow = iota
	Saturate
	Fail
)

// FieldOp is one operation of BITFIELD.
type FieldOp struct {
	Action   Action
	Type     FieldType
	Offset   int64 // in bits
	Value    int64
	Overflow Overflow
}

// FieldResult is what an operation answers: the old value of a set, else the new one. With
// Failed it did not fit, and nothing has changed.
type FieldResult struct {
	Value  int64
	Failed bool
}

func (o *FieldOp) last() int64 { return (o.Offset + int64(o.Type.Bits) - 1) >> 3 }

// Field is BITFIELD, and BITFIELD_RO if all operations read: a result for each is appended
// to dst.
func Field(t kv.Txn, db *redis.DB, key []byte, ops []FieldOp, dst []FieldResult) ([]FieldResult, error) {
	last := int64(-1)
	for i := range ops {
		if ops[i].Action != FieldGet {
			last = max(last, ops[i].last())
		}
	}
	var e redis.Entry
	var grown, changed bool
	var err error
	if last < 0 {
		err = e.ReadAs(t, db, key, redis.TypeString)
	} else {
		grown, err = grow(t, db, &e, key, last)
	}
	if err != nil {
		return nil, err
	}
	for i := range ops {
		r, wrote, other, err := ops[i].do(t, &e)
		if err != nil {
			return nil, err
		}
		changed = changed || wrote && (grown || other)
		dst = append(dst, r)
	}
	if changed {
		e.Event(redis.EventString, "setbit")
	}
	return dst, nil
}

// do executes an operation; other says that the value is not what it was.
func (o *FieldOp) do(t kv.Txn, e *redis.Entry) (r FieldResult, wrote, other bool, err error) {
	first := o.Offset >> 3
	var window [9]byte
	raw := window[:o.last()-first+1]
	if err := e.ScanString(t, first, o.last()+1, func(at int64, part []byte) bool {
		copy(raw[at-first:], part)
		return true
	}); err != nil {
		return r, false, false, err
	}
	old := o.Type.get(raw, o.Offset&7)
	value, fits := old, true
	switch o.Action {
	case FieldGet:
		return FieldResult{Value: old}, false, false, nil
	case FieldSet:
		r.Value = old
		value, fits = o.Type.add(o.Value, 0, o.Overflow)
	case FieldIncr:
		value, fits = o.Type.add(old, o.Value, o.Overflow)
		r.Value = value
	}
	if !fits && o.Overflow == Fail {
		return FieldResult{Failed: true}, false, false, nil
	}
	o.Type.put(raw, o.Offset&7, value)
	return r, true, value != old, e.WriteBits(t, first, raw)
}

// get reads a field that begins with the bit at of b.
func (f FieldType) get(b []byte, at int64) int64 {
	var v uint64
	for i := at; i < at+int64(f.Bits); i++ {
		v = v<<1 | uint64(b[i>>3]>>(7-i&7)&1)
	}
	if f.Signed && f.Bits < 64 && v>>(f.Bits-1) != 0 {
		v |= math.MaxUint64 << f.Bits
	}
	return int64(v)
}

func (f FieldType) put(b []byte, at, value int64) {
	for i := at + int64(f.Bits) - 1; i >= at; i-- {
		mask := byte(0x80) >> (i & 7)
		if b[i>>3] &^= mask; value&1 != 0 {
			b[i>>3] |= mask
		}
		value >>= 1
	}
}

// add is the sum as the field holds it, and whether it fits.
func (f FieldType) add(v, delta int64, o Overflow) (sum int64, fits bool) {
	low, high := int64(0), int64(math.MaxInt64)
	if f.Signed {
		low = math.MinInt64
		if f.Bits < 64 {
			low, high = -1<<(f.Bits-1), 1<<(f.Bits-1)-1
		}
	} else {
		high = 1<<f.Bits - 1
	}
	// A negative value in a field without a sign is a large one. What is left to the ends
	// may turn around, as it does in Redis: a value far below a short field is above it.
	sum = v + delta
	most, least := high-v, low-v
	var over, under bool
	if f.Signed {
		over = v > high || f.Bits != 64 && delta > most || v >= 0 && delta > 0 && delta > most
		under = v < low || f.Bits != 64 && delta < least || v < 0 && delta < 0 && delta < least
	} else {
		over = v < 0 || v > high || delta > 0 && delta > most
		under = delta < 0 && delta < least
	}
	switch {
	case !over && !under:
		return sum, true
	case o == Saturate && over: // both may be
		return high, false
	case o == Saturate:
		return low, false
	}
	if f.Bits < 64 {
		sum &= 1<<f.Bits - 1
		if f.Signed && sum>>(f.Bits-1) != 0 {
			sum |= -1 << f.Bits
		}
	}
	return sum, false
}
