package kvgrpc

import (
	"context"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// await waits until the ticket is done: ErrUnknownOutcome when the range lost track
// of it, the context's error when that ends first.
func await(ctx context.Context, t base.Ticket) error {
	if t.Done() {
		return nil
	}
	w := make(waiter, 1)
	if !t.Log.Notify(t.Pos, w) {
		return nil
	}
	t.Log.Kick()
	select {
	case err := <-w:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

type waiter chan error

// Committed implements base.Waiter.
func (w waiter) Committed(err error) { w <- err }

// settle waits until err, the result of a transaction that wrote something or did
// not, may be told, and answers what is to be told (D1).
func settle(ctx context.Context, t base.Ticket, wrote bool, err error) error {
	waited := await(ctx, t)
	switch {
	case waited == nil, errors.Is(err, base.ErrUnknownOutcome):
		return err
	case err == nil && wrote:
		return errors.CombineErrors(base.ErrUnknownOutcome, waited)
	case errors.Is(waited, base.ErrUnknownOutcome):
		// Nothing was written; what was read is gone. Reading again is harmless.
		return errors.CombineErrors(base.ErrUnavailable, waited)
	}
	return waited
}
