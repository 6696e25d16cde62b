package stream

import (
	"math"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// The caller's errors.
var (
	ErrZeroID    = redis.NewError("ERR The ID specified in XADD must be greater than 0-0")
	ErrSmallID   = redis.NewError("ERR The ID specified in XADD is equal or smaller than the target stream top item")
	ErrExhausted = redis.NewError("ERR The stream has exhausted the last possible ID, unable to add more items")
	ErrTooLarge  = redis.NewError("ERR Elements are too large to be stored")

	errSetDeleted = redis.NewError("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id")
	errSetTop     = redis.NewError("ERR The ID specified in XSETID is smaller than the target stream top item")
	errSetAdded   = redis.NewError("ERR The entries_added specified in XSETID is smaller than the target stream length")
)

// TrimBy is what a stream is trimmed by.
type TrimBy uint8

// Trims.
const (
	NoTrim TrimBy = iota
	ByLength
	ByID
)

// Trim is how a stream becomes shorter: to MaxLen entries, or to those from MinID on.
type Trim struct {
	By     TrimBy
	MaxLen int64
	MinID  ID
	// About lets it leave up to as many entries more as Redis has in a node, so that it
	// does not have to do something each time.
	About bool
	// Limit is how many entries an About may delete at once; 0 is any number.
	Limit int64
}

// nodeEntries is Redis's default of stream-node-max-entries: by how many entries an About
// deletes.
const nodeEntries = 100

// DefaultLimit is the Limit of an About that has none.
const DefaultLimit = 100 * nodeEntries

// AddOptions are those of XADD.
type AddOptions struct {
	// ID is the new entry's. With Auto it is found, with AutoSeq its sequence number is.
	ID            ID
	Auto, AutoSeq bool
	// Existing says that a stream that does not exist is not made.
	Existing bool
	Trim     Trim
}

// Add is XADD: the new entry's ID. fields are fields and values in turn. added is false if
// there is no stream and none is made.
func Add(t kv.Txn, db *redis.DB, key []byte, o AddOptions, fields [][]byte) (id ID, added bool, err error) {
	if !o.Auto && !o.AutoSeq && o.ID == (ID{}) {
		return id, false, ErrZeroID
	}
	var s stream
	if err := s.open(t, db, key); err != nil || !s.Found && o.Existing {
		return id, false, err
	}
	if id, err = s.nextID(&o); err != nil {
		return id, false, err
	}
	size := stringsBytes(fields)
	if size > redis.MaxFieldValueBytes {
		return id, false, ErrTooLarge
	}
	t.Set(s.entryRow(id), appendStrings(t.Alloc(size)[:0], fields))
	if s.n == 0 {
		s.first = id
	}
	s.n++
	s.added++
	s.last = id
	trimmed := int64(0)
	if o.Trim.By != NoTrim {
		kept, how := s, o.Trim // s stays where it costs nothing
		if trimmed, err = kept.trim(&how); err != nil {
			return id, false, err
		}
		s = kept
	}
	s.save()
	s.Event(redis.EventStream, "xadd")
	if trimmed > 0 {
		s.Event(redis.EventStream, "xtrim")
	}
	return id, true, nil
}

// nextID is the ID of a new entry.
func (s *stream) nextID(o *AddOptions) (ID, error) {
	switch now := uint64(s.t.NowMillis()); {
	case s.last == MaxID:
		return ID{}, ErrExhausted
	case o.Auto && now > s.last.Ms:
		return ID{now, 0}, nil
	case o.Auto:
		id, _ := s.last.Next()
		return id, nil
	case o.AutoSeq && o.ID.Ms == s.last.Ms && s.last.Seq < math.MaxUint64:
		return ID{s.last.Ms, s.last.Seq + 1}, nil
	case !s.last.less(o.ID):
		return ID{}, ErrSmallID
	}
	return o.ID, nil
}

// trim deletes entries from the front; the caller saves.
func (s *stream) trim(o *Trim) (deleted int64, err error) {
	switch o.By {
	case NoTrim:
		return 0, nil
	case ByLength:
		deleted = max(s.n-o.MaxLen, 0)
	case ByID:
		if deleted, err = s.before(o); err != nil {
			return 0, err
		}
	}
	if o.About {
		if o.Limit > 0 {
			deleted = min(deleted, o.Limit)
		}
		if deleted < s.n {
			deleted -= deleted % nodeEntries
		}
	}
	if deleted == 0 {
		return 0, nil
	}
	first, err := s.nth(deleted)
	if err != nil {
		return 0, err
	}
	span := base.Span{Start: s.entryRow(s.first), End: s.Part(s.t, redis.PartEntry+1, 0)}
	if deleted < s.n {
		span.End = s.entryRow(first)
	}
	s.t.ClearRange(span)
	s.n -= deleted
	s.first = first
	return deleted, nil
}

// before counts the entries before MinID, as far as they matter.
func (s *stream) before(o *Trim) (n int64, err error) {
	switch to, some := o.MinID.Prev(); {
	case s.n == 0 || !some:
		return 0, nil
	case s.last.less(o.MinID):
		return s.n, nil
	default:
		err = s.scan(s.first, to, kv.ScanOptions{}, func(ID, []byte) bool {
			n++
			return !o.About || o.Limit == 0 || n < o.Limit
		})
		return n, err
	}
}

// nth is the ID of the entry with n others before it, the first ID if there is none. It
// counts from the nearer end.
func (s *stream) nth(n int64) (id ID, err error) {
	if n >= s.n {
		return ID{}, nil
	}
	reverse := n > s.n/2
	left := n
	if reverse {
		left = s.n - 1 - n
	}
	found := false
	err = s.scan(s.first, s.last, kv.ScanOptions{Reverse: reverse}, func(at ID, _ []byte) bool {
		id, found = at, left == 0
		left--
		return !found
	})
	if err == nil && !found {
		err = redis.Corrupt("stream of %d entries has fewer", s.n)
	}
	return id, err
}

// TrimTo is XTRIM: the number of entries that it deleted.
func TrimTo(t kv.Txn, db *redis.DB, key []byte, o Trim) (int64, error) {
	var s stream
	if err := s.open(t, db, key); err != nil || !s.Found {
		return 0, err
	}
	n, err := s.trim(&o)
	if err == nil && n > 0 {
		s.save()
		s.Event(redis.EventStream, "xtrim")
	}
	return n, err
}

// Has reports whether there is a stream.
func Has(t kv.Txn, db *redis.DB, key []byte) (bool, error) {
	var s stream
	err := s.read(t, db, key)
	return s.Found, err
}

// Len is XLEN.
func Len(t kv.Txn, db *redis.DB, key []byte) (int64, error) {
	var s stream
	err := s.read(t, db, key)
	return s.n, err
}

// RangeOptions are those of Range: both ends are included, and a Count of 0 is all.
type RangeOptions struct {
	Start, End ID
	Reverse    bool
	Count      int64
}

// Range is XRANGE and XREVRANGE: entries are appended to dst. found tells whether there is
// a stream.
func Range(t kv.Txn, db *redis.DB, key []byte, o RangeOptions, dst []Item) (items []Item, found bool, err error) {
	var s stream
	if err := s.read(t, db, key); err != nil || !s.Found {
		return dst, false, err
	}
	items, err = s.items(o.Start, o.End, o.Reverse, o.Count, dst)
	return items, true, err
}

// Del is XDEL: the number of entries that it deleted.
func Del(t kv.Txn, db *redis.DB, key []byte, ids []ID) (deleted int64, err error) {
	var s stream
	if err := s.open(t, db, key); err != nil || !s.Found {
		return 0, err
	}
	edge := false
	for _, id := range ids {
		row := s.entryRow(id)
		raw, err := t.Snapshot().Get(row)
		if err != nil {
			return 0, err
		}
		if raw == nil {
			continue
		}
		t.Clear(row)
		deleted++
		s.n--
		edge = edge || id == s.first
		if s.maxDeleted.less(id) {
			s.maxDeleted = id
		}
	}
	switch {
	case deleted == 0:
		return 0, nil
	case s.n == 0:
		s.first = ID{}
	case edge:
		if s.first, err = s.nth(0); err != nil {
			return 0, err
		}
	}
	s.save()
	s.Event(redis.EventStream, "xdel")
	return deleted, nil
}

// SetIDOptions are those of XSETID; Added is -1 if it stays as it is.
type SetIDOptions struct {
	Last, MaxDeleted ID
	Added            int64
}

// SetID is XSETID.
func SetID(t kv.Txn, db *redis.DB, key []byte, o SetIDOptions) error {
	var s stream
	if err := s.open(t, db, key); err != nil {
		return err
	}
	switch {
	case !s.Found:
		return redis.ErrNoSuchKey
	case o.Last.less(s.maxDeleted):
		return errSetDeleted
	}
	if s.n > 0 {
		top, _, err := s.edge(true)
		switch {
		case err != nil:
			return err
		case o.Last.less(top.ID):
			return errSetTop
		case o.Added >= 0 && s.n > o.Added:
			return errSetAdded
		}
	}
	s.last = o.Last
	if o.Added >= 0 {
		s.added = o.Added
	}
	if o.MaxDeleted != (ID{}) {
		s.maxDeleted = o.MaxDeleted
	}
	s.save()
	s.Event(redis.EventStream, "xsetid")
	return nil
}
