package kvgrpc

import (
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/errors"
	"google.golang.org/grpc/codes"

	"github.com/stratadb/strata/internal/base"
)

// fate is a log whose position has a fate of its own: nil, an error, or pending.
type fate struct {
	err     error
	pending bool
}

func (fate) Committed() base.Position { return 0 }
func (fate) Kick()                    {}
func (fate) Expect([][]byte) bool     { return false }
func (f fate) Notify(_ base.Position, w base.Waiter) bool {
	if !f.pending {
		w.Committed(f.err)
	}
	return true
}

// TestSettle: what is told when the commit, the deadline or the range comes first.
func TestSettle(t *testing.T) {
	mine := errors.New("mine")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name  string
		ctx   context.Context
		log   fate
		wrote bool
		err   error
		want  error
	}{
		{"committed write", t.Context(), fate{}, true, nil, nil},
		{"committed error", t.Context(), fate{}, false, mine, mine},
		{"lost write", t.Context(), fate{err: base.ErrUnknownOutcome}, true, nil, base.ErrUnknownOutcome},
		{"lost read", t.Context(), fate{err: base.ErrUnknownOutcome}, false, nil, base.ErrUnavailable},
		{"lost error", t.Context(), fate{err: base.ErrUnknownOutcome}, true, mine, base.ErrUnavailable},
		{"write in flight", ended, fate{pending: true}, true, nil, base.ErrUnknownOutcome},
		{"read in flight", ended, fate{pending: true}, false, nil, context.Canceled},
		{"error in flight", ended, fate{pending: true}, true, mine, context.Canceled},
		{"unknown already", ended, fate{pending: true}, true, base.ErrUnknownOutcome, base.ErrUnknownOutcome},
	} {
		if got := settle(c.ctx, base.Ticket{Log: c.log, Pos: 1}, c.wrote, c.err); !errors.Is(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		err    error
		code   codes.Code
		reason string
	}{
		{errors.Wrap(base.ErrUnknownOutcome, "commit"), codes.Unknown, "UNKNOWN_OUTCOME"},
		{errors.CombineErrors(base.ErrUnknownOutcome, context.Canceled), codes.Unknown, "UNKNOWN_OUTCOME"},
		{errors.Wrap(base.ErrConflict, "commit"), codes.Aborted, "CONFLICT"},
		{base.ErrTooOld, codes.Aborted, "TOO_OLD"},
		{base.ErrTransactionTimedOut, codes.Aborted, "EXPIRED"},
		{base.ErrTransactionTooLarge, codes.ResourceExhausted, "TRANSACTION_TOO_LARGE"},
		{base.ErrKeyTooLarge, codes.InvalidArgument, "KEY_TOO_LARGE"},
		{base.ErrValueTooLarge, codes.InvalidArgument, "VALUE_TOO_LARGE"},
		{base.ErrInvalidMutation, codes.InvalidArgument, "INVALID_MUTATION"},
		{base.ErrUnreadable, codes.FailedPrecondition, "UNREADABLE"},
		{base.ErrClosed, codes.Unavailable, "SHUTTING_DOWN"},
		{base.ErrDiskFull, codes.ResourceExhausted, "DISK_FULL"},
		{base.ErrUnavailable, codes.Unavailable, "UNAVAILABLE"},
		{base.ErrWrongRange, codes.Unavailable, "UNAVAILABLE"},
		{base.ErrShuttingDown, codes.Unavailable, "SHUTTING_DOWN"},
		{errors.Wrap(base.ErrCorruption, "row"), codes.DataLoss, "CORRUPTION"},
		{fmt.Errorf("waiting: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "DEADLINE_EXCEEDED"},
		{errors.New("anything"), codes.Internal, ""},
	} {
		refused(t, statusOf(c.err).Err(), c.code, c.reason)
	}
}
