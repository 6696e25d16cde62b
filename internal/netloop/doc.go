// Package netloop watches many sockets with one goroutine. A connection that is
// quiet has no goroutine of its own: it is parked, and when bytes arrive its
// handler runs on the loop. A handler that has to wait for something takes the
// connection to a goroutine of its own, where it behaves like any net.Conn, and
// parks it again later.
//
//	Adopt ──► parked ──readable──► owned by the loop (Handler.Readable)
//	            ▲                      │            │
//	            └──────── Park ────────┘            └─► owned by a goroutine:
//	            └───────────────────── Park ──────────  Read, Write, deadlines
//
// One that is the only connection with bytes may also keep the loop's goroutine and
// leave the loop to another (Leave): then nobody is woken for what it has to wait for.
//
// It exists because waking a goroutine for each command costs more than the
// command, and so does a second look at a socket that has just been emptied.
//
// Invariants:
//
//	N1  A connection has one owner: nobody (parked), the loop or a goroutine.
//	N2  Bytes that arrive are never forgotten: an event that finds the connection
//	    owned leaves a token, and Park refuses while there is one. Who claims a parked
//	    connection reads it, and so needs none.
//	N3  The descriptor is closed when Close was called and nobody is inside a
//	    system call on it; it is never used after that.
//
// Elsewhere than on Linux New answers ErrUnsupported and the caller serves each
// connection with a goroutine.
package netloop

import "errors"

// ErrUnsupported: this system has no loop.
var ErrUnsupported = errors.New("netloop: not supported on this system")

// ErrAgain: nothing can be read without waiting.
var ErrAgain = errors.New("netloop: no bytes yet")

// Handler is what a connection belongs to.
type Handler interface {
	// Readable is called on the loop's goroutine when a parked connection has
	// bytes, has ended, or was poked. The handler owns the connection from then
	// until it parks it, and must not block.
	Readable()
}
