// Package redis is the door for clients that speak RESP: it turns commands into
// calls of model functions and their results into replies.
//
//	socket ─read─► ReadBuffer ─► Parser ─► Command (one table) ─► kv.Session.Run
//	                                                                   │ ticket
//	socket ◄─write─ output queue ◄── replies of one buffer ◄───────────┘
//	                    ▲
//	range's apply loop ─┴─► flusher (woken once per batch of commits)
//
// One goroutine serves one connection. It executes every command that its buffer
// holds without waiting for commits, and hands the replies to the connection's
// output queue together with the tickets that they depend on. If nothing is in
// flight they go to the socket at once; otherwise it reads on, and a flusher
// writes them when the range commits. So a commit wakes one flusher and not one
// goroutine for each connection that waits, which is what costs most otherwise.
//
// What holds:
//
//	D1  No reply, errors and nulls included, is sent before everything that it
//	    looked at is committed (R1), and no reply overtakes another one.
//	D2  When a commit's fate is unknown, the replies that depend on it and all
//	    later ones are dropped, the client is told UNKNOWN and disconnected. Where a
//	    command learns it before it replies, of another node, UNKNOWN is its reply.
//	D3  A connection whose replies are not read stops executing commands at
//	    limits.ConnectionOutputBytes. It costs nobody else anything.
//	D4  Commands do not allocate on their way through this package: the executor
//	    (kv session, reply buffer, Call) is pooled and held only while commands
//	    are executed. A connection that is idle holds no buffers.
//	D5  Every command is one row of one table and one handler, whether it comes
//	    alone, in EXEC, in an interactive transaction or in a script (script.go).
//	D6  A handler may run several times (K1); what it wrote to its reply before is
//	    cut off each time. It must not change the session but for its choice, as
//	    SELECT and SWAPDB do: EXEC takes that back when it has to begin again.
//	D7  The writes of a connection are seen in their order, whatever ranges they go to: one
//	    to another range waits for the one before (order.go).
//	D8  What a user may not do does not happen: a command is compared with its rights when it
//	    arrives, again when EXEC executes it, before a client that has blocked is served, and
//	    when a script calls it (acl.go). Every key that a command touches is compared.
//
// With a Topology the server speaks Redis Cluster's protocol to clients that have
// asked for it, by CLUSTER SLOTS, SHARDS or NODES, or by READONLY, on the same
// connection: it answers MOVED to commands whose one slot another member leads. That
// saves a hop and decides nothing, for every member executes every command; other
// clients, and commands on several slots, are served where they are.
//
// Neighbours in a pipeline run together, as one transaction (together.go): brief commands
// where this node leads everything, all on keys where other nodes lead. There, reads may be answered from a moment ago for who asks for that
// (stale.go). Clients that block stand in lines, on their node and among the nodes, and
// whoever is in front tries (package blocking). What is published is delivered by a broker, which
// the nodes share (pubsub.go); within a transaction it waits for the commit, as events of
// keys do (notify.go).
//
// What clients keep of what they have read is known to package tracking, which follows what is
// written, on whatever node (tracking.go).
//
// Users are those of the database (package auth); a server that is not told to share them has one
// of its own. What commands do and how long they take is told by packages slowlog, latency and
// monitor (measure.go, watchers.go).
//
// A family of commands is a file with a function that returns its rows, listed
// in newTable.
package redis
