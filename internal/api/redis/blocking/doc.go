// Package blocking is the commands that wait until a key has what they ask for: BLPOP and its like,
// BZPOPMIN and its like, XREAD and XREADGROUP. Who waits is the door's business (Client).
//
// A client that blocks stands in a line for each of its keys, with all that wait for the same
// of it: an element of a list, what is new in a group of a stream. Those of a node stand in the
// order in which they came; the first of them stands for the node in the line at whoever
// leads the key (kv.Turn), with the time since which it waits. Who is first in both has
// the turn: it watches the key, tries, and tries again whenever the key was written, until
// it is served. Everybody else costs nothing but a place.
//
// It is a matter of order only: what is taken is taken by a transaction like any other. Who
// takes nothing (XREAD) stands in no line.
package blocking
