package remote

import (
	"context"
	"io"
	"sync"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/transport"
	"github.com/stratadb/strata/internal/limits"
)

// A node may have any number of interests at another one: keys that its clients watch, lines
// in which they wait. Each is a talk, of a few words in either direction; all talks between
// two nodes that one of them has begun share one stream, since there are only so many of
// those. It begins with the first talk and ends with the last one. What is said at the same
// time travels in one chunk. A talk that nobody listens to keeps what it was told; a stream
// that is not read ends, and with it its talks.

// What is said. The numbers are on the wire.
const (
	talkBegins uint64 = 1
	talkSays   uint64 = 2
	talkEnds   uint64 = 3
	talksEnd   uint64 = 4 // all of them
)

var errTalkEnded = errors.Wrap(base.ErrUnavailable, "the other node has ended the talk")

// trunk is one end of a stream that talks share.
type trunk struct {
	outbox
	idle func() // the last talk has ended; nil on the side that has begun none
	mu   struct {
		sync.Mutex
		last  uint64
		talks map[uint64]*talk
		err   error // it has ended
	}
}

// talk is one end of a talk. One goroutine may send while another one receives.
type talk struct {
	on   *trunk
	id   uint64
	ctx  context.Context
	give context.CancelFunc
	some chan struct{} // a token: there is something to receive
	mu   struct {
		sync.Mutex
		chunks [][]byte
		err    error // behind the chunks
	}
}

var _ transport.Stream = (*talk)(nil)

func newTrunk() *trunk {
	t := &trunk{outbox: newOutbox()}
	t.mu.talks = map[uint64]*talk{}
	return t
}

// begin makes a talk; zero as its number asks for a new one.
func (t *trunk) begin(ctx context.Context, id uint64) (*talk, error) {
	k := &talk{on: t, id: id, some: make(chan struct{}, 1)}
	k.ctx, k.give = context.WithCancel(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.err != nil {
		return nil, t.mu.err
	}
	if id == 0 {
		t.mu.last++
		k.id = t.mu.last
	}
	t.mu.talks[k.id] = k
	return k, nil
}

// end ends all talks.
func (t *trunk) end(err error) {
	t.mu.Lock()
	talks := t.mu.talks
	t.mu.talks, t.mu.err = nil, err
	t.mu.Unlock()
	for _, k := range talks {
		k.over(err)
	}
}

// run carries what is said on the trunk, until the stream ends. begun is told of talks that the
// other side begins.
func (t *trunk) run(ctx context.Context, s transport.Stream, begun func(k *talk, kind transport.Kind, request []byte)) error {
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	wait.Go(func() {
		if err := t.write(ctx, s); ctx.Err() == nil {
			t.end(errors.Mark(err, base.ErrUnavailable))
			_ = s.Send(appendNumbers(nil, talksEnd, 0)) // the other side ends the stream
		}
	})
	for {
		b, err := s.Recv()
		if err == nil {
			err = t.hear(ctx, b, begun)
		}
		if err != nil {
			t.end(errors.Mark(err, base.ErrUnavailable))
			return err
		}
	}
}

func (t *trunk) write(ctx context.Context, s transport.Stream) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.some:
		}
		said, err := t.take()
		if err != nil {
			return err
		}
		for len(said) > 0 {
			n, size := 1, len(said[0])
			for n < len(said) && size+len(said[n]) <= limits.TransportChunkBytes {
				size += len(said[n])
				n++
			}
			chunk := make([]byte, 0, size)
			for _, b := range said[:n] {
				chunk = append(chunk, b...)
			}
			if err := s.Send(chunk); err != nil {
				return err
			}
			said = said[n:]
		}
	}
}

// hear passes on what was said.
func (t *trunk) hear(ctx context.Context, chunk []byte, begun func(k *talk, kind transport.Kind, request []byte)) error {
	for d := base.NewDecoder(chunk); !d.Done(); {
		what, id := d.Uvarint(), d.Uvarint()
		t.mu.Lock()
		k := t.mu.talks[id]
		t.mu.Unlock()
		switch what {
		case talkBegins:
			kind, request := transport.Kind(d.Uvarint()), d.Bytes()
			if !d.OK() || k != nil || id == 0 || begun == nil {
				return errMalformed
			}
			k, err := t.begin(ctx, id)
			if err != nil {
				return err
			}
			begun(k, kind, request)
		case talkSays:
			if b := d.Bytes(); k != nil && d.OK() {
				k.heard(b)
			}
		case talkEnds:
			if k != nil {
				k.forget()
				k.over(errTalkEnded)
			}
		case talksEnd:
			return errTalkEnded
		}
		if !d.OK() || what < talkBegins || what > talksEnd {
			return errMalformed
		}
	}
	return nil
}

