package coordinator

import (
	"context"
	"sync"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
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

var _ Guard = (*replica.Watch)(nil)

// Dead is a guard on a key whose leader has changed since it was made.
type Dead struct{ At []byte }

// Key implements Guard.
func (d Dead) Key() []byte { return d.At }

// leads is this node's replica that holds key, if it leads; nil: others are asked.
func (h *Here) leads(key []byte) (*replica.Replica, error) {
	r := h.Store.Range(key)
	switch {
	case r != nil && h.Away == nil:
		r.AwaitBorn()
		return r, nil
	case r != nil && r.Serving():
		return r, nil
	case h.Away == nil:
		return nil, base.ErrUnavailable
	}
	return nil, nil
}

// at lets the leader of the range that holds key do something: here, or away. Leadership
// may come and go meanwhile, and some time later that is the answer.
func (h *Here) at(key []byte, here func(r *replica.Replica) error, away func() error) error {
	for began := (time.Time{}); ; {
		r, err := h.leads(key)
		if err != nil {
			return err
		}
		if r != nil {
			if err = here(r); h.Away == nil || !errors.Is(err, base.ErrUnavailable) || r.Serving() {
				return err
			}
		}
		if err = away(); !errors.Is(err, ErrHere) {
			return err
		}
		switch {
		case began.IsZero():
			began = time.Now()
		case time.Since(began) > limits.LeaderWait:
			return errors.Wrap(base.ErrUnavailable, "leadership comes and goes")
		default:
			time.Sleep(flapPause)
		}
	}
}

// flapPause is between two looks at a range whose leadership comes and goes.
const flapPause = 5 * time.Millisecond

// Span implements Ranges. Of ranges that others lead, these know more. It holds the key.
func (h *Here) Span(key []byte) (base.Span, error) {
	if r := h.Store.Range(key); r != nil && (h.Away == nil || r.Serving()) {
		if span := r.Descriptor().Span; span.Contains(key) {
			return span, nil
		}
	}
	return h.spanSoon(key)
}

// spanSoon is Span where a split has taken the key away, or another node leads.
func (h *Here) spanSoon(key []byte) (span base.Span, err error) {
	err = h.at(key, func(r *replica.Replica) error {
		for range 2 {
			if span = r.Descriptor().Span; span.Contains(key) {
				return nil
			}
			// Its range is about to be found.
			if err := r.AwaitChange(context.Background()); err != nil {
				return err
			}
			if r = h.Store.Range(key); r == nil {
				return base.ErrUnavailable
			}
		}
		return errors.Wrapf(base.ErrWrongRange, "key %q", key)
	}, func() (err error) {
		span, err = h.Away.Span(key)
		return err
	})
	return span, err
}

// Stamp implements Ranges.
func (h *Here) Stamp() (s base.Stamp, err error) {
	if h.Away == nil {
		return h.Store.NextStamp()
	}
	err = h.at(nil, func(*replica.Replica) (err error) {
		s, err = h.Store.NextStamp()
		return err
	}, func() (err error) {
		s, err = h.Away.Stamp()
		return err
	})
	return s, err
}

// Prepare implements Ranges.
func (h *Here) Prepare(key []byte, p *prepared.Prepare, guards []Guard) error {
	return h.at(key, func(r *replica.Replica) error {
		watches, err := watchesOf(r, guards)
		if err != nil {
			return err
		}
		t, err := r.Prepare(p, watches)
		return answered(r, t, err)
	}, func() error { return h.Away.Prepare(key, p, guards) })
}

// watchesOf are the watches that guards are, if r keeps them.
func watchesOf(r *replica.Replica, guards []Guard) (watches []*replica.Watch, err error) {
	for _, g := range guards {
		w, ok := g.(*replica.Watch)
		if !ok || !w.Of(r) {
			return nil, base.ErrConflict
		}
		watches = append(watches, w)
	}
	return watches, nil
}

var _ Together = (*Here)(nil)

// PrepareAll implements Together. The prepares of ranges that this node leads are sequenced
// one after the other, and committed together: one flush does for all. Those that would
// have to wait for something, and those for other nodes, do it by themselves.
func (h *Here) PrepareAll(asks []Ask, refused []error) {
	var wait sync.WaitGroup
	var few [4]*replica.Replica
	list := few[:0]
	tickets := make([]base.Ticket, len(asks))
	alone := func(i int) {
		wait.Go(func() { refused[i] = h.Prepare(asks[i].Key, &asks[i].Prepare, asks[i].Guards) })
	}
	here := make([]*replica.Replica, len(asks))
	for i := range asks {
		if r := h.Store.Range(asks[i].Key); r != nil && r.Serving() {
			here[i] = r
		} else {
			alone(i)
		}
	}
	for i, r := range here {
		if r == nil {
			continue
		}
		watches, err := watchesOf(r, asks[i].Guards)
		if err == nil {
			tickets[i], err = r.PreparePromptly(&asks[i].Prepare, watches)
		}
		if errors.IsAny(err, base.ErrWouldWait, base.ErrUnavailable) {
			here[i] = nil
			alone(i)
			continue
		}
		refused[i] = err
		list = append(list, r)
	}
	replica.Commit(list)
	for i, r := range here {
		if r != nil {
			refused[i] = answered(r, tickets[i], refused[i])
		}
	}
	wait.Wait()
}

var _ Concluding = (*Here)(nil)

// Concludes implements Concluding.
func (h *Here) Concludes(anchor []byte) bool {
	r, issuer := h.Store.Range(anchor), h.Store.Range(nil)
	return r != nil && issuer != nil && issuer.Serving() && r.Concludes()
}

// Conclude implements Concluding.
func (h *Here) Conclude(ask *Ask) (commit base.Stamp, done bool, err error) {
	r, issuer := h.Store.Range(ask.Key), h.Store.Range(nil)
	if r == nil || issuer == nil {
		return 0, false, nil
	}
	watches, err := watchesOf(r, ask.Guards)
	if err != nil {
		return 0, true, err
	}
	commit, t, err := r.Conclude(&ask.Prepare, watches, issuer)
	if commit == 0 && errors.IsAny(err, replica.ErrNotNow, base.ErrUnavailable, base.ErrWrongRange) {
		return 0, false, nil
	}
	return commit, true, answered(r, t, err)
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
func (h *Here) Record(rec *prepared.Record) (commit base.Stamp, err error) {
	err = h.at(rec.Anchor, func(r *replica.Replica) error {
		var t base.Ticket
		var err error
		commit, t, err = r.Record(rec)
		return answered(r, t, err)
	}, func() (err error) {
		commit, err = h.Away.Record(rec)
		return err
	})
	return commit, err
}

// Resolve implements Ranges.
func (h *Here) Resolve(key []byte, res *prepared.Resolve) (held base.Span, err error) {
	err = h.at(key, func(r *replica.Replica) error {
		var t base.Ticket
		var err error
		held, t, err = r.Resolve(res)
		if err == nil && res.Commit != 0 { // the client has its answer
			return r.AwaitQuietly(t)
		}
		return answered(r, t, err)
	}, func() (err error) {
		held, err = h.Away.Resolve(key, res)
		return err
	})
	return held, err
}

// Settled implements Ranges.
func (h *Here) Settled(anchor []byte, s *prepared.Settled) error {
	return h.at(anchor, func(r *replica.Replica) error {
		return r.Settled(anchor, s)
	}, func() error { return h.Away.Settled(anchor, s) })
}

// Fate implements Ranges.
func (h *Here) Fate(t *prepared.Txn) (status prepared.Status, commit base.Stamp, err error) {
	err = h.at(t.Anchor, func(r *replica.Replica) error {
		var ticket base.Ticket
		var err error
		status, commit, ticket, err = r.Fate(t)
		return answered(r, ticket, err)
	}, func() (err error) {
		status, commit, err = h.Away.Fate(t)
		return err
	})
	return status, commit, err
}

// horizonStep is the least by which a horizon moves because somebody else asks for it.
const horizonStep = sweepAge

// Horizons implements Ranges.
func (h *Here) Horizons(key []byte, refuse base.Stamp) (out Horizons, err error) {
	err = h.at(key, func(r *replica.Replica) error {
		var ticket base.Ticket
		var err error
		if out.Span, out.Refuse, out.Oldest, ticket, err = r.Horizons(); err == nil && out.Refuse+horizonStep < refuse {
			if ticket, err = r.Retain(prepared.Retain{Refuse: refuse}); err != nil {
				return err
			}
			if err = r.Await(ticket); err == nil {
				out.Span, out.Refuse, out.Oldest, ticket, err = r.Horizons()
			}
		}
		return answered(r, ticket, err)
	}, func() (err error) {
		out, err = h.Away.Horizons(key, refuse)
		return err
	})
	return out, err
}
