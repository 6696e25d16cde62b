package transport

import (
	"context"
	"net"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/limits"
)

// frame is a frame to send.
type frame struct {
	header
	payload []byte
	// opens is what the frame begins, if it is a request or opens a stream: it
	// gets its number when it is queued and its deadline when it is taken.
	opens exchange
	// answer: it was queued without waiting for room.
	answer bool
	urgent bool
}

// frameCost is what a queued frame takes in memory besides its payload.
const frameCost = 128

// cost is what the frame counts against Options.QueueBytes.
func (f *frame) cost() int { return frameCost + len(f.payload) }

// exchange is a call or stream that this side has begun.
type exchange interface {
	// state is guarded by the lock of the connection's outbox.
	state() *exchangeState
	// fail ends the exchange with the connection. It does not wait.
	fail(err *CallError)
}

type exchangeState struct {
	id       uint64 // zero until queued
	kind     Kind
	deadline time.Time // zero if there is none
	sent     bool      // the writer has it
	gone     bool      // nobody waits for it any more
}

func (s *exchangeState) state() *exchangeState { return s }

// remaining is the deadline as it travels; an expired one is a microsecond.
func (s *exchangeState) remaining(now time.Time) uint64 {
	if s.deadline.IsZero() {
		return 0
	}
	return uint64(max(s.deadline.Sub(now).Microseconds(), 1))
}

// offer queues a frame if there is room: errQueueFull, or why the connection has
// ended.
func (c *conn) offer(f frame) error {
	c.outbox.Lock()
	defer c.outbox.Unlock()
	return c.offerLocked(f)
}

func (c *conn) offerLocked(f frame) error {
	o := &c.outbox
	if o.err != nil {
		return o.err
	}
	if o.bytes > 0 && o.bytes+f.cost() > c.t.opt.QueueBytes {
		return errQueueFull
	}
	if f.opens != nil {
		o.lastID++
		f.stream, f.opens.state().id = o.lastID, o.lastID
		o.exchanges[o.lastID] = f.opens
	}
	o.bytes += f.cost()
	o.queue = append(o.queue, f)
	c.kick()
	return nil
}

// kick makes the writer look.
func (c *conn) kick() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// push queues a frame and waits for room as long as ctx lasts.
func (c *conn) push(ctx context.Context, f frame) error {
	for {
		o := &c.outbox
		o.Lock()
		err := c.offerLocked(f)
		if !errors.Is(err, errQueueFull) {
			o.Unlock()
			return err
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.ctx.Done(): // the next round says why
		}
	}
}

// reply queues a small frame without waiting: what the reader has to say, and
// cancellations. A peer that lets too many of them pile up loses the connection.
func (c *conn) reply(f frame) {
	f.answer = true
	o := &c.outbox
	o.Lock()
	if o.err != nil {
		o.Unlock()
		return
	}
	o.bytes += f.cost()
	o.answers += f.cost()
	if f.urgent {
		o.urgent = append(o.urgent, f)
	} else {
		o.queue = append(o.queue, f)
	}
	excess := o.answers > limits.TransportAnswerBytes
	c.kick()
	o.Unlock()
	if excess {
		c.fail(errors.Wrapf(ErrStalled, "%d bytes of answers wait", limits.TransportAnswerBytes))
	}
}

// batchBytes is about how much the writer takes at once.
const batchBytes = 256 << 10

// take gives the writer the next frames, and frees the room of those that it has
// written. From here on an exchange counts as sent.
func (c *conn) take(batch []frame, written int) []frame {
	o := &c.outbox
	o.Lock()
	defer o.Unlock()
	o.bytes -= written
	batch = append(batch, o.urgent...)
	clear(o.urgent)
	o.urgent = o.urgent[:0]
	now := time.Time{}
	for size := 0; o.head < len(o.queue) && size < batchBytes; o.head++ {
		f := o.queue[o.head]
		o.queue[o.head] = frame{}
		if f.opens != nil {
			s := f.opens.state()
			if s.gone {
				o.bytes -= f.cost()
				continue
			}
			if now.IsZero() {
				now = time.Now()
			}
			s.sent, f.arg = true, s.remaining(now)
		}
		size += f.cost()
		batch = append(batch, f)
	}
	if o.head*2 >= len(o.queue) {
		n := copy(o.queue, o.queue[o.head:])
		clear(o.queue[n:])
		o.queue, o.head = o.queue[:n], 0
		if n == 0 && cap(o.queue) > keepFrames {
			o.queue = nil
		}
	}
	for i := range batch {
		if batch[i].answer {
			o.answers -= batch[i].cost()
		}
	}
	if o.room != nil && o.bytes < c.t.opt.QueueBytes {
		close(o.room)
		o.room = nil
	}
	return batch
}

