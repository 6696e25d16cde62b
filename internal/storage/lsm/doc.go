// Package lsm is the state of a store's ranges on disk: Pebble without a
// write-ahead log. The Raft log is the log; this is the state that it leads to.
//
//	raft log  ... 41 42 43 44 45 46 47      the only fsync of a write
//	                    |        |
//	                    |        +-- applied in memory (RangeState)
//	                    +-- durable in Pebble's tables (DurableRangeState)
//
//	after a crash: state as of 43, the log is replayed from 44 on
//
// Invariants:
//
//	L1  A batch carries the mutations of a range and that range's state (applied
//	    index and more). Both become visible together and durable together.
//	L2  What survives a crash is a prefix of the applied batches, over all
//	    ranges: memtables are flushed in order, and a flush is one atomic edit.
//	L3  DurableRangeState reads tables only, never a memtable. The raft log may be
//	    truncated up to the applied index found there, and no further.
//	L4  Data keys begin with a byte of at least 0x01. Keys that begin with 0x00 are
//	    the store's own and are never seen through Get, iterators or DeleteRange.
//	L5  An I/O error in the background is reported by OnFatal, and the process
//	    stops. A full disk is reported by OnDiskFull and is not fatal: Pebble tries
//	    again, what it could not flush is still in the raft log.
package lsm
