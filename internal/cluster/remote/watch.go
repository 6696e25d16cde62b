package remote

import (
	"bytes"
	"context"
	"sync"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// Watch is an interest in a key at the leader. It counts as dirty when the leader
// cannot be reached any more, or is another one.
type Watch struct {
	key     []byte
	changed chan struct{}
	cancel  context.CancelFunc
	mu      sync.Mutex
	id      uint64 // at the leader; zero: it was never registered
	dirty   bool
}

// Watch registers an interest at the leader, as a call would; see lead.
func (c *Client) Watch(key []byte) *Watch {
	key = bytes.Clone(key)
	w := &Watch{key: key, changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	if c.lead(key, harmless, func(node base.NodeID) error { return c.register(ctx, w, node, key) }) != nil {
		w.end()
	}
	return w
}

// register makes a watch at a node. Whatever goes wrong, nobody depends on it yet.
func (c *Client) register(ctx context.Context, w *Watch, node base.NodeID, key []byte) error {
	ctx, give := context.WithCancel(ctx)
	registering, done := context.WithCancel(ctx)
	defer done()
	defer c.overtaken(registering, key, way{to: node}, give)()
	s, err := c.talk(ctx, node, kindWatch, key)
	if err != nil {
		give()
		return errors.Mark(err, base.ErrUnavailable)
	}
	if w.id, err = registered(s); err != nil {
		s.Close()
		give()
		return errors.Mark(err, base.ErrUnavailable)
	}
	go w.wait(s) // ends with Close, the leader, or the connection
	return nil
}

func registered(s *talk) (uint64, error) {
	b, err := s.Recv()
	if err != nil {
		return 0, err
	}
	if b, err = payload(b); err != nil {
		return 0, err
	}
	d := base.NewDecoder(b)
	return d.Uvarint(), nil
}

func (w *Watch) wait(s *talk) {
	defer s.Close()
	_, _ = s.Recv() // a change, or the end: whoever is woken looks again
	w.end()
}

func (w *Watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.dirty {
		w.dirty = true
		close(w.changed)
	}
}

// ID is the watch's number at the leader.
func (w *Watch) ID() uint64 { return w.id }

// MarkDirty notes what a commit has learnt.
func (w *Watch) MarkDirty() { w.end() }

// Dirty reports whether the key was, or may have been, written.
func (w *Watch) Dirty() (bool, base.Ticket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dirty, base.Ticket{}
}

// Changed is closed when the key has, or may have, changed.
func (w *Watch) Changed() <-chan struct{} { return w.changed }

// Close ends the interest: nothing commits under the watch any more.
func (w *Watch) Close() {
	w.cancel()
	w.end()
}
