package replica

import (
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/prepared"
)

// A transaction over several ranges ends at its anchor. Where the anchor's leader can have a
// stamp at once, prepare, commit stamp, record and resolve are made there in one step, under
// the range's lock, and lie in one batch, once all the others have answered "prepared":
//
//	others   prepare ──► committed
//	anchor                          prepare · C · record · resolve ──► committed, reply
//
// Nobody ever meets the lock. The log keeps all of it or nothing, so there is no prepare at
// the anchor that could be lost between its answer and the record (C9), and the record finds
// the prepare held (C2). The batch gets its stamp later, above C; so nothing may lie before it
// whose stamp is going to be above C, too: a transaction there may have read what this one
// writes, and would come behind it by its stamp. Then, and whenever something would have
// to be waited for with the lock held, the transaction prepares here like anywhere else.

// ErrNotNow: a transaction cannot be concluded at this moment. Nothing was done.
var ErrNotNow = errors.New("the anchor is busy")

// concluded is how many entries a conclusion puts into a batch.
const concluded = 3

// conclusion is what a prepare becomes that is the last one.
type conclusion struct {
	issuer *Replica // leads the range that issues stamps; it may be the anchor itself
	commit base.Stamp
}

// Concludes reports whether nothing is under way in the range, so that Conclude is likely to
// succeed soon.
func (r *Replica) Concludes() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.tenure != nil && r.mu.seq.Position() == r.mu.position || r.stampedLocked() && r.patientLocked()
}

// Conclude ends a transaction that is prepared everywhere else, at its anchor. issuer is this
// store's replica of the range that issues stamps. Where commit is not zero, t says when
// that is the answer; an error without one says that nothing was written.
func (r *Replica) Conclude(p *prepared.Prepare, guards []*Watch, issuer *Replica) (commit base.Stamp, t base.Ticket, err error) {
	a := r.NewAttempt()
	a.Begin(0, HoldNever)
	c := conclusion{issuer: issuer}
	t, err = a.prepare(p, guards, &c)
	return c.commit, t, err
}

// conclude makes the record that follows a prepare in its batch. The lock is held; an error
// gives it back.
func (a *Attempt) conclude(p *prepared.Prepare, c *conclusion) (*prepared.Record, error) {
	r := a.r
	if !r.stampedLocked() && !r.o.Faults.ConcludeUnstamped || r.mu.seq.Room() < concluded {
		a.unlock()
		return nil, ErrNotNow
	}
	if c.issuer != r {
		c.issuer.mu.Lock()
	}
	s, ok := c.issuer.issueLocked()
	if c.issuer != r {
		c.issuer.mu.Unlock()
	}
	if !ok {
		a.unlock()
		return nil, ErrNotNow
	}
	c.commit = s
	return &prepared.Record{Txn: p.Txn, Commit: s}, nil
}

// stampedLocked reports whether all transactions that are sequenced have their stamps. What a
// resolve in the open batch installs has one.
func (r *Replica) stampedLocked() bool {
	open, _ := r.mu.seq.Open()
	return !r.mu.seq.Unstamped() && (!open || r.patientLocked())
}

// issueLocked is IssueStamp for those who hold the range's lock, or another range's: they
// cannot wait.
func (r *Replica) issueLocked() (base.Stamp, bool) {
	if r.mu.tenure == nil {
		return 0, false
	}
	s, err := r.o.Oracle.Next()
	return s, err == nil && s <= r.mu.logged+IssueReach && r.leasedLocked()
}
