package replica

import (
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
)

// The leader issues stamps to others: read versions. None may be above a stamp of its
// log plus IssueReach, so that whoever leads next, and has that log, knows from where
// on its own are new (C12). A log that has been quiet for longer is written to first.

// IssueReach is how far issued stamps may run ahead of the log.
const IssueReach = base.Stamp(time.Second / time.Microsecond)

// issueKey is the row that is written to move the log on.
var issueKey = []byte{keyspace.Meta, keyspace.MetaIssued}

// IssueStamp returns a stamp above every one that was issued, by any leader of the
// range, before the call.
func (r *Replica) IssueStamp() (base.Stamp, error) {
	for {
		s, t, issued, err := r.BeginIssue()
		if err == nil {
			err = r.await(t)
		}
		if issued || err != nil {
			return s, err
		}
	}
}

// BeginIssue is IssueStamp for those who do not wait: when the ticket is done, s is
// issued, or, if it says that it is not, the next call may answer.
func (r *Replica) BeginIssue() (s base.Stamp, t base.Ticket, issued bool, err error) {
	ten, err := r.tenureNow()
	if err != nil {
		return 0, t, false, err
	}
	if s, err = r.o.Oracle.Next(); err != nil {
		return 0, t, false, err
	}
	if t, issued, err = r.mayIssue(ten, s); err != nil || issued {
		return s, t, issued, err
	}
	t, err = r.moveOn()
	return 0, t, false, err
}

func (r *Replica) tenureNow() (*tenure, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.tenure == nil {
		return nil, base.ErrUnavailable
	}
	return r.mu.tenure, nil
}

// mayIssue reports whether s lies within the reach, and what else must be waited for:
// a proof of leadership after s was taken.
func (r *Replica) mayIssue(ten *tenure, s base.Stamp) (proof base.Ticket, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.mu.tenure != ten:
		return proof, false, base.ErrUnavailable
	case s > r.mu.logged+IssueReach:
		return proof, false, nil
	case !r.leasedLocked():
		return r.confirmLocked(ten, 0), true, nil
	}
	return proof, true, nil
}

// moveOn sequences a write, which carries a new stamp.
func (r *Replica) moveOn() (base.Ticket, error) {
	a := r.NewAttempt()
	a.Begin(0, HoldNever)
	rec, err := a.Commit(&Request{Mutations: []base.Mutation{{Op: base.OpSet, Key: issueKey, Value: []byte{}}}})
	return rec.Ticket, err
}
