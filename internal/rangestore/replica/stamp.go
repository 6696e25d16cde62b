package replica

import (
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/sequencer"
)

// A range that does not issue stamps itself asks for those of its batches, without
// waiting: the leader of the range that does may be on another node, or nowhere.

// asking is the batch that is closed and waits for its stamp.
type asking struct {
	open   bool
	batch  sequencer.Closed
	number uint64 // of the last question
	first  uint64 // that was asked for this batch
	ticks  int    // since the last one was asked
}

// stampAnswer is the answer to a question.
type stampAnswer struct {
	number uint64
	stamp  base.Stamp
	err    error
}

// askAgain is after how many ticks a question without an answer, or with an error, is
// asked again.
const askAgain = 2

// stampFor is the stamp of a batch, asked for after it was closed (C1); ok is false as
// long as there is none.
func (r *Replica) stampFor(c *sequencer.Closed) (stamp base.Stamp, ok bool, err error) {
	if r.o.Stamps == nil {
		r.pause(PointClosed)
		stamp, err = r.o.Oracle.Next()
		return stamp, err == nil, errors.Wrap(err, "oracle")
	}
	q := &r.loop.asking
	if !q.open {
		q.open, q.batch, q.first = true, *c, q.number+1
		r.pause(PointClosed)
		r.askStamp()
	}
	if stamp, ok = r.stampAnswered(); ok {
		q.open, q.batch = false, sequencer.Closed{}
		r.o.Oracle.Observe(stamp)
		return stamp, true, nil
	}
	if q.ticks >= askAgain {
		r.askStamp()
	}
	return 0, false, nil
}

// freshen sets the TTL clock at the begin of a tenure (C11).
func (r *Replica) freshen() {
	if r.o.Stamps == nil {
		return
	}
	r.o.Stamps(func(s base.Stamp, err error) {
		if err == nil {
			r.o.Oracle.Observe(s)
		}
	})
}

// askStamp asks. Any answer will do that was asked for after the batch was closed: where
// the way to the oracle is long, a question is asked again before its answer can come.
func (r *Replica) askStamp() {
	q := &r.loop.asking
	q.number++
	q.ticks = 0
	n := q.number
	asking := true // guarded by mu: an answer that comes at once is seen at once
	r.o.Stamps(func(s base.Stamp, err error) {
		r.mu.Lock()
		if n > r.mu.answer.number {
			r.mu.answer = stampAnswer{number: n, stamp: s, err: err}
		}
		later := !asking
		r.mu.Unlock()
		if later {
			r.signal()
		}
	})
	r.mu.Lock()
	asking = false
	r.mu.Unlock()
}

func (r *Replica) stampAnswered() (base.Stamp, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.mu.answer
	return a.stamp, a.number >= r.loop.asking.first && a.err == nil
}
