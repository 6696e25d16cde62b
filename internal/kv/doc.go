// Package kv is the only door from the layers above to the ordered key-value
// core: transactions over byte keys, shaped like FoundationDB's client.
//
//	models, doors          kv.Txn                  one function per operation
//	      │                  │
//	      ▼                  ▼
//	   DB ── Session.Run   closure on the newest state, answered by a Ticket
//	      ── DB.Transact   the same, waits, retries, has a context
//	      ── DB.Begin      interactive: reads at a snapshot stamp, then Commit
//	      │
//	      ▼
//	   Engine ── Attempt   reads, scans, commit with read conflicts
//
// Serializable is the only isolation. A transaction reads its own writes.
// Snapshot() reads leave no read conflicts.
//
// Invariants:
//
//	K1  A closure may run several times; only the writes of its last run exist.
//	K2  A closure that returns an error writes nothing. Its ticket still has to
//	    be waited for before the error is revealed (R1): the error may depend on
//	    a write that is not committed yet. Its reads are validated like those of
//	    a transaction that only reads.
//	K3  Slices returned by reads, and memory from Alloc, live until the
//	    transaction ends. Slices passed to Set and friends are read until the
//	    closure's transaction ends; an interactive transaction copies them.
//	K4  No limit is checked by allocating first.
package kv
