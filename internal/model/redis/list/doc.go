// Package list is the lists of Redis's data model, see package redis: one function per
// command over a kv.Txn.
//
// A list is its two ends, in the header, and nodes between them, each a row of some
// elements. A push or a pop rewrites the header and nothing else; once in a while an end
// becomes a node, or a node an end. A short list is all in one end:
//
//	listEnds    header: [a b c d]
//	listNodes   header: [a b] … [y z]        rows: [c d e f] [g h i j] … [u v w x]
//	listLoose   the same, with nodes of any length
//
// A run of elements, in the header and in a node, is for each its length as a uvarint and
// its bytes. Nodes are named by positions, which begin in the middle of 64 bits and are a
// stride apart, so that there is room for others between them. As long as all nodes have
// the same number of elements and are a stride apart an index is a point; LREM and
// LINSERT end that, and elements of very different length do. Then it is looked for from
// the nearer end.
package list
