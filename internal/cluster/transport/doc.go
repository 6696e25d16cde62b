// Package transport carries bytes between the nodes of a cluster: messages that
// may be lost, calls that are answered, and streams of chunks.
//
//	Send ──┐                                   ┌─► MessageHandler (on the reader)
//	Call ──┼─► outbox ─► writer ══ TCP/TLS ══► reader ─► CallHandler   (goroutine)
//	Open ──┘  (bytes)   (writev)               │       └► StreamHandler (goroutine)
//	  ▲                                        ▼
//	  └── exchanges ◄─ reader ◄═ same conn ═ writer ◄─ outbox ◄─ answers
//
//	frame: sum of header, sum of payload, length, type, kind, stream, argument | payload
//
// A node dials one connection to each peer for small, urgent traffic and one for
// bulk; a kind's number says which it uses. The side that dialled begins every
// exchange, the other side answers on the same connection; for traffic that the
// other side begins it dials its own. So there is never a question whose dial wins.
//
// A connection is dialled when something is to be sent and none is there, at most
// once per pause; pauses grow with failures, are jittered, end when the peer connects
// to this node, and are long after a refusal. While a pause lasts everything fails at once. Nothing is ever sent
// again by this package: who wants a retry knows whether it is safe.
//
// # Vocabulary
//
// An exchange is a call or a stream. An answer is a frame that is queued without
// waiting for room: pings and pongs, credit, refusals, cancellations. A link is the
// way to a peer for one class of traffic, a conn one connection (or one attempt at
// one) in its time.
//
// # Invariants
//
//	T1  A request reaches a handler at most once: it is written to one connection,
//	    once, and its number grows from request to request of that connection.
//	T2  base.ErrUnavailable of a *CallError: no handler has seen the request, nor
//	    will one. It was never handed to a writer, or the peer has refused it.
//	    Everything else that fails on the way is base.ErrUnknownOutcome. The two
//	    are told apart under the lock under which the writer takes its frames.
//	T3  Messages of one class to one node are handled in the order in which they
//	    were sent, and none twice; from the first that is lost with a connection on,
//	    those that follow on it are lost, too.
//	T4  Handlers of messages of one node and class never run at the same time: a new
//	    connection displaces the old one and waits for its reader.
//	T5  Bytes that fail a checksum, or that the protocol does not allow, end the
//	    connection, and nothing of them reaches a handler.
//	T6  A reader never waits for a handler of a call or stream, for room in an
//	    outbox or for a slow receiver: what a stream may send ahead is bounded by
//	    its credit.
//	T7  Memory is bounded by the constants of package limits: an announced length
//	    allocates little before its bytes arrive; outboxes, answers, exchanges,
//	    chunks, served requests, connections and peers are counted.
//	T8  After Close no goroutine of the transport is left.
//
// # Limits
//
// Calls of one connection share its order of bytes: a large small-class request
// delays those behind it. A message that Send took may be lost without a word. The
// clock that matters for silence counts probes, so that a process that was stopped
// for a while does not break its connections when it goes on.
package transport
