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
	// follows is the node that the own replica takes for the leader; zero: none.
	follows func() base.NodeID
}

// NewClient makes a client. others are the nodes that may be asked.
func NewClient(self base.NodeID, to transport.Messenger, s Store, others func() []base.NodeID, log *slog.Logger) *Client {
	return &Client{self: self, to: to, store: s, others: others, log: log, follows: func() base.NodeID {
		if r := s.Range(nil); r != nil {
			return r.Leader()
		}
		return 0
	}}
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
	// overtakenEvery is how often a call that takes long looks for another leader.
	overtakenEvery = 200 * time.Millisecond
)

// errNotLeader is an answer, which names a better node.
type errNotLeader struct{ leader base.NodeID }

func (e errNotLeader) Error() string { return "not the leader" }

// lead lets try ask the leader: whoever is said to lead, or all in turn, until one does
// what is asked or LeaderWait is over. Repeatable says that a try whose fate is unknown
// may be followed by another one. ErrConflict says that this node has become the leader.
func (c *Client) lead(repeatable bool, try func(node base.NodeID) error) error {
	until := time.Now().Add(limits.LeaderWait)
	pause, turn := pauseMin, 0
	for n := 0; ; n++ {
		node := c.Leader()
		// Those who are said to lead may all be gone, and be named again and again by
		// others: every third try does not listen.
		if node == 0 || n%3 == 2 {
			node = c.inTurn(turn)
			turn++
		}
		err := errSelf
		if node != c.self {
			err = try(node)
		}
		hint := errNotLeader{}
		switch {
		case err == nil:
			c.leader.Store(uint64(node))
			return nil
		case closed(err):
			return err
		case errors.As(err, &hint):
			c.leader.Store(uint64(hint.leader))
			if hint.leader != 0 && n == 0 {
				continue // at once
			}
		case errors.Is(err, base.ErrUnavailable), repeatable && errors.Is(err, base.ErrUnknownOutcome):
			c.leader.CompareAndSwap(uint64(node), 0)
		default:
			return err
		}
		if c.Serving() != nil {
			return errors.Wrap(base.ErrConflict, "this node leads now")
		}
		if time.Now().After(until) {
			return errors.Wrap(base.ErrUnavailable, "no leader was found")
		}
		time.Sleep(pause)
		pause = min(2*pause, pauseMax)
	}
}

// closed reports whether this node's way to others is shut: it is about to stop.
func closed(err error) bool {
	way := (*transport.CallError)(nil)
	return errors.As(err, &way) && errors.Is(way.Cause, base.ErrClosed)
}

// errSelf is what a client that asks itself would hear: it asks because its node does
// not lead.
var errSelf = errors.Wrap(base.ErrUnavailable, "this node does not lead")

// Leader is the node that led lately, or that the own replica takes for the leader; zero
// if there is none.
func (c *Client) Leader() base.NodeID {
	if node := base.NodeID(c.leader.Load()); node != 0 {
		return node
	}
	return c.follows()
}

// inTurn is one of the nodes.
func (c *Client) inTurn(turn int) base.NodeID {
	nodes := c.others()
	if len(nodes) == 0 {
		return c.self
	}
	return nodes[turn%len(nodes)]
}

// overtaken calls give when the own replica follows another leader than before, and not
// the node either: it does not answer, and its connection may be silent for seconds
// before that is noticed. It ends with ctx; stop only saves the next look.
func (c *Client) overtaken(ctx context.Context, node base.NodeID, give func()) (stop func() bool) {
	before := c.follows()
	var look func()
	look = func() {
		now := c.follows()
		switch {
		case ctx.Err() != nil:
		case now != 0 && now != before && now != node:
			give()
		default:
			time.AfterFunc(overtakenEvery, look)
		}
	}
	return time.AfterFunc(overtakenEvery, look).Stop
}

// ask calls the leader; see lead.
func (c *Client) ask(kind transport.Kind, request []byte, repeatable bool) (answer []byte, err error) {
	err = c.lead(repeatable, func(node base.NodeID) error {
		ctx, cancel := context.WithTimeout(context.Background(), callTime)
		defer cancel()
		defer c.overtaken(ctx, node, cancel)()
		b, err := c.to.Call(ctx, node, kind, request)
		if err == nil {
			answer, err = payload(b)
		}
		return err
	})
	return answer, err
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
