// Package proxy moves an application from a Redis server, the primary, to Strata, the
// secondary, without stopping it. Clients connect to the proxy as to a Redis server.
//
//	                 ┌── its own connection ──► deciding side ── reply ──► client
//	client ── session┤                                            │
//	                 └── locks of the keys ◄──────────────────────┤ effect
//	                                                               ▼
//	                               queue ── one connection ──► side that follows
//	                                                               │ refused, lost, different
//	                               ledger of keys that differ ◄────┘
//	                                 └── copied under the key's lock ──► queue
//
// The mode says who decides and whether the other side follows:
//
//	redis-only         the primary decides, alone
//	dual-write         the primary decides, the secondary follows
//	dual-write-shadow  the same, and reads are made at both sides and compared
//	strata-primary     the secondary decides, the primary follows
//	strata-only        the secondary decides, alone
//
// Rules:
//
//	M1  A client's reply is always the deciding side's. What happens to the other side
//	    never fails a client, and delays it only while the queue is full.
//	M2  A client's commands reach the deciding side over one connection, in their order.
//	M3  Who writes holds the locks of its keys from before the command is sent until its
//	    effect is in the queue. So both sides execute the writes of a key in one order.
//	    What has no key (FLUSHALL, SWAPDB, functions, scripts without keys) holds the gate
//	    alone instead, as does the change of the mode.
//	M4  The queue is executed over one connection in its order. It holds effects (package
//	    effect), not commands.
//	M5  A write that was refused, answered differently, lost with a connection or not
//	    queued marks its keys as diverged. They stay so until a copy that was made under
//	    the key's lock has been acknowledged. While no copy is on its way, a diverged key's
//	    writes are not queued: the copy will have them.
//	M6  What cannot be remembered per key (too many, or no key) makes the side that follows
//	    incomplete, until a sync has copied everything. A process that was killed leaves it
//	    incomplete, too; so says the state.
//	M7  The other side may decide only if it is complete, nothing is diverged and the queue
//	    is empty while clients are held; unless that is forced.
//	M8  A difference between reads counts only if it is there again when both sides are read
//	    at the same place in the order of the key's writes.
//	M9  Commands that block wait where no lock is held: in the proxy, until a key of theirs
//	    was written; only in modes of one side, and for XREAD, at the deciding side.
//
// One process stands between clients and servers: the order of writes is kept by its locks,
// and who writes past it is not seen by the side that follows.
package proxy
