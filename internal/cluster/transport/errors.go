package transport

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// Why a connection ended or was refused. A call that meets one of these is a
// base.ErrUnavailable or base.ErrUnknownOutcome as well.
var (
	// ErrDamaged: bytes of the connection fail their checksum.
	ErrDamaged = errors.New("transport: damaged frame")
	// ErrProtocol: the peer sent what the protocol does not allow.
	ErrProtocol = errors.New("transport: protocol violation")
	// ErrSilent: nothing was heard of the peer for limits.TransportSilence.
	ErrSilent = errors.New("transport: peer is silent")
	// ErrStalled: the peer did not take what was sent for limits.TransportStall,
	// or lets answers pile up.
	ErrStalled = errors.New("transport: peer does not read")
	// ErrReplaced: the peer has dialled again.
	ErrReplaced = errors.New("transport: replaced by a newer connection")
	// ErrForeignCluster: the peer belongs to another cluster.
	ErrForeignCluster = errors.New("transport: peer belongs to another cluster")
	// ErrWrongNode: the address leads to another node.
	ErrWrongNode = errors.New("transport: peer is not the expected node")
	// ErrIncompatible: the peer speaks no version of the protocol that this
	// binary knows.
	ErrIncompatible = errors.New("transport: incompatible protocol version")
	// ErrNotAdmitted: Options.Admit turned the peer down.
	ErrNotAdmitted = errors.New("transport: peer is not admitted")
	// errDismissed: it was the peer's Options.Admit.
	errDismissed = errors.New("transport: dismissed")
	// ErrTooManyConnections: the peer has no room for another connection.
	ErrTooManyConnections = errors.New("transport: too many connections")
)

// What else a caller may see.
var (
	// ErrTooLarge: a payload exceeds limits.TransportFrameBytes, or a chunk
	// limits.TransportChunkBytes. Nothing was sent.
	ErrTooLarge = errors.New("transport: payload exceeds the size limit")
	// ErrInternal: the remote handler panicked; what it did before is unknown.
	ErrInternal = errors.New("internal error in a remote handler")

	// ErrStreamEnded: a chunk was sent on a stream after its end.
	ErrStreamEnded = errors.New("transport: stream has ended")

	errQueueFull = errors.New("transport: queue is full")
)

// CallError says why a call or stream failed on the way. It is a
// base.ErrUnavailable if certainly no handler has seen the request, and a
// base.ErrUnknownOutcome if one may have.
type CallError struct {
	Node base.NodeID
	Kind Kind
	// Class is base.ErrUnavailable or base.ErrUnknownOutcome.
	Class error
	// Cause is what happened; the context's error if the caller gave up.
	Cause error
}

func (e *CallError) Error() string {
	return fmt.Sprintf("node %d, kind %d: %v: %v", e.Node, e.Kind, e.Class, e.Cause)
}

// Is makes errors.Is find the class.
func (e *CallError) Is(target error) bool { return target == e.Class }

// Unwrap leads to the cause.
func (e *CallError) Unwrap() error { return e.Cause }

// RemoteError is what a remote handler returned. Its class, if it has one, is found
// by errors.Is; what that says about the outcome is the handler's word.
type RemoteError struct {
	Node base.NodeID
	Kind Kind
	Text string

	class error
}

func (e *RemoteError) Error() string { return fmt.Sprintf("node %d: %s", e.Node, e.Text) }

// Unwrap leads to the class; nil if the error is of none.
func (e *RemoteError) Unwrap() error { return e.class }

// classes are the errors that keep their class on the way. The numbers are on the
// wire; zero is an error of no class. The first that matches counts, so that what
// says least about the outcome comes first.
var classes = []struct {
	code uint16
	err  error
}{
	{1, base.ErrUnknownOutcome},
	{2, ErrInternal},
	{3, base.ErrCorruption},
	{4, base.ErrConflict},
	{5, base.ErrTooOld},
	{6, base.ErrWrongRange},
	{7, base.ErrUnavailable},
	{8, base.ErrShuttingDown},
	{9, base.ErrDiskFull},
	{10, base.ErrTransactionTooLarge},
	{11, base.ErrTransactionTimedOut},
	{12, base.ErrKeyTooLarge},
	{13, base.ErrValueTooLarge},
	{14, base.ErrInvalidMutation},
	{15, base.ErrUnreadable},
	{16, base.ErrClosed},
	{17, ErrTooLarge},
	{18, context.DeadlineExceeded},
	{19, context.Canceled},
}

// errorBytesMax bounds the payload of an error frame: code and text.
const errorBytesMax = 4 << 10

// encodeError is the payload of an error frame: the class's code and the text.
func encodeError(err error) []byte {
	var code uint16
	for _, c := range classes {
		if errors.Is(err, c.err) {
			code = c.code
			break
		}
	}
	text := err.Error()
	text = text[:min(len(text), errorBytesMax-2)]
	return append(binary.LittleEndian.AppendUint16(make([]byte, 0, 2+len(text)), code), text...)
}

// decodeError is the reverse of encodeError.
func decodeError(node base.NodeID, kind Kind, payload []byte) (*RemoteError, error) {
	if len(payload) < 2 {
		return nil, errors.Wrap(ErrProtocol, "an error frame without a code")
	}
	e := &RemoteError{Node: node, Kind: kind, Text: string(payload[2:])}
	code := binary.LittleEndian.Uint16(payload)
	for _, c := range classes {
		if c.code == code {
			e.class = c.err
		}
	}
	return e, nil
}
