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
	h := Header{Kind: TypeString, Enc: encPieces, ExpireAt: expireAt}
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

func (e *Entry) setPieces(t kv.Txn, value []byte, expireAt int64) {
	e.ClearRows(t)
	size := e.DB.Options.PieceBytes
	e.storePieces(t, int64(len(value)), int64(size), expireAt)
	for i := int64(0); len(value) > 0; i++ {
		n := min(size, len(value))
		t.Set(e.pieceRow(t, i), value[:n])
		value = value[n:]
	}
}

// growPieces makes the string one of n bytes in pieces and writes data at offset.
func (e *Entry) growPieces(t kv.Txn, offset int64, data []byte, n int64) error {
	expireAt := e.Header.ExpireAt
	if !e.Found || e.Header.Enc != encPieces {
		e.setPieces(t, e.Header.Body, expireAt)
	}
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

// readPieces is the part [start, end) of a long string.
func (e *Entry) readPieces(t kv.Txn, start, end int64) ([]byte, error) {
	size := e.Header.pieceBytes()
	out := t.Alloc(int(end - start))
	clear(out)
	span := base.Span{Start: e.pieceRow(t, start/size), End: e.pieceRow(t, (end+size-1)/size)}
	var bad error
	err := t.Snapshot().Scan(span, kv.ScanOptions{}, func(key, value []byte) bool {
		if len(key) != len(span.Start) || int64(len(value)) > size {
			bad = Corrupt("piece of %d bytes", len(value))
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
