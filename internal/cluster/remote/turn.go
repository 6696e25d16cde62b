package remote

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/transport"
	"github.com/stratadb/strata/internal/turn"
)

// The line of those who wait at a key is kept by the node that leads its range. Each node has
// one place there, that of whoever has waited for longest of those who wait on it; when that
// one goes, the place moves to where the next one belongs. When another node leads, whoever
// is in front notices by the key itself; those behind are told when it would be their
// turn, and go where the line is now. They keep the time since which they wait, and so
// their order.

// Turn is a place in a line.
type Turn struct {
	ctx         context.Context // ends when the place is left
	cancel      context.CancelFunc
	known, lost chan struct{}
	moved       chan base.Stamp // whose it is from now on; the last one
	mu          struct {
		sync.Mutex
		since   base.Stamp
		granted chan struct{}
		has     bool // the turn
	}
}

// Known is closed when who keeps the line knows of the place.
func (t *Turn) Known() <-chan struct{} { return t.known }

// Granted is closed when it is the place's turn.
func (t *Turn) Granted() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.granted
}

// Lost is closed when the place is lost.
func (t *Turn) Lost() <-chan struct{} { return t.lost }

// Leave gives the place up.
func (t *Turn) Leave() { t.cancel() }

// Move makes it the place of who has waited since another time.
func (t *Turn) Move(since base.Stamp) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.since, t.mu.granted, t.mu.has = since, make(chan struct{}), false
	select {
	case <-t.moved:
	default:
	}
	t.moved <- since
}

func (t *Turn) since() base.Stamp {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.since
}

// grant gives the turn to who has waited since a stamp, if the place is still theirs, or
// takes it back.
func (t *Turn) grant(since base.Stamp, has bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case since != t.mu.since || has == t.mu.has:
	case has:
		close(t.mu.granted)
		t.mu.has = true
	default:
		t.mu.granted, t.mu.has = make(chan struct{}), false
	}
	return nil
}

// Keep makes the server's lines those of this node, too.
func (c *Client) Keep(v *Server) { c.lines = &v.lines }

// Standing is how many stand in the line that this node keeps of key.
func (c *Client) Standing(key []byte) int { return c.lines.Standing(key) }

// Turn takes a place in the line of key, for who has waited since a stamp.
func (c *Client) Turn(key []byte, since base.Stamp) *Turn {
	t := &Turn{known: make(chan struct{}), lost: make(chan struct{}), moved: make(chan base.Stamp, 1)}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.mu.since, t.mu.granted = since, make(chan struct{})
	key = bytes.Clone(key)
	if c.Serving(key) == nil {
		go t.stand(c, key)
		return t
	}
	p := c.lines.Enter(key, since)
	close(t.known)
	go func() {
		defer close(t.lost)
		_ = keep(t.ctx, keeping{place: p, since: since, moved: t.moved, grant: t.grant,
			kept: func() bool { return c.Serving(key) != nil }})
	}()
	return t
}

// keeping is a place in a line of this node, and whose it is.
type keeping struct {
	place *turn.Place
	since base.Stamp
	moved <-chan base.Stamp
	grant func(since base.Stamp, has bool) error
	kept  func() bool // the line, still
}

// keep keeps a place until its context ends, or the line is not kept here any more.
func keep(ctx context.Context, k keeping) error {
	defer k.place.Leave()
	called, overtaken := k.place.Turn(), k.place.Overtaken()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case k.since = <-k.moved:
			k.place.Move(k.since)
			called, overtaken = k.place.Turn(), k.place.Overtaken()
		case <-overtaken:
			k.place.Move(k.since)
			called, overtaken = k.place.Turn(), k.place.Overtaken()
			err = k.grant(k.since, false)
		case <-called:
			if called = nil; !k.kept() {
				return nil
			}
			err = k.grant(k.since, true)
		}
		if err != nil {
			return err
		}
	}
}

// stand stands in another node's line.
func (t *Turn) stand(c *Client, key []byte) {
	defer close(t.lost)
	defer t.cancel()
	var s *talk
	err := c.lead(key, harmless, func(node base.NodeID) (err error) {
		if err = t.ctx.Err(); err != nil {
			return err
		}
		registering, done := context.WithCancel(t.ctx)
		defer done()
		within, give := context.WithCancel(t.ctx)
		defer c.overtaken(registering, key, way{to: node}, give)()
		request := base.AppendBytes(binary.AppendUvarint(nil, uint64(t.since())), key)
		if s, err = c.talk(within, node, kindTurn, request); err != nil {
			give()
			return err
		}
		b, err := s.Recv()
		if err == nil {
			_, err = payload(b)
		}
		if err != nil {
			s.Close()
			give()
		}
		return err
	})
	if err != nil {
		return
	}
	defer s.Close()
	close(t.known)
	go t.tell(s)
	for {
		b, err := s.Recv()
		if err == nil {
			b, err = payload(b)
		}
		if err != nil {
			return
		}
		d := base.NewDecoder(b)
		_ = t.grant(base.Stamp(d.Uvarint()), d.Uvarint() == 1)
	}
}

// tell tells who keeps the line where the place moves to.
func (t *Turn) tell(s *talk) {
	for {
		select {
		case <-t.ctx.Done():
			return
		case since := <-t.moved:
			if s.Send(appendNumbers(nil, uint64(since))) != nil {
				return
			}
		}
	}
}

// turn lets another node stand in a line: it says that it does, and when it is its turn.
func (v *Server) turn(ctx context.Context, _ base.NodeID, request []byte, s transport.Stream) error {
	d := base.NewDecoder(request)
	since, key := base.Stamp(d.Uvarint()), d.Bytes()
	if !d.Done() {
		return errMalformed
	}
	if r, other := v.leading(key); r == nil {
		return s.Send(other)
	}
	p := v.lines.Enter(key, since)
	if err := s.Send([]byte{answerOK}); err != nil {
		p.Leave()
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	moved := make(chan base.Stamp)
	go func() {
		defer cancel()
		for {
			b, err := s.Recv()
			if err != nil {
				return
			}
			d := base.NewDecoder(b)
			select {
			case moved <- base.Stamp(d.Uvarint()):
			case <-ctx.Done():
				return
			}
		}
	}()
	err := keep(ctx, keeping{place: p, since: since, moved: moved,
		grant: func(since base.Stamp, has bool) error {
			return s.Send(appendNumbers(nil, answerOK, uint64(since), flag(has)))
		},
		kept: func() bool { r, _ := v.leading(key); return r != nil }})
	if err != nil {
		return err
	}
	_, other := v.leading(key)
	return s.Send(other)
}
