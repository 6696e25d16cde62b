// Package feed tells who follows a part of the keyspace what is written there.
//
//	replica.Feed ─┐ ranges that this node leads      ┌─► Follower: Covered, Changed, Lost
//	replica.Feed ─┼─► Follow ────────────────────────┤
//	other nodes ──┴─► remote.Client.Follow, the same ┘
//
// A range is followed at its leader, which tells of a write when it is committed. Who follows
// learns, piece by piece, from when on it is told:
//
//	F1  What is sequenced in a piece between Covered and Lost is given to Changed, or Lost comes
//	    after it: a leader that is followed and leads no more is lost, sooner or later.
//	F2  Behind Lost a piece may come again, in other pieces; what was written in between is not
//	    told. Pieces may overlap for a while, when a leader does not know yet that it leads no
//	    more: each Lost takes back one Covered, of the same piece.
//	F3  On the node of the leader Changed comes before who has written is told of the commit, but
//	    for transactions over several ranges: of these, soon.
//
// So whoever keeps what it has read, and forgets a key at Changed, everything at Lost, and at once
// what it reads in a piece that is not covered when it begins to read, is never wrong for
// ever.
package feed
