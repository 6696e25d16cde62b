package outbox

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stratadb/strata/internal/base"
)

// segmentKeptBytes is the largest buffer that a pooled segment keeps.
const segmentKeptBytes = 4 << 10

// writeChunkBytes is how much a blocking writer sends under one deadline.
const writeChunkBytes = 64 << 10

// segment is a run of replies that may be sent when everything that they depend
// on is committed. It is its own waiter.
type segment struct {
	out     *Queue
	buf     []byte
	pending atomic.Int32 // tickets that are not done
	failed  atomic.Bool
	tickets []base.Ticket // of one that is held
}

var segments = sync.Pool{New: func() any { return new(segment) }}

// Committed implements base.Waiter. The segment may be reused as soon as pending
// is zero, so nothing of it is touched after that.
func (g *segment) Committed(err error) {
	out := g.out
	if err != nil {
		g.failed.Store(true)
	}
	if g.pending.Add(-1) == 0 {
		out.flusher.add(out)
	}
}

func (g *segment) release() {
	g.out = nil
	if cap(g.buf) > segmentKeptBytes {
		g.buf = nil
	}
	g.buf = g.buf[:0]
	clear(g.tickets)
	g.tickets = g.tickets[:0]
	g.failed.Store(false)
	segments.Put(g)
}

// Queue is a connection's queue of replies. Whoever finds it not busy writes;
// a write that the socket does not take at once is left to a goroutine of the
// connection, so that neither a flusher nor the connection ever waits for it.
type Queue struct {
	conn    net.Conn
	raw     syscall.RawConn // nil if the connection is no socket
	quick   tryWriter       // nil unless the connection writes without waiting by itself
	flusher *Flusher
	stall   time.Duration // a client that reads nothing for so long is given up
	sent    *atomic.Int64 // the server's count of bytes
	lost    []byte
	writers sync.WaitGroup

	mu struct {
		sync.Mutex
		queue  []*segment
		head   int
		bytes  int // queued and not yet given to the socket
		busy   bool
		closed bool
		waiter chan struct{} // closed when bytes is at most below and nobody is busy
		below  int
	}

	// What follows belongs to the one who is busy.
	try    func(fd uintptr) bool
	tryBuf []byte
	tryN   int
	tryErr error
}

// tryWriter gives to the socket what it takes without waiting.
type tryWriter interface{ TryWrite(b []byte) (int, error) }

// Options of a queue.
type Options struct {
	// Flusher writes what is committed later.
	Flusher *Flusher
	// Stall is for how long a client may read nothing.
	Stall time.Duration
	// Sent counts bytes.
	Sent *atomic.Int64
	// Lost is sent to a client, before its connection ends, in place of replies whose ground
	// was lost.
	Lost []byte
}

// Init makes the queue that of a connection.
func (o *Queue) Init(conn net.Conn, options Options) {
	o.conn, o.flusher, o.stall, o.sent, o.lost = conn, options.Flusher, options.Stall, options.Sent, options.Lost
	o.quick, _ = conn.(tryWriter)
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			o.raw = raw
		}
	}
	o.try = func(fd uintptr) bool {
		for {
			o.tryN, o.tryErr = syscall.Write(int(fd), o.tryBuf)
			if o.tryErr != syscall.EINTR {
				return true
			}
		}
	}
}

// Raw is the socket; nil if the connection is none.
func (o *Queue) Raw() syscall.RawConn { return o.raw }

// Wait waits until nobody writes any more, after Close.
func (o *Queue) Wait() { o.writers.Wait() }

// tryWrite gives to the socket what it takes without waiting.
func (o *Queue) tryWrite(b []byte) (int, error) {
	if o.quick != nil {
		return o.quick.TryWrite(b)
	}
	if o.raw == nil {
		return 0, nil
	}
	o.tryBuf, o.tryN, o.tryErr = b, 0, nil
	err := o.raw.Write(o.try)
	o.tryBuf = nil
	if err != nil {
		return 0, err
	}
	n := max(o.tryN, 0)
	if o.tryErr == syscall.EAGAIN {
		return n, nil
	}
	return n, o.tryErr
}

// Submit sends buf once the tickets are done, behind everything that was
// submitted before. It keeps neither slice.
func (o *Queue) Submit(buf []byte, tickets []base.Ticket) {
	if g := o.put(buf, tickets); g != nil {
		g.await(tickets)
	}
}

