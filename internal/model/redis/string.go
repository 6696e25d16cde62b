package redis

import (
	"bytes"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/redisnum"
)

// Condition restricts a SET or a DELEX.
type Condition uint8

// Conditions, named after the options.
const (
	Always    Condition = iota
	IfAbsent            // NX
	IfPresent           // XX
	IfEqual             // IFEQ: the stored string equals SetOptions.Compare
	IfUnequal           // IFNE: it does not, or the key is absent
)

// SetOptions are the options of SET.
type SetOptions struct {
	Expiry    Expiry
	Condition Condition
	// Compare is what IfEqual and IfUnequal compare with.
	Compare []byte
	// Get asks for the old value.
	Get bool
	// Command names the command in an error about the expiry; "set" if empty.
	Command string
}

// SetResult is what SET did.
type SetResult struct {
	// Stored is false when the condition was not met.
	Stored bool
	// Old is the old value if SetOptions.Get asked for it; nil: absent.
	Old []byte
}

// Set is SET, SETEX and PSETEX. The key's old type does not matter, unless Get
// or a comparison needs a string.
func Set(t kv.Txn, db *DB, key, value []byte, o SetOptions) (r SetResult, err error) {
	var at int64
	if o.Expiry.timed() {
		if o.Command == "" {
			o.Command = "set"
		}
		if at, err = o.Expiry.positive(t.NowMillis(), o.Command); err != nil {
			return r, err
		}
	}
	if len(value) > limits.RESPBulkBytes {
		return r, ErrStringTooLong
	}
	var e Entry
	if err := e.Lookup(t, db, key); err != nil {
		return r, err
	}
	if o.Get {
		if r.Old, err = e.StringOrNil(t); err != nil {
			return r, err
		}
		e.wasRead()
	}
	met, err := e.meets(t, o.Condition, o.Compare)
	if err != nil || !met {
		return r, err
	}
	if o.Expiry.Kind == ExpiryKeep && e.Found {
		at = e.Header.ExpireAt
	}
	e.SetString(t, value, EncInline, at)
	e.Event(EventString, "set")
	if o.Expiry.timed() {
		e.Event(EventGeneric, "expire")
	}
	r.Stored = true
	return r, nil
}

// meets evaluates a condition.
func (e *Entry) meets(t kv.Txn, c Condition, compare []byte) (bool, error) {
	switch c {
	case IfAbsent:
		return !e.Found, nil
	case IfPresent:
		return e.Found, nil
	case IfEqual, IfUnequal:
		old, err := e.StringOrNil(t)
		if err != nil {
			return false, err
		}
		equal := old != nil && bytes.Equal(old, compare)
		return equal == (c == IfEqual), nil
	}
	return true, nil
}

// SetString makes the key a string.
func (e *Entry) SetString(t kv.Txn, value []byte, enc Encoding, expireAt int64) {
	if len(value) > e.DB.Options.StringInlineBytes {
		e.setPieces(t, value, e.DB.Options.PieceBytes, expireAt)
		return
	}
	h := Header{Kind: TypeString, Enc: enc, ExpireAt: expireAt}
	record, body := NewRecord(t, &h, len(value))
	copy(body, value)
	e.replace(t, &h, record)
}

// StringOrNil is the whole string, nil if the key is absent.
func (e *Entry) StringOrNil(t kv.Txn) ([]byte, error) {
	switch {
	case !e.Found:
		return nil, nil
	case e.Header.Kind != TypeString:
		return nil, ErrWrongType
	case e.Header.Enc == EncPieces:
		return e.ReadString(t, 0, e.Header.piecesLen())
	}
	return e.Header.Body, nil
}

// StringLen is the length of a string, 0 if the key is absent.
func (e *Entry) StringLen() int64 {
	switch {
	case !e.Found:
		return 0
	case e.Header.Enc == EncPieces:
		return e.Header.piecesLen()
	}
	return int64(len(e.Header.Body))
}

// Get is GET; nil means absent.
func Get(t kv.Txn, db *DB, key []byte) ([]byte, error) {
	var e Entry
	if err := e.ReadAs(t, db, key, TypeString); err != nil {
		return nil, err
	}
	return e.StringOrNil(t)
}

// MGet is MGET: one value for each key is appended to dst, nil where there is no
// string.
func MGet(t kv.Txn, db *DB, keys, dst [][]byte) ([][]byte, error) {
	for _, key := range keys {
		v, err := Get(t, db, key)
		if err != nil && err != error(ErrWrongType) {
			return nil, err
		}
		dst = append(dst, v)
	}
	return dst, nil
}

