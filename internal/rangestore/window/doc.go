// Package window keeps the writes of the last seconds of a range in memory, in
// all their versions, over the one older version that is on disk.
//
//	             evicted        sealed slices          newest slice   speculative tail
//	disk ◄─────────────┤ b17 b18 │ b19 b20 b21 │ ... │ b40 b41       ┊ b42 b43(open)
//	                   base                                    committed
//
//	index   hash table: key → newest entry (id)          O(1), no pointers
//	ring    entries by id: position, batch, where key and value lie in the
//	        batch's buffer, id of the key's previous version
//	order   the keys in buckets, each a B-tree that is filled when a scan comes there
//	frags   range tombstones and touches, cut into disjoint fragments
//
// The batch buffers are the log entries themselves; nothing is copied. What is
// sequenced and not yet committed (the overlay of the design) is the tail behind
// the committed boundary: committing moves the boundary, losing the term cuts
// the tail off (R3).
//
// Invariants:
//
//	W1  Ids grow with (batch, position). index[key] is the key's newest entry,
//	    the tail included; prev leads to older batches only.
//	W2  Latest sees the tail, At(S) only committed batches with stamp ≤ S.
//	W3  A snapshot S is readable iff S ≥ base, the stamp of the last evicted batch.
//	W4  Evicting writes to disk the newest committed version of a key in the
//	    evicted slice, unless a newer committed one exists in the window: such a
//	    version dies in memory. Until its successor is evicted too it is carried
//	    behind the successor for snapshots that need it. A successor that is not
//	    committed does not count, since it may vanish.
//	W5  So the disk at applied index A lacks what was carried then; a replica that
//	    restarts from it may answer only once it has applied Readable, the last
//	    index that was applied when the slice was evicted, and no snapshot below that.
//	W6  Cutting the tail off restores the state before it was appended.
//	W7  The stamps of a key's versions grow with the log. Those of batches do, too;
//	    versions that a resolve installs carry C, below the stamp of their batch
//	    and above that of any older version of their keys (C5). So who searches
//	    the log for anything newer than S stops by the batches' stamps, and who
//	    judges a version takes its own. A slice ends with a batch, and the base is
//	    the batch's stamp: what is evicted may only be older than that. C may lie
//	    below the base from the beginning; the lock is then what a reader met.
//
//	W8  Of each key with a version below order.next either the key is in its bucket, or
//	    its newest version's id is among the bucket's fresh ones.
//
// The package is pure: no clock, goroutine, lock or disk. The caller serialises.
package window
