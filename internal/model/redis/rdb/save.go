package rdb

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"io"
	"math"
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/list"
	"github.com/stratadb/strata/internal/model/redis/zset"
)

// Target is what a file is written to, from its beginning.
type Target interface {
	io.WriteSeeker
	Truncate(size int64) error
}

// State is what a file is to hold, as of a moment.
type State struct {
	Databases []*redis.DB // in the order of their numbers
	Functions []string    // the code of libraries
}

// SaveOptions are what Save works with.
type SaveOptions struct {
	Session *kv.Session
	// Moment is a stamp at which the newest state is read.
	Moment func() (base.Stamp, error)
	// Open finds what is there at such a stamp.
	Open func(t kv.Txn) (State, error)
	// Aux are names and values at the beginning, in turn.
	Aux []string
	// Stopped is an error when the work is to end.
	Stopped func() error
}

// Saved is what Save has written.
type Saved struct {
	Keys, Bytes int64
	// Moments is of how many states the file is made: one, unless what was read at first was
	// not kept for as long as it took to read the rest. A key's value is always of one.
	Moments int
}

const (
	savePageKeys  = 512
	savePageBytes = 4 << 20
	// saveLargeCount and saveLargeBytes are from where on a value is written piece by piece.
	saveLargeCount = 512
	saveLargeBytes = 4 << 20
	// saveTries bounds the moments at which a key is tried that takes too long to read.
	saveTries = 3
	// savedVersion is that of Redis 7.0. What only later ones know has a type of its own.
	savedVersion = "REDIS0010"
)

// ErrSwapped says that databases were exchanged between two moments of a file.
var ErrSwapped = errors.New("databases were exchanged by SWAPDB meanwhile")

// Save writes a file of Redis. It holds a page of keys, or a piece of a large value, in memory.
func Save(to Target, o SaveOptions) (Saved, error) {
	s := &saving{o: o, to: to, w: bufio.NewWriterSize(to, 1<<20), crc: math.MaxUint64}
	s.put([]byte(savedVersion))
	for i := 0; i+1 < len(o.Aux); i += 2 {
		w := writer{b: []byte{opAux}}
		w.string([]byte(o.Aux[i]))
		w.string([]byte(o.Aux[i+1]))
		s.put(w.b)
	}
	err := s.all()
	if err == nil {
		s.put([]byte{opEnd})
		s.put(binary.LittleEndian.AppendUint64(nil, ^s.crc))
		err = s.flush()
	}
	s.done.Bytes = s.written
	return s.done, err
}

// saving is a file under way.
type saving struct {
	o       SaveOptions
	to      Target
	w       *bufio.Writer
	err     error
	written int64
	crc     uint64 // complemented; see checksum
	at      base.Stamp
	state   State
	done    Saved
}

func (s *saving) put(b []byte) {
	if s.err == nil {
		_, s.err = s.w.Write(b)
		s.written += int64(len(b))
		s.crc = crc64.Update(s.crc, table, b)
	}
}

func (s *saving) flush() error {
	if s.err == nil {
		s.err = s.w.Flush()
	}
	return s.err
}

// mark is a place in the file to come back to.
type mark struct {
	written int64
	crc     uint64
	keys    int64
}

func (s *saving) mark() mark { return mark{s.written, s.crc, s.done.Keys} }

func (s *saving) rewind(m mark) error {
	if err := s.flush(); err != nil {
		return err
	}
	if s.err = s.to.Truncate(m.written); s.err == nil {
		_, s.err = s.to.Seek(m.written, io.SeekStart)
	}
	s.written, s.crc, s.done.Keys = m.written, m.crc, m.keys
	return s.err
}

// begin takes the newest state for what is read from now on.
func (s *saving) begin() (err error) {
	if s.at, err = s.o.Moment(); err != nil {
		return err
	}
	return s.o.Session.ReadAt(s.at, func(t kv.Txn) error {
		state, err := s.o.Open(t)
		if err != nil {
			return err
		}
		if s.done.Moments > 0 && !slices.EqualFunc(s.state.Databases, state.Databases, func(a, b *redis.DB) bool { return slices.Equal(a.Span().Start, b.Span().Start) }) {
			return ErrSwapped
		}
		s.state = state
		s.done.Moments++
		return nil
	})
}

