package remote

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/transport"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// Client asks whoever leads.
type Client struct {
	self   base.NodeID
	to     transport.Messenger
	store  Store
	others func() []base.NodeID
	log    *slog.Logger
	leader atomic.Uint64 // a node that led lately
}

// NewClient makes a client. others are the nodes that may be asked.
func NewClient(self base.NodeID, to transport.Messenger, s Store, others func() []base.NodeID, log *slog.Logger) *Client {
	return &Client{self: self, to: to, store: s, others: others, log: log}
}

// Serving is this node's replica if it leads, nil otherwise.
func (c *Client) Serving() *replica.Replica {
	if r := c.store.Range(nil); r != nil && r.Serving() {
		return r
	}
	return nil
}

// Send carries a replica's message.
func (c *Client) Send(to base.NodeID, m *replica.Message) {
	if m.IsSnapshot() {
		ctx, cancel := context.WithTimeout(context.Background(), snapshotTime)
		defer cancel()
		if err := sendSnapshot(ctx, c.to, to, m); err != nil {
			c.log.Warn("snapshot not sent", "range", m.Range, "to", to, "error", err)
		}
		return
	}
	b := m.Append(nil)
	kind := kindRaft
	if len(b) >= largeMessage {
		kind = kindRaftLarge
	}
	c.to.Send(to, kind, b)
}

const (
	// snapshotTime bounds the sending of a snapshot.
	snapshotTime = 5 * time.Minute
	// callTime bounds one try of a call.
	callTime = limits.TransactionMaxAge
	// pauseMin and pauseMax bound the pause between two tries.
	pauseMin = 5 * time.Millisecond
	pauseMax = 100 * time.Millisecond
)

// errNotLeader is an answer, which names a better node.
type errNotLeader struct{ leader base.NodeID }

func (e errNotLeader) Error() string { return "not the leader" }

// ask calls the leader. Repeatable says that a try whose fate is unknown may be
// followed by another one. ErrConflict says that this node has become the leader.
func (c *Client) ask(kind transport.Kind, request []byte, repeatable bool) ([]byte, error) {
	until := time.Now().Add(limits.LeaderWait)
	pause := pauseMin
	for n := 0; ; n++ {
		node := c.next(n)
		answer, err := c.try(node, kind, request)
		if err == nil {
			c.leader.Store(uint64(node))
			return answer, nil
		}
		hint := errNotLeader{}
		switch {
		case errors.As(err, &hint):
			c.leader.Store(uint64(hint.leader))
			if hint.leader != 0 && n == 0 {
				continue // at once
			}
		case errors.Is(err, base.ErrUnavailable), repeatable && errors.Is(err, base.ErrUnknownOutcome):
			c.leader.CompareAndSwap(uint64(node), 0)
		default:
			return nil, err
		}
		if c.Serving() != nil {
			return nil, errors.Wrap(base.ErrConflict, "this node leads now")
		}
		if time.Now().After(until) {
			return nil, errors.Wrap(base.ErrUnavailable, "no leader was found")
		}
		time.Sleep(pause)
		pause = min(2*pause, pauseMax)
	}
}

// next is the node to ask: the one that led lately, or that the own replica knows, or
// all of them in turn.
func (c *Client) next(n int) base.NodeID {
	if node := base.NodeID(c.leader.Load()); node != 0 {
		return node
	}
	if r := c.store.Range(nil); r != nil {
		if node := r.Leader(); node != 0 && n%2 == 0 {
			return node
		}
	}
	others := c.others()
	if len(others) == 0 {
		return c.self
	}
	return others[n%len(others)]
}

func (c *Client) try(node base.NodeID, kind transport.Kind, request []byte) ([]byte, error) {
	if node == c.self {
		return nil, errors.Wrap(base.ErrUnavailable, "this node does not lead")
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	b, err := c.to.Call(ctx, node, kind, request)
	if err != nil {
		return nil, err
	}
	return payload(b)
}

// payload is what follows the answer's first number.
func payload(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errMalformed
	}
	if b[0] == answerNotLeader {
		d := base.NewDecoder(b[1:])
		return nil, errNotLeader{base.NodeID(d.Uvarint())}
	}
	return b[1:], nil
}

// Read reads at the leader.
func (c *Client) Read(q *Read) (Pairs, error) {
	b, err := c.ask(kindRead, q.append(nil), true)
	if err != nil {
		return Pairs{}, err
	}
	return decodePairs(b)
}

// Commit commits at the leader.
func (c *Client) Commit(q *Commit) (Committed, error) {
	repeatable := q.Session != 0 || len(q.Mutations) == 0
	b, err := c.ask(kindCommit, q.append(nil), repeatable)
	if err != nil {
		return Committed{}, err
	}
	return decodeCommitted(b)
}

// Stamp asks the leader for a stamp.
func (c *Client) Stamp() (base.Stamp, error) {
	b, err := c.ask(kindStamp, nil, true)
	d := base.NewDecoder(b)
	return base.Stamp(d.Uvarint()), err
}
