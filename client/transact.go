package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/stratadb/strata/proto"
)

// Mark says something about a transaction.
type Mark uint8

// Idempotent marks a transaction that does no harm when it is committed twice:
// Transact runs it again after an unknown outcome.
const Idempotent Mark = 1

// Commit describes a committed transaction. It is zero for one that only read.
type Commit struct {
	// Version is the version of the writes: unix microseconds, strictly increasing.
	Version uint64
	// Versionstamp is ten bytes, unique and in the order of commits.
	Versionstamp []byte
}

// Transact runs fn in a transaction and commits it, and again as long as it
// conflicts with others and ctx lasts. So fn may run several times; only the writes
// of its last run exist. An error of fn rolls back and is returned; one of the Txn is
// to be returned by fn, possibly wrapped.
//
// On ErrUnknownOutcome the writes may exist. fn is not run again then, unless the
// transaction is marked as Idempotent.
func (c *Client) Transact(ctx context.Context, fn func(t *Txn) error, marks ...Mark) (Commit, error) {
	idempotent := false
	for _, m := range marks {
		idempotent = idempotent || m == Idempotent
	}
	var unknown error // the first unknown outcome: no later failure makes it known
	for attempt := 0; ; attempt++ {
		commit, err := c.once(ctx, fn)
		if err == nil {
			return commit, nil
		}
		again := errors.Is(err, ErrConflict) || errors.Is(err, ErrTooOld)
		if errors.Is(err, ErrUnknownOutcome) {
			again = idempotent
			if unknown == nil {
				unknown = err
			}
		}
		if !again {
			return Commit{}, join(err, unknown)
		}
		if !backoff(ctx, attempt) {
			return Commit{}, join(errors.Join(ctx.Err(), err), unknown)
		}
	}
}

// join adds an earlier unknown outcome to an error.
func join(err, unknown error) error {
	if unknown == nil || errors.Is(err, ErrUnknownOutcome) {
		return err
	}
	return errors.Join(err, unknown)
}

func (c *Client) once(ctx context.Context, fn func(t *Txn) error) (Commit, error) {
	begun, err := c.kv.Begin(ctx, &proto.BeginRequest{})
	if err != nil {
		return Commit{}, failed(err)
	}
	t := &Txn{ctx: ctx, kv: c.kv, id: begun.GetTransactionId(), namespace: c.namespace}
	ended := false
	defer func() {
		if !ended {
			t.rollback()
		}
	}()
	if err := fn(t); err != nil {
		return Commit{}, err
	}
	if err := t.flush(); err != nil {
		return Commit{}, err
	}
	if err := ctx.Err(); err != nil {
		return Commit{}, err
	}
	ended = true
	resp, err := c.kv.Commit(ctx, &proto.CommitRequest{TransactionId: t.id})
	if err != nil {
		return Commit{}, outcome(err)
	}
	return Commit{Version: resp.GetVersion(), Versionstamp: resp.GetVersionstamp()}, nil
}

// rollbackWithin bounds the wait for the answer of a rollback. One that gets lost
// does no harm: the node rolls back what is too old.
const rollbackWithin = time.Second

func (t *Txn) rollback() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), rollbackWithin)
	defer cancel()
	_, _ = t.kv.Rollback(ctx, &proto.RollbackRequest{TransactionId: t.id})
}

const (
	backoffMin = time.Millisecond
	backoffMax = 250 * time.Millisecond
)

// backoff waits a random time whose bound doubles with each attempt, and reports
// whether ctx has lasted.
func backoff(ctx context.Context, attempt int) bool {
	most := min(backoffMin<<min(attempt, 10), backoffMax)
	timer := time.NewTimer(rand.N(most) + 1)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
