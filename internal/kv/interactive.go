package kv

import (
	"context"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
)

// Tx is an interactive transaction: it reads at a snapshot stamp, which is asked
// for at its first read, and ends with Commit or Rollback. Its methods are used
// by one goroutine. It copies the keys and values that it is given.
type Tx struct {
	txn
	db      *DB
	at      base.Stamp
	started time.Time
	done    bool
}

var _ Txn = (*Tx)(nil)

// Begin opens an interactive transaction. It must be ended.
func (db *DB) Begin() *Tx {
	tx := &Tx{db: db, started: db.now()}
	tx.interactive = true
	tx.att = &lazyAttempt{tx: tx, Attempt: db.engine.NewAttempt()}
	return tx
}

// lazyAttempt asks for the read version when the first read needs it.
type lazyAttempt struct {
	Attempt
	tx    *Tx
	begun bool
}

func (a *lazyAttempt) ready() error {
	if err := a.tx.usable(); err != nil {
		return err
	}
	if a.begun {
		return nil
	}
	at, err := a.tx.db.engine.ReadVersion(context.Background())
	if err != nil {
		return err
	}
	a.tx.at, a.begun = at, true
	a.Attempt.Begin(AttemptOptions{At: at})
	return nil
}

func (a *lazyAttempt) Get(key []byte) ([]byte, error) {
	if err := a.ready(); err != nil {
		return nil, err
	}
	return a.Attempt.Get(key)
}

func (a *lazyAttempt) Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	if err := a.ready(); err != nil {
		return err
	}
	return a.Attempt.Scan(span, reverse, visit)
}

func (a *lazyAttempt) Expect(keys [][]byte) {
	if a.ready() == nil { // else the next call says why
		a.Attempt.Expect(keys)
	}
}

func (a *lazyAttempt) NowMillis() int64 {
	if err := a.ready(); err != nil {
		a.tx.fail(err)
		return 0
	}
	return a.Attempt.NowMillis()
}

// usable reports why the transaction cannot go on.
func (tx *Tx) usable() error {
	if tx.done {
		return base.ErrClosed
	}
	if tx.db.now().Sub(tx.started) > limits.TransactionMaxAge {
		return base.ErrTransactionTimedOut
	}
	return nil
}

// Usable reports whether the transaction can go on: ErrTransactionTimedOut once
// it is older than limits.TransactionMaxAge, ErrClosed after its end.
func (tx *Tx) Usable() error { return tx.usable() }

// Get implements Reader.
func (tx *Tx) Get(key []byte) ([]byte, error) {
	if err := tx.usable(); err != nil {
		return nil, err
	}
	return tx.txn.Get(key)
}

// Scan implements Reader.
func (tx *Tx) Scan(span base.Span, o ScanOptions, visit func(key, value []byte) bool) error {
	if err := tx.usable(); err != nil {
		return err
	}
	return tx.txn.Scan(span, o, visit)
}

// ReadVersion is the stamp at which the transaction reads; it asks for one when
// there is none yet.
func (tx *Tx) ReadVersion() (base.Stamp, error) {
	err := tx.att.(*lazyAttempt).ready()
	return tx.at, err
}

// Commit ends the transaction and waits until its writes are committed. After
// ErrConflict or ErrTooOld nothing was written.
func (tx *Tx) Commit() (CommitInfo, error) {
	info, err := finish(tx.Sequence())
	return info, errors.Wrap(err, "commit")
}

// Sequence ends the transaction as Commit does, but does not wait: nothing of
// the outcome may be revealed before the receipt's ticket is done.
func (tx *Tx) Sequence() (Receipt, error) {
	if err := tx.usable(); err != nil {
		tx.Rollback()
		return Receipt{}, err
	}
	lazy := tx.att.(*lazyAttempt)
	tx.done = true
	if tx.err != nil {
		if lazy.begun {
			lazy.Abort()
		}
		return Receipt{}, tx.err
	}
	if !lazy.begun {
		if len(tx.w.muts) == 0 {
			return Receipt{}, nil
		}
		at, err := tx.db.engine.ReadVersion(context.Background())
		if err != nil {
			return Receipt{}, err
		}
		lazy.Begin(AttemptOptions{At: at})
	}
	req := tx.request()
	req.Stamped = true
	req.ID = RequestID{Session: tx.db.session, Number: tx.db.number.Add(1)}
	return lazy.Commit(req)
}

// Rollback ends the transaction without writing. It may be called again, and
// after Commit.
func (tx *Tx) Rollback() {
	if lazy := tx.att.(*lazyAttempt); lazy.begun && !tx.done {
		lazy.Abort()
	}
	tx.done = true
}
