// Package kvrange is the built-in engine: kv over the replicas of this node, and over
// those that other nodes lead.
package kvrange

import (
	"bytes"
	"context"
	"crypto/rand"
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/clock"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/cluster/feed"
	"github.com/stratadb/strata/internal/cluster/remote"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// Store is what the engine needs of the node's store.
type Store interface {
	// Only is the replica of the whole keyspace; nil where there are several ranges.
	Only() *replica.Replica
	// Range is the replica that holds key.
	Range(key []byte) *replica.Replica
	// Replicas are all of them.
	Replicas() []*replica.Replica
	// Arrangement is another number whenever ranges have come, gone or changed their
	// bounds.
	Arrangement() uint64
	// Coordinate makes c end the transactions over several ranges that are held here.
	Coordinate(c *coordinator.Coordinator)
	// NextStamp asks the oracle.
	NextStamp() (base.Stamp, error)
	// ScanStored visits the pairs on disk.
	ScanStored(span base.Span, reverse bool, visit func(key, value []byte) bool) error
	// EstimateSize is a rough count of the bytes on disk in span.
	EstimateSize(span base.Span) (int64, error)
}

// Engine implements kv.Engine.
type Engine struct {
	store       Store
	client      *remote.Client // nil: this node is alone
	ranges      coordinator.Ranges
	clock       highest // TTL clock, in milliseconds, as told to anybody
	coordinator *coordinator.Coordinator
	quiet       quiet
	stale       stale
	hot         hot
}

var _ kv.Engine = (*Engine)(nil)

// New makes the engine of a node that is alone.
func New(s Store) *Engine { return NewWith(s, coordinator.Options{}) }

// NewWith is New with a coordinator of the caller's wishes; Ranges and Random have
// defaults.
func NewWith(s Store, o coordinator.Options) *Engine {
	e := &Engine{store: s}
	e.coordinate(o)
	return e
}

// NewShared makes the engine of a node in a cluster: what it does not lead it asks
// others for.
func NewShared(s Store, c *remote.Client) *Engine {
	e := &Engine{store: s, client: c}
	e.coordinate(coordinator.Options{})
	return e
}

func (e *Engine) coordinate(o coordinator.Options) {
	e.stale.clock, e.stale.tries, e.hot.patience = clock.System{}, staleTries, hotWait
	if o.Ranges == nil {
		here := &coordinator.Here{Store: e.store}
		if e.client != nil {
			here.Away = e.client
		}
		o.Ranges = here
	}
	if o.Random == nil {
		o.Random = func(id []byte) { _, _ = rand.Read(id) } // it does not fail
	}
	e.ranges, e.coordinator = o.Ranges, coordinator.New(o)
	e.store.Coordinate(e.coordinator)
}

// sole is the replica of the whole keyspace, if this node works on it itself.
func (e *Engine) sole() *replica.Replica {
	r := e.store.Only()
	if r == nil || e.client != nil && !r.Serving() {
		return nil
	}
	return r
}

// Local implements kv.Engine. A transaction over several ranges waits for their logs,
// and others for it.
func (e *Engine) Local() bool { return e.sole() != nil }

// ReadVersion implements kv.Engine.
func (e *Engine) ReadVersion(ctx context.Context) (base.Stamp, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return e.ranges.Stamp()
}

// ScanStored implements kv.Engine. What others lead is shown by them: whatever is looked
// for there is the leader's business.
func (e *Engine) ScanStored(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	if e.client == nil {
		return e.store.ScanStored(span, reverse, visit)
	}
	var led []base.Span
	for _, r := range e.store.Replicas() {
		if piece := span.Clip(r.Descriptor().Span); !piece.Empty() && r.Serving() {
			led = append(led, piece)
		}
	}
	slices.SortFunc(led, func(a, b base.Span) int { return bytes.Compare(a.Start, b.Start) })
	if reverse {
		slices.Reverse(led)
	}
	stopped := false
	for _, piece := range led {
		if err := e.store.ScanStored(piece, reverse, func(key, value []byte) bool {
			stopped = !visit(key, value)
			return !stopped
		}); err != nil || stopped {
			return err
		}
	}
	return nil
}

// Expect implements kv.Engine.
func (e *Engine) Expect(keys [][]byte) (useful bool) {
	for useful = true; useful && len(keys) > 1; {
		n := min(len(keys), expectMax)
		if r := e.sole(); r != nil {
			useful = r.Expect(keys[:n])
		} else {
			useful = e.expect(keys[:n])
		}
		keys = keys[n:]
	}
	return useful
}

// expectMax is how many keys are looked for together.
const expectMax = 32

// expect sorts keys, expectMax at most, by the ranges of this node.
func (e *Engine) expect(keys [][]byte) (useful bool) {
	var ranges [expectMax]*replica.Replica
	var some [expectMax][]byte
	for i, key := range keys {
		ranges[i] = e.store.Range(key)
	}
	for i, r := range ranges[:len(keys)] {
		if r == nil {
			continue
		}
		n := 0
		for j := i; j < len(keys); j++ {
			if ranges[j] == r {
				some[n], ranges[j] = keys[j], nil
				n++
			}
		}
		if n > 1 {
			useful = r.Expect(some[:n]) || useful
		}
	}
	return useful
}

// EstimateSize implements kv.Engine.
func (e *Engine) EstimateSize(span base.Span) (int64, error) { return e.store.EstimateSize(span) }

// Watch implements kv.Engine. Where there are several ranges it waits for a transaction
// over several of them that is committed and not yet resolved: its write is older than
// the watch, which it would make dirty.
func (e *Engine) Watch(key []byte) kv.Watch {
	if e.store.Only() == nil {
		a := several{e: e}
		a.begin(kv.AttemptOptions{})
		_, _ = a.get(key) // whatever is wrong, a watch may be dirty at any time
		a.finish()
	}
	if r := e.serving(key); r != nil {
		return r.Watch(key)
	}
	return e.client.Watch(key)
}

// Follow implements kv.Engine.
func (e *Engine) Follow(span base.Span, f kv.Follower) (stop func()) {
	here := feed.Follow(e.store, span, f)
	if e.client == nil {
		return here
	}
	there := e.client.Follow(span, f)
	return func() {
		here()
		there()
	}
}

// NewAttempt implements kv.Engine.
func (e *Engine) NewAttempt() kv.Attempt { return &attempt{e: e, multi: several{e: e}} }

// attempt works on this node's replica where that is the only range and leads; else on the
// ranges that it needs, here and on other nodes.
type attempt struct {
	e    *Engine
	on   *replica.Replica // of here
	here *replica.Attempt
	req  replica.Request

	guards []kv.Watch

	many        bool // several does it
	multi       several
	arrangement uint64
	some        [expectMax][]byte // memory of Expect
}

var _ kv.Attempt = (*attempt)(nil)

// Begin implements kv.Attempt.
func (a *attempt) Begin(o kv.AttemptOptions) {
	a.arrangement = a.e.store.Arrangement()
	r := a.e.sole()
	if a.many = r == nil; a.many {
		a.multi.begin(o)
		return
	}
	if a.on != r {
		a.on, a.here = r, r.NewAttempt()
	}
	a.here.Begin(o.At, replica.Hold(o.Hold))
	if o.Prompt {
		a.here.Prompt()
	}
}

// Get implements kv.Attempt.
func (a *attempt) Get(key []byte) (value []byte, err error) {
	if a.many {
		value, err = a.multi.get(key)
	} else if value, err = a.here.Get(key); err != nil {
		err = a.e.moved(err)
	}
	return value, a.rerouted(err)
}

// Scan implements kv.Attempt.
func (a *attempt) Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	if a.many {
		return a.rerouted(a.multi.scan(span, reverse, visit))
	}
	return a.rerouted(a.e.moved(a.here.Scan(span, reverse, visit)))
}

