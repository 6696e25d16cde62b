package remote

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/cluster/router"
	"github.com/stratadb/strata/internal/cluster/transport"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/rangestore/sleep"
	"github.com/stratadb/strata/internal/turn"
)

// Client asks whoever leads.
type Client struct {
	self    base.NodeID
	to      transport.Messenger
	store   Store
	others  func() []base.NodeID
	log     *slog.Logger
	routes  router.Router
	stamps  stamps
	detours atomic.Uint64 // calls that did not go straight
	lines   *turn.Lines   // that this node keeps
	trunks  struct {
		sync.Mutex
		byNode map[base.NodeID]*trunk
	}
	// follows is the node that the own replica of a key's range takes for the leader;
	// zero: none.
	follows func(key []byte) base.NodeID
}

// NewClient makes a client. others are the nodes that may be asked.
func NewClient(self base.NodeID, to transport.Messenger, s Store, others func() []base.NodeID, log *slog.Logger) *Client {
	c := &Client{self: self, to: to, store: s, others: others, log: log, lines: &turn.Lines{}, follows: func(key []byte) base.NodeID {
		if r := s.Range(key); r != nil {
			return r.Leader()
		}
		return 0
	}}
	c.trunks.byNode = map[base.NodeID]*trunk{}
	return c
}

