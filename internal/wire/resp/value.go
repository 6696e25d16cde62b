package resp

import (
	"slices"

	"strconv"
)

// Kind is the type of a reply: its first byte on the wire.
type Kind byte

// The kinds of both versions of the protocol. RESP2's null string and null array
// are KindNull; RESP3's long error is KindError.
const (
	KindNull         Kind = '_'
	KindSimpleString Kind = '+'
	KindError        Kind = '-'
	KindInt          Kind = ':'
	KindBulk         Kind = '$'
	KindArray        Kind = '*'
	KindMap          Kind = '%'
	KindSet          Kind = '~'
	KindPush         Kind = '>'
	KindDouble       Kind = ','
	KindBool         Kind = '#'
	KindBigNumber    Kind = '('
	KindVerbatim     Kind = '='
)

// Value is a reply as a client sees it. The zero Value is no reply.
type Value struct {
	Kind Kind
	// Int is the value of KindInt, and 1 or 0 for KindBool.
	Int int64
	// Float is the value of KindDouble; Str holds its digits as received.
	Float float64
	// Str is the text of strings, errors, doubles and big numbers.
	Str []byte
	// Format names the format of KindVerbatim, three letters.
	Format string
	// Array holds the elements of an aggregate; those of a map are keys and
	// values in turn.
	Array []Value
	// Attributes holds keys and values in turn that RESP3 sent ahead of the reply.
	Attributes []Value
}

// ReplyError is an error that the server replied, with its code.
type ReplyError string

func (e ReplyError) Error() string { return string(e) }

// Err is a ReplyError if the reply is an error, otherwise nil.
func (v Value) Err() error {
	if v.Kind == KindError {
		return ReplyError(v.Str)
	}
	return nil
}

// IsNull reports whether the reply is the absence of a value.
func (v Value) IsNull() bool { return v.Kind == KindNull }

// Text is the reply's text, for integers their digits, for aggregates empty.
func (v Value) Text() string {
	if v.Kind == KindInt || v.Kind == KindBool {
		return strconv.FormatInt(v.Int, 10)
	}
	return string(v.Str)
}

// Get is the value under key in a map, or in the flat array that stands for a
// map in RESP2.
func (v Value) Get(key string) (Value, bool) {
	for pair := range slices.Chunk(v.Array, 2) {
		if len(pair) == 2 && string(pair[0].Str) == key {
			return pair[1], true
		}
	}
	return Value{}, false
}

// Write appends the reply to w in w's version of the protocol.
func (v Value) Write(w *Writer) {
	if len(v.Attributes) > 0 && w.Attribute(len(v.Attributes)/2) {
		writeAll(w, v.Attributes)
	}
	switch v.Kind {
	case KindSimpleString:
		w.SimpleString(string(v.Str))
	case KindError:
		w.Error(string(v.Str))
	case KindInt:
		w.Int(v.Int)
	case KindBulk:
		w.Bulk(v.Str)
	case KindDouble:
		w.Double(v.Float)
	case KindBool:
		w.Bool(v.Int != 0)
	case KindBigNumber:
		w.BigNumber(string(v.Str))
	case KindVerbatim:
		w.Verbatim(v.Format, v.Str)
	case KindArray:
		w.Array(len(v.Array))
	case KindMap:
		w.Map(len(v.Array) / 2)
	case KindSet:
		w.Set(len(v.Array))
	case KindPush:
		w.Push(len(v.Array))
	default:
		w.Null()
	}
	writeAll(w, v.Array)
}

func writeAll(w *Writer, vs []Value) {
	for _, v := range vs {
		v.Write(w)
	}
}