// read runs fn at the moment.
func (s *saving) read(fn func(t kv.Txn) error) error {
	if err := s.o.Stopped(); err != nil {
		return err
	}
	if err := s.o.Session.ReadAt(s.at, fn); err != nil {
		return err
	}
	return s.err
}

func (s *saving) all() error {
	if err := s.begin(); err != nil {
		return err
	}
	for _, code := range s.state.Functions {
		w := writer{b: []byte{opFunction}}
		w.string([]byte(code))
		s.put(w.b)
	}
	for i := range s.state.Databases {
		before := s.mark()
		w := writer{b: []byte{opSelect}}
		w.length(uint64(s.state.Databases[i].Number()))
		s.put(w.b)
		from := s.done.Keys
		if err := s.database(i); err != nil {
			return err
		}
		if s.done.Keys == from {
			if err := s.rewind(before); err != nil {
				return err
			}
		}
	}
	return nil
}

// database writes a database, page by page. Where a moment is over, it goes on with the same page
// at a new one.
func (s *saving) database(i int) error {
	cursor, count, tries := uint64(0), savePageKeys, 0
	for {
		before := s.mark()
		next, key, err := s.page(s.state.Databases[i], cursor, count)
		switch {
		case err == nil && next == 0:
			return nil
		case err == nil:
			cursor, count, tries = next, savePageKeys, 0
			continue
		case !base.Retryable(err) && !errors.Is(err, base.ErrUnavailable):
			return err
		case tries == saveTries:
			return errors.Wrapf(err, "key %q takes longer to read than its versions are kept", key)
		}
		tries++
		if count = 1; tries == 1 {
			count = savePageKeys / 8
		}
		if err := s.rewind(before); err != nil {
			return err
		}
		if before.keys == 0 {
			s.done.Moments = 0
		}
		if err := s.begin(); err != nil {
			return err
		}
	}
}

// page writes some keys, and names the last one.
func (s *saving) page(db *redis.DB, cursor uint64, count int) (next uint64, last []byte, err error) {
	var keys [][]byte
	if err := s.read(func(t kv.Txn) error {
		found := [][]byte(nil)
		next, found, err = redis.Scan(t, db, cursor, redis.ScanOptions{Count: count}, nil)
		for _, key := range found {
			keys = append(keys, slices.Clone(key))
		}
		return err
	}); err != nil {
		return 0, nil, err
	}
	for len(keys) > 0 {
		last = keys[0]
		if err := s.some(db, &keys); err != nil {
			return 0, last, err
		}
	}
	return next, last, nil
}

// some writes the first of keys, as many as are not large, or one that is.
func (s *saving) some(db *redis.DB, keys *[][]byte) error {
	before, large := s.mark(), large{}
	if err := s.read(func(t kv.Txn) error {
		for len(*keys) > 0 && s.written-before.written < savePageBytes {
			var err error
			if large, err = s.key(t, db, (*keys)[0]); err != nil || large.n > 0 {
				return err
			}
			*keys = (*keys)[1:]
		}
		return nil
	}); err != nil || large.n == 0 {
		return err
	}
	*keys = (*keys)[1:]
	return s.pieces(db, large)
}

// large is a value that is written piece by piece.
type large struct {
	key      []byte
	kind     redis.Type
	expireAt int64
	n        int64 // elements, or bytes
}

