package transport

import (
	"context"

	"github.com/stratadb/strata/internal/base"
)

// Kind says which handler a message, call or stream is for. Kinds from Bulk on
// travel on the connection for large traffic.
type Kind uint16

// Bulk is the first kind of the large traffic: snapshots, long scans.
const Bulk Kind = 1 << 15

// Class is which of the two connections to a peer is meant. The numbers are on
// the wire.
type Class uint8

// The classes of traffic.
const (
	ClassSmall Class = 0
	ClassBulk  Class = 1

	classCount = 2
)

// Class is the connection that the kind travels on.
func (k Kind) Class() Class {
	if k >= Bulk {
		return ClassBulk
	}
	return ClassSmall
}

// Messenger talks to other nodes. What is handed over as payload, request or chunk
// must never be changed afterwards: it may be sent later, or not yet have been
// sent when the call returns.
type Messenger interface {
	// Send queues a message. False says that it was dropped at once; true
	// promises nothing.
	Send(to base.NodeID, kind Kind, payload []byte) bool
	// Call asks and waits for the answer. Its errors are *RemoteError (the
	// handler's), *CallError (the way there or back) and ErrTooLarge.
	Call(ctx context.Context, to base.NodeID, kind Kind, request []byte) ([]byte, error)
	// OpenStream begins a stream, which lives until it is closed, ctx ends, or
	// the handler returns. Errors as with Call.
	OpenStream(ctx context.Context, to base.NodeID, kind Kind, request []byte) (ClientStream, error)
}

// Registrar takes the handlers of a node, one per kind, before anything is served.
type Registrar interface {
	HandleMessage(Kind, MessageHandler)
	HandleCall(Kind, CallHandler)
	HandleStream(Kind, StreamHandler)
}

// MessageHandler takes a message. Those of one node and class come one after
// another, in the order in which they were sent, on the goroutine that reads the
// connection: it must not block. more says that another one of this kind has
// arrived behind it. The payload is the handler's.
type MessageHandler func(from base.NodeID, payload []byte, more bool)

// CallHandler answers a request, on a goroutine of its own. ctx ends with the
// caller's deadline, its giving up and the connection. The request is the
// handler's; the response must not be changed any more. An error travels with its
// class and text; base.ErrUnavailable is a promise that nothing was done.
type CallHandler func(ctx context.Context, from base.NodeID, request []byte) (response []byte, err error)

// StreamHandler serves a stream, on a goroutine of its own. The stream ends when
// it returns, with its error.
type StreamHandler func(ctx context.Context, from base.NodeID, request []byte, s Stream) error

// Stream is one side of a stream: two sequences of chunks. One goroutine may send
// while another one receives.
type Stream interface {
	// Send sends a chunk of at most limits.TransportChunkBytes, which must not
	// be changed any more. It waits until the receiver has room.
	Send(chunk []byte) error
	// Recv returns the next chunk, which is the caller's. io.EOF says that the
	// other side has ended its sequence properly.
	Recv() ([]byte, error)
}

// ClientStream is the side that has opened the stream.
type ClientStream interface {
	Stream
	// End says that no more chunks will be sent.
	End() error
	// Close gives the stream up, if it has not ended, and frees it. It must be
	// called.
	Close()
}
