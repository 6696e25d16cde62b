package transport

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/limits"
)

// frameType says what a frame is. The numbers are on the wire.
type frameType uint8

const (
	typeMessage  frameType = 1  // one way
	typeRequest  frameType = 2  // begins a call
	typeResponse frameType = 3  // ends a call
	typeError    frameType = 4  // ends a call or stream with the handler's error
	typeRefused  frameType = 5  // ends a call or stream that no handler has seen
	typeCancel   frameType = 6  // the caller has gone
	typeOpen     frameType = 7  // begins a stream
	typeData     frameType = 8  // a chunk of a stream
	typeEnd      frameType = 9  // no more chunks in this direction
	typeCredit   frameType = 10 // the receiver has room for more
	typePing     frameType = 11
	typePong     frameType = 12
)

// headerBytes is the size of a header on the wire, little-endian:
//
//	 0  header sum  u32  CRC32C of the bytes 4 to 31
//	 4  payload sum u32  CRC32C of the payload
//	 8  length      u32  of the payload
//	12  type        u8
//	13  reserved    u8   zero
//	14  kind        u16
//	16  stream      u64  which call or stream; zero in messages and pings
//	24  argument    u64  request, open: microseconds until the deadline, zero if
//	                     there is none; credit: bytes; ping, pong: the time of
//	                     the ping
//
// The header has a sum of its own, so that a length can be trusted before the
// payload is there.
const headerBytes = 32

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type header struct {
	typ    frameType
	kind   Kind
	stream uint64
	arg    uint64
	length uint32
	sum    uint32
}

// payloadMax bounds the payload of a frame; ok is false for an unknown type.
func (t frameType) payloadMax() (n uint32, ok bool) {
	switch t {
	case typeMessage, typeRequest, typeResponse, typeOpen:
		return limits.TransportFrameBytes, true
	case typeData:
		return limits.TransportChunkBytes, true
	case typeError, typeRefused:
		return errorBytesMax, true
	case typeCancel, typeEnd, typeCredit, typePing, typePong:
		return 0, true
	}
	return 0, false
}

// appendHeader appends the header of a frame with this payload.
func appendHeader(dst []byte, h header, payload []byte) []byte {
	dst = append(dst, make([]byte, headerBytes)...)
	b := dst[len(dst)-headerBytes:]
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(payload, castagnoli))
	binary.LittleEndian.PutUint32(b[8:], uint32(len(payload)))
	b[12] = byte(h.typ)
	binary.LittleEndian.PutUint16(b[14:], uint16(h.kind))
	binary.LittleEndian.PutUint64(b[16:], h.stream)
	binary.LittleEndian.PutUint64(b[24:], h.arg)
	binary.LittleEndian.PutUint32(b[0:], crc32.Checksum(b[4:], castagnoli))
	return dst
}

// decodeHeader reads a header. What it accepts is intact, of a known type and
// within the bounds of that type.
func decodeHeader(b []byte) (h header, err error) {
	if crc32.Checksum(b[4:headerBytes], castagnoli) != binary.LittleEndian.Uint32(b) {
		return h, errors.Wrap(ErrDamaged, "frame header fails its checksum")
	}
	h = header{
		sum:    binary.LittleEndian.Uint32(b[4:]),
		length: binary.LittleEndian.Uint32(b[8:]),
		typ:    frameType(b[12]),
		kind:   Kind(binary.LittleEndian.Uint16(b[14:])),
		stream: binary.LittleEndian.Uint64(b[16:]),
		arg:    binary.LittleEndian.Uint64(b[24:]),
	}
	bound, known := h.typ.payloadMax()
	if !known || b[13] != 0 {
		return h, errors.Wrapf(ErrProtocol, "unknown frame type %d.%d", b[12], b[13])
	}
	if h.length > bound {
		return h, errors.Wrapf(ErrProtocol, "a frame of type %d announces %d bytes, the limit is %d", h.typ, h.length, bound)
	}
	return h, nil
}

// readFrame reads the next frame. The payload is freshly allocated; nil if empty.
// io.EOF is the end between two frames.
func readFrame(r *bufio.Reader) (h header, payload []byte, err error) {
	b, err := r.Peek(headerBytes)
	if err != nil {
		if len(b) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return h, nil, err
	}
	if h, err = decodeHeader(b); err != nil {
		return h, nil, err
	}
	_, _ = r.Discard(headerBytes) // was peeked
	if payload, err = readPayload(r, int(h.length)); err != nil {
		return h, nil, err
	}
	if crc32.Checksum(payload, castagnoli) != h.sum {
		return h, nil, errors.Wrap(ErrDamaged, "frame payload fails its checksum")
	}
	return h, payload, nil
}

// another reports whether a message of the kind of the one that was read has arrived behind it.
func another(r *bufio.Reader, h header) bool {
	if h.typ != typeMessage || r.Buffered() < headerBytes {
		return false
	}
	b, _ := r.Peek(headerBytes) // it is there
	next, err := decodeHeader(b)
	return err == nil && next.typ == typeMessage && next.kind == h.kind && r.Buffered() >= headerBytes+int(next.length)
}

// trustedBytes is what an announced length may allocate before any of it has come.
const trustedBytes = 1 << 20

// readPayload reads n bytes. Memory follows what arrives: at most trustedBytes, or
// twice of what is there already.
func readPayload(r io.Reader, n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	b, have := make([]byte, min(n, trustedBytes)), 0
	for {
		m, err := io.ReadFull(r, b[have:])
		if have += m; err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if have == n {
			return b, nil
		}
		b = append(make([]byte, 0, min(n, 2*have)), b...)
		b = b[:cap(b)]
	}
}
