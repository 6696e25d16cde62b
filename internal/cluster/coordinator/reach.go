package coordinator

import (
	"context"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// Store finds this node's replicas.
type Store interface {
	// Range is the replica that holds key; nil if there is none here.
	Range(key []byte) *replica.Replica
	// NextStamp asks the oracle.
	NextStamp() (base.Stamp, error)
}

// Here reaches the ranges that this node leads, and Away the others; it may be nil.
type Here struct {
	Store Store
	Away  Ranges
}

var _ Ranges = (*Here)(nil)

// LocalGuard is a watch of a replica of this node.
type LocalGuard struct{ Watch *replica.Watch }

// Key implements Guard.
func (g LocalGuard) Key() []byte { return g.Watch.Key() }

// Dead is a guard on a key whose leader has changed since it was made.
type Dead struct{ At []byte }

// Key implements Guard.
func (d Dead) Key() []byte { return d.At }

// leads is this node's replica that holds key, if it leads.
func (h *Here) leads(key []byte) (*replica.Replica, error) {
	r := h.Store.Range(key)
	if r != nil && h.Away == nil {
		r.AwaitBorn()
		return r, nil
	}
	if r != nil && r.Serving() {
		return r, nil
	}
	if h.Away == nil {
		return nil, base.ErrUnavailable
	}
	return nil, nil
}

// Span implements Ranges.
func (h *Here) Span(key []byte) (base.Span, error) {
	if r := h.Store.Range(key); r != nil {
		span := r.Descriptor().Span
		if span.Contains(key) {
			return span, nil
		}
		// A split has taken the key away, and its range is about to be found.
		if err := r.AwaitSplit(context.Background()); err != nil {
			return base.Span{}, err
		}
		if r = h.Store.Range(key); r != nil {
			return r.Descriptor().Span, nil
		}
	}
	if h.Away == nil {
		return base.Span{}, base.ErrUnavailable
	}
	return h.Away.Span(key)
}

// Stamp implements Ranges.
func (h *Here) Stamp() (base.Stamp, error) { return h.Store.NextStamp() }

// Prepare implements Ranges.
func (h *Here) Prepare(key []byte, p *prepared.Prepare, guards []Guard) error {
	r, err := h.leads(key)
	if err != nil {
		return err
	}
	if r == nil {
		return h.Away.Prepare(key, p, guards)
	}
	var watches []*replica.Watch
	for _, g := range guards {
		w, ok := g.(LocalGuard)
		if !ok || !w.Watch.Of(r) {
			return base.ErrConflict
		}
		watches = append(watches, w.Watch)
	}
	t, err := r.Prepare(p, watches)
	return answered(r, t, err)
}

// answered waits for what an answer depends on. A conflict may be told early (R1).
func answered(r *replica.Replica, t base.Ticket, err error) error {
	if base.Retryable(err) {
		return err
	}
	if lost := r.Await(t); lost != nil {
		return lost
	}
	return err
}

// Record implements Ranges.
func (h *Here) Record(rec *prepared.Record) (base.Stamp, error) {
	r, err := h.leads(rec.Anchor)
	if err != nil {
		return 0, err
	}
	if r == nil {
		return h.Away.Record(rec)
	}
	commit, t, err := r.Record(rec)
	return commit, answered(r, t, err)
}

// Resolve implements Ranges.
func (h *Here) Resolve(key []byte, res *prepared.Resolve) (base.Span, error) {
	r, err := h.leads(key)
	if err != nil {
		return base.Span{}, err
	}
	if r == nil {
		return h.Away.Resolve(key, res)
	}
	held, t, err := r.Resolve(res)
	return held, answered(r, t, err)
}

// Settled implements Ranges.
func (h *Here) Settled(anchor []byte, s *prepared.Settled) error {
	r, err := h.leads(anchor)
	if err != nil {
		return err
	}
	if r == nil {
		return h.Away.Settled(anchor, s)
	}
	t, err := r.Settled(anchor, s)
	return answered(r, t, err)
}

// Fate implements Ranges.
func (h *Here) Fate(t *prepared.Txn) (prepared.Status, base.Stamp, error) {
	r, err := h.leads(t.Anchor)
	if err != nil {
		return 0, 0, err
	}
	if r == nil {
		return h.Away.Fate(t)
	}
	status, commit, ticket, err := r.Fate(t)
	return status, commit, answered(r, ticket, err)
}

// horizonStep is the least by which a horizon moves because somebody else asks for it.
const horizonStep = sweepAge

// Horizons implements Ranges.
func (h *Here) Horizons(key []byte, refuse base.Stamp) (Horizons, error) {
	r, err := h.leads(key)
	if err != nil {
		return Horizons{}, err
	}
	if r == nil {
		return h.Away.Horizons(key, refuse)
	}
	var out Horizons
	var ticket base.Ticket
	if out.Span, out.Refuse, out.Oldest, ticket, err = r.Horizons(); err == nil && out.Refuse+horizonStep < refuse {
		if ticket, err = r.Retain(prepared.Retain{Refuse: refuse}); err != nil {
			return out, err
		}
		if err = r.Await(ticket); err == nil {
			out.Span, out.Refuse, out.Oldest, ticket, err = r.Horizons()
		}
	}
	return out, answered(r, ticket, err)
}
