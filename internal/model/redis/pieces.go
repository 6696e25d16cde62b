package redis

import (
	"encoding/binary"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

// A long string: the body holds its length and the length of its pieces. A piece
// may be shorter than that, or absent: what is missing up to the string's length
// is zeros.

const piecesBodyBytes = 12

func (h *Header) piecesLen() int64 { return int64(binary.BigEndian.Uint64(h.Body)) }

func (h *Header) pieceBytes() int64 { return int64(binary.BigEndian.Uint32(h.Body[8:])) }

// storePieces writes the header of a long string.
func (e *Entry) storePieces(t kv.Txn, n, pieceBytes, expireAt int64) {
	h := Header{Kind: TypeString, Enc: EncPieces, ExpireAt: expireAt}
	record, body := NewRecord(t, &h, piecesBodyBytes)
	binary.BigEndian.PutUint64(body, uint64(n))
	binary.BigEndian.PutUint32(body[8:], uint32(pieceBytes))
	e.Store(t, &h, record)
}

func (e *Entry) pieceRow(t kv.Txn, number int64) []byte {
	row := e.Part(t, partPiece, 4)
	binary.BigEndian.PutUint32(row[len(row)-4:], uint32(number))
	return row
}

// setPieces makes the key a string in pieces of that size.
func (e *Entry) setPieces(t kv.Txn, value []byte, size int, expireAt int64) {
	e.ClearRows(t)
	e.storePieces(t, int64(len(value)), int64(size), expireAt)
	for i := int64(0); len(value) > 0; i++ {
		n := min(size, len(value))
		t.Set(e.pieceRow(t, i), value[:n])
		value = value[n:]
	}
}

// growPieces makes the string in pieces one of n bytes and writes data at offset.
func (e *Entry) growPieces(t kv.Txn, offset int64, data []byte, n int64) error {
	expireAt := e.Header.ExpireAt
	size := e.Header.pieceBytes()
	for at := offset; len(data) > 0; {
		number, from := at/size, at%size
		take := min(size-from, int64(len(data)))
		if err := e.writePiece(t, number, from, data[:take]); err != nil {
			return err
		}
		data, at = data[take:], at+take
	}
	e.storePieces(t, n, size, expireAt)
	return nil
}

func (e *Entry) writePiece(t kv.Txn, number, from int64, data []byte) error {
	row := e.pieceRow(t, number)
	if from == 0 && int64(len(data)) == e.Header.pieceBytes() {
		t.Set(row, data)
		return nil
	}
	old, err := t.Snapshot().Get(row)
	if err != nil {
		return err
	}
	piece := t.Alloc(max(len(old), int(from)+len(data)))
	clear(piece[copy(piece, old):])
	copy(piece[from:], data)
	t.Set(row, piece)
	return nil
}

// scanPieces is ScanString for a long string.
func (e *Entry) scanPieces(t kv.Txn, start, end int64, visit func(at int64, part []byte) bool) error {
	size := e.Header.pieceBytes()
	span := base.Span{Start: e.pieceRow(t, start/size), End: e.pieceRow(t, (end+size-1)/size)}
	var bad error
	err := t.Snapshot().Scan(span, kv.ScanOptions{}, func(key, value []byte) bool {
		if len(key) != len(span.Start) || int64(len(value)) > size {
			bad = Corrupt("piece of %d bytes", len(value))
			return false
		}
		at := int64(binary.BigEndian.Uint32(key[len(key)-4:])) * size
		from, to := max(start-at, 0), min(end-at, int64(len(value)))
		return from >= to || visit(at+from, value[from:to])
	})
	if err == nil {
		err = bad
	}
	return err
}

// SetSparse makes the key a string of n bytes without expiry: parts, by where they begin, in
// pieces of PieceBytes, and zeros.
func (e *Entry) SetSparse(t kv.Txn, n int64, parts []StringPart) {
	size := int64(e.DB.Options.PieceBytes)
	if n <= int64(e.DB.Options.StringInlineBytes) {
		h := Header{Kind: TypeString, Enc: EncInlineRaw}
		record, body := NewRecord(t, &h, int(n))
		clear(body)
		for _, p := range parts {
			copy(body[p.At:], p.Bytes)
		}
		e.replace(t, &h, record)
		return
	}
	e.ClearRows(t)
	e.storePieces(t, n, size, 0)
	for _, p := range parts {
		t.Set(e.pieceRow(t, p.At/size), p.Bytes)
	}
}

// StringPart is a part of a string: where it begins, and its bytes.
type StringPart struct {
	At    int64
	Bytes []byte
}