func (k *talk) heard(chunk []byte) {
	k.mu.Lock()
	k.mu.chunks = append(k.mu.chunks, chunk)
	k.mu.Unlock()
	token(k.some)
}

// over ends what is received.
func (k *talk) over(err error) {
	k.mu.Lock()
	if k.mu.err == nil {
		k.mu.err = err
	}
	k.mu.Unlock()
	token(k.some)
	k.give()
}

func (k *talk) forget() (known bool) {
	k.on.mu.Lock()
	defer k.on.mu.Unlock()
	if known = k.on.mu.talks[k.id] == k; !known {
		return false
	}
	if delete(k.on.mu.talks, k.id); len(k.on.mu.talks) == 0 && k.on.idle != nil {
		k.on.mu.err = errTalkEnded
		k.on.idle()
	}
	return true
}

// Send implements transport.Stream. It does not wait.
func (k *talk) Send(chunk []byte) error {
	if err := k.ctx.Err(); err != nil {
		return err
	}
	k.on.add(base.AppendBytes(appendNumbers(nil, talkSays, k.id), chunk))
	return nil
}

// Recv implements transport.Stream. It ends with the talk's context, too.
func (k *talk) Recv() ([]byte, error) {
	for {
		k.mu.Lock()
		if len(k.mu.chunks) > 0 {
			chunk := k.mu.chunks[0]
			k.mu.chunks = k.mu.chunks[1:]
			k.mu.Unlock()
			return chunk, nil
		}
		err := k.mu.err
		k.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-k.some:
		case <-k.ctx.Done():
			k.over(k.ctx.Err())
		}
	}
}

// Close ends the talk. It must be called, and may be again.
func (k *talk) Close() {
	if k.forget() {
		k.on.add(appendNumbers(nil, talkEnds, k.id))
	}
	k.over(io.EOF)
}

// talk begins a talk with another node. Whether that is reached is heard in its answer.
func (c *Client) talk(ctx context.Context, node base.NodeID, kind transport.Kind, request []byte) (*talk, error) {
	c.trunks.Lock()
	defer c.trunks.Unlock()
	t := c.trunks.byNode[node]
	var k *talk
	var err error
	if t != nil {
		k, err = t.begin(ctx, 0)
	}
	if t == nil || err != nil {
		t = newTrunk()
		c.trunks.byNode[node] = t
		var carried context.Context
		carried, t.idle = context.WithCancel(context.Background())
		if k, err = t.begin(ctx, 0); err != nil {
			return nil, err
		}
		go c.carry(carried, node, t)
	}
	t.add(base.AppendBytes(appendNumbers(nil, talkBegins, k.id, uint64(kind)), request))
	return k, nil
}

// carry runs a trunk to a node, until the way there ends.
func (c *Client) carry(ctx context.Context, node base.NodeID, t *trunk) {
	defer t.idle()
	s, err := c.to.OpenStream(ctx, node, kindTalk, nil)
	if err == nil {
		err = t.run(ctx, s, nil)
		s.Close()
	}
	c.trunks.Lock()
	if c.trunks.byNode[node] == t {
		delete(c.trunks.byNode, node)
	}
	c.trunks.Unlock()
	t.end(errors.Mark(err, base.ErrUnavailable))
}

// talk listens to another node, and lets what it begins be served.
func (v *Server) talk(ctx context.Context, from base.NodeID, _ []byte, s transport.Stream) error {
	serve := map[transport.Kind]transport.StreamHandler{kindWatch: v.watch, kindTurn: v.turn}
	var wait sync.WaitGroup
	defer wait.Wait()
	return newTrunk().run(ctx, s, func(k *talk, kind transport.Kind, request []byte) {
		wait.Go(func() {
			defer k.Close()
			if handler := serve[kind]; handler != nil {
				_ = handler(k.ctx, from, request, k) // who has begun it hears that it has ended
			}
		})
	})
}
