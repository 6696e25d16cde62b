package kvgrpc

import (
	"context"
	stderrors "errors"

	"github.com/cockroachdb/errors"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/model/zmap"
)

// The door's own errors.
var (
	errUnauthenticated = errors.New("the metadata has no valid `authorization: Bearer <password>`")
	errProtected       = errors.New("protected mode: without a password, only clients on the server's machine are served")
	errNoTransaction   = errors.New("no such transaction is open: it was never begun here, or has ended")
	errTransactions    = errors.New("too many transactions are open")
	errHeld            = errors.New("the open transactions hold too much: commit or roll back some")
	errNoOperation     = errors.New("the request names no operation that is known here")
	// ErrRouteBusy: the range is being changed in another way, or cannot be changed on
	// this cluster.
	ErrRouteBusy = errors.New("the route cannot be changed now")
	// ErrNoNode: no node has that number.
	ErrNoNode = errors.New("no such node")
	errPanic  = errors.New("internal error")
)

// ownText stands in the table for the whole text of an error, which says more than its
// class and nothing that a client must not see.
const ownText = "*"

// domain is that of the reasons in error details.
const domain = "strata"

// errorTable is the one table from errors to codes and reasons. The first row that
// matches counts; a row without a text has that of its class.
//
// What may succeed when the whole transaction is run again is ABORTED, a
// transaction that became too old included: gRPC keeps FAILED_PRECONDITION for
// what fails until somebody changes the state of the system.
var errorTable = []struct {
	err    error
	code   codes.Code
	reason string
	text   string
}{
	{base.ErrUnknownOutcome, codes.Unknown, "UNKNOWN_OUTCOME", ""},
	{base.ErrConflict, codes.Aborted, "CONFLICT", ""},
	{base.ErrTooOld, codes.Aborted, "TOO_OLD", ""},
	{base.ErrTransactionTimedOut, codes.Aborted, "EXPIRED", "transaction exceeded its time limit and was rolled back"},
	{base.ErrTransactionTooLarge, codes.ResourceExhausted, "TRANSACTION_TOO_LARGE", ""},
	{base.ErrKeyTooLarge, codes.InvalidArgument, "KEY_TOO_LARGE", ""},
	{zmap.ErrKeyTooLarge, codes.InvalidArgument, "KEY_TOO_LARGE", "key exceeds the size limit"},
	{base.ErrValueTooLarge, codes.InvalidArgument, "VALUE_TOO_LARGE", ""},
	{zmap.ErrValueTooLarge, codes.InvalidArgument, "VALUE_TOO_LARGE", "value exceeds the size limit"},
	{base.ErrInvalidMutation, codes.InvalidArgument, "INVALID_MUTATION", ""},
	{zmap.ErrVersionstampOffset, codes.InvalidArgument, "INVALID_MUTATION", "versionstamp offset lies outside of its template"},
	{zmap.ErrInvertedRange, codes.InvalidArgument, "INVALID_RANGE", "the end of the range precedes its start"},
	{errNoOperation, codes.InvalidArgument, "NO_OPERATION", ""},
	{base.ErrUnreadable, codes.FailedPrecondition, "UNREADABLE", ""},
	{errNoTransaction, codes.NotFound, "NO_TRANSACTION", ""},
	{errTransactions, codes.ResourceExhausted, "TOO_MANY_TRANSACTIONS", ""},
	{errHeld, codes.ResourceExhausted, "TRANSACTIONS_TOO_LARGE", ""},
	{base.ErrDiskFull, codes.ResourceExhausted, "DISK_FULL", ""},
	{base.ErrUnavailable, codes.Unavailable, "UNAVAILABLE", ""},
	{base.ErrWrongRange, codes.Unavailable, "UNAVAILABLE", ""},
	{base.ErrShuttingDown, codes.Unavailable, "SHUTTING_DOWN", ""},
	{base.ErrClosed, codes.Unavailable, "SHUTTING_DOWN", "server is shutting down"},
	{catalog.ErrCatalogVersion, codes.FailedPrecondition, "CATALOG_VERSION", ""},
	{catalog.ErrNoRange, codes.InvalidArgument, "NO_ROUTE", ""},
	{catalog.ErrSplitKey, codes.InvalidArgument, "SPLIT_KEY", ""},
	{catalog.ErrNotNeighbours, codes.InvalidArgument, "NOT_NEIGHBOURS", ""},
	{ErrRouteBusy, codes.FailedPrecondition, "ROUTE_BUSY", ownText},
	{ErrNoNode, codes.InvalidArgument, "NO_NODE", ownText},
	{errUnauthenticated, codes.Unauthenticated, "UNAUTHENTICATED", ""},
	{errProtected, codes.PermissionDenied, "PROTECTED_MODE", ""},
	{context.DeadlineExceeded, codes.DeadlineExceeded, "DEADLINE_EXCEEDED", ""},
	{context.Canceled, codes.Canceled, "CANCELED", ""},
	{base.ErrCorruption, codes.DataLoss, "CORRUPTION", "stored data is damaged; the server's log says more"},
}

// catalogTable is the part for namespaces.
var catalogTable = map[catalog.Code]struct {
	code   codes.Code
	reason string
}{
	catalog.CodeNoSuch:       {codes.NotFound, "NO_SUCH_NAMESPACE"},
	catalog.CodeBeingRemoved: {codes.FailedPrecondition, "NAMESPACE_BEING_REMOVED"},
	catalog.CodeGeneric:      {codes.InvalidArgument, "INVALID_NAMESPACE"},
}

// seriousTable is the codes that nobody outside can do anything about.
var seriousTable = map[codes.Code]bool{codes.Internal: true, codes.DataLoss: true}

// statusOf words an error. What is in no table is internal, without a reason: a
// client that gets no reason knows nothing of the outcome.
func statusOf(err error) *status.Status {
	for _, row := range errorTable {
		if errors.Is(err, row.err) {
			switch row.text {
			case "":
				row.text = row.err.Error()
			case ownText:
				row.text = err.Error()
			}
			return detailed(row.code, row.reason, row.text)
		}
	}
	var c *catalog.Error
	if stderrors.As(err, &c) {
		if row, known := catalogTable[c.Code]; known {
			return detailed(row.code, row.reason, c.Error()[len(c.Code)+1:])
		}
	}
	return status.New(codes.Internal, errPanic.Error())
}

func detailed(code codes.Code, reason, text string) *status.Status {
	st, err := status.New(code, text).WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: domain})
	if err != nil { // it can be encoded always
		return status.New(code, text)
	}
	return st
}
