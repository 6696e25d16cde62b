package redis

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/hashslot"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// Report is what a check of stored data found.
type Report struct {
	Keys, Expiring, Elements int64
	// Problems holds the first CheckProblemsMax contradictions.
	Problems []string
}

// CheckProblemsMax bounds the problems of a report.
const CheckProblemsMax = 100

func (r *Report) problem(format string, args ...any) {
	if len(r.Problems) < CheckProblemsMax {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// ValueCheck checks the rows behind one header: Row each of them in their order, and Close
// what they say together.
type ValueCheck interface {
	Row(part byte, rest, value []byte) error
	Close()
}

// Checked is a value that is being checked.
type Checked struct {
	// Row is the key of the header, H what it says.
	Row    []byte
	Header Header
	// Txn reads what is checked.
	Txn kv.Txn
	r   *Report
}

// Problem reports a contradiction.
func (c *Checked) Problem(format string, args ...any) {
	c.r.problem("%s: %s", keyspace.Pretty(c.Row), fmt.Sprintf(format, args...))
}

// Checks begin the check of a value of a type. Those that this package has itself are not
// among them.
type Checks map[Type]func(c *Checked) ValueCheck

// CheckDB checks every slot of a database: see CheckSlot.
func CheckDB(r kv.Reader, db *DB, checks Checks) (Report, error) {
	var sum Report
	from := db.Span().Start
	for {
		var slot uint16
		found, bad := false, error(nil)
		err := r.Scan(base.Span{Start: from, End: db.Span().End}, kv.ScanOptions{Limit: 1}, func(key, _ []byte) bool {
			found = true
			slot, _, _, bad = db.splitRow(key)
			return false
		})
		if err != nil {
			return sum, err
		}
		if bad != nil {
			sum.problem("%v", bad)
			return sum, nil
		}
		if !found {
			return sum, nil
		}
		if err := checkSlot(r, db, slot, checks, &sum); err != nil {
			return sum, err
		}
		from = db.SlotSpan(slot).End
	}
}

// CheckSlot reads all rows of a slot and reports what contradicts the layout:
// counters that do not count the headers, TTL rows without a header that expires
// then and the other way round, rows behind a header that it does not count, rows
// in a place that is not theirs. It ignores whether something is overdue.
func CheckSlot(r kv.Reader, db *DB, slot uint16, checks Checks) (Report, error) {
	var rep Report
	err := checkSlot(r, db, slot, checks, &rep)
	return rep, err
}

// slotCheck is the state of a check that reads a slot in key order.
type slotCheck struct {
	*Report
	r        kv.Reader
	db       *DB
	slot     uint16
	counted  slotCounters
	stored   slotCounters
	ttlRows  int64
	row      []byte // of the current header, nil before the first
	h        Header
	expiring int64
	fields   int64
	checks   Checks
	value    ValueCheck // of a type of another package
	times    int64
	first    int64
	asked    [][]byte // rows that must exist
	unusable bool
}

func checkSlot(r kv.Reader, db *DB, slot uint16, checks Checks, rep *Report) error {
	c := slotCheck{Report: rep, r: r, db: db, slot: slot, checks: checks}
	if err := r.Scan(db.SlotSpan(slot), kv.ScanOptions{}, func(key, value []byte) bool {
		c.visit(key, value)
		return true
	}); err != nil {
		return err
	}
	c.closeKey()
	if c.stored != c.counted {
		c.problem("slot %d counts %+v, it holds %+v", slot, c.stored, c.counted)
	}
	if want := c.counted.expiring + c.counted.elements; c.ttlRows != want {
		c.problem("slot %d has %d TTL rows for %d times", slot, c.ttlRows, want)
	}
	for _, row := range c.asked {
		v, err := r.Get(row)
		if err != nil {
			return err
		}
		if v == nil {
			c.problem("row %s is missing", keyspace.Pretty(row))
		}
	}
	rep.Keys += c.counted.keys
	rep.Expiring += c.counted.expiring
	return nil
}

func (c *slotCheck) visit(key, value []byte) {
	_, area, rest, err := c.db.splitRow(key)
	switch {
	case err != nil:
		c.problem("%v", err)
	case area == keyspace.SlotCounters:
		if c.stored, err = decodeCounters(value); err != nil {
			c.problem("slot %d: %v", c.slot, err)
		}
	case area == keyspace.SlotTTL:
		c.ttlRows++
	case c.row != nil && bytes.HasPrefix(key, c.row):
		if err := c.element(key, value); err != nil {
			c.problem("%v", err)
		}
	default:
		c.closeKey()
		c.openKey(key, value, rest)
	}
}

// openKey begins with the header of a key.
func (c *slotCheck) openKey(row, value, rest []byte) {
	c.row, c.unusable = bytes.Clone(row), false
	c.expiring, c.fields, c.times, c.first, c.value = 0, 0, 0, 0, nil
	c.counted.keys++
	h, err := decodeHeader(value)
	if err != nil {
		c.problem("%s: %v", keyspace.Pretty(row), err)
		c.unusable = true
		return
	}
	h.Body = bytes.Clone(h.Body)
	c.h = h
	if len(rest) < PlaceBytes {
		c.problem("%s is too short", keyspace.Pretty(row))
		return
	}
	key, part, ok := keyspace.DecodeEscaped(nil, rest[PlaceBytes:])
	if !ok || len(part) > 0 {
		c.problem("%s has no header", keyspace.Pretty(row))
		c.unusable = true
		return
	}
	if hashslot.Slot(key) != c.slot || PlaceOf(key) != DecodePlace(rest) {
		c.problem("%s is in the wrong place", keyspace.Pretty(row))
	}
	e := Entry{DB: c.db, key: key, Row: c.row}
	if h.ExpireAt != 0 {
		c.counted.expiring++
		c.asked = append(c.asked, e.ttlRow(heap{}, h.ExpireAt, false))
	}
	if h.elementsAt != 0 {
		c.counted.elements++
		c.asked = append(c.asked, e.ttlRow(heap{}, h.elementsAt, true))
	}
	switch {
	case c.fielded() && h.Enc != encRows:
		c.inlineFields()
	case c.checks[h.Kind] != nil:
		c.value = c.checks[h.Kind](&Checked{c.row, h, reading{r: c.r}, c.Report})
	}
}

// fielded reports whether the key has fields: members of a set are fields without values.
func (c *slotCheck) fielded() bool { return c.h.Kind == TypeHash || c.h.Kind == TypeSet }

func (c *slotCheck) inlineFields() {
	it := iterFields(&c.h)
	seen := map[string]bool{}
	for it.next() {
		if seen[string(it.Field)] {
			c.problem("%s holds the field %q twice", keyspace.Pretty(c.row), it.Field)
		}
		seen[string(it.Field)] = true
		c.fields++
		c.time(it.expireAt)
	}
	if it.err != nil {
		c.problem("%s: %v", keyspace.Pretty(c.row), it.err)
	}
}

func (c *slotCheck) time(at int64) {
	if at != 0 && (c.first == 0 || at < c.first) {
		c.first = at
	}
}

// element checks a row behind the current header.
func (c *slotCheck) element(key, value []byte) error {
	if c.unusable {
		return nil
	}
	c.Elements++
	part, rest := key[len(c.row)], key[len(c.row)+1:]
	switch {
	case c.h.Kind == TypeString && c.h.Enc == EncPieces && part == partPiece && len(rest) == 4:
		at := int64(binary.BigEndian.Uint32(rest)) * c.h.pieceBytes()
		if int64(len(value)) > c.h.pieceBytes() || at+int64(len(value)) > c.h.piecesLen() {
			return Corrupt("%s leaves its string of %d bytes", keyspace.Pretty(key), c.h.piecesLen())
		}
		return nil
	case c.fielded() && c.h.Enc == encRows && part == partField:
		return c.field(key, value)
	case c.h.Kind == TypeHash && c.h.Enc == encRows && part == partFieldTTL && len(rest) >= 8:
		c.times--
		return nil
	case c.value != nil && c.h.hasRows():
		if err := c.value.Row(part, rest, value); err != nil {
			return errors.Wrapf(err, "%s", keyspace.Pretty(key))
		}
		return nil
	}
	return Corrupt("%s is an orphan", keyspace.Pretty(key))
}

func (c *slotCheck) field(key, value []byte) error {
	field, p, err := fieldOfRow(len(c.row), key)
	if err != nil {
		return err
	}
	f, err := decodeFieldRow(value)
	if err != nil {
		return err
	}
	if PlaceOf(field) != p {
		return Corrupt("%s is in the wrong place", keyspace.Pretty(key))
	}
	c.fields++
	if f.expireAt != 0 {
		e := Entry{DB: c.db, Row: c.row}
		c.times++
		c.expiring++
		c.time(f.expireAt)
		c.asked = append(c.asked, e.fieldTTLRow(heap{}, f.expireAt, bytes.Clone(field)))
	}
	return nil
}

// closeKey compares the current header with what stood behind it.
func (c *slotCheck) closeKey() {
	switch {
	case c.row == nil || c.unusable:
	case c.fielded():
		c.closeHash()
	case c.value != nil:
		c.value.Close()
	}
}

func (c *slotCheck) closeHash() {
	if c.first != c.h.elementsAt {
		c.problem("%s: first field expires at %d, not %d", keyspace.Pretty(c.row), c.first, c.h.elementsAt)
	}
	if c.fields == 0 {
		c.problem("%s is empty", keyspace.Pretty(c.row))
	}
	if c.times != 0 {
		c.problem("%s: %+d fields without a TTL row", keyspace.Pretty(c.row), c.times)
	}
	if c.h.Enc != encRows {
		return
	}
	if n, expiring := c.h.rowCounts(); n != c.fields || expiring != c.expiring {
		c.problem("%s counts %d fields, %d expiring, it has %d and %d",
			keyspace.Pretty(c.row), n, expiring, c.fields, c.expiring)
	}
}

// heap hands out garbage-collected memory where row builders ask for a
// transaction's.
type heap struct{ kv.Txn }

func (heap) Alloc(n int) []byte { return make([]byte, n) }

// reading is a transaction that only reads.
type reading struct {
	heap
	r kv.Reader
}

func (t reading) Snapshot() kv.Reader { return t.r }
