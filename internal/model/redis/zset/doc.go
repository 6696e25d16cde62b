// Package zset is the sorted sets of Redis's data model, see package redis: one function
// per command over a kv.Txn.
//
// A sorted set inside its header: the number of members in two bytes, then for each in
// their order its length as a uvarint, its bytes, and eight bytes of score.
//
// A sorted set in rows: a row per member, by place, says its score; a row per score
// and member stands in their order. Above these there are levels of nodes, which count
// (package rank). The body says how many members, levels, and nodes of the highest
// level there are; with no level, the latter is the number of members. It says which member
// is the first and which the last one, too: who takes members from an end leaves deletions
// behind, which nobody has to read then. Of a long member it has the beginning.
//
// A score is eight bytes of a float. In the name of a row they are turned so that
// they sort. There is one zero.
package zset
