// Package replica runs one replica of a range: etcd/raft's RawNode over the
// store's log, the sequencer while it leads, the window, and the eviction of the
// window's old slices to disk.
//
//	attempts (many goroutines)          loop (one goroutine)        evictor (one)
//	  │ read window/disk                  close batch, ask stamp      oldest slice
//	  │ Commit: validate, sequence ──┐    propose, append, fsync      → disk → drop
//	  ▼                              ▼    apply: boundary moves
//	Ticket ◄────────────── tenure ◄────── wake the waiters
//
// The range's lock (mu) guards the window, the sequencer and the watches. No
// I/O happens under it, with one exception: an attempt with HoldAlways reads the
// disk under it, as the last resort of a transaction that keeps conflicting.
//
// Only the loop touches the RawNode (R4). A batch is closed when the previous
// one is durable, so that one fsync serves everything that arrived meanwhile;
// its stamp is asked for after it was closed (C1).
//
// On few processors the loop's steps are made by whoever has something for it, if the disk
// is fast: a client, or, where nothing is flushed, the reader of a connection. Steps of
// several ranges of a store are made together (together.go), with one flush.
//
// A tenure is one spell of leadership. Tickets belong to a tenure: when it ends,
// those that are not committed answer ErrUnknownOutcome (R3), and the window's
// tail is dropped.
//
// Transactions over several ranges: prepare.go takes their messages, locks.go lets
// whoever meets a lock wait, table.go keeps the table on disk as of the applied index.
//
// A split cuts the range in two (split.go): the store opens the right side's replica.
// A merge unites it with its right neighbour (takeover.go). change.go is what the
// changes of the range itself have in common.
//
// Lock order: Replica.mu before tenure.mu; no lock is held while a Waiter is called.
package replica
