package replica

import (
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/prepared"
)

// settled are transactions whose records may be forgotten: no range holds them any more.
// Nobody waits for that, so the log hears of it with the next batch.
type settled struct {
	list []prepared.Settled
	due  bool // there may be no next batch
}

// settledMax bounds the list. What gets lost is told again by a sweep.
const settledMax = 4096

// Settled tells the anchor, which owns key, that no range holds the transaction any more.
func (r *Replica) Settled(key []byte, s *prepared.Settled) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.mu.tenure == nil:
		return base.ErrUnavailable
	case !r.mu.desc.Span.Contains(key):
		return base.ErrWrongRange
	}
	if len(r.mu.settled.list) < settledMax {
		r.mu.settled.list = append(r.mu.settled.list, *s)
	}
	if r.asleep.Load() != nil { // no tick will say that it is due
		r.mu.settled.due = true
		r.signal()
	}
	if r.evictor.asleep.Load() { // with nothing to write; it says when it is due
		r.evictor.wake()
	}
	return nil
}

// settleDue makes what is settled wait no longer.
func (r *Replica) settleDue() {
	r.mu.Lock()
	due := len(r.mu.settled.list) > 0
	r.mu.settled.due = due
	r.mu.Unlock()
	if due {
		r.signal()
	}
}

// noteSettledLocked puts what is settled into the batch that is about to be closed.
func (r *Replica) noteSettledLocked() error {
	q := &r.mu.settled
	if open, _ := r.mu.seq.Open(); len(q.list) == 0 || !open && !q.due || r.withheldLocked() {
		return nil
	}
	for len(q.list) > 0 && !r.mu.seq.Full() {
		s := &q.list[0]
		if r.mu.seq.Table().CheckSettled(s).Verdict == prepared.Accept {
			payload, kept, err := prepared.Copy(s)
			if err == nil {
				_, _, err = r.mu.seq.AppendEntry(kept, payload)
			}
			if err != nil {
				return err
			}
		}
		q.list = q.list[1:]
	}
	if len(q.list) == 0 {
		*q = settled{list: q.list[:0]}
	}
	return nil
}
