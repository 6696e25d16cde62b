package remote

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/transport"
)

// The line of those who wait at a key is kept by the node that leads its range. When
// another one does, whoever is in front notices by the key itself; those behind are told
// when it would be their turn, and go where the line is now. They keep the time since
// which they wait, and so their order.

// Turn is a place in a line.
type Turn struct {
	granted, lost chan struct{}
	leave         func()
}

// Granted is closed when it is the place's turn.
func (t *Turn) Granted() <-chan struct{} { return t.granted }

// Lost is closed when the place is lost.
func (t *Turn) Lost() <-chan struct{} { return t.lost }

// Leave gives the place up.
func (t *Turn) Leave() { t.leave() }

// Keep makes the server's lines those of this node, too.
func (c *Client) Keep(v *Server) { c.lines = &v.lines }

// Standing is how many stand in the line that this node keeps of key.
func (c *Client) Standing(key []byte) int { return c.lines.Standing(key) }

// Turn takes a place in the line of key, for who has waited since a stamp.
func (c *Client) Turn(key []byte, since base.Stamp) *Turn {
	t := &Turn{granted: make(chan struct{}), lost: make(chan struct{})}
	if c.Serving(key) != nil {
		p := c.lines.Enter(key, since)
		left, leave := context.WithCancel(context.Background())
		t.leave = func() {
			leave()
			p.Leave()
		}
		go func() {
			select {
			case <-left.Done():
			case <-p.Turn():
				t.called(c.Serving(key) != nil)
			}
		}()
		return t
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.leave = cancel
	key = bytes.Clone(key)
	go t.stand(ctx, c, key, since)
	return t
}

// called says that it is the place's turn, in a line that is still kept or is not.
func (t *Turn) called(kept bool) {
	if kept {
		close(t.granted)
	} else {
		close(t.lost)
	}
}

// stand waits in another node's line.
func (t *Turn) stand(ctx context.Context, c *Client, key []byte, since base.Stamp) {
	defer close(t.lost)
	request := base.AppendBytes(binary.AppendUvarint(nil, uint64(since)), key)
	var s transport.ClientStream
	err := c.lead(key, harmless, func(node base.NodeID) (err error) {
		if err = ctx.Err(); err != nil {
			return err
		}
		registering, done := context.WithCancel(ctx)
		defer done()
		within, give := context.WithCancel(ctx)
		defer c.overtaken(registering, key, way{to: node}, give)()
		if s, err = c.to.OpenStream(within, node, kindTurn, request); err != nil {
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
	if b, err := s.Recv(); err != nil {
		return
	} else if _, err = payload(b); err != nil {
		return
	}
	close(t.granted)
	_, _ = s.Recv() // the end, of whatever
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
	defer p.Leave()
	if err := s.Send([]byte{answerOK}); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.Turn():
	}
	if r, other := v.leading(key); r == nil {
		return s.Send(other)
	}
	if err := s.Send([]byte{answerOK}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}
