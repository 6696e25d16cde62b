package transport

import (
	"context"
	"log/slog"
	"math"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
)

// serving is what a connection that was accepted is working on.
type serving struct {
	sync.Mutex
	lastID  uint64 // of the exchange begun last
	bytes   int    // of requests
	streams int
	byID    map[uint64]*served
}

// served is a call or stream that the peer has begun.
type served struct {
	id      uint64
	kind    Kind
	request []byte
	ctx     context.Context
	cancel  context.CancelFunc
	stream  *stream // nil if it is a call
}

// asked handles a frame on the side that has accepted the connection.
func (c *conn) asked(h header, payload []byte) error {
	switch h.typ {
	case typeMessage:
		if handler := c.t.handlers.message[h.kind]; handler != nil {
			_ = c.t.guarded(h.kind, func() error { handler(c.peer.node, payload, c.more); return nil }) // was logged
		}
		return nil
	case typeRequest, typeOpen:
		return c.begin(h, payload)
	case typeCancel:
		if s := c.find(h.stream); s != nil {
			s.cancel()
		}
		return nil
	case typeData, typeEnd, typeCredit:
		if s := c.find(h.stream); s != nil && s.stream != nil {
			return s.stream.arrived(h, payload)
		}
		return nil // ended here, not yet known there
	}
	if !c.common(h) {
		return errors.Wrapf(ErrProtocol, "a frame of type %d from the side that asks", h.typ)
	}
	return nil
}

func (c *conn) find(id uint64) *served {
	c.serving.Lock()
	defer c.serving.Unlock()
	return c.serving.byID[id]
}

// begin hands a request to its handler, or refuses it. Numbers only grow, so that
// a request that came twice would end the connection and not run twice (T1).
func (c *conn) begin(h header, payload []byte) error {
	w := &c.serving
	w.Lock()
	defer w.Unlock()
	if h.stream <= w.lastID {
		return errors.Wrapf(ErrProtocol, "exchange %d begins after exchange %d", h.stream, w.lastID)
	}
	w.lastID = h.stream
	call, open := c.t.handlers.call[h.kind], c.t.handlers.stream[h.kind]
	opt := &c.t.opt
	switch {
	case h.typ == typeRequest && call == nil, h.typ == typeOpen && open == nil:
		c.refuse(h, "no handler for this kind")
		return nil
	// Twice the streams of a well-behaved caller, as those it has given up take
	// a while to end.
	case len(w.byID) >= opt.Serving, h.typ == typeOpen && w.streams >= 2*opt.Streams,
		w.bytes > 0 && w.bytes+len(payload) > limits.TransportServingBytes:
		c.refuse(h, "overloaded")
		return nil
	}
	s := &served{id: h.stream, kind: h.kind, request: payload}
	if h.arg > 0 && h.arg <= math.MaxInt64/1000 {
		s.ctx, s.cancel = context.WithTimeout(c.ctx, time.Duration(h.arg)*time.Microsecond)
	} else {
		s.ctx, s.cancel = context.WithCancel(c.ctx)
	}
	w.byID[s.id] = s
	w.bytes += len(payload)
	if h.typ == typeRequest {
		c.t.wg.Go(func() { c.serveCall(s, call) })
		return nil
	}
	w.streams++
	s.stream = newStream(c, s.ctx, exchangeState{id: s.id, kind: s.kind})
	c.t.wg.Go(func() { c.serveStream(s, open) })
	return nil
}

// refuse answers a request that no handler has seen.
func (c *conn) refuse(h header, why string) {
	c.reply(frame{header: header{typ: typeRefused, kind: h.kind, stream: h.stream},
		payload: encodeError(errors.Wrap(base.ErrUnavailable, why))})
}

func (c *conn) serveCall(s *served, handler CallHandler) {
	defer c.served(s)
	var response []byte
	err := c.t.guarded(s.kind, func() (err error) {
		response, err = handler(s.ctx, c.peer.node, s.request)
		return err
	})
	if err == nil && len(response) > limits.TransportFrameBytes {
		err = errors.Wrapf(ErrTooLarge, "a response of %d bytes", len(response))
	}
	f := frame{header: header{typ: typeResponse, kind: s.kind, stream: s.id}, payload: response}
	if err != nil {
		f.typ, f.payload = typeError, encodeError(err)
	}
	_ = c.push(c.ctx, f) // fails only with the connection
}

func (c *conn) serveStream(s *served, handler StreamHandler) {
	defer c.served(s)
	err := c.t.guarded(s.kind, func() error { return handler(s.ctx, c.peer.node, s.request, s.stream) })
	s.stream.finish(ErrStreamEnded, ErrStreamEnded, false)
	f := frame{header: header{typ: typeEnd, kind: s.kind, stream: s.id}}
	if err != nil {
		f.typ, f.payload = typeError, encodeError(err)
	}
	_ = c.push(c.ctx, f) // fails only with the connection
}

// served forgets an exchange that was answered.
func (c *conn) served(s *served) {
	s.cancel()
	w := &c.serving
	w.Lock()
	defer w.Unlock()
	delete(w.byID, s.id)
	w.bytes -= len(s.request)
	if s.stream != nil {
		w.streams--
	}
}

// guarded runs a handler. A panic is logged and becomes ErrInternal.
func (t *Transport) guarded(kind Kind, handler func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			t.panics.Add(1)
			t.opt.Log.Error("panic in a handler of the transport", slog.Int("kind", int(kind)),
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			err = ErrInternal
		}
	}()
	return handler()
}
