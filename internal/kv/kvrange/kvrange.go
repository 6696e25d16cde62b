// Package kvrange is the built-in engine: kv over the replicas of this node.
package kvrange

import (
	"context"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// Store is what the engine needs of the node's store.
type Store interface {
	// Range is the replica that holds key.
	Range(key []byte) *replica.Replica
	// NextStamp asks the oracle.
	NextStamp() (base.Stamp, error)
	// ScanStored visits the pairs on disk.
	ScanStored(span base.Span, reverse bool, visit func(key, value []byte) bool) error
	// EstimateSize is a rough count of the bytes on disk in span.
	EstimateSize(span base.Span) (int64, error)
}

// Engine implements kv.Engine.
type Engine struct{ store Store }

var _ kv.Engine = (*Engine)(nil)

// New makes the engine.
func New(s Store) *Engine { return &Engine{store: s} }

// ReadVersion implements kv.Engine.
func (e *Engine) ReadVersion(ctx context.Context) (base.Stamp, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return e.store.NextStamp()
}

// ScanStored implements kv.Engine.
func (e *Engine) ScanStored(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	return e.store.ScanStored(span, reverse, visit)
}

// Kick implements kv.Engine.
func (e *Engine) Kick() { e.store.Range(nil).Kick() }

// EstimateSize implements kv.Engine.
func (e *Engine) EstimateSize(span base.Span) (int64, error) { return e.store.EstimateSize(span) }

// Watch implements kv.Engine.
func (e *Engine) Watch(key []byte) kv.Watch { return e.store.Range(key).Watch(key) }

// NewAttempt implements kv.Engine.
func (e *Engine) NewAttempt() kv.Attempt {
	return &attempt{Attempt: e.store.Range(nil).NewAttempt()}
}

// attempt adapts a replica's attempt.
type attempt struct {
	*replica.Attempt
	req replica.Request
}

var _ kv.Attempt = (*attempt)(nil)

func (a *attempt) Begin(o kv.AttemptOptions) { a.Attempt.Begin(o.At, replica.Hold(o.Hold)) }

func (a *attempt) Abort() kv.Receipt { return kv.Receipt{Ticket: a.Attempt.Abort()} }

func (a *attempt) Commit(req *kv.CommitRequest) (kv.Receipt, error) {
	a.req = replica.Request{
		ReadKeys: req.ReadKeys, ReadSpans: req.ReadSpans, Mutations: req.Mutations, Stamped: req.Stamped,
		Session: req.ID.Session, Number: req.ID.Number, Guards: a.req.Guards[:0], Quiet: req.Quiet,
	}
	for _, g := range req.Guards {
		a.req.Guards = append(a.req.Guards, g.(*replica.Watch))
	}
	r, err := a.Attempt.Commit(&a.req)
	return kv.Receipt(r), err
}

// The two Hold types must agree.
const (
	_ = uint(kv.HoldNever) - uint(replica.HoldNever)
	_ = uint(kv.HoldShort) - uint(replica.HoldShort)
	_ = uint(kv.HoldAlways) - uint(replica.HoldAlways)
)