// Serving is this node's replica of the range that holds key if it leads, nil otherwise.
func (c *Client) Serving(key []byte) *replica.Replica {
	if r := c.store.Range(key); r != nil && r.Serving() {
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

// SendBeat carries the heartbeat of this node's store.
func (c *Client) SendBeat(to base.NodeID, b *sleep.Beat) { c.to.Send(to, kindBeat, b.Append(nil)) }

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

// repeats says whether a try whose fate is unknown may be followed by another one.
type repeats uint8

const (
	// never: the fate is for the caller to find out.
	never repeats = iota
	// harmless: it changes nothing, or happens once however often it is asked for.
	harmless
	// recognised: the range knows it again (R8) and answers as it did before. Any other
	// answer does not say what became of the first try: the range may be another one.
	recognised
)

// lead lets try ask the leader of the range that holds key: whoever is said to lead, or
// all in turn, until one does what is asked or LeaderWait is over. coordinator.ErrHere
// says that this node has become the leader.
func (c *Client) lead(key []byte, again repeats, try func(node base.NodeID) error) error {
	key = place(key)
	until := time.Now().Add(limits.LeaderWait)
	pause, turn, said := pauseMin, 0, base.NodeID(0)
	var unknown error // of the first try whose fate is
	ended := func(err error) error {
		if unknown != nil && again == recognised {
			return unknown
		}
		return err
	}
	for n := 0; ; n++ {
		node := said
		if node == 0 {
			node = c.Leader(key)
		}
		// Those who are said to lead may all be gone, and be named again and again by
		// others: every third try does not listen.
		if node == 0 || n%3 == 2 {
			node = c.inTurn(key, turn)
			turn++
		}
		err := errSelf
		if node != c.self {
			err = try(node)
		}
		if unknown == nil && errors.Is(err, base.ErrUnknownOutcome) {
			unknown = err
		}
		hint := errNotLeader{}
		switch {
		case err == nil:
			c.routes.Lead(key, node)
			return nil
		case closed(err):
			return ended(err)
		case errors.As(err, &hint):
			c.routes.Doubt(key, node)
			if said = hint.leader; said != 0 && n == 0 {
				continue // at once
			}
		case errors.Is(err, base.ErrUnavailable), again != never && errors.Is(err, base.ErrUnknownOutcome):
			c.routes.Doubt(key, node)
			said = 0
		case errors.Is(err, base.ErrWrongRange):
			c.routes.Forget(key)
			return ended(err)
		default:
			return ended(err)
		}
		if c.Serving(key) != nil {
			return ended(coordinator.ErrHere)
		}
		if time.Now().After(until) {
			return ended(errors.Wrap(base.ErrUnavailable, "no leader was found"))
		}
		time.Sleep(pause)
		pause = min(2*pause, pauseMax)
	}
}

// place is the key that is looked for: the first range holds the empty one.
func place(key []byte) []byte {
	if len(key) == 0 {
		return []byte{keyspace.Meta}
	}
	return key
}

// closed reports whether this node's way to others is shut: it is about to stop.
func closed(err error) bool {
	way := (*transport.CallError)(nil)
	return errors.As(err, &way) && errors.Is(way.Cause, base.ErrClosed)
}

// errSelf is what a client that asks itself would hear: it asks because its node does
// not lead.
var errSelf = errors.Wrap(base.ErrUnavailable, "this node does not lead")

// Leader is the node that led the range of key lately, or that the own replica takes for
// the leader; zero if there is none.
func (c *Client) Leader(key []byte) base.NodeID {
	key = place(key)
	if n, ok := c.routes.Find(key); ok && n.Leader != 0 {
		return n.Leader
	}
	return c.follows(key)
}

// inTurn is one of the nodes: first those that hold the range, as far as is known.
func (c *Client) inTurn(key []byte, turn int) base.NodeID {
	route, _ := c.routes.Find(key)
	nodes := slices.Clone(route.Nodes)
	for _, id := range c.others() {
		if !slices.Contains(nodes, id) {
			nodes = append(nodes, id)
		}
	}
	if len(nodes) == 0 {
		return c.self
	}
	return nodes[turn%len(nodes)]
}

// overtaken calls give when the own replica of a range follows another leader than before,
// and not the node either: it does not answer, and its connection may be silent for
// seconds before that is noticed; and when the way to the node that was taken comes into
// doubt, and there is another. See lookOut.
func (c *Client) overtaken(ctx context.Context, key []byte, taken way, give func()) (stop func() bool) {
	before := c.follows(key)
	return lookOut(ctx, give, func() bool {
		now := c.follows(key)
		return now != 0 && now != before && now != taken.to || c.doubts(taken)
	})
}

// lookOut calls give once over is true, which is asked now and then. It ends with ctx; stop
// only saves the next look.
func lookOut(ctx context.Context, give func(), over func() bool) (stop func() bool) {
	var look func()
	look = func() {
		switch {
		case ctx.Err() != nil:
		case over():
			give()
		default:
			time.AfterFunc(overtakenEvery, look)
		}
	}
	return time.AfterFunc(overtakenEvery, look).Stop
}

// ask calls the leader of the range that holds key; see lead. What is asked first of a range
// is where it is.
func (c *Client) ask(key []byte, kind transport.Kind, request []byte, again repeats) (answer []byte, err error) {
	if kind != kindRoute {
		if _, err := c.Route(key); err != nil {
			return nil, err
		}
	}
	err = c.lead(key, again, func(node base.NodeID) error {
		ctx, cancel := context.WithTimeout(context.Background(), callTime)
		defer cancel()
		w := way{node, c.by(node)}
		defer c.overtaken(ctx, key, w, cancel)()
		b, err := c.callBy(ctx, w, kind, request)
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

// Known is the route of the range that holds key, if somebody has asked for it.
func (c *Client) Known(key []byte) (router.Route, bool) {
	return c.routes.Find(place(key))
}

// Route is where the range that holds key is. Its span contains the key.
func (c *Client) Route(key []byte) (router.Route, error) {
	key = place(key)
	if n, ok := c.Known(key); ok {
		return n, nil
	}
	b, err := c.ask(key, kindRoute, key, harmless)
	if err != nil {
		return router.Route{}, err
	}
	d, err := base.DecodeRangeDescriptor(b)
	if err != nil {
		return router.Route{}, err
	}
	if !d.Span.Contains(key) {
		return router.Route{}, errMalformed
	}
	n := router.Route{Range: d.ID, Epoch: d.Epoch, Span: d.Span, Leader: c.Leader(key)}
	for _, r := range d.Replicas {
		n.Nodes = append(n.Nodes, r.Node)
	}
	c.routes.Learn(n)
	return n, nil
}

// Span implements coordinator.Ranges.
func (c *Client) Span(key []byte) (base.Span, error) {
	n, err := c.Route(key)
	return n.Span, err
}

// Read reads at the leader. All of it must lie in one range.
func (c *Client) Read(q *Read) (Pairs, error) {
	b, err := c.ask(q.place(), kindRead, q.append(nil), harmless)
	if err != nil {
		return Pairs{}, err
	}
	return decodePairs(b)
}

// Commit commits at the leader of the range that holds q.Place, and all that is read
// and written.
func (c *Client) Commit(q *Commit) (Committed, error) {
	again := never
	switch {
	case len(q.Mutations) == 0:
		again = harmless
	case q.Session != 0:
		again = recognised
	}
	b, err := c.ask(q.Place, kindCommit, q.append(nil), again)
	if err != nil {
		return Committed{}, err
	}
	return decodeCommitted(b)
}
