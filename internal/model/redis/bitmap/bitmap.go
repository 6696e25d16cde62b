package bitmap

import (
	"encoding/binary"
	"math/bits"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// grow looks a string up that is to have a byte at last, and makes it that long.
func grow(t kv.Txn, db *redis.DB, e *redis.Entry, key []byte, last int64) (grown bool, err error) {
	if err := e.LookupAs(t, db, key, redis.TypeString); err != nil {
		return false, err
	}
	if e.StringLen() > last {
		return false, nil
	}
	return true, e.WriteBits(t, last, []byte{0})
}

// SetBit is SETBIT: the bit that was there. The string becomes long enough for it.
func SetBit(t kv.Txn, db *redis.DB, key []byte, offset int64, on bool) (old bool, err error) {
	var e redis.Entry
	if err := e.LookupAs(t, db, key, redis.TypeString); err != nil {
		return false, err
	}
	at, mask := offset>>3, byte(0x80)>>(offset&7)
	b, err := byteAt(t, &e, at)
	if err != nil {
		return false, err
	}
	old = b&mask != 0
	raw := e.Found && (e.Header.Enc == redis.EncInlineRaw || e.Header.Enc == redis.EncPieces)
	changes := at >= e.StringLen() || old != on
	if !changes && raw {
		return old, nil
	}
	if b &^= mask; on {
		b |= mask
	}
	if err := e.WriteBits(t, at, []byte{b}); err != nil {
		return false, err
	}
	if changes {
		e.Event(redis.EventString, "setbit")
	}
	return old, nil
}

// GetBit is GETBIT.
func GetBit(t kv.Txn, db *redis.DB, key []byte, offset int64) (bool, error) {
	var e redis.Entry
	if err := e.ReadAs(t, db, key, redis.TypeString); err != nil {
		return false, err
	}
	b, err := byteAt(t, &e, offset>>3)
	return b&(0x80>>(offset&7)) != 0, err
}

// byteAt is a byte of a string, zero behind its end.
func byteAt(t kv.Txn, e *redis.Entry, at int64) (b byte, err error) {
	err = e.ScanString(t, at, at+1, func(_ int64, part []byte) bool {
		b = part[0]
		return false
	})
	return b, err
}

// Range is a part of a string, both ends included; negative ones count from the end.
type Range struct {
	Start, End int64
	// Bits says that they count bits, not bytes.
	Bits bool
	// Open says that there is no end: Start alone counts.
	Open bool
}

// Whole is all of a string.
var Whole = Range{Open: true}

// within is where a range begins and ends, in bits, in a string of n bytes; both included.
func (r Range) within(n int64) (first, last int64) {
	scale := int64(1)
	if !r.Bits {
		scale = 8
	}
	n *= 8 / scale
	start, end := r.Start, r.End
	if r.Open {
		end = n - 1
	}
	if start < 0 {
		start = max(start+n, 0)
	}
	if end < 0 {
		end = max(end+n, 0)
	}
	if end = min(end, n-1); start > end {
		return 0, -1
	}
	return start * scale, end*scale + scale - 1
}

// Count is BITCOUNT: how many bits of the range are set.
func Count(t kv.Txn, db *redis.DB, key []byte, r Range) (n int64, err error) {
	var e redis.Entry
	if err := e.ReadAs(t, db, key, redis.TypeString); err != nil {
		return 0, err
	}
	if r.Start < 0 && r.End < 0 && r.Start > r.End {
		return 0, nil
	}
	first, last := r.within(e.StringLen())
	err = e.ScanString(t, first>>3, last>>3+1, func(at int64, part []byte) bool {
		n += ones(part)
		n -= int64(bits.OnesCount8(edges(at, part, 0, first, last)))
		if len(part) > 1 {
			n -= int64(bits.OnesCount8(edges(at, part, len(part)-1, first, last)))
		}
		return true
	})
	return n, err
}

func ones(b []byte) (n int64) {
	for ; len(b) >= 8; b = b[8:] {
		n += int64(bits.OnesCount64(binary.LittleEndian.Uint64(b)))
	}
	for _, x := range b {
		n += int64(bits.OnesCount8(x))
	}
	return n
}

// edges are the bits of part[i], the byte at+i, that are not between first and last.
func edges(at int64, part []byte, i int, first, last int64) (out byte) {
	bit := (at + int64(i)) * 8
	if first > bit {
		out = ^byte(0xFF >> (first - bit))
	}
	if last < bit+7 {
		out |= 0xFF >> (last - bit + 1)
	}
	return out & part[i]
}

// Pos is BITPOS: where the first bit of the range is that is set, or not set; -1 if there
// is none. Without an end zeros follow the string.
func Pos(t kv.Txn, db *redis.DB, key []byte, on bool, r Range) (int64, error) {
	var e redis.Entry
	if err := e.ReadAs(t, db, key, redis.TypeString); err != nil {
		return 0, err
	}
	if !e.Found {
		if on {
			return -1, nil
		}
		return 0, nil
	}
	n := e.StringLen()
	first, last := r.within(n)
	if first > last {
		return -1, nil
	}
	found, next := int64(-1), first
	err := e.ScanString(t, first>>3, last>>3+1, func(at int64, part []byte) bool {
		if !on && at*8 > next { // zeros precede it
			return false
		}
		found = search(at, part, on, first, last)
		next = (at + int64(len(part))) * 8
		return found < 0
	})
	switch {
	case err != nil || found >= 0 || on:
		return found, err
	case next <= last:
		return next, nil
	case r.Open:
		return n * 8, nil
	}
	return -1, nil
}

// search finds the first bit between first and last in a part that begins with the byte at.
func search(at int64, part []byte, on bool, first, last int64) int64 {
	skip := byte(0xFF)
	if on {
		skip = 0
	}
	for i, b := range part {
		if b == skip {
			continue
		}
		for bit := range int64(8) {
			where := (at+int64(i))*8 + bit
			if where >= first && where <= last && (b&(0x80>>bit) != 0) == on {
				return where
			}
		}
	}
	return -1
}