// abandon forgets an exchange whose caller has gone, and tells the peer if it may
// know of it. ok is false if the exchange has ended already.
func (c *conn) abandon(x exchange) (sent, ok bool) {
	o := &c.outbox
	o.Lock()
	s := x.state()
	if o.exchanges[s.id] != x {
		o.Unlock()
		return false, false
	}
	delete(o.exchanges, s.id)
	s.gone, sent = true, s.sent
	o.Unlock()
	if sent {
		c.reply(frame{header: header{typ: typeCancel, kind: s.kind, stream: s.id}})
	}
	return sent, true
}

// ending removes and returns an exchange that the peer has ended; nil if it is
// not known any more.
func (c *conn) ending(id uint64) exchange {
	c.outbox.Lock()
	defer c.outbox.Unlock()
	x := c.outbox.exchanges[id]
	delete(c.outbox.exchanges, id)
	return x
}

const (
	// copyBytesMax is the largest payload that is copied behind its header; a
	// larger one is a piece of the vector that is written.
	copyBytesMax = 4 << 10
	// pieceBytes is the most that one write hands over, so that probe can see a
	// long frame move.
	pieceBytes = 1 << 20
	// keepBytes is how large an encoding buffer may be to be kept.
	keepBytes = 1 << 20
	// keepFrames is how long a queue may be to be kept.
	keepFrames = 4096
)

// write sends what is queued, until the connection ends.
func (c *conn) write(nc net.Conn) error {
	var (
		batch   []frame
		written int
		w       = vector{nc: nc, meter: &c.meter}
		n       = &c.peer.counters
	)
	for {
		batch = c.take(batch[:0], written)
		if written = 0; len(batch) == 0 {
			select {
			case <-c.wake:
				continue
			case <-c.ctx.Done():
				return context.Cause(c.ctx)
			}
		}
		for i := range batch {
			if err := w.add(&batch[i]); err != nil {
				return errors.Wrap(err, "writing")
			}
			written += batch[i].cost()
		}
		if err := w.flush(); err != nil {
			return errors.Wrap(err, "writing")
		}
		n.framesSent.Add(uint64(len(batch)))
		n.bytesSent.Add(uint64(written - len(batch)*(frameCost-headerBytes)))
		clear(batch)
	}
}

// vector gathers frames for one system call: headers and small payloads in a
// buffer, large payloads where they are.
type vector struct {
	nc     net.Conn
	meter  *meter
	buf    []byte
	from   int // what of buf is not yet in pieces
	pieces net.Buffers
	size   int         // of pieces
	rest   net.Buffers // what the system call consumes
}

func (v *vector) add(f *frame) error {
	v.buf = appendHeader(v.buf, f.header, f.payload)
	if len(f.payload) <= copyBytesMax {
		v.buf = append(v.buf, f.payload...)
		return nil
	}
	v.cut()
	for rest := f.payload; len(rest) > 0; {
		n := min(len(rest), pieceBytes-v.size)
		if n <= 0 {
			if err := v.flush(); err != nil {
				return err
			}
			continue
		}
		v.pieces, v.size, rest = append(v.pieces, rest[:n]), v.size+n, rest[n:]
	}
	return nil
}

// cut makes what was gathered in the buffer a piece.
func (v *vector) cut() {
	if v.from < len(v.buf) {
		v.pieces = append(v.pieces, v.buf[v.from:])
		v.size += len(v.buf) - v.from
		v.from = len(v.buf)
	}
}

// flush writes the pieces.
func (v *vector) flush() error {
	v.cut()
	v.meter.writing.Store(true)
	v.rest = v.pieces
	_, err := v.rest.WriteTo(v.nc)
	v.meter.written.Add(1)
	v.meter.writing.Store(false)
	clear(v.pieces)
	v.pieces, v.size, v.from, v.buf = v.pieces[:0], 0, 0, v.buf[:0]
	if cap(v.buf) > keepBytes {
		v.buf = nil
	}
	return err
}
