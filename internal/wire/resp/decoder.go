package resp

import (
	"bufio"
	"io"
	"math"
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/redisnum"
)

// ErrMalformedReply says that what arrived is not a reply or exceeds the
// decoder's limits. The connection is of no further use.
var ErrMalformedReply = errors.New("malformed reply")

// DecoderLimits bounds a reply. A zero field means the default.
type DecoderLimits struct {
	// BulkBytes bounds a string; the default is limits.RESPBulkBytes.
	BulkBytes int
	// ReplyBytes bounds the text of a whole reply; the default is four times
	// limits.RESPBulkBytes.
	ReplyBytes int
	// Elements bounds the elements of a whole reply, nested ones included; the
	// default is sixteen times limits.RESPArguments.
	Elements int
	// Nesting bounds the depth of aggregates; the default is limits.RESPNesting.
	Nesting int
	// LineBytes bounds a simple string, error or big number; the default is
	// limits.RESPInlineBytes.
	LineBytes int
}

// Decoder reads replies from a stream. Nothing is allocated by an announced
// length: memory follows what has arrived. It is not safe for concurrent use.
type Decoder struct {
	r      *bufio.Reader
	limits DecoderLimits
	line   []byte // scratch
	failed error

	// What the current reply may still use.
	elements, bytes int
}

const (
	decoderBufferBytes = 16 << 10
	// decoderChunk is how much of a string is read before memory is grown again.
	decoderChunk = 64 << 10
)

// NewDecoder reads from r, with a buffer of its own.
func NewDecoder(r io.Reader, l DecoderLimits) *Decoder {
	for _, f := range []struct {
		dst *int
		def int
	}{
		{&l.BulkBytes, limits.RESPBulkBytes},
		{&l.ReplyBytes, 4 * limits.RESPBulkBytes},
		{&l.Elements, 16 * limits.RESPArguments},
		{&l.Nesting, limits.RESPNesting},
		{&l.LineBytes, limits.RESPInlineBytes},
	} {
		if *f.dst == 0 {
			*f.dst = f.def
		}
	}
	return &Decoder{r: bufio.NewReaderSize(r, decoderBufferBytes), limits: l}
}

// Reset forgets all that was, and reads from r.
func (d *Decoder) Reset(r io.Reader) {
	d.r.Reset(r)
	d.failed = nil
}

// Buffered is the number of bytes that were read from the stream and do not
// belong to a reply that was returned.
func (d *Decoder) Buffered() int { return d.r.Buffered() }

// Decode returns the next reply; pushes are replies like others. The error is
// io.EOF at the end of the stream, io.ErrUnexpectedEOF if it ends within a reply,
// an ErrMalformedReply, or the stream's own. After an error other than io.EOF,
// the decoder returns it for ever.
func (d *Decoder) Decode() (Value, error) {
	if d.failed != nil {
		return Value{}, d.failed
	}
	if _, err := d.r.Peek(1); err != nil {
		return Value{}, err
	}
	d.elements, d.bytes = d.limits.Elements, d.limits.ReplyBytes
	v, err := d.value(0)
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		d.failed = err
		return Value{}, err
	}
	return v, nil
}

func malformed(format string, args ...any) error {
	return errors.Wrapf(ErrMalformedReply, format, args...)
}

// value reads one value and the attributes before it.
func (d *Decoder) value(depth int) (v Value, err error) {
	var attributes []Value
	for {
		line, err := d.readLine()
		if err != nil {
			return v, err
		}
		if len(line) == 0 {
			return v, malformed("empty line")
		}
		if line[0] != '|' {
			v, err = d.body(line[0], line[1:], depth)
			v.Attributes = attributes
			return v, err
		}
		pairs, err := d.aggregate(line[1:], 2, depth)
		if err != nil {
			return v, err
		}
		attributes = append(attributes, pairs.Array...)
	}
}

// body reads the value that the line with the given first byte begins. rest
// aliases the decoder's buffer.
func (d *Decoder) body(kind byte, rest []byte, depth int) (v Value, err error) {
	v.Kind = Kind(kind)
	ok := true
	switch v.Kind {
	case KindSimpleString, KindError, KindBigNumber:
		v.Str = slices.Clone(rest)
	case KindInt:
		v.Int, ok = parseReplyInt(rest)
	case KindNull:
		ok = len(rest) == 0
	case KindBool:
		ok = len(rest) == 1 && (rest[0] == 't' || rest[0] == 'f')
		if ok && rest[0] == 't' {
			v.Int = 1
		}
	case KindDouble:
		v.Str = slices.Clone(rest)
		v.Float, ok = parseReplyDouble(rest)
	case KindBulk, KindVerbatim, '!':
		return d.bulk(v.Kind, rest)
	case KindArray, KindSet, KindPush:
		a, err := d.aggregate(rest, 1, depth)
		if a.Kind != KindNull {
			a.Kind = v.Kind
		}
		return a, err
	case KindMap:
		a, err := d.aggregate(rest, 2, depth)
		if a.Kind != KindNull {
			a.Kind = v.Kind
		}
		return a, err
	default:
		return v, malformed("unknown type %q", kind)
	}
	if !ok {
		return v, malformed("type %q with %q", kind, rest)
	}
	return v, nil
}

