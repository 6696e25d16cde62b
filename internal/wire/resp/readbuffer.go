package resp

import "slices"

const (
	// readMinBytes is the size of an active connection's buffer.
	readMinBytes = 4 << 10
	// readKeptBytes is the largest buffer that outlives the bytes it was grown for.
	readKeptBytes = 64 << 10
	// readDoublingBytes is the size from which the buffer grows by half instead of
	// doubling.
	readDoublingBytes = 16 << 20
	// readRoomBytes is the least room that is worth a read.
	readRoomBytes = 1 << 10
	// readCalm is after how many rounds that needed little of the buffer it
	// shrinks to half.
	readCalm = 16
)

// ReadBuffer holds the bytes of a connection that have arrived and are not yet
// consumed. Its memory follows what has really arrived: it doubles when it is
// full (from 16 MiB it grows by half), whatever length a client announced, drops to 64 KiB at once when a larger
// command has been consumed, and shrinks step by step to 4 KiB when less is
// enough. The zero value is empty and holds no memory.
type ReadBuffer struct {
	buf        []byte
	start, end int
	peak       int  // most bytes pending since the last call of Writable with none pending
	full       bool // the last read filled the buffer, so that the next may want more
	calm       int  // consecutive rounds whose peak was a quarter of the buffer at most
}

// Writable returns room for the next read, never empty. It invalidates what
// Pending returned before, and thereby the arguments of the last command.
func (b *ReadBuffer) Writable() []byte {
	pending := b.end - b.start
	size := b.resize(pending)
	switch {
	case size != len(b.buf):
		buf := make([]byte, size)
		copy(buf, b.buf[b.start:b.end])
		b.buf, b.start, b.end = buf, 0, pending
	case pending == 0:
		b.start, b.end = 0, 0
	case len(b.buf)-b.end < readRoomBytes: // resize saw to it that half is free
		copy(b.buf, b.buf[b.start:b.end])
		b.start, b.end = 0, pending
	}
	b.full = false
	return b.buf[b.end:]
}

// resize decides how large the buffer is to be for the next read.
func (b *ReadBuffer) resize(pending int) int {
	size := len(b.buf)
	if size < readMinBytes {
		return max(readMinBytes, 2*pending)
	}
	if pending > 0 {
		switch {
		case b.full && size < readKeptBytes:
			return 2 * size
		case size-b.end >= readRoomBytes || b.start >= size/2:
			return size // there is room, or moving the pending bytes makes it
		case size < readDoublingBytes:
			return 2 * size
		}
		return size + size/2
	}
	peak := b.peak
	b.peak = 0
	switch {
	case size > readKeptBytes:
		b.calm = 0
		return readKeptBytes
	case b.full && size < readKeptBytes:
		b.calm = 0
		return 2 * size
	case size == readMinBytes || peak > size/4:
		b.calm = 0
		return size
	}
	if b.calm++; b.calm < readCalm {
		return size
	}
	b.calm = 0
	return max(size/2, readMinBytes)
}

// Advance says that n bytes were written to the front of what Writable returned.
func (b *ReadBuffer) Advance(n int) {
	if n < 0 || n > len(b.buf)-b.end {
		panic("resp: Advance beyond the buffer")
	}
	b.end += n
	b.full = b.end == len(b.buf)
	b.peak = max(b.peak, b.end-b.start)
}

// Pending is what has arrived and is not consumed. It stays valid until the
// next call of Writable, Write or Release.
func (b *ReadBuffer) Pending() []byte { return b.buf[b.start:b.end] }

// Consume drops the first n pending bytes. It does not touch their memory.
func (b *ReadBuffer) Consume(n int) {
	if n < 0 || n > b.end-b.start {
		panic("resp: Consume beyond the pending bytes")
	}
	b.start += n
}

// Write appends p to the pending bytes. It never fails; it lets tests and
// in-process connections feed a buffer without a socket.
func (b *ReadBuffer) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := copy(b.Writable(), rest)
		b.Advance(n)
		rest = rest[n:]
	}
	return len(p), nil
}

// Release gives memory back: all of it if nothing is pending, otherwise what the
// pending bytes do not need. A server calls it for a connection that has been
// quiet for a while.
func (b *ReadBuffer) Release() {
	if b.end == b.start {
		*b = ReadBuffer{}
		return
	}
	kept := slices.Clone(b.Pending())
	*b = ReadBuffer{buf: kept, end: len(kept), peak: len(kept)}
}

// Size is the memory that the buffer holds, in bytes.
func (b *ReadBuffer) Size() int { return len(b.buf) }
