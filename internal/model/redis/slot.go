package redis

import (
	"bytes"
	"encoding/binary"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/hashslot"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// The counters of a slot are one row of three little-endian numbers: the keys,
// those of them that expire, and those whose elements do. None is ever negative,
// so adding to the row as one 192-bit number adds to each. The row is the first
// of its slot, and a slot without keys has none. On disk.
const (
	slotCounter      byte = 0x01
	slotCounterBytes      = 24
)

// slotCounters is a decoded row.
type slotCounters struct{ keys, expiring, elements int64 }

func decodeCounters(b []byte) (c slotCounters, err error) {
	if len(b) != slotCounterBytes {
		return c, Corrupt("slot counters of %d bytes", len(b))
	}
	c.keys = int64(binary.LittleEndian.Uint64(b))
	c.expiring = int64(binary.LittleEndian.Uint64(b[8:]))
	c.elements = int64(binary.LittleEndian.Uint64(b[16:]))
	if c.keys <= 0 || c.expiring < 0 || c.elements < 0 || c.expiring > c.keys || c.elements > c.keys {
		return c, Corrupt("slot counters %+v", c)
	}
	return c, nil
}

// counterDelta is a change of a slot's counters; each part is -1, 0 or 1.
type counterDelta struct{ keys, expiring, elements int }

// counterOperands holds what to add for each delta. It is never written to.
var counterOperands = func() (ops [3][3][3][slotCounterBytes]byte) {
	for k := range ops {
		for x := range ops[k] {
			for l := range ops[k][x] {
				low, mid, high := int64(k-1), int64(x-1), int64(l-1)
				if low < 0 {
					mid-- // the borrow
				}
				if mid < 0 {
					high--
				}
				op := &ops[k][x][l]
				binary.LittleEndian.PutUint64(op[:], uint64(low))
				binary.LittleEndian.PutUint64(op[8:], uint64(mid))
				binary.LittleEndian.PutUint64(op[16:], uint64(high))
			}
		}
	}
	return ops
}()

var noCounters = make([]byte, slotCounterBytes)

// count changes the slot's counters.
func (e *Entry) count(t kv.Txn, d counterDelta) {
	slotEnd := len(e.DB.prefix) + 2
	row := t.Alloc(slotEnd + 2)
	copy(row, e.Row[:slotEnd])
	row[slotEnd], row[slotEnd+1] = keyspace.SlotCounters, slotCounter
	t.Atomic(base.OpAdd, row, counterOperands[d.keys+1][d.expiring+1][d.elements+1][:])
	if d.keys < 0 {
		t.Atomic(base.OpCompareAndClear, row, noCounters)
	}
}

// slotRow is the first key that slot can have.
func (db *DB) slotRow(t kv.Txn, slot uint16) []byte {
	row := t.Alloc(len(db.prefix) + 2)
	binary.BigEndian.PutUint16(row[copy(row, db.prefix):], slot)
	return row
}

// end is the end of the database's span.
func (db *DB) end(t kv.Txn) []byte { return db.slotRow(t, hashslot.Slots) }

// splitRow splits a row of the database into slot, area and the rest.
func (db *DB) splitRow(row []byte) (slot uint16, area byte, rest []byte, err error) {
	b := row[len(db.prefix):]
	if len(b) < 3 || binary.BigEndian.Uint16(b) >= hashslot.Slots || b[2] > keyspace.SlotTTL {
		return 0, 0, nil, Corrupt("row %s", keyspace.Pretty(row))
	}
	return binary.BigEndian.Uint16(b), b[2], b[3:], nil
}

// nextSlot finds the first slot at or behind from that has keys. It looks at from itself
// first: where all slots have keys that is all, and far less than a scan.
func (db *DB) nextSlot(t kv.Txn, from uint16) (slot uint16, c slotCounters, found bool, err error) {
	row, err := t.Snapshot().Get(append(db.slotRow(t, from), keyspace.SlotCounters, slotCounter))
	if err != nil {
		return 0, c, false, err
	}
	if row != nil {
		c, err = decodeCounters(row)
		return from, c, err == nil, err
	}
	span := base.Span{Start: db.slotRow(t, from), End: db.end(t)}
	var bad error
	err = t.Snapshot().Scan(span, kv.ScanOptions{Limit: 1}, func(key, value []byte) bool {
		var area byte
		found = true
		slot, area, _, bad = db.splitRow(key)
		if bad == nil && area != keyspace.SlotCounters {
			bad = Corrupt("slot %d without counters", slot)
		}
		if bad == nil {
			c, bad = decodeCounters(value)
		}
		return false
	})
	if err == nil {
		err = bad
	}
	return slot, c, found && err == nil, err
}

// DBSize is DBSIZE. Its reads leave no conflicts.
func DBSize(t kv.Txn, db *DB) (int64, error) {
	s, err := stats(t, db, 0)
	return s.Keys, err
}

// Stats is what INFO keyspace tells about a database.
type Stats struct {
	Keys, Expiring int64
	// AverageTTLMillis is estimated from the first and last expiry of some slots.
	AverageTTLMillis int64
}

// statsSlots is how many slots the average TTL is taken from.
const statsSlots = 64

// DBStats counts the keys of a database. Its reads leave no conflicts.
func DBStats(t kv.Txn, db *DB) (Stats, error) { return stats(t, db, statsSlots) }

func stats(t kv.Txn, db *DB, sampled int) (s Stats, err error) {
	sum, samples := int64(0), int64(0)
	now := t.NowMillis()
	sample := func(at int64) {
		sum += max(min(at-now, maxSampledTTL), 0)
		samples++
	}
	for from := 0; from < hashslot.Slots; from++ {
		slot, c, found, err := db.nextSlot(t, uint16(from))
		if err != nil {
			return s, err
		}
		if !found {
			break
		}
		s.Keys += c.keys
		s.Expiring += c.expiring
		if c.expiring > 0 && sampled > 0 {
			sampled--
			if err := db.edgeTTLs(t, slot, sample); err != nil {
				return s, err
			}
		}
		from = int(slot)
	}
	if samples > 0 {
		s.AverageTTLMillis = sum / samples
	}
	return s, nil
}

// maxSampledTTL keeps the sum of samples within 64 bits: about 2,200 years.
const maxSampledTTL = 1 << 46

// edgeTTLs visits the first and the last time of expiry in a slot.
func (db *DB) edgeTTLs(t kv.Txn, slot uint16, visit func(at int64)) error {
	span := db.ttlSpan(t, slot, -1)
	timeAt := len(span.Start)
	for _, reverse := range []bool{false, true} {
		err := t.Snapshot().Scan(span, kv.ScanOptions{Reverse: reverse, Limit: 1}, func(key, _ []byte) bool {
			if len(key) >= timeAt+8 {
				visit(int64(binary.BigEndian.Uint64(key[timeAt:])))
			}
			return false
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ttlSpan holds the slot's TTL rows up to the time last, all for -1.
func (db *DB) ttlSpan(t kv.Txn, slot uint16, last int64) base.Span {
	start := append(db.slotRow(t, slot), keyspace.SlotTTL)
	if last < 0 {
		return base.Span{Start: start, End: append(db.slotRow(t, slot), keyspace.SlotTTL+1)}
	}
	end := append(db.slotRow(t, slot), keyspace.SlotTTL)
	return base.Span{Start: start, End: binary.BigEndian.AppendUint64(end, uint64(last)+1)}
}

// CountKeysInSlot is CLUSTER COUNTKEYSINSLOT.
func CountKeysInSlot(t kv.Txn, db *DB, slot uint16) (int64, error) {
	row := append(db.slotRow(t, slot), keyspace.SlotCounters, slotCounter)
	raw, err := t.Snapshot().Get(row)
	if err != nil || raw == nil {
		return 0, err
	}
	c, err := decodeCounters(raw)
	return c.keys, err
}

// SlotRange is the slots from First to Last, both included.
type SlotRange struct{ First, Last uint16 }

// AllSlots is every slot.
var AllSlots = SlotRange{0, hashslot.Slots - 1}

// expireSlotsMax bounds the slots that one FindDue looks at.
const expireSlotsMax = 1024

// Due is what FindDue has found.
type Due struct {
	// Keys may be overdue, or hold overdue fields.
	Keys [][]byte
	// More is true when the range is not finished: Next is the slot to go on with.
	More bool
	Next uint16
}

// FindDue looks for up to limit keys that may be overdue at now, in a range of
// slots. hints may be behind: ExpireKeys judges every key.
func FindDue(hints kv.Reader, db *DB, r SlotRange, now int64, limit int) (d Due, err error) {
	d.Next = r.First
	for slots := 0; ; slots++ {
		slot, found, err := db.nextTTLSlot(hints, d.Next)
		if err != nil || !found || slot > r.Last {
			return d, err
		}
		d.Next = slot
		if slots >= expireSlotsMax || len(d.Keys) >= limit {
			d.More = true
			return d, nil
		}
		if err := db.dueInSlot(hints, slot, now, limit, &d); err != nil || d.More {
			return d, err
		}
		if slot == r.Last {
			return d, nil
		}
		d.Next = slot + 1
	}
}

// slotStart is the first key that a slot's area can have.
func (db *DB) slotStart(slot uint16, area byte) []byte {
	return append(keyspace.AppendRedisSlot(nil, db.prefix, slot), area)
}

// nextTTLSlot finds the first slot at or behind from that has TTL rows: of each
// slot it seeks the rows behind those of the keys.
func (db *DB) nextTTLSlot(hints kv.Reader, from uint16) (slot uint16, found bool, err error) {
	for {
		var bad error
		var area byte
		hit := false
		span := base.Span{Start: db.slotStart(from, keyspace.SlotTTL), End: keyspace.AppendRedisSlot(nil, db.prefix, hashslot.Slots)}
		err := hints.Scan(span, kv.ScanOptions{Limit: 1}, func(key, _ []byte) bool {
			hit = true
			slot, area, _, bad = db.splitRow(key)
			return false
		})
		if err == nil {
			err = bad
		}
		if err != nil || !hit {
			return 0, false, err
		}
		if area == keyspace.SlotTTL {
			return slot, true, nil
		}
		from = slot
	}
}

// dueInSlot adds the keys of a slot's due TTL rows to d, up to limit in all.
func (db *DB) dueInSlot(hints kv.Reader, slot uint16, now int64, limit int, d *Due) error {
	start := db.slotStart(slot, keyspace.SlotTTL)
	span := base.Span{Start: start, End: binary.BigEndian.AppendUint64(bytes.Clone(start), uint64(now)+1)}
	var bad error
	err := hints.Scan(span, kv.ScanOptions{}, func(key, _ []byte) bool {
		if len(d.Keys) == limit {
			d.More = true
			return false
		}
		row := key[len(start):]
		if len(row) < 8 {
			bad = Corrupt("TTL row of %d bytes", len(row))
			return false
		}
		name, _, ok := keyspace.DecodeEscaped(nil, row[8:])
		if !ok {
			bad = Corrupt("TTL row %x", row)
			return false
		}
		d.Keys = append(d.Keys, name)
		return true
	})
	if err == nil {
		err = bad
	}
	return err
}

// ExpireKeys deletes what of keys is overdue. Visited counts the keys of which
// something was, and more is true when there is more to delete of them.
func ExpireKeys(t kv.Txn, db *DB, keys [][]byte) (visited int, more bool, err error) {
	for _, key := range keys {
		did, over, err := db.expireRow(t, key)
		if err != nil {
			return 0, false, err
		}
		if did {
			visited++
		}
		more = more || !over
	}
	return visited, more, nil
}

// expireRow handles the key of a due row: did tells whether anything of it was
// overdue, and over is false when more of it is due.
func (db *DB) expireRow(t kv.Txn, key []byte) (did, over bool, err error) {
	var e Entry
	if err := e.Lookup(t, db, key); err != nil {
		return false, false, err
	}
	return e.reaped, !e.Found || e.Header.elementsAt == 0 || e.Header.elementsAt > t.NowMillis(), nil
}

// FlushDB is FLUSHDB.
func FlushDB(t kv.Txn, db *DB) { t.ClearRange(db.Span()) }

// FlushAll is FLUSHALL: every database of a namespace.
func FlushAll(t kv.Txn, ns keyspace.NamespaceID) {
	t.ClearRange(base.PrefixSpan(keyspace.AppendModel(nil, ns, keyspace.ModelRedis)))
}
