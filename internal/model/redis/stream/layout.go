package stream

import (
	"encoding/binary"
	"errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// encRows is the encoding of a stream. On disk.
const encRows redis.Encoding = 2

const bodyBytes = 8 + 3*idBytes + 8 + 4 + 4

// Item is an entry; Fields are fields and values in turn, nil for one that is gone.
type Item struct {
	ID     ID
	Fields [][]byte
}

// stream is a stream as one command sees it.
type stream struct {
	redis.Entry
	t                       kv.Txn
	n                       int64
	first, last, maxDeleted ID
	added                   int64
	groups, nextGroup       uint32
}

// open looks a stream up for a command that may write.
func (s *stream) open(t kv.Txn, db *redis.DB, key []byte) error {
	s.t = t
	if err := s.LookupAs(t, db, key, redis.TypeStream); err != nil {
		return err
	}
	return s.decode()
}

// read is open for a command that only reads.
func (s *stream) read(t kv.Txn, db *redis.DB, key []byte) error {
	s.t = t
	if err := s.ReadAs(t, db, key, redis.TypeStream); err != nil {
		return err
	}
	return s.decode()
}

func (s *stream) decode() error {
	if !s.Found {
		return nil
	}
	b := s.Header.Body
	if s.Header.Enc != encRows || len(b) != bodyBytes {
		return redis.Corrupt("stream of encoding %d with a body of %d bytes", s.Header.Enc, len(b))
	}
	s.n = int64(binary.BigEndian.Uint64(b))
	s.first, s.last, s.maxDeleted = getID(b[8:]), getID(b[24:]), getID(b[40:])
	s.added = int64(binary.BigEndian.Uint64(b[56:]))
	s.groups, s.nextGroup = binary.BigEndian.Uint32(b[64:]), binary.BigEndian.Uint32(b[68:])
	if s.n < 0 || s.added < 0 || s.n > 0 && s.last.less(s.first) {
		return redis.Corrupt("stream of %d entries from %v to %v", s.n, s.first, s.last)
	}
	return nil
}

// save writes the header.
func (s *stream) save() {
	h := redis.Header{Kind: redis.TypeStream, Enc: encRows, ExpireAt: s.Header.ExpireAt}
	record, b := redis.NewRecord(s.t, &h, bodyBytes)
	binary.BigEndian.PutUint64(b, uint64(s.n))
	s.first.put(b[8:])
	s.last.put(b[24:])
	s.maxDeleted.put(b[40:])
	binary.BigEndian.PutUint64(b[56:], uint64(s.added))
	binary.BigEndian.PutUint32(b[64:], s.groups)
	binary.BigEndian.PutUint32(b[68:], s.nextGroup)
	s.Store(s.t, &h, record)
}

func (s *stream) entryRow(id ID) []byte {
	row := s.Part(s.t, redis.PartEntry, idBytes)
	id.put(row[len(row)-idBytes:])
	return row
}

func stringsBytes(fields [][]byte) int {
	n := redis.UvarintLen(len(fields))
	for _, f := range fields {
		n += redis.UvarintLen(len(f)) + len(f)
	}
	return n
}

func appendStrings(b []byte, fields [][]byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(fields)))
	for _, f := range fields {
		b = append(binary.AppendUvarint(b, uint64(len(f))), f...)
	}
	return b
}

// decodeStrings reads the value of an entry's row.
func decodeStrings(b []byte) ([][]byte, error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n < 2 || n%2 != 0 || n > uint64(len(b)-w) {
		return nil, redis.Corrupt("entry of %d strings in %d bytes", n, len(b))
	}
	all := make([][]byte, n)
	b = b[w:]
	for i := range all {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return nil, redis.Corrupt("string of %d bytes in %d", n, len(b))
		}
		all[i], b = b[w:w+int(n):w+int(n)], b[w+int(n):]
	}
	if len(b) > 0 {
		return nil, redis.Corrupt("%d bytes behind an entry", len(b))
	}
	return all, nil
}

// scan visits the rows of the entries between two IDs, both included.
func (s *stream) scan(from, to ID, o kv.ScanOptions, visit func(id ID, value []byte) bool) error {
	from, to, some := within(from, to, s.first, s.last)
	if s.n == 0 || !some {
		return nil
	}
	return s.scanIDs(s.entryRow(from), s.entryRow(to), o, visit)
}

// within is what lies from one ID to another, all included, of what there is from low to
// high.
func within(from, to, low, high ID) (first, last ID, some bool) {
	if from.less(low) {
		from = low
	}
	if high.less(to) {
		to = high
	}
	return from, to, !to.less(from)
}

// scanIDs visits rows whose names end in IDs.
func (s *stream) scanIDs(from, to []byte, o kv.ScanOptions, visit func(id ID, value []byte) bool) error {
	var bad error
	err := s.t.Snapshot().Scan(base.Span{Start: from, End: base.Next(to)}, o, func(key, value []byte) bool {
		if len(key) != len(from) {
			bad = redis.Corrupt("stream row of %d bytes", len(key))
			return false
		}
		return visit(getID(key[len(key)-idBytes:]), value)
	})
	if err == nil {
		err = bad
	}
	return err
}

// errEnough ends a visit.
var errEnough = errors.New("enough")

// visitIDs is scanIDs for those who may fail.
func (s *stream) visitIDs(from, to []byte, visit func(id ID, value []byte) error) error {
	var bad error
	err := s.scanIDs(from, to, kv.ScanOptions{}, func(id ID, value []byte) bool {
		bad = visit(id, value)
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	if errors.Is(err, errEnough) {
		err = nil
	}
	return err
}

// visitNames visits rows whose keys are that of the span's start and a name.
func (s *stream) visitNames(span base.Span, visit func(name, value []byte) error) error {
	var bad error
	err := s.t.Snapshot().Scan(span, kv.ScanOptions{}, func(key, value []byte) bool {
		bad = visit(key[len(span.Start):], value)
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	return err
}

// items appends up to count entries between two IDs; 0 is all.
func (s *stream) items(from, to ID, reverse bool, count int64, dst []Item) ([]Item, error) {
	var bad error
	err := s.scan(from, to, kv.ScanOptions{Reverse: reverse}, func(id ID, value []byte) bool {
		var fields [][]byte
		if fields, bad = decodeStrings(value); bad != nil {
			return false
		}
		dst = append(dst, Item{id, fields})
		count--
		return count != 0
	})
	if err == nil {
		err = bad
	}
	return dst, err
}

// item is one entry; found is false if it is gone.
func (s *stream) item(id ID) (x Item, found bool, err error) {
	x.ID = id
	raw, err := s.t.Snapshot().Get(s.entryRow(id))
	if err != nil || raw == nil {
		return x, false, err
	}
	x.Fields, err = decodeStrings(raw)
	return x, true, err
}

// edge is the first or the last entry; found is false in an empty stream.
func (s *stream) edge(last bool) (x Item, found bool, err error) {
	items, err := s.items(ID{}, MaxID, last, 1, nil)
	if err != nil || len(items) == 0 {
		return x, false, err
	}
	return items[0], true, nil
}
