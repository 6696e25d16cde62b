package transport

import (
	"context"
	"io"
	"sync"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
)

// Send implements Messenger.
func (t *Transport) Send(to base.NodeID, kind Kind, payload []byte) bool {
	p, err := t.peer(to)
	if err != nil {
		return false
	}
	if len(payload) <= limits.TransportFrameBytes {
		if c, err := p.links[kind.Class()].connect(); err == nil {
			if c.offer(frame{header: header{typ: typeMessage, kind: kind}, payload: payload}) == nil {
				return true
			}
		}
	}
	p.counters.drops.Add(1)
	return false
}

// call is a call in flight.
type call struct {
	exchangeState
	done chan result // of capacity one: whoever removes the call answers it
}

type result struct {
	response []byte
	err      error
}

func (x *call) fail(err *CallError) { x.done <- result{err: err} }

// callPool keeps calls that were answered: nothing refers to them any more.
var callPool = sync.Pool{New: func() any { return &call{done: make(chan result, 1)} }}

// Call implements Messenger.
func (t *Transport) Call(ctx context.Context, to base.NodeID, kind Kind, request []byte) ([]byte, error) {
	l, err := t.linkFor(to, kind, request)
	if err != nil {
		return nil, err
	}
	if err := acquire(ctx, l.calls); err != nil {
		return nil, &CallError{Node: to, Kind: kind, Class: base.ErrUnavailable, Cause: err}
	}
	defer func() { <-l.calls }()
	x := callPool.Get().(*call)
	x.exchangeState = exchangeState{kind: kind}
	x.deadline, _ = ctx.Deadline()
	c, err := l.connect()
	if err == nil {
		err = c.push(ctx, frame{header: header{typ: typeRequest, kind: kind}, payload: request, opens: x})
	}
	if err != nil {
		return nil, &CallError{Node: to, Kind: kind, Class: base.ErrUnavailable, Cause: err}
	}
	var r result
	select {
	case r = <-x.done:
	case <-ctx.Done():
		if sent, ok := c.abandon(x); ok {
			return nil, c.failure(sent, kind, ctx.Err())
		}
		r = <-x.done // it was answered in the same moment
	}
	callPool.Put(x)
	return r.response, r.err
}

// linkFor is the way to a node for one kind.
func (t *Transport) linkFor(to base.NodeID, kind Kind, request []byte) (*link, error) {
	if len(request) > limits.TransportFrameBytes {
		return nil, errors.Wrapf(ErrTooLarge, "a request of %d bytes", len(request))
	}
	p, err := t.peer(to)
	if err != nil {
		return nil, &CallError{Node: to, Kind: kind, Class: base.ErrUnavailable, Cause: err}
	}
	return &p.links[kind.Class()], nil
}

// acquire takes a token.
func acquire(ctx context.Context, tokens chan struct{}) error {
	select {
	case tokens <- struct{}{}:
		return nil
	default:
	}
	select {
	case tokens <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answered handles a frame on the dialler's side.
func (c *conn) answered(h header, payload []byte) error {
	switch h.typ {
	case typeResponse, typeError, typeRefused, typeEnd:
		return c.conclude(h, payload)
	case typeData, typeCredit:
		c.outbox.Lock()
		s, _ := c.outbox.exchanges[h.stream].(*stream)
		c.outbox.Unlock()
		if s == nil {
			return nil // given up here, not yet known there
		}
		return s.arrived(h, payload)
	}
	if !c.common(h) {
		return errors.Wrapf(ErrProtocol, "a frame of type %d from the side that answers", h.typ)
	}
	return nil
}

// conclude ends an exchange as the peer says.
func (c *conn) conclude(h header, payload []byte) error {
	r := result{response: payload}
	switch h.typ {
	case typeError, typeRefused:
		e, err := decodeError(c.peer.node, h.kind, payload)
		if err != nil {
			return err
		}
		r = result{err: e}
		if h.typ == typeRefused {
			r.err = c.failure(false, h.kind, e)
		}
	}
	switch x := c.ending(h.stream).(type) {
	case nil: // given up here, not yet known there
	case *call:
		if h.typ == typeEnd {
			x.done <- result{err: c.failure(true, x.kind, ErrProtocol)}
			return errors.Wrap(ErrProtocol, "a call ended like a stream")
		}
		x.done <- r
	case *stream:
		switch {
		case h.typ == typeResponse:
			x.fail(c.failure(true, x.kind, ErrProtocol))
			return errors.Wrap(ErrProtocol, "a stream ended like a call")
		case r.err != nil:
			x.finish(r.err, r.err, true)
		default:
			x.finish(io.EOF, ErrStreamEnded, true)
		}
	}
	return nil
}
