package kvgrpc

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
)

// transactions is the interactive transactions of a server, by their ids (D3).
type transactions struct {
	db   *kv.DB
	now  func() time.Time
	most int
	held atomic.Int64 // bytes, of all of them
	mu   struct {
		sync.Mutex
		byID map[string]*transaction // with those that are remembered
		open int
	}
}

// transaction is one of them.
type transaction struct {
	id    string
	began time.Time
	// turn holds a token while nobody works on the transaction; who has it may
	// use the fields below.
	turn  chan struct{}
	tx    *kv.Tx // nil after its end
	bytes int64  // its part of held
	// expired says that it was rolled back because of its age.
	expired bool
}

func newTransactions(db *kv.DB, now func() time.Time) *transactions {
	ts := &transactions{db: db, now: now, most: limits.GRPCTransactions}
	ts.mu.byID = map[string]*transaction{}
	return ts
}

// begin opens a transaction and answers its id.
func (ts *transactions) begin() (string, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.mu.open >= ts.most {
		return "", errTransactions
	}
	t := &transaction{id: rand.Text(), began: ts.now(), turn: make(chan struct{}, 1), tx: ts.db.Begin()}
	t.turn <- struct{}{}
	ts.mu.byID[t.id] = t
	ts.mu.open++
	return t.id, nil
}

// acquire waits for the transaction's turn. Without an error it is open and must be
// given back with release.
func (ts *transactions) acquire(ctx context.Context, id string) (*transaction, error) {
	ts.mu.Lock()
	t := ts.mu.byID[id]
	ts.mu.Unlock()
	if t == nil {
		return nil, errNoTransaction
	}
	select {
	case <-t.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if t.tx != nil && t.tx.Usable() != nil {
		ts.expire(t)
	}
	if t.tx != nil {
		return t, nil
	}
	t.release()
	if t.expired {
		return nil, base.ErrTransactionTimedOut
	}
	return nil, errNoTransaction
}

func (t *transaction) release() { t.turn <- struct{}{} }

// use runs fn on a transaction. One whose use panics is rolled back (D4).
func (ts *transactions) use(ctx context.Context, id string, fn func(tx *kv.Tx) error) error {
	t, err := ts.acquire(ctx, id)
	if err != nil {
		return err
	}
	defer t.release()
	returned := false
	defer func() {
		if !returned {
			ts.end(t).Rollback()
		}
	}()
	err = fn(t.tx)
	bytes := t.tx.ApproximateSize()
	ts.held.Add(bytes - t.bytes)
	t.bytes, returned = bytes, true
	return err
}

// take ends the life of an id and answers its transaction.
func (ts *transactions) take(ctx context.Context, id string) (*kv.Tx, error) {
	t, err := ts.acquire(ctx, id)
	if err != nil {
		return nil, err
	}
	defer t.release()
	return ts.end(t), nil
}

// end forgets a transaction that was acquired and answers it.
func (ts *transactions) end(t *transaction) *kv.Tx {
	ts.forget(t)
	return ts.retire(t)
}

func (ts *transactions) forget(t *transaction) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.mu.byID, t.id)
}

// expire rolls a transaction that was acquired back and remembers it.
func (ts *transactions) expire(t *transaction) {
	t.expired = true
	ts.retire(t).Rollback()
}

// retire takes what a transaction that was acquired holds.
func (ts *transactions) retire(t *transaction) *kv.Tx {
	ts.mu.Lock()
	ts.mu.open--
	ts.mu.Unlock()
	ts.held.Add(-t.bytes)
	tx := t.tx
	t.tx, t.bytes = nil, 0
	return tx
}

// sweep rolls back what is overdue, and forgets what was rolled back long ago. One
// that is being worked on is left to the next time.
func (ts *transactions) sweep() {
	now := ts.now()
	for _, t := range ts.older(now.Add(-limits.TransactionMaxAge)) {
		select {
		case <-t.turn:
			if t.tx != nil {
				ts.expire(t)
			}
			if now.Sub(t.began) > limits.TransactionMaxAge+limits.GRPCTransactionMemory {
				ts.forget(t)
			}
			t.release()
		default:
		}
	}
}

// older are the transactions that began before at.
func (ts *transactions) older(at time.Time) (found []*transaction) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range ts.mu.byID {
		if t.began.Before(at) {
			found = append(found, t)
		}
	}
	return found
}

// close rolls everything back. No call is running any more.
func (ts *transactions) close() {
	ts.mu.Lock()
	all := ts.mu.byID
	ts.mu.byID = map[string]*transaction{}
	ts.mu.Unlock()
	for _, t := range all {
		if t.tx != nil {
			ts.retire(t).Rollback()
		}
	}
}