// parseReplyInt reads an integer; RESP3 allows a plus sign.
func parseReplyInt(b []byte) (int64, bool) {
	if len(b) > 1 && b[0] == '+' && b[1] != '-' {
		b = b[1:]
	}
	return redisnum.ParseInt(b)
}

func parseReplyDouble(b []byte) (float64, bool) {
	if s := string(b); s == "nan" || s == "-nan" {
		return math.NaN(), true
	}
	if string(b) == "-0" {
		return math.Copysign(0, -1), true
	}
	return redisnum.ParseFloat(b)
}

// bulk reads a string of announced length.
func (d *Decoder) bulk(kind Kind, length []byte) (v Value, err error) {
	n, ok := redisnum.ParseInt(length)
	switch {
	case ok && n == -1 && kind == KindBulk:
		return Value{Kind: KindNull}, nil
	case !ok || n < 0 || n > int64(d.limits.BulkBytes):
		return v, malformed("string of length %q", length)
	}
	s, err := d.read(int(n))
	if err != nil {
		return v, err
	}
	switch kind {
	case '!':
		return Value{Kind: KindError, Str: s}, nil
	case KindVerbatim:
		if len(s) < 4 || s[3] != ':' {
			return v, malformed("verbatim string without a format")
		}
		return Value{Kind: kind, Format: string(s[:3]), Str: s[4:]}, nil
	}
	return Value{Kind: kind, Str: s}, nil
}

// read returns the next n bytes and drops the line end behind them.
func (d *Decoder) read(n int) ([]byte, error) {
	if err := d.spend(n); err != nil {
		return nil, err
	}
	s := make([]byte, 0, min(n, decoderChunk))
	for len(s) < n {
		if len(s) == cap(s) {
			s = slices.Grow(s, min(n-len(s), cap(s))) // as much again as has arrived
		}
		from := len(s)
		s = s[:min(n, cap(s))]
		if _, err := io.ReadFull(d.r, s[from:]); err != nil {
			return nil, err
		}
	}
	var end [2]byte
	if _, err := io.ReadFull(d.r, end[:]); err != nil {
		return nil, err
	}
	if end != [2]byte{'\r', '\n'} {
		return nil, malformed("string without its end")
	}
	return s, nil
}

func (d *Decoder) spend(n int) error {
	if n > d.bytes {
		return malformed("reply of more than %d bytes", d.limits.ReplyBytes)
	}
	d.bytes -= n
	return nil
}

// aggregate reads the elements of an aggregate in which each counts for per values.
func (d *Decoder) aggregate(length []byte, per, depth int) (v Value, err error) {
	n, ok := redisnum.ParseInt(length)
	switch {
	case ok && n == -1:
		return Value{Kind: KindNull}, nil
	case !ok || n < 0 || n > int64(d.elements/per):
		return v, malformed("aggregate of length %q", length)
	case depth >= d.limits.Nesting:
		return v, malformed("nested deeper than %d", d.limits.Nesting)
	}
	total := int(n) * per
	d.elements -= total
	v.Array = make([]Value, 0, min(total, 16))
	for range total {
		e, err := d.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.Array = append(v.Array, e)
	}
	return v, nil
}

// readLine returns the next line without its end. It is valid until the next read.
func (d *Decoder) readLine() ([]byte, error) {
	line, err := d.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		d.line = d.line[:0]
		for err == bufio.ErrBufferFull && len(d.line) <= d.limits.LineBytes {
			d.line = append(d.line, line...)
			line, err = d.r.ReadSlice('\n')
		}
		d.line = append(d.line, line...)
		line = d.line
	}
	if len(line) > d.limits.LineBytes+3 {
		return nil, malformed("line of more than %d bytes", d.limits.LineBytes)
	}
	if err != nil {
		return nil, err
	}
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return nil, malformed("line without a carriage return")
	}
	if err := d.spend(len(line)); err != nil {
		return nil, err
	}
	return line[:len(line)-2], nil
}
