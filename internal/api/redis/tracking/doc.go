// Package tracking is what CLIENT TRACKING needs to know: which client may keep which keys, and
// whom a change of one concerns.
//
//	session ─Hold, Read─► Client ─► Table ◄─Changed, Lost── kv.Follower ◄── leaders of the ranges
//	   ▲                                │
//	   └── Connection.Invalidate ◄──────┘
//
// What a client may rely on:
//
//	T1  When a reply has told a client the value of a key that is tracked for it, and the key
//	    changes in a commit that the reply does not show, then the key, or everything, is
//	    invalidated behind that reply: where the key's range is led by the client's node, before
//	    who changes it, and nothing in other ranges, has a reply; where another node leads, when its
//	    news come; and at the latest when the node is found to lead no more, or to be silent (Lost).
//	    So nothing stays cached and stale for ever.
//
// Why that is so:
//
//	T2  A read is noted before the state that it reads is chosen (Read before the transaction
//	    begins). A change that is not in that state is sequenced later, and what is sequenced from
//	    then on is told (F1 of package cluster/feed).
//	T3  Between Hold, before that state is chosen, and Release, when the reply is in the output
//	    queue, invalidations are kept back: none stands before the reply that it is about.
//	    (One that goes to another connection may still overtake it on the network, as it may with
//	    Redis.)
//	T4  Whatever cannot be noted in time is invalidated right behind the reply (Past): a read where
//	    nothing is told for now, at the stamp of an interactive transaction, or from a moment ago.
//	T5  Where news are lost, nobody can say of what: everything that was noted in the namespace is
//	    forgotten, and its clients told to forget everything.
//
// A key is noted once for a change, as Redis does: who is told has to read it again. Clients in
// broadcasting mode have nothing noted, and are told of every change of keys with their prefixes,
// in all databases of the namespaces that they have used. Otherwise a database's keys are its own:
// a change of a key in another database concerns nobody. (In Redis it does: the table there knows
// names alone.)
//
// The table is bounded: one key more, and another one, by chance, is invalidated.
package tracking
