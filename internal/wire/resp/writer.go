package resp

import (
	"strconv"

	"github.com/stratadb/strata/internal/redisnum"
)

// Writer appends replies to Buf, in the version of the protocol that the client
// chose. The zero value writes RESP2. It does no I/O: its owner sends Buf and
// cuts it to length zero. Replies are not checked for completeness: an
// aggregate's header must be followed by the number of elements that it names.
type Writer struct {
	Buf []byte
	// Proto is 2 or 3; anything below 3 means 2.
	Proto int
}

// Reset forgets the replies. It keeps the memory if that is not more than keep bytes.
func (w *Writer) Reset(keep int) {
	if cap(w.Buf) > keep {
		w.Buf = nil
		return
	}
	w.Buf = w.Buf[:0]
}

// Raw appends bytes that are already a reply.
func (w *Writer) Raw(b []byte) { w.Buf = append(w.Buf, b...) }

// OK appends the status OK.
func (w *Writer) OK() { w.Buf = append(w.Buf, "+OK\r\n"...) }

// SimpleString appends a status. Line breaks in it become blanks.
func (w *Writer) SimpleString(s string) { w.oneLine('+', s) }

// Error appends an error. msg begins with its code (ERR, WRONGTYPE, …). Line
// breaks at its end are dropped and those within it become blanks.
func (w *Writer) Error(msg string) {
	for len(msg) > 0 && (msg[len(msg)-1] == '\r' || msg[len(msg)-1] == '\n') {
		msg = msg[:len(msg)-1]
	}
	w.oneLine('-', msg)
}

func (w *Writer) oneLine(kind byte, s string) {
	b := append(w.Buf, kind)
	from := len(b)
	b = append(b, s...)
	for i := from; i < len(b); i++ {
		if b[i] == '\r' || b[i] == '\n' {
			b[i] = ' '
		}
	}
	w.Buf = append(b, '\r', '\n')
}

// Bulk appends a string of bytes. A nil slice is the empty string, not null.
func (w *Writer) Bulk(s []byte) {
	b := appendHeader(w.Buf, '$', int64(len(s)))
	b = append(b, s...)
	w.Buf = append(b, '\r', '\n')
}

// BulkString appends a string of bytes.
func (w *Writer) BulkString(s string) {
	b := appendHeader(w.Buf, '$', int64(len(s)))
	b = append(b, s...)
	w.Buf = append(b, '\r', '\n')
}

// BulkInt appends a number as a string of bytes.
func (w *Writer) BulkInt(n int64) {
	var digits [20]byte
	w.Bulk(strconv.AppendInt(digits[:0], n, 10))
}

// Int appends an integer.
func (w *Writer) Int(n int64) { w.Buf = appendHeader(w.Buf, ':', n) }

// Null appends the absence of a value: RESP3's null, RESP2's null string.
func (w *Writer) Null() { w.null("$-1\r\n") }

// NullArray appends the absence of an array: RESP3's null, RESP2's null array.
func (w *Writer) NullArray() { w.null("*-1\r\n") }

func (w *Writer) null(resp2 string) {
	if w.Proto >= 3 {
		resp2 = "_\r\n"
	}
	w.Buf = append(w.Buf, resp2...)
}

// Array begins an array of n elements.
func (w *Writer) Array(n int) { w.Buf = appendHeader(w.Buf, '*', int64(n)) }

// Map begins a map of n pairs: in RESP2 an array of 2n elements.
func (w *Writer) Map(n int) { w.aggregate('%', n) }

// Set begins a set of n elements: in RESP2 an array.
func (w *Writer) Set(n int) { w.aggregate('~', n) }

// Push begins an out-of-band message of n elements: in RESP2 an array.
func (w *Writer) Push(n int) { w.aggregate('>', n) }

func (w *Writer) aggregate(kind byte, n int) {
	kind, n = w.lower(kind, n)
	w.Buf = appendHeader(w.Buf, kind, int64(n))
}

// lower translates an aggregate of RESP3 for the client's protocol.
func (w *Writer) lower(kind byte, n int) (byte, int) {
	if w.Proto >= 3 {
		return kind, n
	}
	if kind == '%' {
		n *= 2
	}
	return '*', n
}

// Attribute begins n pairs of attributes of the reply that follows them. RESP2
// has none: it then writes nothing, returns false, and the pairs must be left out.
func (w *Writer) Attribute(n int) bool {
	if w.Proto < 3 {
		return false
	}
	w.Buf = appendHeader(w.Buf, '|', int64(n))
	return true
}