// GetSet is GETSET: the old value, nil if absent.
func GetSet(t kv.Txn, db *DB, key, value []byte) ([]byte, error) {
	r, err := Set(t, db, key, value, SetOptions{Get: true})
	return r.Old, err
}

// GetDel is GETDEL: the value that it deleted, nil if absent.
func GetDel(t kv.Txn, db *DB, key []byte) ([]byte, error) {
	var e Entry
	if err := e.ReadAs(t, db, key, TypeString); err != nil || !e.Found {
		return nil, err
	}
	v, err := e.StringOrNil(t)
	if err != nil {
		return nil, err
	}
	e.Remove(t)
	e.Event(EventGeneric, "del")
	return v, nil
}

// GetEx is GETEX: GET that changes the expiry. An absolute time that is over
// deletes the key.
func GetEx(t kv.Txn, db *DB, key []byte, x Expiry) ([]byte, error) {
	var e Entry
	if err := e.ReadAs(t, db, key, TypeString); err != nil || !e.Found {
		return nil, err
	}
	now := t.NowMillis()
	at, err := x.positive(now, "getex")
	if err != nil {
		return nil, err
	}
	v, err := e.StringOrNil(t)
	switch {
	case err != nil:
		return nil, err
	case x.timed() && at <= now:
		e.Remove(t)
		e.Event(EventGeneric, "del")
	case x.timed():
		e.setExpiry(t, at)
		e.Event(EventGeneric, "expire")
	case x.Kind == ExpiryPersist && e.Header.ExpireAt != 0:
		e.setExpiry(t, 0)
		e.Event(EventGeneric, "persist")
	}
	return v, nil
}

// DelEx is DELEX: DEL of a string under a condition; with Always any type.
func DelEx(t kv.Txn, db *DB, key []byte, c Condition, compare []byte) (bool, error) {
	var e Entry
	if err := e.Lookup(t, db, key); err != nil || !e.Found {
		return false, err
	}
	if (c == IfEqual || c == IfUnequal) && e.Header.Kind != TypeString {
		return false, ErrDelExNotString
	}
	met, err := e.meets(t, c, compare)
	if err != nil || !met {
		return false, err
	}
	e.Remove(t)
	e.Event(EventGeneric, "del")
	return true, nil
}

// SetNX is SETNX: whether it stored the value.
func SetNX(t kv.Txn, db *DB, key, value []byte) (bool, error) {
	r, err := Set(t, db, key, value, SetOptions{Condition: IfAbsent})
	return r.Stored, err
}