// key writes a key with its value, unless that is large.
func (s *saving) key(t kv.Txn, db *redis.DB, key []byte) (large, error) {
	var e redis.Entry
	if err := e.Lookup(t, db, key); err != nil || !e.Found {
		return large{}, err
	}
	l := large{key: key, kind: e.Header.Kind, expireAt: e.Header.ExpireAt}
	n, err := int64(0), error(nil)
	switch {
	case l.kind == redis.TypeString:
		if n = e.StringLen(); n < saveLargeBytes {
			n = 0
		}
	case l.kind == redis.TypeList:
		n, err = list.Len(t, db, key)
	case l.kind == redis.TypeSet:
		n, err = redis.SCard(t, db, key)
	case l.kind == redis.TypeZSet:
		n, err = zset.Card(t, db, key)
	case l.kind == redis.TypeHash && !e.Header.TimedElements():
		n, err = redis.HLen(t, db, key)
	}
	if l.kind != redis.TypeString && n < saveLargeCount {
		n = 0
	}
	if l.n = n; err != nil || n > 0 {
		return l, err
	}
	payload, err := Dump(t, db, key)
	if err != nil || payload == nil {
		return l, err
	}
	s.open(payload[0], &l)
	s.put(payload[1 : len(payload)-trailerBytes])
	return l, nil
}

// open writes what stands before a value.
func (s *saving) open(kind byte, l *large) {
	w := writer{}
	if l.expireAt != 0 {
		w.b = binary.LittleEndian.AppendUint64(append(w.b, opExpireMs), uint64(l.expireAt))
	}
	w.b = append(w.b, kind)
	w.string(l.key)
	s.put(w.b)
	s.done.Keys++
}

// pieces writes a large value, of which there are as many elements as was said, since all is
// of one moment.
func (s *saving) pieces(db *redis.DB, l large) error {
	s.open(map[redis.Type]byte{redis.TypeString: typeString, redis.TypeList: typeList, redis.TypeSet: typeSet, redis.TypeZSet: typeZSet, redis.TypeHash: typeHash}[l.kind], &l)
	w := writer{}
	w.length(uint64(l.n))
	s.put(w.b)
	for done, cursor := int64(0), uint64(0); done < l.n; {
		n := int64(0)
		if err := s.read(func(t kv.Txn) (err error) {
			w.b = w.b[:0]
			n, cursor, err = w.piece(t, db, &l, done, cursor)
			return err
		}); err != nil {
			return err
		}
		s.put(w.b)
		if done += n; n == 0 || done > l.n || done < l.n && cursor == 0 && (l.kind == redis.TypeSet || l.kind == redis.TypeHash) {
			return errors.Wrapf(base.ErrCorruption, "key %q has %d elements, and not %d", l.key, done, l.n)
		}
	}
	return s.err
}

// piece appends some elements, behind those that are done.
func (w *writer) piece(t kv.Txn, db *redis.DB, l *large, done int64, cursor uint64) (n int64, next uint64, err error) {
	last := done + saveLargeCount - 1
	switch l.kind {
	case redis.TypeString:
		text, err := redis.GetRange(t, db, l.key, done, done+saveLargeBytes-1)
		w.b = append(w.b, text...)
		return int64(len(text)), 0, err
	case redis.TypeList:
		all, err := list.Range(t, db, l.key, done, last, nil)
		for _, e := range all {
			w.string(e)
		}
		return int64(len(all)), 0, err
	case redis.TypeZSet:
		all, err := zset.Range(t, db, l.key, zset.RangeOptions{Start: done, Stop: last}, nil)
		for i := range all {
			w.string(all[i].Member)
			w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(all[i].Score))
		}
		return int64(len(all)), 0, err
	}
	scan := redis.SScan
	if l.kind == redis.TypeHash {
		scan = redis.HScan
	}
	next, all, err := scan(t, db, l.key, cursor, redis.ScanOptions{Count: saveLargeCount}, nil)
	for i := range all {
		w.string(all[i].Field)
		if l.kind == redis.TypeHash {
			w.string(all[i].Value)
		}
	}
	return int64(len(all)), next, err
}

// String says it in a line.
func (d Saved) String() string {
	return fmt.Sprintf("%d keys in %d bytes, of %d moments", d.Keys, d.Bytes, d.Moments)
}