// put sends buf if it may, and answers nil; else it queues it, one thing pending.
func (o *Queue) put(buf []byte, tickets []base.Ticket) *segment {
	if done(tickets) && o.direct(buf) {
		return nil
	}
	g := o.newSegment(buf, 1)
	o.mu.Lock()
	taken := o.enqueueLocked(g)
	o.mu.Unlock()
	if !taken {
		return nil
	}
	return g
}

// await lets the segment, of which one more is pending, wait for tickets.
func (g *segment) await(tickets []base.Ticket) {
	out, settled := g.out, int32(1)
	g.pending.Add(int32(len(tickets)))
	for _, t := range tickets {
		if !t.Log.Notify(t.Pos, g) {
			settled++
		}
	}
	if g.pending.Add(-settled) == 0 {
		out.flushReady()
	}
}

// Held are replies of a round of a loop that commits at its end: most of what they depend on
// is done then, and nobody has to be told of it. Its goroutine uses it.
type Held struct{ list []*segment }

// Hold is Submit for those who are going to commit and then Release.
func (o *Queue) Hold(h *Held, buf []byte, tickets []base.Ticket) {
	if g := o.put(buf, tickets); g != nil {
		g.tickets = append(g.tickets, tickets...)
		h.list = append(h.list, g)
	}
}

// Release sends what is done; the rest waits for its commits like any other.
func (h *Held) Release() {
	for i, g := range h.list {
		h.list[i] = nil
		if done(g.tickets) {
			if out := g.out; g.pending.Add(-1) == 0 {
				out.flushReady()
			}
			continue
		}
		g.await(g.tickets)
	}
	h.list = h.list[:0]
}

func done(tickets []base.Ticket) bool {
	for i := range tickets {
		if !tickets[i].Done() {
			return false
		}
	}
	return true
}

// Push sends buf, for which the client has not asked, behind everything that was submitted
// before. The flusher writes it, so that the caller is not kept. A client that leaves more
// than limit bytes unread is disconnected. It does not keep the slice.
func (o *Queue) Push(buf []byte, limit int) {
	o.mu.Lock()
	if o.mu.bytes+len(buf) > limit {
		o.closeLocked()
	}
	taken := o.enqueueLocked(o.newSegment(buf, 0))
	o.mu.Unlock()
	if taken {
		o.flusher.add(o)
	}
}

// newSegment copies a run of replies that waits for so much.
func (o *Queue) newSegment(buf []byte, pending int) *segment {
	g := segments.Get().(*segment)
	g.out = o
	g.buf = append(g.buf, buf...)
	g.pending.Store(int32(pending))
	return g
}

// enqueueLocked answers false, and drops g, when the connection has ended.
func (o *Queue) enqueueLocked(g *segment) bool {
	if o.mu.closed {
		g.release()
		return false
	}
	o.mu.bytes += len(g.buf)
	o.mu.queue = append(o.mu.queue, g)
	return true
}

// direct writes buf to the socket if no reply is before it.
func (o *Queue) direct(buf []byte) bool {
	o.mu.Lock()
	if o.mu.closed {
		o.mu.Unlock()
		return true
	}
	if o.mu.busy || o.mu.head < len(o.mu.queue) {
		o.mu.Unlock()
		return false
	}
	o.mu.busy = true
	o.mu.Unlock()
	n, err := o.tryWrite(buf)
	o.sent.Add(int64(n))
	if err == nil && n < len(buf) {
		rest := append([]byte(nil), buf[n:]...)
		o.mu.Lock()
		o.mu.bytes += len(rest)
		o.mu.Unlock()
		o.spawn(rest)
		return true
	}
	o.mu.Lock()
	if err != nil {
		o.closeLocked()
	}
	o.writeReadyLocked()
	return true
}

// flushReady writes the segments at the front whose commits are in.
func (o *Queue) flushReady() {
	o.mu.Lock()
	if o.mu.busy {
		o.mu.Unlock() // whoever is busy looks at the queue again
		return
	}
	o.mu.busy = true
	o.writeReadyLocked()
}

