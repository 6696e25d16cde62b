package coordinator

import (
	"bytes"
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

var _ replica.Settler = (*Coordinator)(nil)

// Fate implements replica.Settler.
func (c *Coordinator) Fate(t *prepared.Txn) (prepared.Status, base.Stamp, error) {
	return c.o.Ranges.Fate(t)
}

// Settle implements replica.Settler.
func (c *Coordinator) Settle(t *prepared.Txn) error {
	commit, err := c.decide(t)
	if err != nil {
		return errors.Wrap(err, "settle")
	}
	c.finish(t, commit, true)
	return nil
}

// finish resolves a transaction everywhere, and tells the anchor when that is done.
func (c *Coordinator) finish(t *prepared.Txn, commit base.Stamp, recorded bool) {
	if c.resolve(t, commit) && recorded {
		_ = c.o.Ranges.Settled(t.Anchor, &prepared.Settled{ID: t.ID}) // or a sweep does it
	}
}

// resolve tells every range that overlaps the participants how the transaction ended,
// and reports whether all of them know it.
func (c *Coordinator) resolve(t *prepared.Txn, commit base.Stamp) bool {
	told := make([]bool, len(t.Participants))
	c.parallel(len(told), func(i int) { told[i] = c.resolveSpan(t, t.Participants[i], commit) })
	for _, ok := range told {
		if !ok {
			return false
		}
	}
	return true
}

func (c *Coordinator) resolveSpan(t *prepared.Txn, s base.Span, commit base.Stamp) bool {
	r := &prepared.Resolve{ID: t.ID, Begin: t.Begin, Commit: commit}
	for !s.Empty() {
		var held base.Span
		err := error(base.ErrUnavailable)
		for pause := c.pauses(); err != nil && pause.next(); {
			held, err = c.o.Ranges.Resolve(s.Start, r)
			if err == nil && !held.Contains(s.Start) {
				err = base.ErrWrongRange // it was cut while it was told
			}
		}
		if err != nil {
			return false
		}
		s.Start = held.End
	}
	return true
}

// Overdue is a range of this node that may hold what has to be settled.
type Overdue interface {
	Overdue(before base.Stamp) []*prepared.Txn
	Retain(prepared.Retain) (base.Ticket, error)
}

var _ Overdue = (*replica.Replica)(nil)

const (
	// sweepAge is how old a transaction is when a sweep settles it: older than any
	// that may still be on its way.
	sweepAge = base.Stamp((limits.TransactionMaxAge + limits.LockAge) / 1000)
	// refuseAge is how old a prepare may be.
	refuseAge = 4 * sweepAge
)

// Sweep settles what is overdue on the ranges of this node. Whoever cannot be reached
// is left for the next sweep.
func (c *Coordinator) Sweep(ranges []Overdue) error {
	var now base.Stamp
	for _, r := range ranges {
		if len(r.Overdue(^base.Stamp(0))) == 0 {
			continue
		}
		if now == 0 {
			var err error
			if now, err = c.o.Ranges.Stamp(); err != nil {
				return err
			}
		}
		for _, t := range r.Overdue(now - sweepAge) {
			if err := c.Settle(t); errors.Is(err, prepared.ErrForgotten) && holds(r, t) {
				return errors.Wrapf(err, "transaction %s, begun at %d", t.ID, t.Begin)
			}
		}
	}
	return nil
}

// holds reports whether a range has not seen the end of a transaction yet; others may have
// settled it since it was found, and all of it may be forgotten.
func holds(r Overdue, t *prepared.Txn) bool {
	return slices.ContainsFunc(r.Overdue(t.Begin+1), func(x *prepared.Txn) bool { return x.ID == t.ID })
}

// Retain moves the horizons of this node's ranges: what began long ago is refused, and
// what every range refuses, and nobody holds, is forgotten (C3).
func (c *Coordinator) Retain(ranges []Overdue) error {
	if len(ranges) == 0 {
		return nil
	}
	now, err := c.o.Ranges.Stamp()
	if err != nil {
		return err
	}
	want := prepared.Retain{Refuse: now - min(refuseAge, now)}
	if want.Forget, err = c.forgettable(want.Refuse); err != nil {
		return err
	}
	for _, r := range ranges {
		if _, err := r.Retain(want); err != nil && !errors.Is(err, base.ErrUnavailable) {
			return err
		}
	}
	return nil
}

// forgettable is the stamp before which every range refuses prepares and holds none,
// when all have been asked to refuse what began before refuse.
func (c *Coordinator) forgettable(refuse base.Stamp) (base.Stamp, error) {
	all := keyspace.All()
	forget := ^base.Stamp(0)
	for key := all.Start; bytes.Compare(key, all.End) < 0; {
		h, err := c.o.Ranges.Horizons(key, refuse)
		if err != nil {
			return 0, err
		}
		if !h.Span.Contains(key) {
			return 0, errors.Wrap(base.ErrWrongRange, "horizons")
		}
		if forget = min(forget, h.Refuse); h.Oldest != 0 {
			forget = min(forget, h.Oldest)
		}
		key = h.Span.End
	}
	return forget, nil
}
