// Package kvgrpc is the gRPC door: the services of package proto over the ordered
// maps of namespaces (package zmap), so that what is written here a RESP client
// reads with ZGET, and the other way round.
//
//	RawKV            kv.Session.Run on the newest state, answered by its ticket
//	TransactionalKV  kv.DB.Begin … Commit, in one call or in several
//	Distribution     the oracle's time; routes as the node tells them (Routes)
//
// The server's reflection and health services are on.
//
// What holds:
//
//	D1  A call is answered when everything that its answer depends on is committed
//	    (R1). A caller whose deadline passes while a write is on its way is told
//	    that the outcome is unknown.
//	D2  The server repeats only what conflicted, and only single operations. An
//	    unknown outcome is never repeated.
//	D3  An interactive transaction is named by 128 random bits and belongs to
//	    whoever knows them. One call at a time works on it; others wait their turn.
//	    One that is older than limits.TransactionMaxAge is rolled back, and it is
//	    remembered for a while that it was.
//	D4  A call that panics is answered as internal, and its transaction is rolled back.
//	D5  Without a password only clients on the same machine are served, unless
//	    protected mode is off. Who is not let in is told so before a message is read.
//
// Scans answer pages, bounded in pairs and bytes, with the place to go on: a page is
// one transaction and one answer, so it needs no state between calls and no
// transaction that lasts as long as its reader is slow.
package kvgrpc
