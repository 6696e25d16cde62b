// Package raftlog is the one log of a store, shared by all of its Raft groups. It
// is the only thing that a write waits for on disk.
//
//	 0000000000000007.log          0000000000000008.log        ...9.log
//	+----+-----+---+---+---+----+ +----+-----+---+---+------+ +----+---------+
//	|hdr |begin|rec|rec|rec|seal| |hdr |begin|rec|rec| old  | |hdr | zeros   |
//	+----+-----+---+---+---+----+ +----+-----+---+---+------+ +----+---------+
//	        \___chain of checksums___/            ^head          ready
//
//	 Append: encode into the pending buffer, index in memory      (lock, no I/O)
//	 Flush:  write the pending buffer, fdatasync                  (one for all)
//
// Segments are written full of zeros before they get their name, and recycled by
// renaming, so that a flush changes neither size nor extents of a file. The next
// one is prepared ahead by a goroutine of the log (or inline, Options.Inline).
// Group commit needs no timer: what is appended while a flush runs is the next
// flush. The index of every group lives in memory and is rebuilt by Open.
//
// # Vocabulary
//
// A flush is one write and one sync; flushes are numbered, and every record
// carries the number of its flush. A mark is a record without content, alone in
// its flush, written by Open and Close. The oldest segment is retired when
// nothing in it is live; live records of a cold tail are moved: appended again.
//
// # Invariants
//
//	I1  No byte of flush f+1 is written before the sync of flush f has returned.
//	I2  A record is valid only in its place: its header's checksum begins with the
//	    segment's random seed and the offset. A stale record of a recycled segment
//	    fails it; so does a record that was copied elsewhere.
//	I3  A record is part of the log only if its chain checksum continues that of
//	    the record before and its flush number is the same, or one more when that
//	    record was the last of its flush. Over a segment's end the begin record
//	    carries the chain on. So what replay accepts is a prefix of what was written.
//	I4  A segment's header and its zeros are durable before it has its name.
//	I5  A segment's file goes only after a trim record that says so is durable, and
//	    that comes after the copies of what was live in it. Segments go in order.
//	I6  What Append refuses has added nothing; what it takes has a place on disk
//	    that was allocated before. A full disk is seen here and not in Flush,
//	    unless the file system copies on write; there it is an error by I7.
//	I7  An error of a write or sync is final (see Log.Err, Options.OnFatal).
//	I8  The data of an entry that is not durable is in memory.
//
// # Torn tail or corruption
//
// Replay stops at the first place where no record continues the chain. Let B be
// the only flush number that a record there could have: that of the last good
// record, or one more if that was the last of its flush. Then
//
//	corruption  if anywhere behind there is a valid header of a flush above B,
//	torn tail   otherwise.
//
// If a header of a flush above B exists, then by I1 the sync of flush B had
// returned before it was written. All of B was durable, perhaps acknowledged, and
// is damaged now: that is never the trace of a crash. A header is enough; its
// body may be torn, since the flush it belongs to need not have been synced.
//
// Otherwise everything behind belongs to flush B or to older ones. The sectors of
// one flush reach the disk in any order, so that a later record of flush B may be
// there while an earlier one is not: that proves nothing, and B was not
// acknowledged if the machine stopped while it was being written. The valid prefix
// of B is kept (it may be there as well as not), the rest is cut: the next records
// are written over it.
//
// Reopening must not break this. The mark that Open writes completes flush B if a
// part of it was kept, and is flush B otherwise; so numbers stay contiguous, and
// what remains of the cut part has a number that is not above any later bound. It
// can never be taken for evidence, and not for a part of the log either: its
// chain does not contain the mark, which holds a random nonce. Before the mark,
// Open writes the last flush again, the same bytes in the same place, and syncs:
// after a failed sync the page cache may show what the disk does not hold.
// Segments behind the end are prepared anew with new seeds.
//
// What this rule cannot see: damage in the very last flush, when nothing of a
// later one exists, looks like a torn tail, and that flush is cut although it may
// have been acknowledged. The same holds if the last flush is torn completely and
// the one before it is damaged. The mark at Close and the mark at Open narrow this
// to a store that crashed and was damaged at that very place before it was opened
// again. Replication covers it: the peers of a group have the entries, and a
// store that lost an acknowledged vote or entry in this way is the one disk fault
// that Raft is asked to survive beyond its rules.
//
// It is assumed that writing a sector leaves its neighbours alone and that a
// sector is either old or new (the last sector of one flush and the first of the
// next may be the same; its old bytes are written again unchanged).
//
// # Limits
//
// A record must fit a segment; one that does not gets a segment of its own size.
// Segments are at most 4 GiB, bodies at most 1 GiB.
package raftlog