// writeReadyLocked is called with mu held by the one who is busy; it gives up
// both, or leaves them to a blocking writer.
func (o *Queue) writeReadyLocked() {
	for {
		g := o.popLocked()
		if g == nil {
			o.mu.busy = false
			o.wakeLocked()
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
		size := len(g.buf)
		failed := g.failed.Load()
		n, err := 0, error(nil)
		if !failed {
			n, err = o.tryWrite(g.buf)
			o.sent.Add(int64(n))
		}
		if !failed && err == nil && n < size {
			o.mu.Lock()
			o.mu.bytes -= n
			o.mu.Unlock()
			rest := append([]byte(nil), g.buf[n:]...)
			g.release()
			o.spawn(rest)
			return
		}
		if failed {
			_, _ = o.tryWrite(o.lost)
		}
		g.release()
		o.mu.Lock()
		o.mu.bytes -= size
		if err != nil || failed {
			o.closeLocked()
		}
	}
}

// popLocked takes the first segment if it may be sent.
func (o *Queue) popLocked() *segment {
	if o.mu.closed || o.mu.head == len(o.mu.queue) || o.mu.queue[o.mu.head].pending.Load() != 0 {
		return nil
	}
	g := o.mu.queue[o.mu.head]
	o.mu.queue[o.mu.head] = nil
	o.mu.head++
	switch {
	case o.mu.head == len(o.mu.queue):
		o.mu.queue, o.mu.head = o.mu.queue[:0], 0
	case o.mu.head > 64 && o.mu.head > len(o.mu.queue)/2:
		n := copy(o.mu.queue, o.mu.queue[o.mu.head:])
		clear(o.mu.queue[n:])
		o.mu.queue, o.mu.head = o.mu.queue[:n], 0
	}
	return g
}

// spawn leaves the rest of a reply to a goroutine that may wait for the client;
// it inherits the role of the one who is busy.
func (o *Queue) spawn(rest []byte) {
	o.writers.Add(1)
	go func() {
		defer o.writers.Done()
		err := o.writeBlocking(rest)
		o.mu.Lock()
		o.mu.bytes -= len(rest)
		if err != nil {
			o.closeLocked()
		}
		o.writeReadyLocked()
	}()
}

func (o *Queue) writeBlocking(b []byte) error {
	for len(b) > 0 {
		if err := o.conn.SetWriteDeadline(time.Now().Add(o.stall)); err != nil {
			return err
		}
		n, err := o.conn.Write(b[:min(len(b), writeChunkBytes)])
		o.sent.Add(int64(n))
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return o.conn.SetWriteDeadline(time.Time{})
}

// closeLocked ends the connection: what is queued is dropped, and the socket is
// shut so that the connection's goroutine notices.
func (o *Queue) closeLocked() {
	if o.mu.closed {
		return
	}
	o.mu.closed = true
	_ = o.conn.Close() // does not wait; there is nobody left to tell about an error
	o.wakeLocked()
}

// Close ends the connection: what is queued is dropped.
func (o *Queue) Close() {
	o.mu.Lock()
	o.closeLocked()
	o.mu.Unlock()
}

func (o *Queue) wakeLocked() {
	if o.mu.waiter == nil {
		return
	}
	if o.mu.closed || o.mu.bytes <= o.mu.below && !(o.mu.below == 0 && o.mu.busy) {
		close(o.mu.waiter)
		o.mu.waiter = nil
	}
}

// WaitBelow waits until at most n bytes of replies are unsent and reports
// whether the connection is still open.
func (o *Queue) WaitBelow(n int) bool {
	o.mu.Lock()
	if o.mu.closed || o.mu.bytes <= n && !(n == 0 && o.mu.busy) {
		open := !o.mu.closed
		o.mu.Unlock()
		return open
	}
	w := make(chan struct{})
	o.mu.waiter, o.mu.below = w, n
	o.mu.Unlock()
	<-w
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.mu.closed
}

// Congested reports whether more than limit bytes of replies are unsent.
func (o *Queue) Congested(limit int) bool {
	o.mu.Lock()
	over := o.mu.bytes > limit
	o.mu.Unlock()
	return over
}

// Pending is the number of unsent bytes and of queued segments.
func (o *Queue) Pending() (bytes, queued int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.bytes, len(o.mu.queue) - o.mu.head
}

// IsClosed reports whether the connection has ended.
func (o *Queue) IsClosed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.closed
}

// Descriptor is the socket's number, -1 if there is none.
func (o *Queue) Descriptor() int {
	n := -1
	if o.raw != nil {
		_ = o.raw.Control(func(fd uintptr) { n = int(fd) }) // fails only for a closed connection
	}
	return n
}
