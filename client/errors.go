package client

import (
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The errors to tell apart with errors.Is. After all but ErrUnknownOutcome nothing
// was written. The error's gRPC status (status.FromError) says more.
var (
	// ErrConflict: something that the transaction read was changed before it
	// committed. Transact runs it again.
	ErrConflict = errors.New("transaction conflicts with another one")
	// ErrTooOld: what the transaction reads is no longer kept. Transact runs it again.
	ErrTooOld = errors.New("transaction is too old")
	// ErrExpired: the transaction was open for longer than the node allows.
	ErrExpired = errors.New("transaction was open for too long")
	// ErrUnknownOutcome: the write was sent, and may or may not have happened.
	ErrUnknownOutcome = errors.New("unknown outcome: the write may or may not have happened")
	// ErrUnavailable: the node, or the part of the data that is asked for, cannot be reached.
	ErrUnavailable = errors.New("not available")
	// ErrTooLarge: a key, a value, the transaction or what the node holds for its
	// transactions exceeds a limit.
	ErrTooLarge = errors.New("too large")
	// ErrNoNamespace: the namespace does not exist or is being removed.
	ErrNoNamespace = errors.New("no such namespace")
	// ErrDenied: the password is wrong or missing, or the node serves clients on
	// its own machine only.
	ErrDenied = errors.New("denied")
)

// reasonTable is what the reasons of the server mean.
var reasonTable = map[string]error{
	"CONFLICT":                ErrConflict,
	"TOO_OLD":                 ErrTooOld,
	"EXPIRED":                 ErrExpired,
	"UNKNOWN_OUTCOME":         ErrUnknownOutcome,
	"UNAVAILABLE":             ErrUnavailable,
	"SHUTTING_DOWN":           ErrUnavailable,
	"KEY_TOO_LARGE":           ErrTooLarge,
	"VALUE_TOO_LARGE":         ErrTooLarge,
	"TRANSACTION_TOO_LARGE":   ErrTooLarge,
	"TRANSACTIONS_TOO_LARGE":  ErrTooLarge,
	"NO_SUCH_NAMESPACE":       ErrNoNamespace,
	"NAMESPACE_BEING_REMOVED": ErrNoNamespace,
	"UNAUTHENTICATED":         ErrDenied,
	"PROTECTED_MODE":          ErrDenied,
}

// codeTable is what codes without a reason mean: those of gRPC itself. The last one
// is its limit on requests, which it refuses before the server sees them.
var codeTable = map[codes.Code]error{
	codes.Unavailable:       ErrUnavailable,
	codes.ResourceExhausted: ErrTooLarge,
}

// Error is an error of a call.
type Error struct {
	kind error // one of the above, or nil
	err  error // gRPC's
}

// Error implements error.
func (e *Error) Error() string {
	if e.kind == nil {
		return "strata: " + e.err.Error()
	}
	return "strata: " + e.kind.Error() + ": " + e.err.Error()
}

// Unwrap makes the kind and the gRPC status visible to package errors.
func (e *Error) Unwrap() []error {
	if e.kind == nil {
		return []error{e.err}
	}
	return []error{e.kind, e.err}
}

// reason is the server's; "" when the answer is not the server's.
func reason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == "strata" {
			return info.GetReason()
		}
	}
	return ""
}

// failed types the error of a call that writes nothing.
func failed(err error) error {
	if err == nil {
		return nil
	}
	kind := reasonTable[reason(err)]
	if kind == nil {
		kind = codeTable[status.Code(err)]
	}
	return &Error{kind, err}
}

// outcome types the error of a call that writes: without the server's word for it,
// what has become of the write is unknown. So it is when the server does not know
// the transaction, because an earlier copy of the call may have ended it.
func outcome(err error) error {
	if err == nil {
		return nil
	}
	r := reason(err)
	if r != "" && r != "NO_TRANSACTION" || r == "" && status.Code(err) == codes.ResourceExhausted {
		return failed(err)
	}
	return &Error{ErrUnknownOutcome, err}
}
