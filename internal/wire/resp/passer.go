package resp

import (
	"bytes"
	"io"

	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/redisnum"
)

// Sink takes the bytes of a reply in the order in which they come. The piece is valid
// until Piece returns.
type Sink interface {
	Piece(b []byte)
}

// Passer reads replies without decoding them, for who passes them on. Its memory is its
// buffer, whatever is announced. It is not safe for concurrent use.
type Passer struct {
	r          io.Reader
	buf        []byte
	start, end int
	failed     error
}

// passerBytes is the buffer of a Passer; a line must fit.
const passerBytes = 16 << 10

// passerValues bounds the values of one reply.
const passerValues = 1 << 40

// NewPasser reads from r, with a buffer of its own.
func NewPasser(r io.Reader) *Passer { return &Passer{r: r} }

// Buffered is the number of bytes that were read from the stream and belong to no reply
// that was passed.
func (p *Passer) Buffered() int { return p.end - p.start }

// Release gives the buffer back if nothing is in it.
func (p *Passer) Release() {
	if p.start == p.end {
		p.buf, p.start, p.end = nil, 0, 0
	}
}

// Next passes one reply, with the attributes before it, to sink. The kind is that of the
// reply; an array, a map and so on that is none is KindNull, as is a string that is none.
// Errors are those of Decoder.Decode, and final.
func (p *Passer) Next(sink Sink) (kind Kind, err error) {
	if p.failed != nil {
		return 0, p.failed
	}
	if p.start == p.end {
		if err := p.fill(0); err != nil {
			return 0, err // between replies: the end of the stream is no mistake
		}
	}
	kind, err = p.next(sink)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	p.failed = err
	return kind, err
}

func (p *Passer) next(sink Sink) (kind Kind, err error) {
	var (
		values = int64(1) // that are still to come
		skip   int64      // bytes of a string, with the end of its line
	)
	pos := p.start
	for values > 0 || skip > 0 {
		if skip > 0 {
			if n := int64(p.end - pos); skip > n {
				skip -= n
				if pos, err = p.more(sink, p.end); err != nil {
					return 0, err
				}
				continue
			}
			pos += int(skip)
			if skip = 0; p.buf[pos-1] != '\n' {
				return 0, malformed("string without its end")
			}
			continue
		}
		i := bytes.IndexByte(p.buf[pos:p.end], '\n')
		if i < 0 {
			if p.end-pos > limits.RESPInlineBytes {
				return 0, malformed("line of more than %d bytes", limits.RESPInlineBytes)
			}
			if pos, err = p.more(sink, pos); err != nil {
				return 0, err
			}
			continue
		}
		line := p.buf[pos : pos+i+1]
		pos += i + 1
		k, more, length, err := header(line)
		if err != nil {
			return 0, err
		}
		skip = length
		switch {
		case k == '|':
			values++
		case kind == 0 && values == 1: // else it is a part of the attributes
			kind = k
		}
		if values += more - 1; values > passerValues {
			return 0, malformed("reply of more than %d values", int64(passerValues))
		}
	}
	sink.Piece(p.buf[p.start:pos])
	p.start = pos
	return kind, nil
}

// header is what a line announces: values that follow, and bytes of a string with its end.
// Attributes are no value: they stand before one.
func header(line []byte) (kind Kind, values, length int64, err error) {
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return 0, 0, 0, malformed("line %.40q", line)
	}
	kind, rest := Kind(line[0]), line[1:len(line)-2]
	per := int64(1)
	switch kind {
	case KindSimpleString, KindError, KindInt, KindNull, KindBool, KindDouble, KindBigNumber:
		return kind, 0, 0, nil
	case KindBulk, KindVerbatim, '!', KindArray, KindSet, KindPush:
	case KindMap, '|':
		per = 2
	default:
		return 0, 0, 0, malformed("unknown type %q", line[0])
	}
	n, ok := redisnum.ParseInt(rest)
	text := kind == KindBulk || kind == KindVerbatim || kind == '!'
	switch {
	case ok && n == -1:
		return KindNull, 0, 0, nil
	case !ok || n < 0 || text && n > limits.RESPBulkBytes || n > passerValues:
		return 0, 0, 0, malformed("%q of length %.40q", line[0], rest)
	case text:
		if kind == '!' {
			kind = KindError
		}
		return kind, 0, n + 2, nil
	}
	return kind, n * per, 0, nil
}

// more passes what is before upto and reads on. What is kept begins at pos.
func (p *Passer) more(sink Sink, upto int) (pos int, err error) {
	if upto > p.start {
		sink.Piece(p.buf[p.start:upto])
		p.start = upto
	}
	err = p.fill(p.end - p.start)
	return p.start, err
}

// fill reads behind the last kept bytes, which it moves to the front.
func (p *Passer) fill(kept int) error {
	switch {
	case p.buf == nil:
		p.buf = make([]byte, passerBytes)
	case kept == len(p.buf):
		p.buf = append(p.buf[:kept:kept], make([]byte, len(p.buf))...)
	}
	copy(p.buf, p.buf[p.end-kept:p.end])
	// What is moved is no longer where it was: offsets count from the front again.
	p.start, p.end = 0, kept
	for range 100 {
		n, err := p.r.Read(p.buf[p.end:])
		p.end += n
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}
