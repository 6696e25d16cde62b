// Package catalog keeps what the whole database shares: namespaces and where their
// Redis databases are, the shards that an operator routes, and the members of the
// cluster. Everything is rows of
// the sys area and functions over a kv.Txn.
//
// # Namespaces
//
// A namespace is a dotted path, "a.b.c", that leads to a short id under which
// the data lives. The tree is kept as directories keep it, one row per edge:
//
//	sys/namespace-path/<parent id> <name>  →  state 1, id (ordered number)
//	sys/next-namespace/0x00                →  the next free id
//	sys/next-namespace/0x01                →  the epoch: written by every change
//	                                          that takes a path away, and by swaps
//
// So CREATE, USE, EXISTS, REMOVE read one row per segment and write at most as
// many; LIST is one scan over the rows of a parent, in order of their names;
// MOVE rewrites one row, whatever lies below it. A namespace's path is not stored
// with it: its data moves by not moving.
//
// The default namespace, "global" in the root, has id 1 and no row. It cannot be
// removed, moved or purged.
//
// Ids come from a counter, in blocks that a process reserves ahead, so that
// creations do not conflict with one another; what a process has not used when it
// ends is skipped. An id is never used again.
//
// What holds:
//
//	N1  A transaction that uses a namespace conflicts with a REMOVE, MOVE or PURGE
//	    of it and of the namespaces above it. An interactive transaction reads the
//	    rows of its path (Resolve), so only a change of these rows disturbs it. A
//	    short command does not read them again: it commits behind a fence (below).
//	    Once that is broken it resolves its path anew.
//	N2  A path that was resolved under a term is valid as long as the term's watch,
//	    on the epoch row, is clean: every change that takes a path away writes the
//	    epoch, and the watch was there before the path was read. A CREATE takes
//	    nothing away and writes no epoch. Nothing is cached but the ids that sessions
//	    hold, and no "no such namespace" is ever kept.
//	N3  What is being removed keeps its name and hides everything below it, until
//	    PURGE has deleted the data of the whole subtree. No transaction that
//	    resolved the path before the REMOVE can commit after it (N1), so PURGE
//	    leaves nothing behind.
//	N4  PURGE is many transactions, each bounded; it can be repeated at any point.
//
// Why one epoch and not a watch per segment: a node has one watch instead of
// ten for each namespace in use, and the price is paid when namespaces
// are taken away: then each session resolves its own again at its next command, a
// few reads from memory.
//
// # Databases
//
// A namespace's numbered Redis databases are stored under physical numbers, which are
// the same until they are swapped:
//
//	sys/redis-db/0x01 <id>            →  16 bytes: the physical number of each
//
// A swap rewrites the row, or clears it when every database is back under its
// own number; no data moves. Nothing about it is kept but what sessions hold.
//
//	B1  A transaction that uses a database conflicts with a swap of its namespace's
//	    databases. An interactive transaction reads the row. A short command
//	    commits behind the same fence as for its path (N1, N2): a swap writes the
//	    epoch. So a client that is told of a swap finds everybody in it.
//	B2  A transaction sees its own swap: it resolves from what it reads.
//	B3  What looks at a database by its physical number needs no mapping: background
//	    expiry deletes the same rows whatever they are called.
//	B4  A WATCH on a key sees a swap, though the key's header is where the database
//	    was: the swap touches both databases (F1).
//
// # Scripts
//
// The scripts that were loaded, by digest, and the libraries of functions, by name:
//
//	sys/script/<namespace> 0x00         →  how many scripts there are
//	sys/script/<namespace> 0x01 <sha1>  →  a script
//	sys/script/<namespace> 0x02 <name>  →  a library
//
//	P1  A change of libraries writes the epoch and touches the namespace's data: who
//	    commits behind a fence has read the libraries that were there at its epoch.
//	    A script is named after what it is, and needs no such care.
//
// # Shards
//
// A shard of kind REDIS is a contiguous span of the hash slots; kind BUCKET is
// state for the documents. Status and routes are rows; Shards keeps a snapshot of
// them (Table) for the hot path: one atomic load tells that nothing is restricted.
//
//	S1  No write to a shard is acknowledged after a change that forbids it was: a
//	    write commits behind a fence against every change of a status, and was
//	    checked against the table that the fence knows. When the fence is broken, the
//	    table is read again.
//	S2  Whoever changes a status refreshes the process's table before it answers,
//	    so that no read that begins later is let through. Other processes refresh
//	    when their watch fires.
//
// # Fences
//
// Epoch and version lie in the first range. If every command were guarded by a watch on
// them, each one elsewhere would be a transaction over two ranges. So a Fence has a
// watch, a post, in every range and area (a database, or an ordered map) that is in use:
//
//	first range              range 7                   range 8
//	epoch ──── home          ┌ post                    ┌ post
//	version ── home          [start of range 7 … )     [start of range 8 … )
//
//	F1  A change that ends what commands rely on touches, in the same transaction, the
//	    areas that it concerns: every key of them counts as written. So whatever key
//	    of an area a post is on, it hears of the change. A swap concerns both
//	    databases, the end of a path the data of all namespaces below it (or all data,
//	    if there are many), the status of a shard all data.
//	F2  A post knows the epoch and the version that were read, and committed, after
//	    its watch was there. A change that they do not include is sequenced in the
//	    post's range after the watch, or holds a lock on the post's key, which stops
//	    every commit under it until the change has ended and the post is dirty.
//	F3  A command commits under a post only if what it relies on was read at the post's
//	    epoch and version or later, and is committed: with F2, nothing that concerns it
//	    has changed in between.
//	F4  The watches on the rows themselves, at home, guard any commit. They do for keys
//	    of the first range, and for what leaves the area.
//	F5  A post falls for other reasons, too: its range was split below it, or has
//	    another leader. Then it is put up again at the same versions, and the command
//	    runs again; no client learns of it.
//
// Which range a key lies in may have changed when the engine chooses the post. It is a
// valid guard all the same, in another range than the keys: the commit takes both.
//
// # Members
//
// One row per member. That a node is alive is not kept here.
package catalog
