package remote

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/feed"
	"github.com/stratadb/strata/internal/cluster/transport"
	"github.com/stratadb/strata/internal/limits"
)

// A node that follows a part of the keyspace asks each of the others, over one stream, for what
// is written there in the ranges that it leads. When the stream ends, so does everything that
// was covered by it.

// What a chunk tells. The numbers are on the wire.
const (
	newsCovered uint64 = 1
	newsLost    uint64 = 2
	newsChanged uint64 = 3
)

// changesPerChunk keeps a chunk below limits.TransportChunkBytes.
const changesPerChunk = limits.TransportChunkBytes / (limits.KeyBytes + 32)

var errSlow = errors.New("what is told to a node waits for too long")

// outbox is what waits to be told to another node.
type outbox struct {
	some  chan struct{} // a token
	queue struct {
		sync.Mutex
		chunks [][]byte
		bytes  int
		full   bool
	}
}

func newOutbox() outbox { return outbox{some: make(chan struct{}, 1)} }

func (o *outbox) add(chunk []byte) {
	q := &o.queue
	q.Lock()
	defer q.Unlock()
	if q.bytes += len(chunk); q.bytes > limits.FollowerBytes {
		q.full, q.chunks = true, nil
	}
	if !q.full {
		q.chunks = append(q.chunks, chunk)
	}
	token(o.some)
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take is what there is to tell now.
func (o *outbox) take() ([][]byte, error) {
	q := &o.queue
	q.Lock()
	defer q.Unlock()
	if q.full {
		return nil, errSlow
	}
	chunks := q.chunks
	q.chunks, q.bytes = nil, 0
	return chunks, nil
}

// telling is what a follower is told.
type telling struct{ outbox }

var _ feed.Follower = (*telling)(nil)

// Covered implements feed.Follower.
func (t *telling) Covered(piece base.Span) { t.add(appendSpan(appendNumbers(nil, newsCovered), piece)) }

// Lost implements feed.Follower.
func (t *telling) Lost(piece base.Span) { t.add(appendSpan(appendNumbers(nil, newsLost), piece)) }

// Changed implements feed.Follower.
func (t *telling) Changed(list []base.Change) {
	for some := range slices.Chunk(list, changesPerChunk) {
		t.add(appendChanges(appendNumbers(nil, newsChanged), some))
	}
}

func appendChanges(dst []byte, list []base.Change) []byte {
	for _, c := range list {
		dst = appendNumbers(dst, flag(c.Key == nil), c.Origin)
		if c.Key != nil {
			dst = base.AppendBytes(dst, c.Key)
		}
	}
	return dst
}

func decodeChanges(d *base.Decoder) (list []base.Change) {
	for d.OK() && !d.Done() {
		any, c := d.Uvarint(), base.Change{Origin: d.Uvarint()}
		if any == 0 {
			c.Key = d.Bytes()
		}
		list = append(list, c)
	}
	return list
}

// follow tells another node what is written in a span.
func (v *Server) follow(ctx context.Context, _ base.NodeID, request []byte, s transport.Stream) error {
	d := base.NewDecoder(request)
	span := decodeSpan(&d)
	if !d.Done() {
		return errMalformed
	}
	t := &telling{newOutbox()}
	defer feed.Follow(v.store, span, t)()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.some:
		}
		chunks, err := t.take()
		if err != nil {
			return err
		}
		for _, c := range chunks {
			if err := s.Send(c); err != nil {
				return err
			}
		}
	}
}

const (
	// followAgain is the pause before a node is asked again, membersEvery is how often others
	// are looked for.
	followAgain  = 200 * time.Millisecond
	membersEvery = time.Second
)

// Follow tells f what is written of span in the ranges that other nodes lead, until the result
// is called.
func (c *Client) Follow(span base.Span, f feed.Follower) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Add(1)
	go func() {
		defer all.Done()
		known := map[base.NodeID]bool{c.self: true}
		for ctx.Err() == nil {
			for _, node := range c.others() {
				if known[node] {
					continue
				}
				known[node] = true
				all.Add(1)
				go func() {
					defer all.Done()
					c.followNode(ctx, node, span, f)
				}()
			}
			rest(ctx, membersEvery)
		}
	}()
	return func() {
		cancel()
		all.Wait()
	}
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// followNode follows what one node leads, again and again.
func (c *Client) followNode(ctx context.Context, node base.NodeID, span base.Span, f feed.Follower) {
	for ctx.Err() == nil {
		if s, err := c.to.OpenStream(ctx, node, kindFollow, appendSpan(nil, span)); err == nil {
			c.hearNews(ctx, node, s, f)
			s.Close()
		}
		rest(ctx, followAgain)
	}
}

// hearNews passes on what a node tells, until its stream ends.
func (c *Client) hearNews(ctx context.Context, node base.NodeID, s transport.ClientStream, f feed.Follower) {
	var pieces []base.Span
	defer func() {
		for _, p := range pieces {
			if ctx.Err() == nil {
				f.Lost(p)
			}
		}
	}()
	for {
		b, err := s.Recv()
		if err != nil {
			return
		}
		d := base.NewDecoder(b)
		switch d.Uvarint() {
		case newsCovered:
			p := decodeSpan(&d)
			pieces = append(pieces, p)
			f.Covered(p)
		case newsLost:
			p := decodeSpan(&d)
			if i := slices.IndexFunc(pieces, p.Equal); i >= 0 {
				pieces = slices.Delete(pieces, i, i+1)
				f.Lost(p)
			}
		case newsChanged:
			f.Changed(decodeChanges(&d))
		}
		if !d.Done() {
			c.log.Warn("malformed news of what was written", "from", node)
			return
		}
	}
}
