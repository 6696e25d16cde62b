// Package store hosts the replicas of one data directory: it opens the raft log
// and the state below them, replays the lifecycle records, runs the replicas, and
// keeps the log short.
//
//	DIR/LOCK       one process at a time
//	DIR/STRATA     identity: store, cluster, node, format version
//	DIR/ORACLE     bound of the issued stamps
//	DIR/RECOVERY   a recovery from a lost quorum is under way, or not yet known (recover.go)
//	DIR/RECOVERED  what was recovered from, one line each
//	DIR/log/       raft log segments (storage/raftlog)
//	DIR/state/     Pebble (storage/lsm)
//
// Starting order: lock, identity, log (inspected against the state), state,
// lifecycle records, replicas. The
// log is compacted only up to what the state has made durable.
//
// # Which replicas there are
//
//	L1  The spans of a store's replicas do not overlap. Pebble is shared: whoever
//	    holds a span writes its rows, and nobody else.
//	L2  A replica id that was here and is gone never comes again: it has promised
//	    things that are forgotten. A tombstone, in place of the state, says so.
//	L3  What a replica without a state has promised (a term, a vote) outlives a
//	    restart: it may be a voter already (a split's right side, below).
//
// A replica comes in one of three ways: with the first range of a new cluster; by
// a split that is applied here (split.go has the order of its steps on disk); or by
// the heartbeat of a range's leader, empty, to be sent a snapshot. A heartbeat says
// where its range begins, and so does a candidate, who may need the vote of a replica
// that no split will make any more.
//
// The right side of a split is in the same places as the left one, under the same
// replica ids, and begins with a log of its own. Its leader may be heard here before
// the split is applied. The cases:
//
//   - The left side is here and has not applied the split: it holds the key where the
//     right side begins. The message is dropped: the split will make the replica. The
//     range has its quorum elsewhere, or waits for this one.
//   - The left side was too far behind and has been sent a snapshot from after the
//     split: it holds the left keys only, and its old right rows are gone (Install).
//     Nobody here holds the right side's first key: the heartbeat makes an empty
//     replica, which its leader sends a snapshot. It is a voter without a log; every
//     candidate has more than it, so its vote elects nobody who lacks anything.
//   - The left side is here without a state yet, and so was the right side made; then
//     the left side is sent a snapshot from before the split, and comes to it in its
//     log: the split finds an empty right side, stops it, and puts the real one in its
//     place. Term and vote stay.
//   - The same, but the right side has its state: the left side's snapshot would cover
//     it. It is refused when it arrives (claim). The left side's leader applies the split
//     before it can serve, so a later one fits.
//   - The left side was removed from here before it applied the split, and is gone: as
//     in the second case.
//   - The left side was removed from here and has not heard of it: it still holds the
//     keys, and the right side's messages are dropped until it goes. It hears of no
//     leader, makes itself heard, and is told by whoever knows (replica/gone.go).
//   - The right side was here and was removed, and then a left side that was behind
//     applies the split: the tombstone keeps it from coming back (L2); its rows go.
//   - A replica that is no longer one of the left side's when it applies the split gets
//     no right side.
//
// A merge ends a range, and its replica on each store together with what the left
// replica there applies (merge.go). The tombstone refuses every id then. The cases:
//
//   - The left side is here and applies the merge: the right side is here, and has the
//     freeze in its log, because its leader has seen that of all its members, which are
//     on the nodes of the left side's. It may not know that this is committed, and
//     nobody else may be left to say so: the merge says it (replica.Yield).
//   - The left side is here, and is sent a snapshot from after the merge: it covers the
//     right side, which goes in the step that installs the snapshot. Any snapshot ends
//     the replicas of which it proves that they were merged.
//   - The left side is here, and is far behind: others have merged the right side, which
//     hears of no leader, makes itself heard and is told that it was merged. It stays, as
//     long as its left neighbour is here and may still need it (wanted).
//   - The left side was removed from here before it applied the merge: the right side is
//     told, or a snapshot of whoever has its keys now comes, or a left neighbour whose
//     end is newer than the right side.
//   - Replicas that were left behind like that may be a majority of theirs, and elect a
//     leader. It is frozen, and finds no proof that the merge was refused.
//   - A left side that was added here later begins with a snapshot from after the merge:
//     to add it changes the epoch, which is the only one that may merge.
package store