// Expect implements kv.Attempt.
func (a *attempt) Expect(keys [][]byte) {
	if a.many {
		a.multi.expect(keys)
		return
	}
	for useful := true; useful && len(keys) > 1; {
		n := copy(a.some[:], keys)
		keys, useful = keys[n:], a.here.Expect(a.some[:n])
		clear(a.some[:n])
	}
}

// NowMillis implements kv.Attempt.
func (a *attempt) NowMillis() int64 {
	if a.many {
		return a.multi.nowMillis()
	}
	return a.here.NowMillis()
}

// Abort implements kv.Attempt.
func (a *attempt) Abort() kv.Receipt {
	if a.many {
		return a.multi.abort()
	}
	if a.here == nil {
		return kv.Receipt{}
	}
	return kv.Receipt{Ticket: a.here.Abort()}
}

// Commit implements kv.Attempt.
func (a *attempt) Commit(req *kv.CommitRequest) (r kv.Receipt, err error) {
	if a.many {
		r, err = a.multi.commit(req)
	} else {
		if req.Fence != nil {
			a.atHome(req)
		}
		r, err = a.e.commitHere(a.on, a.here, req, &a.req)
		err = a.e.moved(err)
	}
	return r, a.rerouted(err)
}

// commitHere commits on a replica of this node, and ends the attempt on it. q is memory to
// use again.
func (e *Engine) commitHere(r *replica.Replica, a *replica.Attempt, req *kv.CommitRequest, q *replica.Request) (kv.Receipt, error) {
	*q = replica.Request{
		ReadKeys: req.ReadKeys, ReadSpans: req.ReadSpans, Mutations: req.Mutations, Stamped: req.Stamped,
		Session: req.ID.Session, Number: req.ID.Number, Guards: q.Guards[:0], Quiet: req.Quiet, Origin: req.Origin,
	}
	for _, g := range req.Guards {
		switch w := g.(type) {
		case *replica.Watch:
			if w.Of(r) {
				q.Guards = append(q.Guards, w)
				continue
			}
			// It was made before the range was split.
		case *remote.Watch: // it was made while another node led
			w.MarkDirty()
		}
		a.Abort()
		return kv.Receipt{}, base.ErrConflict
	}
	rec, err := a.Commit(q)
	if q.Quiet && len(q.Mutations) > 0 && err == nil {
		e.sequenced(r)
	}
	return kv.Receipt(rec), err
}

// moved turns the refusal of a replica of this node that has just lost its leadership into
// a conflict: the next attempt goes to the new leader.
func (e *Engine) moved(err error) error {
	if err != nil && e.client != nil && errors.Is(err, base.ErrUnavailable) {
		return base.ErrConflict
	}
	return err
}

// rerouted turns the refusal of a range that does not hold a key, any more, into a
// conflict, if the ranges have changed since the attempt began: the next one finds its
// way. Where there are other nodes, they may have.
func (a *attempt) rerouted(err error) error {
	if err != nil && errors.Is(err, base.ErrWrongRange) && (a.e.client != nil || a.arrangement != a.e.store.Arrangement()) {
		return errors.Wrap(base.ErrConflict, "the range has changed")
	}
	return err
}

// The two Hold types must agree.
const (
	_ = uint(kv.HoldNever) - uint(replica.HoldNever)
	_ = uint(kv.HoldShort) - uint(replica.HoldShort)
	_ = uint(kv.HoldAlways) - uint(replica.HoldAlways)
)
