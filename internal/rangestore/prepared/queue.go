package prepared

import "slices"

// WaiterID names somebody who waits; the caller gives it out.
type WaiterID uint64

// Queue remembers who waits for which transactions, in the order of arrival. It
// wakes nobody: Gone says who may ask again. Whoever asks again and has to wait
// again is at the end of the queue. The zero value is empty.
type Queue struct {
	waiting []waiter
}

type waiter struct {
	id  WaiterID
	txn []TxnID
}

// Wait puts id into the queue until every one of the holders is gone.
func (q *Queue) Wait(id WaiterID, holders []*Held) {
	w := waiter{id: id, txn: make([]TxnID, len(holders))}
	for i, h := range holders {
		w.txn[i] = h.ID
	}
	q.waiting = append(q.waiting, w)
}

// Gone tells that the locks of txn went. It returns those who wait for nobody any
// more, in the order of their arrival, and takes them out of the queue.
func (q *Queue) Gone(txn TxnID) (ready []WaiterID) {
	kept := q.waiting[:0]
	for _, w := range q.waiting {
		w.txn = slices.DeleteFunc(w.txn, func(t TxnID) bool { return t == txn })
		if len(w.txn) == 0 {
			ready = append(ready, w.id)
		} else {
			kept = append(kept, w)
		}
	}
	clear(q.waiting[len(kept):])
	q.waiting = kept
	return ready
}

// Cancel takes id out of the queue.
func (q *Queue) Cancel(id WaiterID) {
	q.waiting = slices.DeleteFunc(q.waiting, func(w waiter) bool { return w.id == id })
}

// Drain empties the queue, in the order of arrival: the range leads no more.
func (q *Queue) Drain() (ids []WaiterID) {
	for _, w := range q.waiting {
		ids = append(ids, w.id)
	}
	q.waiting = nil
	return ids
}

// Len is the number of those who wait.
func (q *Queue) Len() int { return len(q.waiting) }
