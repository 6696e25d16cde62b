// Package coordinator commits transactions over several ranges, and ends those whose
// coordinator is gone.
//
//	Commit  divide by ranges ─► prepare, everywhere at once ─► C from the oracle
//	        ─► record at the anchor ─► the caller is told ─► resolve, settled
//	        where this node leads the anchor, which is idle, and the oracle: prepare,
//	        everywhere else ─► prepare, C, record and resolve at the anchor, in one batch
//	Settle  tombstone at the anchor ─► whoever won ─► resolve, settled
//	Sweep   settles what is overdue on this node's ranges, moves their horizons
//
// The ranges decide (rangestore/prepared); this package only asks, in an order that
// the rules prescribe:
//
//	C2   An unknown outcome of the record is settled by reading the anchor, and by
//	     the tombstone, never by another record.
//	C6   An attempt keeps the priority of the first one, and ends everywhere before
//	     the next begins.
//	C9   The stamp C is asked for after the last "prepared", which is committed.
//	C10  Who settles writes the tombstone first. What the anchor has forgotten is
//	     left alone.
//
// A coordinator that never asked for its record aborts without a tombstone.
package coordinator
