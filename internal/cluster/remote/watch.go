package remote

import (
	"context"
	"sync"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/transport"
	"github.com/stratadb/strata/internal/limits"
)

// Watch is an interest in a key at the leader. It counts as dirty when the leader
// cannot be reached any more, or is another one.
type Watch struct {
	changed chan struct{}
	cancel  context.CancelFunc
	mu      sync.Mutex
	id      uint64 // at the leader; zero: it was never registered
	dirty   bool
}

// Watch registers an interest, and waits for it as long as a call waits for a leader.
func (c *Client) Watch(key []byte) *Watch {
	w := &Watch{changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	pause := pauseMin
	for until := time.Now().Add(limits.LeaderWait); c.Serving() == nil && time.Now().Before(until); {
		for n := range 1 + len(c.others()) {
			if c.register(ctx, w, c.next(n), key) {
				return w
			}
		}
		time.Sleep(pause)
		pause = min(2*pause, pauseMax)
	}
	w.end()
	return w
}

// register makes a watch at a node, if that leads.
func (c *Client) register(ctx context.Context, w *Watch, node base.NodeID, key []byte) bool {
	if node == c.self {
		c.leader.CompareAndSwap(uint64(node), 0)
		return false
	}
	s, err := c.to.OpenStream(ctx, node, kindWatch, key)
	if err == nil {
		if w.id, err = registered(s); err == nil {
			go w.wait(s) // ends with Close, the leader, or the connection
			return true
		}
		s.Close()
	}
	hint := errNotLeader{}
	if errors.As(err, &hint) {
		c.leader.CompareAndSwap(uint64(node), uint64(hint.leader))
	} else {
		c.leader.CompareAndSwap(uint64(node), 0)
	}
	return false
}

func registered(s transport.ClientStream) (uint64, error) {
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

func (w *Watch) wait(s transport.ClientStream) {
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

// Close ends the interest.
func (w *Watch) Close() { w.cancel() }
