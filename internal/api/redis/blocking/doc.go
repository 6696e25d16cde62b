// Package blocking is the commands that wait until a key has what they ask for: BLPOP and its like,
// BZPOPMIN and its like, XREAD and XREADGROUP. Who waits is the door's business (Client).
//
// A client that blocks stands in a line for each of its keys, with all that wait for the same
// of it: an element of a list, what is new in a group of a stream. It takes a stamp when it
// begins to wait; that is its time. Those of a node stand in the order of their times, and
// have one place together in the line at whoever leads the key (kv.Turn), with the time of
// the first of them. Who is first in both has the turn: it watches the key, tries, and tries
// again whenever the key was written, until it is served. Everybody else costs nothing but a
// place.
//
//	node 1   3 9 ──┐
//	node 2   5 ────┼──►  who leads the key:  3 4 5
//	node 3   4 8 ──┘
//
// The order of waiting, over all nodes:
//
//	B1  A client counts as one that waits (INFO, CLIENT LIST) once its node has a place in the
//	    line at the leader of each of its keys, with its time or an earlier one. A client
//	    that begins after that, anywhere, has a later time, and is behind it.
//	B2  However the first of a node goes (served, in time, unblocked, gone), it hands the
//	    node's place on; the leader keeps it as it is until it hears the time of the next.
//	    In between nobody else is called, so what is first by its time is served first.
//	B3  Who was called and finds nothing of use asks for the turn again, in its place.
//	B4  When another node leads the key, or the one that led it is gone, each node takes a
//	    place there anew, with the time of its first. Until all have, who is called may
//	    not be who has waited for longest; as soon as an earlier one comes, the turn is
//	    taken back. A node that is gone is gone from the lines with its connection.
//	B5  A client with several keys stands in each line by itself, and leaves all at once.
//
// It is a matter of order only: what is taken is taken by a transaction like any other. Who
// takes nothing (XREAD) stands in no line.
package blocking
