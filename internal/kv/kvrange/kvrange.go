// Package kvrange is the built-in engine: kv over the replicas of this node, and over
// those that other nodes lead.
package kvrange

import (
	"context"
	"crypto/rand"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
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
	coordinator *coordinator.Coordinator
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
	if o.Ranges == nil {
		o.Ranges = &coordinator.Here{Store: e.store}
	}
	if o.Random == nil {
		o.Random = func(id []byte) { _, _ = rand.Read(id) } // it does not fail
	}
	e.ranges, e.coordinator = o.Ranges, coordinator.New(o)
	e.store.Coordinate(e.coordinator)
}

// here is the first range's replica if this node works on it itself, nil if another
// one must.
func (e *Engine) here() *replica.Replica {
	if e.client == nil {
		return e.store.Range(nil)
	}
	return e.client.Serving()
}

// Local implements kv.Engine. A transaction over several ranges waits for their logs,
// and others for it.
func (e *Engine) Local() bool { return e.here() != nil && !e.several() }

// ReadVersion implements kv.Engine. Whoever leads is asked, and asked again when
// that has just changed.
func (e *Engine) ReadVersion(ctx context.Context) (base.Stamp, error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if e.here() != nil {
			if s, err := e.store.NextStamp(); e.client == nil || !errors.IsAny(err, base.ErrUnavailable, base.ErrUnknownOutcome) {
				return s, err
			}
		}
		if s, err := e.client.Stamp(); !errors.Is(err, base.ErrConflict) {
			return s, err
		}
	}
}

// ScanStored implements kv.Engine. Who does not lead shows nothing: what is looked
// for there is the leader's business.
func (e *Engine) ScanStored(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	if e.here() == nil {
		return nil
	}
	return e.store.ScanStored(span, reverse, visit)
}

// Expect implements kv.Engine.
func (e *Engine) Expect(keys [][]byte) (useful bool) {
	r := e.here()
	return r != nil && r == e.store.Only() && r.Expect(keys)
}

// Kick implements kv.Engine.
func (e *Engine) Kick() {
	if r := e.store.Only(); r != nil {
		r.Kick()
		return
	}
	for _, r := range e.store.Replicas() {
		r.Kick()
	}
}

// EstimateSize implements kv.Engine.
func (e *Engine) EstimateSize(span base.Span) (int64, error) { return e.store.EstimateSize(span) }

// Watch implements kv.Engine.
func (e *Engine) Watch(key []byte) kv.Watch {
	if r := e.serving(key); r != nil {
		return r.Watch(key)
	}
	return e.client.Watch(key)
}

// NewAttempt implements kv.Engine.
func (e *Engine) NewAttempt() kv.Attempt { return &attempt{e: e, multi: several{e: e}} }

// several reports whether there is more than one range.
func (e *Engine) several() bool { return e.client == nil && e.store.Only() == nil }

// attempt works on this node's replica while it leads, and on another node's else;
// where there are several ranges, on those that it needs.
type attempt struct {
	e    *Engine
	on   *replica.Replica // of here
	here *replica.Attempt
	away distant
	far  bool
	req  replica.Request

	many        bool // there are several ranges
	multi       several
	arrangement uint64
}

var _ kv.Attempt = (*attempt)(nil)

// Begin implements kv.Attempt.
func (a *attempt) Begin(o kv.AttemptOptions) {
	a.arrangement = a.e.store.Arrangement()
	if a.many = a.e.several(); a.many {
		a.multi.begin(o)
		return
	}
	r := a.e.here()
	if a.far = r == nil; a.far {
		a.away.client = a.e.client
		a.away.begin(o.At)
		return
	}
	if a.on != r {
		a.on, a.here = r, r.NewAttempt()
	}
	a.here.Begin(o.At, replica.Hold(o.Hold))
}

// Get implements kv.Attempt.
func (a *attempt) Get(key []byte) ([]byte, error) {
	if a.many {
		value, err := a.multi.get(key)
		return value, a.refused(err)
	}
	if a.far {
		return a.away.get(key)
	}
	value, err := a.here.Get(key)
	return value, a.refused(err)
}

// Scan implements kv.Attempt.
func (a *attempt) Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	if a.many {
		return a.refused(a.multi.scan(span, reverse, visit))
	}
	if a.far {
		return a.away.scan(span, reverse, visit)
	}
	return a.refused(a.here.Scan(span, reverse, visit))
}

// NowMillis implements kv.Attempt.
func (a *attempt) NowMillis() int64 {
	if a.many {
		return a.multi.nowMillis()
	}
	if a.far {
		return a.away.nowMillis()
	}
	return a.here.NowMillis()
}

// Abort implements kv.Attempt.
func (a *attempt) Abort() kv.Receipt {
	if a.many {
		return a.multi.abort()
	}
	if a.far || a.here == nil {
		return kv.Receipt{}
	}
	return kv.Receipt{Ticket: a.here.Abort()}
}

// Commit implements kv.Attempt.
func (a *attempt) Commit(req *kv.CommitRequest) (kv.Receipt, error) {
	if a.many {
		r, err := a.multi.commit(req)
		return r, a.refused(err)
	}
	if a.far {
		return a.away.commit(req)
	}
	a.req = replica.Request{
		ReadKeys: req.ReadKeys, ReadSpans: req.ReadSpans, Mutations: req.Mutations, Stamped: req.Stamped,
		Session: req.ID.Session, Number: req.ID.Number, Guards: a.req.Guards[:0], Quiet: req.Quiet,
	}
	for _, g := range req.Guards {
		switch w := g.(type) {
		case *replica.Watch:
			a.req.Guards = append(a.req.Guards, w)
		case *remote.Watch: // made while another node led
			w.MarkDirty()
			a.here.Abort()
			return kv.Receipt{}, base.ErrConflict
		}
	}
	r, err := a.here.Commit(&a.req)
	return kv.Receipt(r), a.refused(err)
}

// refused turns the refusal of a replica that has just lost its leadership into a
// conflict: the next attempt goes to the new leader.
func (a *attempt) refused(err error) error {
	if err == nil {
		return nil
	}
	if err = a.e.rerouted(err, a.arrangement); a.e.client != nil && errors.Is(err, base.ErrUnavailable) {
		return base.ErrConflict
	}
	return err
}

// The two Hold types must agree.
const (
	_ = uint(kv.HoldNever) - uint(replica.HoldNever)
	_ = uint(kv.HoldShort) - uint(replica.HoldShort)
	_ = uint(kv.HoldAlways) - uint(replica.HoldAlways)
)
