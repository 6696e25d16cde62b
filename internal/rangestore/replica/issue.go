package replica

import (
	"time"

	"github.com/cockroachdb/errors"

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
	list, err := r.IssueStamps(1)
	if err != nil {
		return 0, err
	}
	return list[0], nil
}

// IssueStamps is IssueStamp for several at once, ascending: one proof of leadership does
// for all.
func (r *Replica) IssueStamps(count int) ([]base.Stamp, error) {
	list := make([]base.Stamp, count)
	for {
		t, issued, err := r.beginIssue(list, false)
		if err == nil {
			err = r.await(t)
		}
		switch {
		case err != nil:
			return nil, err
		case issued:
			return list, nil
		}
	}
}

// BeginIssue is IssueStamp for those who do not wait: when the ticket is done, s is
// issued, or, if it says that it is not, the next call may answer. While the range has no
// room for the write that it would need it is not available: another range's loop, which
// asks, must not wait for that.
func (r *Replica) BeginIssue() (s base.Stamp, t base.Ticket, issued bool, err error) {
	var list [1]base.Stamp
	t, issued, err = r.beginIssue(list[:], true)
	if !issued {
		return 0, t, false, err
	}
	return list[0], t, true, err
}

func (r *Replica) beginIssue(list []base.Stamp, prompt bool) (t base.Ticket, issued bool, err error) {
	ten, err := r.tenureNow()
	if err != nil {
		return t, false, err
	}
	for i := range list {
		if list[i], err = r.o.Oracle.Next(); err != nil {
			return t, false, err
		}
	}
	if t, issued, err = r.mayIssue(ten, list[len(list)-1]); err != nil || issued {
		return t, issued, err
	}
	switch t, err = r.moveOn(prompt); {
	case errors.Is(err, base.ErrWouldWait):
		err = errors.Wrap(base.ErrUnavailable, "no room for a stamp")
	case errors.Is(err, base.ErrConflict): // the range has changed; the next call sees how
		return base.Ticket{}, false, nil
	}
	return t, false, err
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
func (r *Replica) moveOn(prompt bool) (base.Ticket, error) {
	a := r.NewAttempt()
	a.Begin(0, HoldNever)
	if prompt {
		a.Prompt()
	}
	rec, err := a.Commit(&Request{Mutations: []base.Mutation{{Op: base.OpSet, Key: issueKey, Value: []byte{}}}})
	return rec.Ticket, err
}