// Double appends a floating-point number, in RESP2 as a string, with the digits
// of redisnum.AppendDouble.
func (w *Writer) Double(f float64) {
	if w.Proto >= 3 {
		w.Buf = append(redisnum.AppendDouble(append(w.Buf, ','), f), '\r', '\n')
		return
	}
	var digits [32]byte
	w.Bulk(redisnum.AppendDouble(digits[:0], f))
}

// Bool appends a truth value: in RESP2 the integer 1 or 0.
func (w *Writer) Bool(v bool) {
	s := "#f\r\n"
	switch {
	case w.Proto >= 3 && v:
		s = "#t\r\n"
	case w.Proto < 3 && v:
		s = ":1\r\n"
	case w.Proto < 3:
		s = ":0\r\n"
	}
	w.Buf = append(w.Buf, s...)
}

// BigNumber appends an integer of any size, given as its decimal digits: in
// RESP2 a string.
func (w *Writer) BigNumber(digits string) {
	if w.Proto >= 3 {
		w.oneLine('(', digits)
		return
	}
	w.BulkString(digits)
}

// Verbatim appends a text and its format, three letters such as txt or mkd: in
// RESP2 a string without the format.
func (w *Writer) Verbatim(format string, text []byte) {
	if w.Proto < 3 {
		w.Bulk(text)
		return
	}
	if len(format) != 3 {
		panic("resp: the format of a verbatim string has three letters")
	}
	b := appendHeader(w.Buf, '=', int64(len(text)+4))
	b = append(b, format...)
	b = append(b, ':')
	b = append(b, text...)
	w.Buf = append(b, '\r', '\n')
}

// Mark is the place of an aggregate whose number of elements is not known yet.
type Mark struct {
	pos  int
	kind byte
}

// deferredBytes is the room for a header of one digit; Close makes more.
const deferredBytes = 4

// DeferArray begins an array whose length Close will tell. Deferred aggregates
// nest: the inner one is closed first. Until then Buf may only grow.
func (w *Writer) DeferArray() Mark { return w.deferred('*') }

// DeferMap is DeferArray for a map; Close gets the number of pairs.
func (w *Writer) DeferMap() Mark { return w.deferred('%') }

// DeferSet is DeferArray for a set.
func (w *Writer) DeferSet() Mark { return w.deferred('~') }

// DeferPush is DeferArray for an out-of-band message.
func (w *Writer) DeferPush() Mark { return w.deferred('>') }

func (w *Writer) deferred(kind byte) Mark {
	m := Mark{pos: len(w.Buf), kind: kind}
	w.Buf = append(w.Buf, "\x00\x00\x00\x00"...)
	return m
}

// Close writes the header of a deferred aggregate of n elements (or pairs).
// Clients refuse padded numbers, so that a header longer than four bytes moves
// the elements behind it, once.
func (w *Writer) Close(m Mark, n int) {
	kind := m.kind
	if kind != '*' {
		kind, n = w.lower(kind, n)
	}
	var scratch [24]byte
	header := appendHeader(scratch[:0], kind, int64(n))
	if more := len(header) - deferredBytes; more > 0 {
		end := len(w.Buf)
		w.Buf = append(w.Buf, scratch[:more]...)
		copy(w.Buf[m.pos+len(header):], w.Buf[m.pos+deferredBytes:end])
	}
	copy(w.Buf[m.pos:], header)
}

// Cancel takes back a deferred aggregate and all that was written after it, so
// that an error can take its place.
func (w *Writer) Cancel(m Mark) { w.Buf = w.Buf[:m.pos] }

func appendHeader(b []byte, kind byte, n int64) []byte {
	b = append(b, kind)
	switch {
	case uint64(n) < 10:
		return append(b, '0'+byte(n), '\r', '\n')
	case uint64(n) < 100:
		return append(b, '0'+byte(n/10), '0'+byte(n%10), '\r', '\n')
	case uint64(n) < 1000:
		return append(b, '0'+byte(n/100), '0'+byte(n/10%10), '0'+byte(n%10), '\r', '\n')
	}
	return append(strconv.AppendInt(b, n, 10), '\r', '\n')
}

// AppendCommand appends a client's command to dst.
func AppendCommand[S ~string | ~[]byte](dst []byte, args ...S) []byte {
	dst = appendHeader(dst, '*', int64(len(args)))
	for _, a := range args {
		dst = appendHeader(dst, '$', int64(len(a)))
		dst = append(dst, a...)
		dst = append(dst, '\r', '\n')
	}
	return dst
}