// MSet is MSET. pairs holds keys and values in turn.
func MSet(t kv.Txn, db *DB, pairs [][]byte) error {
	if err := checkPairs(db, pairs); err != nil {
		return err
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if _, err := Set(t, db, pairs[i], pairs[i+1], SetOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// checkPairs finds the caller's mistakes before the first pair is written.
func checkPairs(db *DB, pairs [][]byte) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		if len(pairs[i+1]) > limits.RESPBulkBytes {
			return ErrStringTooLong
		}
		if tooLong(db, pairs[i]) {
			return ErrKeyTooLong
		}
	}
	return nil
}

// MSetNX is MSETNX: it stores all pairs if none of the keys exists.
func MSetNX(t kv.Txn, db *DB, pairs [][]byte) (bool, error) {
	if err := checkPairs(db, pairs); err != nil {
		return false, err
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		var e Entry
		if err := e.Lookup(t, db, pairs[i]); err != nil || e.Found {
			return false, err
		}
	}
	return true, MSet(t, db, pairs)
}

// StrLen is STRLEN.
func StrLen(t kv.Txn, db *DB, key []byte) (int64, error) {
	var e Entry
	if err := e.ReadAs(t, db, key, TypeString); err != nil {
		return 0, err
	}
	return e.StringLen(), nil
}

// Append is APPEND: the new length.
func Append(t kv.Txn, db *DB, key, value []byte) (int64, error) {
	var e Entry
	if err := e.LookupAs(t, db, key, TypeString); err != nil {
		return 0, err
	}
	n := e.StringLen()
	if n+int64(len(value)) > limits.RESPBulkBytes {
		return 0, ErrStringTooLong
	}
	if !e.Found {
		e.SetString(t, value, EncInline, 0)
	} else if err := e.WriteString(t, n, value); err != nil {
		return 0, err
	}
	e.Event(EventString, "append")
	return e.StringLen(), nil
}

// SetRange is SETRANGE: the new length. A gap is filled with zeros.
func SetRange(t kv.Txn, db *DB, key []byte, offset int64, value []byte) (int64, error) {
	if offset < 0 {
		return 0, ErrOffset
	}
	var e Entry
	if err := e.LookupAs(t, db, key, TypeString); err != nil {
		return 0, err
	}
	if len(value) == 0 {
		return e.StringLen(), nil
	}
	if offset > limits.RESPBulkBytes-int64(len(value)) {
		return 0, ErrStringTooLong
	}
	if err := e.WriteString(t, offset, value); err != nil {
		return 0, err
	}
	e.Event(EventString, "setrange")
	return e.StringLen(), nil
}

// GetRange is GETRANGE and SUBSTR: the bytes from start to end, both inclusive;
// negative ones count from the end.
func GetRange(t kv.Txn, db *DB, key []byte, start, end int64) ([]byte, error) {
	var e Entry
	if err := e.ReadAs(t, db, key, TypeString); err != nil || !e.Found {
		return []byte{}, err
	}
	n := e.StringLen()
	if start < 0 && end < 0 && start > end {
		return []byte{}, nil
	}
	if start < 0 {
		start = max(start+n, 0)
	}
	if end < 0 {
		end = max(end+n, 0)
	}
	end = min(end, n-1)
	if start > end || n == 0 {
		return []byte{}, nil
	}
	return e.ReadString(t, start, end+1)
}

// ReadString is the part [start, end) of a string, which is that long.
func (e *Entry) ReadString(t kv.Txn, start, end int64) ([]byte, error) {
	if e.Header.Enc != EncPieces {
		return e.Header.Body[start:end], nil
	}
	out := t.Alloc(int(end - start))
	clear(out)
	err := e.ScanString(t, start, end, func(at int64, part []byte) bool {
		copy(out[at-start:], part)
		return true
	})
	return out, err
}

// ScanString visits the parts of a string within [start, end) in their order. What is not
// visited is zeros.
func (e *Entry) ScanString(t kv.Txn, start, end int64, visit func(at int64, part []byte) bool) error {
	if end = min(end, e.StringLen()); start >= end {
		return nil
	}
	if e.Header.Enc == EncPieces {
		return e.scanPieces(t, start, end, visit)
	}
	visit(start, e.Header.Body[start:end])
	return nil
}

// WriteString stores data at offset, fills a gap with zeros and keeps the expiry.
// OBJECT ENCODING calls the result raw, as it does in Redis.
func (e *Entry) WriteString(t kv.Txn, offset int64, data []byte) error {
	return e.write(t, offset, data, cut{e.DB.Options.StringGrowBytes, e.DB.Options.PieceBytes})
}

// WriteBits is WriteString for a string of which a few bits change at a time: it is cut
// earlier, and into smaller pieces.
func (e *Entry) WriteBits(t kv.Txn, offset int64, data []byte) error {
	size := e.DB.Options.BitPieceBytes
	return e.write(t, offset, data, cut{min(size, e.DB.Options.StringGrowBytes), min(size, e.DB.Options.PieceBytes)})
}

// cut says from which length on a string is in pieces that are so long.
type cut struct{ from, piece int }

func (e *Entry) write(t kv.Txn, offset int64, data []byte, c cut) error {
	n := max(e.StringLen(), offset+int64(len(data)))
	if e.Found && e.Header.Enc == EncPieces || n > int64(c.from) {
		if !e.Found || e.Header.Enc != EncPieces {
			e.setPieces(t, e.Header.Body, c.piece, e.Header.ExpireAt)
		}
		return e.growPieces(t, offset, data, n)
	}
	h := Header{Kind: TypeString, Enc: EncInlineRaw, ExpireAt: e.Header.ExpireAt}
	record, body := NewRecord(t, &h, int(n))
	clear(body[copy(body, e.Header.Body):])
	copy(body[offset:], data)
	e.Store(t, &h, record)
	return nil
}

// stringEncoding is the name of OBJECT ENCODING.
func (h *Header) stringEncoding() string {
	const embeddedBytes = 44
	switch {
	case h.Enc == EncInlineRaw || h.Enc == EncPieces:
		return "raw"
	case h.Enc == EncInline && len(h.Body) <= 20 && isInteger(h.Body):
		return "int"
	case len(h.Body) <= embeddedBytes:
		return "embstr"
	}
	return "raw"
}

func isInteger(b []byte) bool {
	_, ok := redisnum.ParseInt(b)
	return ok
}
