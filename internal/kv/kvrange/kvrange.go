// Package kvrange is the built-in engine: kv over the replicas of this node, and over
// those that other nodes lead.
package kvrange

import (
	"context"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
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
	// NextStamp asks the oracle.
	NextStamp() (base.Stamp, error)
	// ScanStored visits the pairs on disk.
	ScanStored(span base.Span, reverse bool, visit func(key, value []byte) bool) error
	// EstimateSize is a rough count of the bytes on disk in span.
	EstimateSize(span base.Span) (int64, error)
}

// Engine implements kv.Engine.
type Engine struct {
	store  Store
	client *remote.Client // nil: this node is alone
}

var _ kv.Engine = (*Engine)(nil)

// New makes the engine of a node that is alone.
func New(s Store) *Engine { return &Engine{store: s} }

// NewShared makes the engine of a node in a cluster: what it does not lead it asks
// others for.
func NewShared(s Store, c *remote.Client) *Engine { return &Engine{store: s, client: c} }

// here is the first range's replica if this node works on it itself, nil if another
// one must.
func (e *Engine) here() *replica.Replica {
	if e.client == nil {
		return e.store.Range(nil)
	}
	return e.client.Serving()
}

// Local implements kv.Engine.
func (e *Engine) Local() bool { return e.here() != nil }

// ReadVersion implements kv.Engine. Whoever leads is asked, and asked again when
// that has just changed.
func (e *Engine) ReadVersion(ctx context.Context) (base.Stamp, error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if e.Local() {
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
	if !e.Local() {
		return nil
	}
	return e.store.ScanStored(span, reverse, visit)
}

// Expect implements kv.Engine.
func (e *Engine) Expect(keys [][]byte) {
	if r := e.here(); r != nil && r == e.store.Only() {
		r.Expect(keys)
	}
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
func (e *Engine) NewAttempt() kv.Attempt { return &attempt{e: e} }

// attempt works on this node's replica while it leads, and on another node's else.
type attempt struct {
	e    *Engine
	on   *replica.Replica // of here
	here *replica.Attempt
	away distant
	far  bool
	req  replica.Request
	route
}

var _ kv.Attempt = (*attempt)(nil)

// Begin implements kv.Attempt.
func (a *attempt) Begin(o kv.AttemptOptions) {
	if a.open(o); a.bound {
		a.begin(a.e.here())
	}
}

// begin begins on a replica of this node, or on another node.
func (a *attempt) begin(r *replica.Replica) {
	if a.far = r == nil; a.far {
		a.away.client = a.e.client
		a.away.begin(a.options.At)
		return
	}
	if a.on != r {
		a.on, a.here = r, r.NewAttempt()
	}
	a.here.Begin(a.options.At, replica.Hold(a.options.Hold))
}

// Get implements kv.Attempt.
func (a *attempt) Get(key []byte) ([]byte, error) {
	if !a.single {
		if err := a.bind(key); err != nil {
			return nil, err
		}
	}
	if a.far {
		return a.away.get(key)
	}
	value, err := a.here.Get(key)
	return value, a.refused(err)
}

// Scan implements kv.Attempt.
func (a *attempt) Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	if !a.single {
		if err := a.bind(span.Start); err != nil {
			return err
		}
	}
	if a.far {
		return a.away.scan(span, reverse, visit)
	}
	return a.refused(a.here.Scan(span, reverse, visit))
}

// NowMillis implements kv.Attempt.
func (a *attempt) NowMillis() int64 {
	if a.far {
		return a.away.nowMillis()
	}
	if !a.bound {
		return a.ownMillis()
	}
	return a.here.NowMillis()
}

// Abort implements kv.Attempt.
func (a *attempt) Abort() kv.Receipt {
	if a.far || !a.bound {
		return kv.Receipt{}
	}
	return kv.Receipt{Ticket: a.here.Abort()}
}

// Commit implements kv.Attempt.
func (a *attempt) Commit(req *kv.CommitRequest) (kv.Receipt, error) {
	if !a.bound {
		done, err := a.bindCommit(req)
		if done || err != nil {
			return kv.Receipt{}, err
		}
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
	if err = a.rerouted(err); a.e.client != nil && errors.Is(err, base.ErrUnavailable) {
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
