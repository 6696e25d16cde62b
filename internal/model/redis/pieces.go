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

func (h *header) piecesLen() int64 { return int64(binary.BigEndian.Uint64(h.body)) }

func (h *header) pieceBytes() int64 { return int64(binary.BigEndian.Uint32(h.body[8:])) }

// storePieces writes the header of a long string.
func (e *entry) storePieces(t kv.Txn, n, pieceBytes, expireAt int64) {
	h := header{kind: TypeString, enc: encPieces, expireAt: expireAt}
	record, body := newRecord(t, &h, piecesBodyBytes)
	binary.BigEndian.PutUint64(body, uint64(n))
	binary.BigEndian.PutUint32(body[8:], uint32(pieceBytes))
	e.store(t, &h, record)
}

func (e *entry) pieceRow(t kv.Txn, number int64) []byte {
	row := e.part(t, partPiece, 4)
	binary.BigEndian.PutUint32(row[len(row)-4:], uint32(number))
	return row
}

func (e *entry) setPieces(t kv.Txn, value []byte, expireAt int64) {
	e.clearRows(t)
	size := e.db.o.PieceBytes
	e.storePieces(t, int64(len(value)), int64(size), expireAt)
	for i := int64(0); len(value) > 0; i++ {
		n := min(size, len(value))
		t.Set(e.pieceRow(t, i), value[:n])
		value = value[n:]
	}
}

// growPieces makes the string one of n bytes in pieces and writes data at offset.
func (e *entry) growPieces(t kv.Txn, offset int64, data []byte, n int64) error {
	expireAt := e.h.expireAt
	if !e.found || e.h.enc != encPieces {
		e.setPieces(t, e.h.body, expireAt)
	}
	size := e.h.pieceBytes()
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

func (e *entry) writePiece(t kv.Txn, number, from int64, data []byte) error {
	row := e.pieceRow(t, number)
	if from == 0 && int64(len(data)) == e.h.pieceBytes() {
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

// readPieces is the part [start, end) of a long string.
func (e *entry) readPieces(t kv.Txn, start, end int64) ([]byte, error) {
	size := e.h.pieceBytes()
	out := t.Alloc(int(end - start))
	clear(out)
	span := base.Span{Start: e.pieceRow(t, start/size), End: e.pieceRow(t, (end+size-1)/size)}
	var bad error
	err := t.Snapshot().Scan(span, kv.ScanOptions{}, func(key, value []byte) bool {
		if len(key) != len(span.Start) || int64(len(value)) > size {
			bad = corrupt("piece of %d bytes", len(value))
			return false
		}
		at := int64(binary.BigEndian.Uint32(key[len(key)-4:]))*size - start
		if at < 0 {
			value = value[min(-at, int64(len(value))):]
			at = 0
		}
		copy(out[at:], value)
		return true
	})
	if err == nil {
		err = bad
	}
	return out, err
}
