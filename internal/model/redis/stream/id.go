package stream

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/stratadb/strata/internal/model/redis"
)

// ID names an entry.
type ID struct{ Ms, Seq uint64 }

// MaxID is the last one.
var MaxID = ID{math.MaxUint64, math.MaxUint64}

const idBytes = 16

// Compare orders IDs.
func (id ID) Compare(o ID) int {
	if c := cmp.Compare(id.Ms, o.Ms); c != 0 {
		return c
	}
	return cmp.Compare(id.Seq, o.Seq)
}

func (id ID) less(o ID) bool { return id.Compare(o) < 0 }

// Next is the ID behind; false behind the last one, where the first follows.
func (id ID) Next() (ID, bool) {
	if id.Seq++; id.Seq != 0 {
		return id, true
	}
	id.Ms++
	return id, id.Ms != 0
}

// Prev is the ID before; false before the first one.
func (id ID) Prev() (ID, bool) {
	switch {
	case id.Seq > 0:
		return ID{id.Ms, id.Seq - 1}, true
	case id.Ms > 0:
		return ID{id.Ms - 1, math.MaxUint64}, true
	}
	return MaxID, false
}

// Append appends the text of the ID.
func (id ID) Append(b []byte) []byte {
	b = strconv.AppendUint(b, id.Ms, 10)
	return strconv.AppendUint(append(b, '-'), id.Seq, 10)
}

func (id ID) put(b []byte) {
	binary.BigEndian.PutUint64(b, id.Ms)
	binary.BigEndian.PutUint64(b[8:], id.Seq)
}

func getID(b []byte) ID { return ID{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])} }

// ErrID is that of something that is no ID.
var ErrID = redis.NewError("ERR Invalid stream ID specified as stream command argument")

const idTextMaxBytes = 127

// ParseID reads an ID; one without a sequence number gets seq.
func ParseID(b []byte, seq uint64) (id ID, err error) {
	ms, rest, both := bytes.Cut(b, []byte("-"))
	ok := len(b) <= idTextMaxBytes
	if ok {
		id.Ms, ok = parseUint(ms)
	}
	if id.Seq = seq; both && ok {
		id.Seq, ok = parseUint(rest)
	}
	if !ok {
		return ID{}, ErrID
	}
	return id, nil
}

// ParseEnd is ParseID for the ends of ranges: - and + are the first and the last ID.
func ParseEnd(b []byte, seq uint64) (ID, error) {
	switch string(b) {
	case "-":
		return ID{}, nil
	case "+":
		return MaxID, nil
	}
	return ParseID(b, seq)
}

// ParseOpenID is ParseID for XADD: open says that the sequence number is to be found (5-*).
func ParseOpenID(b []byte) (id ID, open bool, err error) {
	if ms, ok := bytes.CutSuffix(b, []byte("-*")); ok && bytes.IndexByte(ms, '-') < 0 {
		id, err = ParseID(ms, 0)
		return id, true, err
	}
	id, err = ParseID(b, 0)
	return id, false, err
}

func parseUint(b []byte) (uint64, bool) {
	n, err := strconv.ParseUint(string(bytes.TrimPrefix(b, []byte("+"))), 10, 64)
	return n, err == nil
}
