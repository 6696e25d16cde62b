package coordinator

import (
	"testing"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/prepared"
)

// forgetful are ranges that have forgotten how every transaction ended.
type forgetful struct {
	Ranges
	asked func()
}

func (f forgetful) Stamp() (base.Stamp, error) { return 1_000_000_000, nil }

func (f forgetful) Fate(*prepared.Txn) (prepared.Status, base.Stamp, error) {
	f.asked()
	return prepared.Forgotten, 0, nil
}

// holder is a range that holds a few transactions.
type holder struct{ held []*prepared.Txn }

func (h *holder) Overdue(before base.Stamp) (list []*prepared.Txn) {
	for _, t := range h.held {
		if t.Begin < before {
			list = append(list, t)
		}
	}
	return list
}

func (h *holder) Retain(prepared.Retain) (base.Ticket, error) { return base.Ticket{}, nil }

// TestSweepMeetsAnother: a transaction that others have settled and forgotten while a sweep
// came to it is no alarm. One that is held all the same is.
func TestSweepMeetsAnother(t *testing.T) {
	for _, held := range []bool{false, true} {
		txn := &prepared.Txn{ID: prepared.TxnID{1}, Begin: 7}
		r := &holder{held: []*prepared.Txn{txn, {ID: prepared.TxnID{2}, Begin: 7}}}
		asked := 0
		c := New(Options{Ranges: forgetful{asked: func() {
			if asked++; !held {
				r.held = nil
			}
		}}})
		err := c.Sweep([]Overdue{r})
		if asked == 0 || errors.Is(err, prepared.ErrForgotten) != held {
			t.Errorf("held: %v; after %d questions: %v", held, asked, err)
		}
	}
}
