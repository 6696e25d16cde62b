// Package remote lets nodes work on ranges that others lead: it carries the messages
// of replicas, and reads, commits, stamps and watches to a range's leader.
//
//	Client ── read, commit, stamp, watch ──► Server ──► the leader's replica
//	   ▲   ◄── value and basis, receipt ───┘
//	   └── "not the leader; ask node 3"
//
// Every answer follows the commit of what it depends on (C9): nothing that a call
// returns is speculative. A read says what it was based on; a commit names the
// basis of the transaction's first read, and the leader validates everything that
// was read since (C8). A leader of another term refuses it.
//
// What lasts (a watch, a place in a line) is a talk; the talks that a node has begun with
// another one share a stream (talk.go), so that there may be any number of them.
//
// A node that reads its own replica at a stamp asks the leader for its word on how much
// of the log that takes.
//
// A call that certainly did nothing (base.ErrUnavailable) is made again, at another
// node, for limits.LeaderWait; a read also when its fate is unknown. A commit whose
// fate is unknown is reported as that. A node that hangs is not waited for once this
// node's own replica follows another leader.
package remote
