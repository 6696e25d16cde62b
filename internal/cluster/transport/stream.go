package transport

import (
	"context"
	"io"
	"sync"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
)

// stream is one side of a stream. Each direction has a window: a sender begins
// with limits.TransportStreamBytes of credit, a chunk costs its bytes and a
// header, and the receiver gives credit back as its chunks are taken (T6).
type stream struct {
	exchangeState
	c        *conn
	ctx      context.Context // ends with the stream
	stop     context.CancelFunc
	released func() // what finish does besides
	readable chan struct{}
	writable chan struct{}
	mu       struct {
		sync.Mutex
		chunks  [][]byte // arrived and not taken, from head on
		head    int
		arrived int   // bytes arrived for which no credit was given back
		taken   int   // of those, taken
		credit  int   // bytes that may be sent
		recvErr error // what Recv says behind the chunks; nil while more may come
		sendErr error
		over    bool
	}
}

var _ ClientStream = (*clientStream)(nil)

func newStream(c *conn, ctx context.Context, state exchangeState) *stream {
	s := &stream{exchangeState: state, c: c, released: func() {},
		readable: make(chan struct{}, 1), writable: make(chan struct{}, 1)}
	s.ctx, s.stop = context.WithCancel(ctx)
	s.mu.credit = limits.TransportStreamBytes
	return s
}

// Send implements Stream.
func (s *stream) Send(chunk []byte) error {
	if len(chunk) > limits.TransportChunkBytes {
		return errors.Wrapf(ErrTooLarge, "a chunk of %d bytes", len(chunk))
	}
	cost := headerBytes + len(chunk)
	for {
		s.mu.Lock()
		err, enough := s.mu.sendErr, s.mu.credit >= cost
		if err == nil && enough {
			s.mu.credit -= cost
		}
		s.mu.Unlock()
		if err != nil {
			return err
		}
		if enough {
			return s.push(frame{header: header{typ: typeData, kind: s.kind, stream: s.id}, payload: chunk})
		}
		select {
		case <-s.writable:
		case <-s.ctx.Done():
			s.giveUp(context.Cause(s.ctx))
		}
	}
}

// push queues a frame of the stream, which must still be open by then.
func (s *stream) push(f frame) error {
	if err := s.c.push(s.ctx, f); err != nil {
		s.giveUp(err)
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.mu.sendErr
	}
	return nil
}

// Recv implements Stream.
func (s *stream) Recv() ([]byte, error) {
	for {
		s.mu.Lock()
		if s.mu.head < len(s.mu.chunks) {
			chunk, grant := s.nextLocked()
			s.mu.Unlock()
			if grant > 0 {
				s.c.reply(frame{header: header{typ: typeCredit, kind: s.kind, stream: s.id, arg: uint64(grant)}, urgent: true})
			}
			return chunk, nil
		}
		err := s.mu.recvErr
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-s.readable:
		case <-s.ctx.Done():
			s.giveUp(context.Cause(s.ctx))
		}
	}
}

// nextLocked takes a chunk. grant is the credit to give back now: half a window at
// a time, none once the stream is over.
func (s *stream) nextLocked() (chunk []byte, grant int) {
	chunk = s.mu.chunks[s.mu.head]
	s.mu.chunks[s.mu.head] = nil
	if s.mu.head++; s.mu.head == len(s.mu.chunks) {
		s.mu.chunks, s.mu.head = s.mu.chunks[:0], 0
	}
	s.mu.taken += headerBytes + len(chunk)
	if s.mu.recvErr == nil && s.mu.taken >= limits.TransportStreamBytes/2 {
		grant, s.mu.taken = s.mu.taken, 0
		s.mu.arrived -= grant
	}
	return chunk, grant
}

// arrived handles data, credit, and the end of the peer's sequence.
func (s *stream) arrived(h header, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch h.typ {
	case typeCredit:
		if h.arg > limits.TransportStreamBytes || s.mu.credit+int(h.arg) > limits.TransportStreamBytes {
			return errors.Wrapf(ErrProtocol, "credit of %d on top of %d", h.arg, s.mu.credit)
		}
		s.mu.credit += int(h.arg)
		token(s.writable)
	case typeData:
		if s.mu.recvErr != nil {
			return nil // nobody is going to take it
		}
		if s.mu.arrived += headerBytes + len(payload); s.mu.arrived > limits.TransportStreamBytes {
			return errors.Wrap(ErrProtocol, "more data than there was credit for")
		}
		s.mu.chunks = append(s.mu.chunks, payload)
		token(s.readable)
	case typeEnd:
		if s.mu.recvErr == nil {
			s.mu.recvErr = io.EOF
		}
		token(s.readable)
	}
	return nil
}

// token puts a token into a channel of capacity one.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// finish ends both directions, once. Chunks that have arrived can still be taken
// if keep is set.
func (s *stream) finish(recvErr, sendErr error, keep bool) {
	s.mu.Lock()
	if s.mu.over {
		s.mu.Unlock()
		return
	}
	s.mu.over = true
	if s.mu.recvErr == nil || !keep {
		s.mu.recvErr = recvErr
	}
	s.mu.sendErr = sendErr
	if !keep {
		s.mu.chunks, s.mu.head = nil, 0
	}
	s.mu.Unlock()
	s.stop()
	s.released()
}

// fail implements exchange.
func (s *stream) fail(err *CallError) { s.finish(err, err, true) }

// giveUp ends the stream because its context, or the caller's, has.
func (s *stream) giveUp(err error) {
	if s.c.link == nil {
		s.finish(err, err, false)
		return
	}
	if sent, ok := s.c.abandon(s); ok {
		s.fail(s.c.failure(sent, s.kind, err))
	}
}

// clientStream is the side that has opened the stream.
type clientStream struct{ *stream }

// OpenStream implements Messenger.
func (t *Transport) OpenStream(ctx context.Context, to base.NodeID, kind Kind, request []byte) (ClientStream, error) {
	l, err := t.linkFor(to, kind, request)
	if err != nil {
		return nil, err
	}
	if err := acquire(ctx, l.streams); err != nil {
		return nil, &CallError{Node: to, Kind: kind, Class: base.ErrUnavailable, Cause: err}
	}
	c, err := l.connect()
	if err != nil {
		<-l.streams
		return nil, &CallError{Node: to, Kind: kind, Class: base.ErrUnavailable, Cause: err}
	}
	s := newStream(c, ctx, exchangeState{kind: kind})
	s.deadline, _ = ctx.Deadline()
	// This may come before the stream's own context has heard of it.
	unwatch := context.AfterFunc(ctx, func() { s.giveUp(context.Cause(ctx)) })
	s.released = func() {
		unwatch()
		<-l.streams
	}
	if err := c.push(ctx, frame{header: header{typ: typeOpen, kind: kind}, payload: request, opens: s}); err != nil {
		failure := c.failure(false, kind, err)
		s.fail(failure)
		return nil, failure
	}
	if ctx.Err() != nil {
		s.giveUp(context.Cause(ctx)) // the watch may have come before the stream was known
	}
	return clientStream{s}, nil
}

// End implements ClientStream.
func (s clientStream) End() error {
	s.mu.Lock()
	err := s.mu.sendErr
	if err == nil {
		s.mu.sendErr = ErrStreamEnded
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.push(frame{header: header{typ: typeEnd, kind: s.kind, stream: s.id}})
}

// Close implements ClientStream.
func (s clientStream) Close() {
	s.c.abandon(s.stream)
	s.finish(ErrStreamEnded, ErrStreamEnded, false)
}
